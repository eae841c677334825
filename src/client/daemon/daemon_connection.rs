//! A blocking connection to a daemon.

use crate::client::daemon::signal_guard::SignalGuard;
use crate::client::error::ClientError;
use crate::client::ui::stdout_watch::{Waited, await_daemon, can_be_watched, is_timeout};
use crate::wire::{
    Call, FrameDecoder, HelloParams, HelloReply, Id, LineDecoder, Message, PROTOCOL, RpcError,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest answer a client takes, in bytes: the status of many thousands of processes.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// A daemon that does not say hello within this time is taken for hung.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection, not yet switched to frames.
#[derive(Debug)]
pub(crate) struct DaemonConnection {
    stream: UnixStream,
    path: PathBuf,
    lines: LineDecoder,
    next_id: i64,
    hello: Option<HelloReply>,
    guard: Option<SignalGuard>,
    watches_output: bool,
}

impl DaemonConnection {
    /// Connects to the daemon at this socket.
    ///
    /// # Errors
    /// `NotRunning` when nobody listens there, `Denied` when the caller may not connect.
    pub(crate) fn open(path: &Path) -> Result<DaemonConnection, ClientError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
                ClientError::NotRunning(path.to_path_buf())
            }
            ErrorKind::PermissionDenied => {
                let path = path.display();
                ClientError::Denied(format!(
                    "{path}: permission denied (the daemon belongs to another user)"
                ))
            }
            _ => ClientError::NoDaemon(format!("{}: {error}", path.display())),
        })?;
        Ok(DaemonConnection {
            stream,
            path: path.to_path_buf(),
            lines: LineDecoder::with_limit(MAX_ANSWER),
            next_id: 1,
            hello: None,
            guard: None,
            watches_output: false,
        })
    }

    /// The socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The process that listens there, as the kernel knows it.
    pub(crate) fn peer_pid(&self) -> Option<i32> {
        let peer = crate::sys::socket::peer(self.stream.as_fd());
        peer.ok().map(|peer| peer.pid)
    }

    /// Who is there; asked once.
    ///
    /// # Errors
    /// `Protocol` when the two do not speak the same.
    pub(crate) fn hello(&mut self) -> Result<HelloReply, ClientError> {
        self.hello_within(HELLO_TIMEOUT)
    }

    /// The same for who asks many, of whom some may be hung.
    ///
    /// # Errors
    /// As for [`DaemonConnection::hello`].
    pub(crate) fn hello_within(&mut self, patience: Duration) -> Result<HelloReply, ClientError> {
        if let Some(hello) = &self.hello {
            return Ok(hello.clone());
        }
        let params = HelloParams {
            protocol: PROTOCOL,
            client: format!("tm {}", env!("CARGO_PKG_VERSION")),
        };
        // A socket without a read timeout only waits longer.
        let _ = self.stream.set_read_timeout(Some(patience));
        let reply: HelloReply = parse(self.exchange(&Call::Hello(params))?)?;
        let _ = self.stream.set_read_timeout(None);
        check_protocol(&reply)?;
        self.hello = Some(reply.clone());
        Ok(reply)
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// The daemon's own error, or why there is no answer.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, ClientError> {
        parse(self.call_value(call)?)
    }

    /// The same, the answer as it came.
    ///
    /// # Errors
    /// As for [`DaemonConnection::call`].
    pub(crate) fn call_value(&mut self, call: &Call) -> Result<Value, ClientError> {
        self.hello()?;
        self.exchange(call)
    }

    /// Waits for the next notification: its method and parameters. `None` at the end.
    ///
    /// # Errors
    /// `Protocol` when the peer sends what is no message.
    pub(crate) fn next_notification(&mut self) -> Result<Option<(String, Value)>, ClientError> {
        loop {
            match self.next_message() {
                Ok(Message::Request { method, params, .. }) => return Ok(Some((method, params))),
                Ok(Message::Answer { .. }) => {}
                Err(ClientError::Lost) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes these signals close the connection, as long as it lives, instead of ending the
    /// client; the first call counts.
    pub(crate) fn guard(&mut self, signals: &[i32]) {
        if self.guard.is_none() {
            self.guard = SignalGuard::new(&self.stream, signals);
        }
    }

    /// From now on a reader of standard output that leaves is noticed: `OutputClosed`.
    pub(crate) fn watch_output(&mut self) {
        self.watches_output = can_be_watched();
    }

    /// Whether one of them did.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.guard.as_ref().is_some_and(SignalGuard::fired)
    }

    /// Takes the guard along, for what comes after [`DaemonConnection::into_frames`].
    pub(crate) fn take_guard(&mut self) -> Option<SignalGuard> {
        self.guard.take()
    }

    /// After a call that switched to frames: the stream, and the decoder with what came already.
    pub(crate) fn into_frames(mut self) -> (UnixStream, FrameDecoder) {
        let mut frames = FrameDecoder::default();
        frames.push(&self.lines.take_rest());
        (self.stream, frames)
    }

    fn exchange(&mut self, call: &Call) -> Result<Value, ClientError> {
        let id = Id::Number(self.next_id);
        self.next_id += 1;
        let (method, params) = call.to_parts();
        let request = Message::Request {
            id: Some(id.clone()),
            method,
            params,
        };
        // A daemon that refuses at once may close before it reads: its answer says why.
        let sent = self.stream.write_all(&request.to_line());
        loop {
            match self.next_message() {
                Ok(Message::Answer {
                    id: answered,
                    outcome,
                }) => {
                    // An answer without an id means that the request could not be read.
                    if answered.is_none() || answered.as_ref() == Some(&id) {
                        return outcome.map_err(ClientError::Rpc);
                    }
                }
                Ok(Message::Request { .. }) => {}
                Err(error) => return Err(sent.err().map_or(error, |_| ClientError::Lost)),
            }
        }
    }

    fn next_message(&mut self) -> Result<Message, ClientError> {
        let broken = |error: String| ClientError::Protocol(format!("not a tmd: {error}"));
        loop {
            let line = self
                .lines
                .next_line()
                .map_err(|error| broken(error.to_string()))?;
            if let Some(line) = line {
                return Message::parse(&line).map_err(|error: RpcError| broken(error.message));
            }
            if self.watches_output && await_daemon(&self.stream, None) == Waited::Closed {
                return Err(ClientError::OutputClosed);
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ClientError::Lost),
                Ok(count) => self.lines.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(error.kind()) => {
                    let path = self.path.display();
                    return Err(ClientError::NoDaemon(format!(
                        "{path}: the daemon does not respond"
                    )));
                }
                Err(_) => return Err(ClientError::Lost),
            }
        }
    }
}

