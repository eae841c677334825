//! The output of an attachment without a terminal: what waits to be written, in order.

use crate::client::attach::queries::QueryDetector;
use crate::client::error::ClientError;
use crate::client::ui::own_output::OwnOutput;
use crate::sys::tty;
use crate::terminal::Tracker;
use crate::text::printable::printable;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A pipe that is ready takes this many bytes without blocking.
const WRITE_MAX: usize = 4096;

/// How long a terminal may take for the sequences that undo its modes.
const RESTORE_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StdStream {
    Stdout,
    Stderr,
}

/// Output of the process and the client's notices, in order.
pub(super) struct PlainOutput {
    quiet: bool,
    /// Standard output and standard error.
    streams: [OwnOutput; 2],
    queue: VecDeque<(StdStream, VecDeque<u8>)>,
    /// How many bytes the queue holds.
    pub(super) queued: usize,
    /// The last byte for a terminal is not the end of a line.
    pub(super) within_line: bool,
    /// Whether standard output and standard error are terminals.
    is_terminal: [bool; 2],
    /// The modes that the process has set in our terminal.
    tracker: Option<Tracker>,
    queries: QueryDetector,
    /// The process has queried our terminal, whose answer no program reads.
    queried: bool,
}

impl PlainOutput {
    /// An empty queue for the standard streams. `quiet` drops notices.
    pub(super) fn new(quiet: bool) -> PlainOutput {
        let is_terminal = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        PlainOutput {
            quiet,
            streams: [OwnOutput::stdout(), OwnOutput::stderr()],
            queue: VecDeque::new(),
            queued: 0,
            within_line: false,
            is_terminal,
            tracker: is_terminal[0].then(|| Tracker::new(0)),
            queries: QueryDetector::default(),
            queried: false,
        }
    }

    pub(super) fn push(&mut self, stream: StdStream, bytes: &[u8]) {
        let is_terminal = self.is_terminal[stream as usize];
        if let (true, Some(last)) = (is_terminal, bytes.last()) {
            self.within_line = *last != b'\n';
        }
        if bytes.is_empty() {
            return;
        }
        if let (StdStream::Stdout, Some(tracker)) = (stream, &mut self.tracker) {
            tracker.feed(bytes);
            self.queried |= self.queries.found_in(bytes);
        }
        self.queued += bytes.len();
        self.queue.push_back((stream, bytes.to_vec().into()));
    }

    /// Queues a notice on a line of its own.
    pub(super) fn say(&mut self, text: &str) {
        let start = if self.within_line { "\n" } else { "" };
        if !self.quiet {
            let line = format!("{start}{}\n", printable(text));
            self.push(StdStream::Stderr, line.as_bytes());
        }
        self.within_line = false;
    }

    /// The stream of the next bytes.
    pub(super) fn next_stream(&self) -> Option<StdStream> {
        self.queue.front().map(|(stream, _)| *stream)
    }

    /// Writes once. The stream must be ready.
    pub(super) fn write_some(&mut self) -> Result<(), ClientError> {
        let Some((stream, bytes)) = self.queue.front_mut() else {
            return Ok(());
        };
        let (first, _) = bytes.as_slices();
        let part = &first[..first.len().min(WRITE_MAX)];
        let written = self.streams[*stream as usize].write(part);
        match written {
            Ok(count) => {
                bytes.drain(..count);
                if bytes.is_empty() {
                    self.queue.pop_front();
                }
                self.queued -= count;
                Ok(())
            }
            Err(error) if is_temporary(&error) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ClientError::OutputClosed),
            Err(error) => Err(ClientError::Failed(format!(
                "cannot write to standard output: {error}"
            ))),
        }
    }

    /// Undoes the modes that the process has set in our terminal.
    pub(super) fn restore(&mut self) {
        if let Some(tracker) = self.tracker.take() {
            // Fails only when the terminal is gone, or takes nothing.
            let until = Instant::now() + RESTORE_TIME;
            let _ = self.streams[0].write_all_until(&tracker.reset_sequence(), until);
            if self.queried {
                let _ = tty::flush_input(io::stdout().as_fd());
            }
        }
    }
}

/// Whether the call can be repeated.
pub(super) fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
