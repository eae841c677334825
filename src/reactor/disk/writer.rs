//! One log on the disk thread: formats what is appended, writes it, keeps what the file did not
//! take.

use crate::reactor::clock::unix_ns;
use crate::reactor::disk::file::{DiskError, LogFile};
use crate::reactor::disk::format::Format;
use crate::reactor::disk::message::{AppendResult, Batch, LINES_MAX, LineQueue};
use crate::supervisor::FileSink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that a writable pipe takes without blocking.
const PIPE_BYTES: usize = 4096;

/// How long a descriptor is waited for when the thread ends.
const FINISH_TIMEOUT: Duration = Duration::from_millis(100);

/// A log and the bytes that it has not written yet.
pub(crate) struct LogWriter {
    target: Target,
    format: Format,
    /// Formatted bytes; the first `written` of them are in the file.
    held: Vec<u8>,
    written: usize,
    lines: Arc<LineQueue>,
    /// `held` contains lines. No feed retries them, so the thread does.
    lines_held: bool,
    /// Feeds whose last batch was refused, and why: a batch that was sent behind it must not
    /// overtake it.
    refused: BTreeMap<u64, DiskError>,
}

enum Target {
    File(Box<LogFile>),
    Fd {
        fd: File,
        /// How long to wait until it is writable.
        timeout: Duration,
    },
}

impl LogWriter {
    pub(super) fn to_file(file: LogFile, format: Format, lines: Arc<LineQueue>) -> LogWriter {
        LogWriter::new(Target::File(Box::new(file)), format, lines)
    }

    pub(super) fn to_fd(fd: OwnedFd, lines: Arc<LineQueue>) -> LogWriter {
        let target = Target::Fd {
            fd: File::from(fd),
            timeout: Duration::ZERO,
        };
        LogWriter::new(target, Format::default(), lines)
    }

    fn new(target: Target, format: Format, lines: Arc<LineQueue>) -> LogWriter {
        LogWriter {
            target,
            format,
            held: Vec::new(),
            written: 0,
            lines,
            lines_held: false,
            refused: BTreeMap::new(),
        }
    }

    /// The file, unless the log is a descriptor.
    pub(super) fn file(&mut self) -> Option<&mut LogFile> {
        match &mut self.target {
            Target::File(file) => Some(file),
            Target::Fd { .. } => None,
        }
    }

    pub(super) fn configure(&mut self, sink: FileSink) {
        self.format.timestamps = sink.timestamps;
        self.format.strip_ansi = sink.strip_ansi;
        if let Some(file) = self.file() {
            file.configure(sink);
        }
    }

    /// Appends a batch, and returns it: refused with its bytes, else with an empty buffer.
    pub(super) fn append(&mut self, mut batch: Batch) -> (AppendResult, Batch) {
        if let Some(error) = self.refusal(&batch) {
            self.refused.insert(batch.feed, error.clone());
            return (AppendResult::Refused(error), batch);
        }
        self.format_batch(&mut batch);
        if let Some(file) = self.file()
            && batch.line_max > 0
        {
            file.set_line_max(batch.line_max);
        }
        let result = match self.drain() {
            Ok(()) => AppendResult::Written,
            Err(error) => AppendResult::Held(error),
        };
        if self.held.is_empty() {
            // Two empty buffers: the larger one goes back to the feed, a quiet log keeps none.
            let buffer = std::mem::take(&mut self.held);
            if buffer.capacity() > batch.bytes.capacity() {
                batch.bytes = buffer;
            }
        }
        (result, batch)
    }

    /// Why a batch cannot be taken: the one before it was refused, or held bytes come first.
    fn refusal(&mut self, batch: &Batch) -> Option<DiskError> {
        let before = self.refused.remove(&batch.feed);
        before
            .filter(|_| batch.follows)
            .or_else(|| self.drain().err())
    }

    /// Moves a batch into `held`, formatted, and leaves its buffer empty.
    fn format_batch(&mut self, batch: &mut Batch) {
        let time_ns = batch.time_ns;
        if batch.lost_before > 0 {
            let text = format!("[tmd: {} bytes lost: disk stalled]", batch.lost_before);
            self.format.notice(&text, time_ns, &mut self.held);
        }
        if self.held.is_empty() && self.format.is_plain() {
            // Nothing changes, so nothing is copied.
            self.format.note(&batch.bytes);
            self.held = std::mem::take(&mut batch.bytes);
        } else {
            self.format.apply(&batch.bytes, time_ns, &mut self.held);
            batch.bytes.clear();
        }
        if batch.end_of_stream {
            self.format.end_of_stream(time_ns, &mut self.held);
        }
    }

    /// Appends a line. Drops it when too many bytes are held.
    pub(super) fn line(&mut self, line: &str) {
        self.lines.release(line.len());
        if self.held.len() - self.written > LINES_MAX {
            self.lines.count_dropped();
            return;
        }
        self.mark_dropped_lines();
        self.format.notice(line, unix_ns(), &mut self.held);
        self.lines_held = true;
        // Bytes that cannot be written are kept, and retried every second.
        if self.drain().is_ok() {
            self.held = Vec::new();
        }
    }

    fn mark_dropped_lines(&mut self) {
        let dropped = self.lines.take_dropped();
        if dropped > 0 {
            let text = format!("[tmd: {dropped} lines lost: log stalled]");
            self.format.notice(&text, unix_ns(), &mut self.held);
        }
    }

    /// Whether the thread has to retry lines by itself.
    pub(super) fn retries_lines(&self) -> bool {
        self.lines_held
    }

    /// Closes the log. Bytes that are held get one more attempt.
    pub(super) fn close(mut self) {
        let _ = self.drain();
        if let Some(file) = self.file() {
            file.detach();
        }
    }

    /// The thread ends: held bytes get one more attempt, and a compression is waited for.
    pub(super) fn finish(&mut self) {
        self.mark_dropped_lines();
        if let Target::Fd { timeout, .. } = &mut self.target {
            *timeout = FINISH_TIMEOUT;
        }
        let _ = self.drain();
        if let Some(file) = self.file() {
            file.settle();
        }
    }

    /// Writes the held bytes.
    pub(super) fn drain(&mut self) -> Result<(), DiskError> {
        let rest = &self.held[self.written..];
        let (n, result) = match &mut self.target {
            _ if rest.is_empty() => (0, Ok(())),
            Target::File(file) => file.append(rest),
            Target::Fd { fd, timeout } => append_fd(fd, rest, *timeout),
        };
        self.written += n;
        result?;
        self.held.clear();
        self.written = 0;
        self.lines_held = false;
        Ok(())
    }
}

/// Writes what the descriptor takes without blocking. Returns how much that was.
fn append_fd(fd: &mut File, bytes: &[u8], timeout: Duration) -> (usize, Result<(), DiskError>) {
    let mut done = 0;
    while done < bytes.len() {
        let chunk = &bytes[done..bytes.len().min(done + PIPE_BYTES)];
        match wait_writable(fd, timeout).and_then(|()| fd.write(chunk)) {
            Ok(n) if n > 0 => done += n,
            Ok(_) => return (done, Err(fd_error(&io::ErrorKind::WriteZero.into()))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(fd_error(&error))),
        }
    }
    (done, Ok(()))
}

fn fd_error(error: &io::Error) -> DiskError {
    DiskError::new("write to a log descriptor", error)
}

fn wait_writable(fd: &File, timeout: Duration) -> io::Result<()> {
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    let timeout = Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(&mut fds, Some(&timeout))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
