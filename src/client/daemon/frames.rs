//! A connection that was switched to frames, read with blocking calls.

use crate::client::daemon::daemon_connection::is_timeout;
use crate::client::error::ClientError;
use crate::client::ui::stdout_watch::{Waited, await_daemon, can_be_watched};
use crate::wire::{Frame, FrameDecoder};
use signal_hook::iterator::{Handle, Signals};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Bytes; there may be frames now.
    Bytes,
    /// Nothing within the given time.
    Idle,
    /// The daemon closed the connection.
    End,
    /// Nobody reads standard output any more; told only by who watches it.
    OutputClosed,
}

/// Frames from the daemon.
#[derive(Debug)]
pub struct Frames {
    stream: UnixStream,
    decoder: FrameDecoder,
    watches_output: bool,
}

impl Frames {
    /// Takes over what `Connection::into_frames` returns.
    pub fn new((stream, decoder): (UnixStream, FrameDecoder)) -> Frames {
        Frames {
            stream,
            decoder,
            watches_output: false,
        }
    }

    /// From now on a reader of standard output that leaves is noticed.
    pub fn watch_output(&mut self) {
        self.watches_output = can_be_watched();
    }

    /// The next frame of what has been read.
    ///
    /// # Errors
    /// `Protocol` when what came is no frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ClientError> {
        let broken = |error| ClientError::Protocol(format!("from the daemon: {error}"));
        self.decoder.next_frame().map_err(broken)
    }

    /// Reads once; waits at most `timeout` (not zero) when there is one.
    pub fn fill(&mut self, timeout: Option<Duration>) -> Filled {
        if self.watches_output {
            match await_daemon(&self.stream, timeout) {
                Waited::Readable => {}
                Waited::Idle => return Filled::Idle,
                Waited::Closed => return Filled::OutputClosed,
            }
        }
        // A timeout that cannot be set only makes the read wait longer.
        let _ = self.stream.set_read_timeout(timeout);
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Filled::End,
                Ok(count) => {
                    self.decoder.push(&buffer[..count]);
                    return Filled::Bytes;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(error.kind()) => return Filled::Idle,
                Err(_) => return Filled::End,
            }
        }
    }
}

/// Makes these signals close this connection instead of ending the client.
pub fn end_at(stream: &UnixStream, signals: &[i32]) -> Option<SignalGuard> {
    let stream = stream.try_clone().ok()?;
    let mut signals = Signals::new(signals).ok()?;
    let handle = signals.handle();
    let fired = Arc::new(AtomicBool::new(false));
    let fires = Arc::clone(&fired);
    let wait = move || {
        for _ in signals.forever() {
            fires.store(true, Ordering::SeqCst);
            // A stream that is closed already has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
    };
    let waiting = thread::Builder::new().spawn(wait).ok()?;
    Some(SignalGuard {
        handle,
        fired,
        waiting: Some(waiting),
    })
}

/// See [`end_at`].
#[derive(Debug)]
pub struct SignalGuard {
    handle: Handle,
    fired: Arc<AtomicBool>,
    waiting: Option<JoinHandle<()>>,
}

impl SignalGuard {
    /// Whether a signal closed the connection.
    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.handle.close();
        // It holds the connection open.
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.join();
        }
    }
}
