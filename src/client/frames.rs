//! A connection that was switched to frames, read with blocking calls.

use super::connection::is_timeout;
use super::error::ClientError;
use crate::wire::{Frame, FrameDecoder};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::{Handle, Signals};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
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
}

/// Frames from the daemon.
#[derive(Debug)]
pub struct Frames {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Frames {
    /// From [`Connection::into_frames`](super::connection::Connection::into_frames).
    pub fn new((stream, decoder): (UnixStream, FrameDecoder)) -> Frames {
        Frames { stream, decoder }
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

    /// Makes Ctrl-C end the stream, as long as the returned guard lives, instead of the client.
    pub fn end_at_interrupt(&self) -> Option<InterruptGuard> {
        end_at_interrupt(&self.stream)
    }
}

/// Makes Ctrl-C close this connection instead of ending the client.
pub fn end_at_interrupt(stream: &UnixStream) -> Option<InterruptGuard> {
    let stream = stream.try_clone().ok()?;
    let mut signals = Signals::new([SIGINT]).ok()?;
    let handle = signals.handle();
    thread::spawn(move || {
        for _ in signals.forever() {
            // A stream that is closed already has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
    Some(InterruptGuard { handle })
}

/// See [`end_at_interrupt`].
#[derive(Debug)]
pub struct InterruptGuard {
    handle: Handle,
}

impl Drop for InterruptGuard {
    fn drop(&mut self) {
        self.handle.close();
    }
}