/// Reads a reply, or the parameters of a notification, as its type.
///
/// # Errors
/// `Protocol` when the value has another form.
pub(crate) fn parse<T: DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value)
        .map_err(|error| ClientError::Protocol(format!("malformed reply from the daemon: {error}")))
}

fn check_protocol(reply: &HelloReply) -> Result<(), ClientError> {
    if reply.protocol == PROTOCOL {
        return Ok(());
    }
    if reply.protocol == 0 {
        return Err(ClientError::Protocol(
            "not a tmd: its hello names no protocol".to_string(),
        ));
    }
    let age = if reply.protocol > PROTOCOL {
        "newer"
    } else {
        "older"
    };
    Err(ClientError::Protocol(format!(
        "the daemon (tmd {}, pid {}) is {age}: it speaks protocol {}, this tm {PROTOCOL}; \
         use the tm that came with it",
        reply.version, reply.pid, reply.protocol
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_told_from_forbidden() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("none.sock");
        let error = DaemonConnection::open(&path).expect_err("nothing is there");
        assert!(matches!(error, ClientError::NotRunning(_)), "{error}");
        std::fs::write(&path, "").expect("writable");
        let error = DaemonConnection::open(&path).expect_err("no socket");
        assert_eq!(error.exit_code(), 4, "{error}");
    }

    #[test]
    fn another_protocol_is_refused_by_its_age() {
        let reply = |protocol| HelloReply {
            protocol,
            ..HelloReply::default()
        };
        assert!(check_protocol(&reply(PROTOCOL)).is_ok());
        let refused = |protocol| {
            check_protocol(&reply(protocol))
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(PROTOCOL + 1).contains("newer"));
        assert!(refused(0).contains("not a tmd"));
    }
}
