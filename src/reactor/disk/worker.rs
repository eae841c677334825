//! The loop of the disk thread: messages in, completions out.

use crate::reactor::disk::access::{FileAccess, Owner};
use crate::reactor::disk::file::{DiskError, LogFile};
use crate::reactor::disk::format::Format;
use crate::reactor::disk::message::{
    AppendResult, Batch, Completion, DiskMessage, LineQueue, LogId, Operation, Shared,
};
use crate::reactor::disk::writer::LogWriter;
use crate::supervisor::FileSink;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The interval between retries of lines that a log did not take.
const LINES_RETRY: Duration = Duration::from_secs(1);

/// One thread that writes logs. It serves one queue.
pub(crate) struct Worker {
    receiver: Receiver<DiskMessage>,
    access: Arc<dyn FileAccess>,
    shared: Arc<Shared>,
    logs: BTreeMap<LogId, LogWriter>,
}

impl Worker {
    pub(super) fn new(
        receiver: Receiver<DiskMessage>,
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

    /// Serves the queue until a `Stop` arrives or the reactor's end is gone.
    pub(super) fn run(self) {
        // Dropped last, also after a panic. The receiver is closed by then, so that a message
        // sent after the thread is known to have stopped is refused instead of lost.
        let _stopped = Stopped(Arc::clone(&self.shared));
        let mut worker = self;
        while let Some(message) = worker.next_message() {
            if worker.handle(message).is_break() {
                break;
            }
        }
        for log in worker.logs.values_mut() {
            log.finish();
        }
    }

    /// Waits for a message. Retries lines meanwhile, if a log has not taken all of them.
    fn next_message(&mut self) -> Option<DiskMessage> {
        loop {
            if !self.logs.values().any(LogWriter::retries_lines) {
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
        for log in self.logs.values_mut().filter(|log| log.retries_lines()) {
            // An error is not reported: the log itself counts lost lines.
            let _ = log.drain();
        }
    }

    fn handle(&mut self, message: DiskMessage) -> ControlFlow<()> {
        match message {
            DiskMessage::Open(id, sink, owner, lines) => self.open(id, sink, owner, lines),
            DiskMessage::OpenFd(id, fd, lines) => self.open_fd(id, fd, lines),
            DiskMessage::Configure(id, sink) => self.configure(id, sink),
            DiskMessage::Append(id, batch) => self.append(id, batch),
            DiskMessage::Line(id, line) => self.line(id, &line),
            DiskMessage::Run(tag, operation) => self.run_operation(tag, operation),
            DiskMessage::ReopenAll => self.reopen_all(),
            DiskMessage::Close(id) => self.close(id),
            DiskMessage::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn open(&mut self, id: LogId, sink: FileSink, owner: Option<Owner>, lines: Arc<LineQueue>) {
        let format = Format::new(sink.timestamps, sink.strip_ansi);
        let mut file = LogFile::new(sink, owner, Arc::clone(&self.access));
        let result = file.open();
        self.logs
            .insert(id, LogWriter::to_file(file, format, lines));
        self.shared.complete(Completion::Opened { id, result });
    }

    fn open_fd(&mut self, id: LogId, fd: OwnedFd, lines: Arc<LineQueue>) {
        self.logs.insert(id, LogWriter::to_fd(fd, lines));
    }

    fn configure(&mut self, id: LogId, sink: FileSink) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.configure(sink);
        }
    }

    fn append(&mut self, id: LogId, batch: Batch) {
        let (result, batch) = match self.logs.get_mut(&id) {
            Some(log) => log.append(batch),
            None => {
                let error = io::Error::from_raw_os_error(libc::EBADF);
                let error = DiskError::new("append to a closed log", &error);
                (AppendResult::Refused(error), batch)
            }
        };
        self.report_rotation(id);
        self.shared.complete(Completion::Appended { result, batch });
    }

    fn line(&mut self, id: LogId, line: &str) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.line(line);
            self.report_rotation(id);
        }
    }

    fn run_operation(&self, tag: u32, operation: Operation) {
        let error = operation().err();
        self.shared.complete(Completion::Ran { tag, error });
    }

    fn report_rotation(&mut self, id: LogId) {
        let file = self.logs.get_mut(&id).and_then(LogWriter::file);
        if let Some(error) = file.and_then(LogFile::take_rotation_error) {
            self.shared.complete(Completion::RotationFailed { error });
        }
    }

    fn reopen_all(&mut self) {
        for (id, log) in &mut self.logs {
            let Some(file) = log.file() else { continue };
            file.reopen();
            // Within a line the next append reopens it; else a new file is there at once for the
            // program that moved the old one.
            if let Err(error) = file.open() {
                let result = Err(error);
                self.shared.complete(Completion::Opened { id: *id, result });
            }
        }
    }

    fn close(&mut self, id: LogId) {
        if let Some(log) = self.logs.remove(&id) {
            log.close();
        }
    }
}

struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.set_stopped();
    }
}
