//! What runs on the disk thread.

use crate::reactor::disk::file::{DiskError, FileAccess, LogFile, Owner};
use crate::reactor::disk::format::Format;
use crate::reactor::disk::{
    Batch, Completion, LINES_MAX, LineQueue, LogId, Message, Outcome, Shared,
};
use crate::supervisor::FileSink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

/// How often lines are tried again that a log did not take.
const LINES_RETRY: Duration = Duration::from_secs(1);

/// What a pipe that polls as writable takes without waiting.
const PIPE_BYTES: usize = 4096;

/// How long the last lines wait for a descriptor when everything ends.
const LAST_WORDS: Duration = Duration::from_millis(100);

pub(crate) struct Worker {
    receiver: Receiver<Message>,
    access: Arc<dyn FileAccess>,
    shared: Arc<Shared>,
    logs: BTreeMap<LogId, Log>,
}

/// A log and what it could not write yet.
struct Log {
    target: Target,
    format: Format,
    held: Vec<u8>,
    /// How much of `held` is written.
    written: usize,
    lines: Arc<LineQueue>,
    /// Lines are among what is held, and nobody but us tries them again.
    lines_held: bool,
    /// Feeds whose last batch was refused, and why: the one sent behind it must not overtake it.
    refused: BTreeMap<u64, DiskError>,
}

enum Target {
    File(Box<LogFile>),
    /// And how long it is waited for.
    Fd(File, Duration),
}

impl Worker {
    pub fn new(
        receiver: Receiver<Message>,
        access: Arc<dyn FileAccess>,
        shared: Arc<Shared>,
    ) -> Worker {
        Worker {
            receiver,
            access,
            shared,
            logs: BTreeMap::new(),
        }
    }

    pub fn run(self) {
        // However it ends, nobody waits for it for ever. Dropped last: what is sent once it is
        // known to have stopped is refused, not swallowed.
        let _stopped = Stopped(Arc::clone(&self.shared));
        let mut worker = self;
        while let Some(message) = worker.next_message() {
            if worker.handle(message).is_break() {
                break;
            }
        }
        for log in worker.logs.values_mut() {
            log.last_words();
        }
    }

    /// Waits for as long as it takes; only lines that a log did not take make it look up.
    fn next_message(&mut self) -> Option<Message> {
        loop {
            if !self.logs.values().any(|log| log.lines_held) {
                return self.receiver.recv().ok();
            }
            match self.receiver.recv_timeout(LINES_RETRY) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.retry_lines(),
            }
        }
    }

    fn retry_lines(&mut self) {
        for log in self.logs.values_mut().filter(|log| log.lines_held) {
            let _ = log.drain();
        }
    }

    fn handle(&mut self, message: Message) -> std::ops::ControlFlow<()> {
        match message {
            Message::Open(id, sink, owner, lines) => self.open(id, sink, owner, lines),
            Message::OpenFd(id, fd, lines) => self.open_fd(id, fd, lines),
            Message::Configure(id, sink) => self.configure(id, sink),
            Message::Append(id, batch) => self.append(id, batch),
            Message::Line(id, line) => self.line(id, &line),
            Message::Run(tag, action) => {
                let error = action().err();
                self.shared.complete(Completion::Ran { tag, error });
            }
            Message::ReopenAll => self.reopen_all(),
            Message::Close(id) => self.close(id),
            Message::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    fn open(&mut self, id: LogId, sink: FileSink, owner: Option<Owner>, lines: Arc<LineQueue>) {
        let format = format_of(&sink);
        let mut file = LogFile::new(sink, owner, Arc::clone(&self.access));
        let result = file.open();
        let target = Target::File(Box::new(file));
        self.logs.insert(id, Log::new(target, format, lines));
        self.shared.complete(Completion::Opened { id, result });
    }

    fn open_fd(&mut self, id: LogId, fd: OwnedFd, lines: Arc<LineQueue>) {
        let target = Target::Fd(File::from(fd), Duration::ZERO);
        self.logs
            .insert(id, Log::new(target, Format::default(), lines));
    }

    fn configure(&mut self, id: LogId, sink: FileSink) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.format.timestamps = sink.timestamps;
        log.format.strip_ansi = sink.strip_ansi;
        if let Target::File(file) = &mut log.target {
            file.configure(sink);
        }
    }

    fn append(&mut self, id: LogId, batch: Batch) {
        let feed = batch.feed;
        let (outcome, bytes) = match self.logs.get_mut(&id) {
            Some(log) => log.append(batch),
            None => {
                let error = io::Error::from_raw_os_error(libc::EBADF);
                let error = DiskError::new("append to a closed log", &error);
                (Outcome::Refused(error), batch.bytes)
            }
        };
        self.report_rotation(id);
        self.shared.complete(Completion::Appended {
            id,
            feed,
            outcome,
            bytes,
        });
    }

    fn line(&mut self, id: LogId, line: &str) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.line(line);
            self.report_rotation(id);
        }
    }

    fn report_rotation(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if let Target::File(file) = &mut log.target
            && let Some(error) = file.take_rotation_error()
        {
            self.shared
                .complete(Completion::RotationFailed { id, error });
        }
    }

    fn reopen_all(&mut self) {
        for (id, log) in &mut self.logs {
            let Target::File(file) = &mut log.target else {
                continue;
            };
            file.reopen();
            // At once where that is possible, so that whoever moved the file finds a new one.
            if let Err(error) = file.open() {
                let result = Err(error);
                self.shared.complete(Completion::Opened { id: *id, result });
            }
        }
    }

    fn close(&mut self, id: LogId) {
        if let Some(mut log) = self.logs.remove(&id) {
            let _ = log.drain();
            if let Target::File(file) = &mut log.target {
                file.detach();
            }
        }
    }
}

struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stopped();
    }
}

fn format_of(sink: &FileSink) -> Format {
    Format::new(sink.timestamps, sink.strip_ansi)
}

impl Log {
    fn new(target: Target, format: Format, lines: Arc<LineQueue>) -> Log {
        Log {
            target,
            format,
            held: Vec::new(),
            written: 0,
            lines,
            lines_held: false,
            refused: BTreeMap::new(),
        }
    }

    /// Returns the buffer too: with its bytes if they were refused, else for reuse.
    fn append(&mut self, batch: Batch) -> (Outcome, Vec<u8>) {
        let before = self.refused.remove(&batch.feed);
        let refusal = before
            .filter(|_| batch.follows)
            .or_else(|| self.drain().err());
        if let Some(error) = refusal {
            self.refused.insert(batch.feed, error.clone());
            return (Outcome::Refused(error), batch.bytes);
        }
        let mut reuse = batch.bytes;
        let time_ns = batch.time_ns;
        if batch.lost_before > 0 {
            let text = format!("[tmd: {} bytes lost: disk stalled]", batch.lost_before);
            self.format.notice(&text, time_ns, &mut self.held);
        }
        if self.held.is_empty() && self.format.is_plain() {
            self.format.note(&reuse);
            std::mem::swap(&mut self.held, &mut reuse);
        } else {
            self.format.apply(&reuse, time_ns, &mut self.held);
        }
        if batch.end_of_stream {
            self.format.end_of_stream(time_ns, &mut self.held);
        }
        let outcome = match self.drain() {
            Ok(()) => Outcome::Written,
            Err(error) => Outcome::Held(error),
        };
        // Before they change places: what is held is to be written.
        reuse.clear();
        if matches!(outcome, Outcome::Written) && reuse.capacity() < self.held.capacity() {
            std::mem::swap(&mut self.held, &mut reuse);
        }
        self.forget_large_buffer();
        (outcome, reuse)
    }

    fn line(&mut self, line: &str) {
        self.lines.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        if self.held.len() - self.written > LINES_MAX {
            self.lines.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.mark_dropped_lines();
        self.format.notice(line, unix_time_ns(), &mut self.held);
        self.lines_held = true;
        let _ = self.drain();
        self.forget_large_buffer();
    }

    fn mark_dropped_lines(&mut self) {
        let dropped = self.lines.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("[tmd: {dropped} lines lost: log stalled]");
            self.format.notice(&text, unix_time_ns(), &mut self.held);
        }
    }

    /// Everything ends: what is held is tried once more.
    fn last_words(&mut self) {
        self.mark_dropped_lines();
        if let Target::Fd(_, patience) = &mut self.target {
            *patience = LAST_WORDS;
        }
        let _ = self.drain();
        if let Target::File(file) = &mut self.target {
            file.settle();
        }
    }

    /// Writes what is held.
    fn drain(&mut self) -> Result<(), DiskError> {
        let rest = &self.held[self.written..];
        let (n, result) = match &mut self.target {
            _ if rest.is_empty() => (0, Ok(())),
            Target::File(file) => file.append(rest),
            Target::Fd(file, patience) => append_fd(file, rest, *patience),
        };
        self.written += n;
        result?;
        self.held.clear();
        self.written = 0;
        self.lines_held = false;
        Ok(())
    }

    /// A log that is quiet again keeps no memory for its louder times.
    fn forget_large_buffer(&mut self) {
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }
}

/// Writes what the descriptor takes without waiting.
fn append_fd(file: &mut File, bytes: &[u8], patience: Duration) -> (usize, Result<(), DiskError>) {
    let mut done = 0;
    while done < bytes.len() {
        let chunk = &bytes[done..bytes.len().min(done + PIPE_BYTES)];
        match writable(file, patience).and_then(|()| file.write(chunk)) {
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

fn writable(file: &File, patience: Duration) -> io::Result<()> {
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    let patience = Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    match poll(&mut fds, Some(&patience))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

fn unix_time_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
