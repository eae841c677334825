//! A connection that was switched to frames.

use crate::client::error::ClientError;
use crate::client::ui::stdout_watch::{Waited, await_daemon, can_be_watched, is_timeout};
use crate::wire::{Frame, FrameDecoder};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameRead {
    /// Bytes, which may complete a frame.
    Bytes,
    /// Nothing came in time.
    Idle,
    /// The daemon closed the connection.
    End,
    /// The reader of standard output has left. Reported only after [`Frames::watch_output`].
    OutputClosed,
}

/// Frames from the daemon.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: UnixStream,
    decoder: FrameDecoder,
    watches_output: bool,
}

impl Frames {
    /// From the result of `DaemonConnection::into_frames`.
    pub(crate) fn new((stream, decoder): (UnixStream, FrameDecoder)) -> Frames {
        Frames {
            stream,
            decoder,
            watches_output: false,
        }
    }

    /// From now on a read also returns when the reader of standard output leaves.
    pub(crate) fn watch_output(&mut self) {
        self.watches_output = can_be_watched();
    }

    /// The next frame that was read completely.
    ///
    /// # Errors
    /// `Protocol` when the daemon sends an invalid frame.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, ClientError> {
        let broken =
            |error| ClientError::Protocol(format!("malformed data from the daemon: {error}"));
        self.decoder.next_frame().map_err(broken)
    }

    /// The descriptor.
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Reads once; waits at most `timeout` (not zero) when there is one.
    pub(crate) fn fill(&mut self, timeout: Option<Duration>) -> FrameRead {
        if self.watches_output {
            match await_daemon(&self.stream, timeout) {
                Waited::Readable => {}
                Waited::Idle => return FrameRead::Idle,
                Waited::Closed => return FrameRead::OutputClosed,
            }
        }
        // Without the timeout the read only waits longer.
        let _ = self.stream.set_read_timeout(timeout);
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return FrameRead::End,
                Ok(count) => {
                    self.decoder.push(&buffer[..count]);
                    return FrameRead::Bytes;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(error.kind()) => return FrameRead::Idle,
                Err(_) => return FrameRead::End,
            }
        }
    }
}
