//! A connection to a daemon: calls, replies and notifications.

use crate::client::daemon::received::{malformed, parse, parse_as_sent};
use crate::client::daemon::signal_guard::SignalGuard;
use crate::client::daemon::trust::Trust;
use crate::client::error::ClientError;
use crate::client::ui::event_loop::{FdWatch, wait};
use crate::client::ui::stdout_watch::{Waited, await_daemon, can_be_watched, is_timeout};
use crate::wire::{
    Call, FrameDecoder, HelloParams, HelloReply, Id, LineDecoder, Message, PROTOCOL,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use signal_hook::consts::SIGINT;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest reply that a client accepts, in bytes: the status of many thousands of processes.
const REPLY_MAX: usize = 32 * 1024 * 1024;

/// A daemon that does not answer `hello` within this time counts as hung.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait for a reply that the daemon can give at once.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// How much longer than its own timeout a request may take.
const GRACE: Duration = Duration::from_secs(5);

/// How long a daemon may be silent before it is asked whether it still responds. After the same
/// time without any answer it counts as hung.
const SILENCE: Duration = Duration::from_secs(10);

/// An open connection, not yet switched to frames.
#[derive(Debug)]
pub(crate) struct DaemonConnection {
    stream: UnixStream,
    path: PathBuf,
    lines: LineDecoder,
    next_id: i64,
    /// The answer to `hello`, as it was sent.
    hello: Option<Value>,
    guard: Option<SignalGuard>,
    watches_output: bool,
}

impl DaemonConnection {
    /// Connects to the daemon at this socket.
    ///
    /// # Errors
    /// As for [`Trust::connect`].
    pub(crate) fn open(path: &Path, trust: &Trust) -> Result<DaemonConnection, ClientError> {
        let stream = trust.connect(path)?;
        // Without the timeout a write only waits longer.
        let _ = stream.set_write_timeout(Some(HELLO_TIMEOUT));
        Ok(DaemonConnection {
            stream,
            path: path.to_path_buf(),
            lines: LineDecoder::with_limit(REPLY_MAX),
            next_id: 1,
            hello: None,
            guard: None,
            watches_output: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The pid of the daemon, according to the kernel.
    pub(crate) fn peer_pid(&self) -> Option<i32> {
        let peer = crate::sys::socket::peer(self.stream.as_fd());
        peer.ok().map(|peer| peer.pid)
    }

    /// The user of the daemon, according to the kernel.
    pub(crate) fn peer_uid(&self) -> Option<u32> {
        let peer = crate::sys::socket::peer(self.stream.as_fd());
        peer.ok().map(|peer| peer.uid)
    }

    /// The daemon's answer to `hello`. It is asked once.
    ///
    /// # Errors
    /// `Protocol` when the daemon speaks another version of the protocol.
    pub(crate) fn hello(&mut self) -> Result<HelloReply, ClientError> {
        self.hello_within(HELLO_TIMEOUT)
    }

    /// As [`DaemonConnection::hello`], with another time limit.
    ///
    /// # Errors
    /// As for [`DaemonConnection::hello`].
    pub(crate) fn hello_within(&mut self, patience: Duration) -> Result<HelloReply, ClientError> {
        if let Some(hello) = &self.hello {
            return parse(hello.clone());
        }
        let until = Instant::now() + patience;
        let value = self.exchange(&Call::Hello(hello_params()), Deadline::At(until))?;
        let reply: HelloReply = parse(value.clone())?;
        check_protocol(&reply)?;
        self.hello = Some(value);
        Ok(reply)
    }

    /// As [`DaemonConnection::hello`], with its texts as they were sent: for JSON.
    ///
    /// # Errors
    /// As for [`DaemonConnection::hello`].
    pub(crate) fn hello_as_sent(&mut self) -> Result<HelloReply, ClientError> {
        self.hello()?;
        parse_as_sent(self.hello.clone().unwrap_or_default())
    }

    /// The path of the daemon's config, to compare it and to open it. It is not safe to print.
    ///
    /// # Errors
    /// As for [`DaemonConnection::hello`].
    pub(crate) fn config(&mut self) -> Result<PathBuf, ClientError> {
        Ok(self.hello_as_sent()?.config.into())
    }

    /// Calls a method and waits for its reply.
    ///
    /// # Errors
    /// The daemon's own error, or the reason why there is no reply.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, ClientError> {
        parse(self.call_value(call)?)
    }

    /// As [`DaemonConnection::call`], with the reply as JSON.
    ///
    /// # Errors
    /// As for [`DaemonConnection::call`].
    pub(crate) fn call_value(&mut self, call: &Call) -> Result<Value, ClientError> {
        self.hello()?;
        self.exchange(call, Deadline::of(call))
    }

    /// Waits for the next notification: its method and parameters. `None` at the end.
    ///
    /// # Errors
    /// `Protocol` when the peer sends an invalid message.
    pub(crate) fn next_notification(&mut self) -> Result<Option<(String, Value)>, ClientError> {
        loop {
            match self.next_message(None) {
                Ok(Message::Request { method, params, .. }) => return Ok(Some((method, params))),
                Ok(Message::Answer { .. }) => {}
                Err(ClientError::Disconnected) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the next notification until this time. `None` when the time is up.
    ///
    /// # Errors
    /// `Disconnected` at the end, `Protocol` when the peer sends an invalid message.
    pub(crate) fn notification_before(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<(String, Value)>, ClientError> {
        loop {
            if let Some(notification) = self.buffered_notification()? {
                return Ok(Some(notification));
            }
            let ready = wait([FdWatch::readable(&self.stream)], until);
            let ready = ready.map_err(|error| ClientError::Failed(format!("poll: {error}")))?;
            match (ready[0].is_readable(), until) {
                (true, _) => self.receive()?,
                (false, Some(until)) if Instant::now() >= until => return Ok(None),
                (false, _) => {}
            }
        }
    }

    /// Makes these signals close the connection instead of ending the client. Only the first
    /// call has an effect.
    pub(crate) fn guard(&mut self, signals: &[i32]) {
        if self.guard.is_none() {
            self.guard = SignalGuard::new(&self.stream, signals);
        }
    }

    /// From now on the calls fail with `OutputClosed` when the reader of standard output leaves.
    pub(crate) fn watch_output(&mut self) {
        self.watches_output = can_be_watched();
    }

    /// Whether a signal closed the connection.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.guard.as_ref().is_some_and(SignalGuard::fired)
    }

    /// The error of a wait, if Ctrl-C ended it: the daemon continues.
    pub(crate) fn or_interrupted(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::Disconnected if self.is_interrupted() => ClientError::Interrupted {
                signal: SIGINT,
                continues: true,
            },
            error => error,
        }
    }

    /// Takes the guard out, to keep it beyond [`DaemonConnection::into_frames`].
    pub(crate) fn take_guard(&mut self) -> Option<SignalGuard> {
        self.guard.take()
    }

    /// After a call that switched to frames: the stream, and a decoder with the bytes which
    /// followed the reply.
    pub(crate) fn into_frames(mut self) -> (UnixStream, FrameDecoder) {
        let mut frames = FrameDecoder::default();
        frames.push(&self.lines.take_rest());
        (self.stream, frames)
    }

    fn request(&mut self, call: &Call) -> (Id, Message) {
        let id = Id::Number(self.next_id);
        self.next_id += 1;
        let (method, params) = call.to_parts();
        let request = Message::Request {
            id: Some(id.clone()),
            method,
            params,
        };
        (id, request)
    }

    fn exchange(&mut self, call: &Call, deadline: Deadline) -> Result<Value, ClientError> {
        let (id, request) = self.request(call);
        // A daemon that refuses a client may close before it reads. Its reply gives the reason.
        let sent = self.stream.write_all(&request.to_line());
        let responsive = deadline == Deadline::Responsive;
        let mut until = deadline.first();
        let mut asked = false;
        loop {
            match self.next_message(Some(until)) {
                // A reply without an id means that the daemon could not parse the request.
                Ok(Message::Answer {
                    id: answered,
                    outcome,
                }) if answered.is_none() || answered.as_ref() == Some(&id) => {
                    return outcome.map_err(ClientError::Rpc);
                }
                Ok(_) if responsive => {
                    asked = false;
                    until = deadline.first();
                }
                Ok(_) => {}
                Err(ClientError::NoDaemon(_)) if responsive && !asked => {
                    asked = true;
                    until = deadline.first();
                    self.ask_for_a_sign()?;
                }
                Err(error) => return Err(sent.err().map_or(error, |_| ClientError::Disconnected)),
            }
        }
    }

    /// Asks a silent daemon for something that it answers at once.
    fn ask_for_a_sign(&mut self) -> Result<(), ClientError> {
        let (_, request) = self.request(&Call::Hello(hello_params()));
        let sent = self.stream.write_all(&request.to_line());
        sent.map_err(|_| self.hung())
    }

    fn hung(&self) -> ClientError {
        let path = self.path.display();
        ClientError::NoDaemon(format!("{path}: the daemon does not respond"))
    }

    fn next_message(&mut self, until: Option<Instant>) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.buffered_message()? {
                return Ok(message);
            }
            self.await_bytes(until)?;
            self.receive()?;
        }
    }

    fn await_bytes(&self, until: Option<Instant>) -> Result<(), ClientError> {
        let waited = match (self.watches_output, until) {
            (true, _) => {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                await_daemon(&self.stream, left)
            }
            (false, Some(_)) => match wait([FdWatch::readable(&self.stream)], until) {
                Ok([daemon]) if !daemon.is_readable() => Waited::Idle,
                _ => Waited::Readable,
            },
            (false, None) => Waited::Readable,
        };
        match waited {
            Waited::Readable => Ok(()),
            Waited::Idle => Err(self.hung()),
            Waited::Closed => Err(ClientError::OutputClosed),
        }
    }

    /// A message that has been received completely.
    fn buffered_message(&mut self) -> Result<Option<Message>, ClientError> {
        let line = self.lines.next_line();
        match line.map_err(|error| malformed("not a tmd", &error.to_string()))? {
            Some(line) => Message::parse(&line)
                .map(Some)
                .map_err(|error| malformed("not a tmd", &error.message)),
            None => Ok(None),
        }
    }

    /// Reads once from the daemon, and waits for that if it has sent nothing.
    ///
    /// # Errors
    /// `Disconnected` at the end of the connection, `NoDaemon` when the time for an answer is up.
    pub(crate) fn receive(&mut self) -> Result<(), ClientError> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ClientError::Disconnected),
            Ok(count) => {
                self.lines.push(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if is_timeout(error.kind()) => Err(self.hung()),
            Err(_) => Err(ClientError::Disconnected),
        }
    }

    /// The next notification that has been received completely: its method and parameters.
    ///
    /// # Errors
    /// `Protocol` when the peer sends an invalid message.
    pub(crate) fn buffered_notification(&mut self) -> Result<Option<(String, Value)>, ClientError> {
        while let Some(message) = self.buffered_message()? {
            if let Message::Request { method, params, .. } = message {
                return Ok(Some((method, params)));
            }
        }
        Ok(None)
    }

    /// Sends a call whose answer [`DaemonConnection::buffered_answer`] returns.
    ///
    /// # Errors
    /// When the daemon does not greet or is gone.
    pub(crate) fn send(&mut self, call: &Call) -> Result<(), ClientError> {
        self.hello()?;
        let (_, request) = self.request(call);
        let sent = self.stream.write_all(&request.to_line());
        sent.map_err(|_| ClientError::Disconnected)
    }

    /// The answer to the one call that was sent, when it has been received completely.
    ///
    /// # Errors
    /// The daemon's own error, or `Protocol`.
    pub(crate) fn buffered_answer(&mut self) -> Result<Option<Value>, ClientError> {
        while let Some(message) = self.buffered_message()? {
            if let Message::Answer { outcome, .. } = message {
                return outcome.map(Some).map_err(ClientError::Rpc);
            }
        }
        Ok(None)
    }
}

/// How long to wait for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    At(Instant),
    /// As long as the daemon responds: it waits for processes itself.
    Responsive,
}

impl Deadline {
    fn of(call: &Call) -> Deadline {
        let timeout = match call {
            Call::Start(params) | Call::Stop(params) | Call::Restart(params) => params.timeout_s,
            Call::Wait(params) => params.timeout_s,
            Call::Shutdown(_) => None,
            _ => return Deadline::At(Instant::now() + REPLY_TIMEOUT),
        };
        let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout + GRACE));
        end.map_or(Deadline::Responsive, Deadline::At)
    }

    fn first(self) -> Instant {
        match self {
            Deadline::At(until) => until,
            Deadline::Responsive => Instant::now() + SILENCE,
        }
    }
}

fn hello_params() -> HelloParams {
    HelloParams {
        protocol: PROTOCOL,
        client: format!("tm {}", env!("CARGO_PKG_VERSION")),
    }
}

impl AsFd for DaemonConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
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
    fn a_missing_daemon_is_no_denied_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("none.sock");
        let error = DaemonConnection::open(&path, &Trust::own()).expect_err("nothing is there");
        assert!(matches!(error, ClientError::NotRunning(_)), "{error}");
        std::fs::write(&path, "").expect("writable");
        let error = DaemonConnection::open(&path, &Trust::own()).expect_err("no socket");
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
