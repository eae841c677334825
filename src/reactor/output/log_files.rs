//! The log files of all processes: which stream goes to which file, batches to the disk thread,
//! its answers back.
//!
//! It decides nothing about processes. Its methods return facts, and the reactor acts on them.

use crate::reactor::disk::Disk;
use crate::reactor::disk::access::Owner;
use crate::reactor::disk::file::DiskError;
use crate::reactor::disk::message::{AppendResult, Batch, Completion, LogId, Operation};
use crate::reactor::output::log_feed::{FeedEvent, Gate, LogFeed};
use crate::reactor::output::{Output, Stream};
use crate::supervisor::{FileSink, Launch, ProcessId, Sink, SpawnFailure, Time};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// The log files, and the disk thread that writes them.
pub(crate) struct LogFiles {
    disk: Disk,
    /// The logs of each process that has any.
    processes: BTreeMap<ProcessId, ProcessLogs>,
    /// The process of each feed, by tag.
    feed_owner: HashMap<u64, ProcessId>,
    feeds_opened: u64,
    /// The result of opening each log; `None` until the disk thread answers.
    open_results: HashMap<LogId, Option<Result<(), DiskError>>>,
}

/// The logs of one process.
#[derive(Default)]
struct ProcessLogs {
    targets: Vec<LogTarget>,
    /// A start waits until all of them are open.
    start_waits: bool,
    /// The earliest timer that is armed for them.
    timer: Option<Time>,
}

/// One stream of a process and the file it goes to.
struct LogTarget {
    feed: LogFeed,
    log: LogId,
    path: String,
    /// `None` for a terminal, whose output is one stream.
    stream: Option<Stream>,
}

/// Whether the logs of a process are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenState {
    /// All of them.
    Open,
    /// The disk thread has not opened all of them yet; [`DiskNews`] follows.
    Opening,
}

/// A change in the state of a log, in the words of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEvent {
    /// The event's type.
    pub kind: &'static str,
    /// The file, and what happened.
    pub detail: String,
}

/// A report of the disk thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskNews {
    /// A batch of a process was answered.
    Appended(ProcessId),
    /// A start no longer waits for its logs.
    LogsOpen(ProcessId),
    /// A start failed: a log could not be opened.
    OpenFailed(ProcessId, SpawnFailure),
    /// An operation is done.
    OperationDone(ProcessId, Option<DiskError>),
    /// A failure that concerns no process in particular.
    Problem(DiskError),
}

impl LogFiles {
    /// No logs yet.
    pub(crate) fn new(disk: Disk) -> LogFiles {
        LogFiles {
            disk,
            processes: BTreeMap::new(),
            feed_owner: HashMap::new(),
            feeds_opened: 0,
            open_results: HashMap::new(),
        }
    }

    /// Opens the logs of a new run, or keeps those of the last run.
    ///
    /// # Errors
    /// When one of them cannot be opened. None is kept then, so that the next start tries again.
    pub(crate) fn open(
        &mut self,
        id: ProcessId,
        launch: &Launch,
        output: &Output,
    ) -> Result<OpenState, SpawnFailure> {
        let wanted = wanted_logs(launch);
        let kept = self.targets_mut(id);
        let same = kept.len() == wanted.len()
            && kept
                .iter()
                .zip(&wanted)
                .all(|(target, (sink, stream))| target.is(sink, *stream));
        if same {
            kept.iter_mut().for_each(|target| target.feed.resume());
            self.configure(id, launch);
            return Ok(OpenState::Open);
        }
        self.close(id);
        let owner = launch.identity.as_ref().map(Owner::from);
        for (sink, stream) in wanted {
            self.open_one(id, sink, stream, owner.as_ref(), output);
        }
        self.open_state(id)
    }

    fn open_one(
        &mut self,
        id: ProcessId,
        sink: &FileSink,
        stream: Option<Stream>,
        owner: Option<&Owner>,
        output: &Output,
    ) {
        let log = self.disk.open(sink, owner);
        self.open_results.entry(log).or_insert(None);
        self.feeds_opened += 1;
        let tag = self.feeds_opened;
        self.feed_owner.insert(tag, id);
        let target = LogTarget {
            feed: LogFeed::new(tag, output, stream, sink.stall),
            log,
            path: sink.path.clone(),
            stream,
        };
        self.processes.entry(id).or_default().targets.push(target);
    }

    /// Whether all logs of a process are open. Closes them when one has failed.
    fn open_state(&mut self, id: ProcessId) -> Result<OpenState, SpawnFailure> {
        let Some(logs) = self.processes.get_mut(&id) else {
            return Ok(OpenState::Open);
        };
        let mut opening = false;
        let mut failed = None;
        for target in &logs.targets {
            match self.open_results.get(&target.log) {
                Some(Some(Ok(()))) => {}
                Some(Some(Err(error))) => failed = Some(not_opened(&target.path, error)),
                Some(None) | None => opening = true,
            }
        }
        if let Some(failure) = failed {
            self.close(id);
            return Err(failure);
        }
        logs.start_waits = opening;
        match opening {
            true => Ok(OpenState::Opening),
            false => Ok(OpenState::Open),
        }
    }

    /// Ends the wait of a start for its logs. Returns whether it waited.
    pub(crate) fn stop_waiting(&mut self, id: ProcessId) -> bool {
        self.processes
            .get_mut(&id)
            .is_some_and(|logs| std::mem::take(&mut logs.start_waits))
    }

    /// Gives up the logs of a process.
    pub(crate) fn close(&mut self, id: ProcessId) {
        let Some(logs) = self.processes.remove(&id) else {
            return;
        };
        for target in logs.targets {
            self.feed_owner.remove(&target.feed.tag());
            self.disk.close(target.log);
            if self.disk.users(target.log) == 0 {
                self.open_results.remove(&target.log);
            }
        }
    }

    /// Applies the keys that a reload may change.
    pub(crate) fn configure(&mut self, id: ProcessId, launch: &Launch) {
        let wanted = wanted_logs(launch);
        let Some(logs) = self.processes.get_mut(&id) else {
            return;
        };
        for target in &mut logs.targets {
            let sink = wanted.iter().find(|(sink, _)| sink.path == target.path);
            if let Some((sink, _)) = sink {
                target.feed.configure(sink.stall);
                self.disk.configure(target.log, sink);
            }
        }
    }

    /// The feeds into shared logs that have written all of a process's output, by tag.
    pub(crate) fn drained_and_shared(&self, id: ProcessId, output: &Output) -> Vec<u64> {
        self.targets(id)
            .iter()
            .filter(|target| self.disk.users(target.log) > 1 && target.feed.is_drained(output))
            .map(|target| target.feed.tag())
            .collect()
    }

    /// Moves these feeds to the head of the output; what they have not sent is left out.
    pub(crate) fn skip_to_head(&mut self, id: ProcessId, tags: &[u64], output: &Output) {
        let targets = self.targets_mut(id).iter_mut();
        for target in targets.filter(|target| tags.contains(&target.feed.tag())) {
            target.feed.skip_to_head(output);
        }
    }

    /// Sends the disk thread what it can take now. `unix_ns` stamps lines of the daemon's own.
    pub(crate) fn pump(
        &mut self,
        id: ProcessId,
        output: &Output,
        now: Time,
        unix_ns: u64,
    ) -> (Vec<LogEvent>, Option<Time>) {
        let mut events = Vec::new();
        let mut deadline: Option<Time> = None;
        let Some(logs) = self.processes.get_mut(&id) else {
            return (events, deadline);
        };
        for target in &mut logs.targets {
            let shared = self.disk.users(target.log) > 1;
            target.feed.set_shared(shared);
            if let Some(batch) = target.feed.next_batch(output, now, unix_ns) {
                self.disk.append(target.log, batch);
            }
            while let Some(event) = target.feed.poll_event() {
                events.push(log_event(&target.path, event));
            }
            deadline = deadline.into_iter().chain(target.feed.deadline(now)).min();
        }
        (events, deadline)
    }

    /// The last output of a run goes to the disk at once, without waiting for more.
    pub(crate) fn flush_now(&mut self, id: ProcessId) {
        let targets = self.targets_mut(id).iter_mut();
        targets.for_each(|target| target.feed.flush_now());
    }

    /// No more output comes: the next [`pump`](Self::pump) sends the last line as it is.
    pub(crate) fn finish(&mut self, id: ProcessId) {
        let targets = self.targets_mut(id).iter_mut();
        targets.for_each(|target| target.feed.finish());
    }

    /// Whether the output may be read, as far as its logs are concerned.
    pub(crate) fn gate(&mut self, id: ProcessId, output: &Output, now: Time) -> Gate {
        self.targets_mut(id)
            .iter_mut()
            .map(|target| target.feed.gate(output, now))
            .fold(Gate::Read(usize::MAX), Gate::and)
    }

    /// Whether a timer for the logs of a process has to be set: none is armed for an earlier time.
    pub(crate) fn arm(&mut self, id: ProcessId, at: Time) -> bool {
        let Some(logs) = self.processes.get_mut(&id) else {
            return false;
        };
        let earlier = logs.timer.is_none_or(|armed| at < armed);
        if earlier {
            logs.timer = Some(at);
        }
        earlier
    }

    /// Whether the armed timer of a process has expired; it is disarmed then.
    pub(crate) fn take_expired(&mut self, id: ProcessId, now: Time) -> bool {
        let logs = self.processes.get_mut(&id);
        logs.is_some_and(|logs| logs.timer.take_if(|at| *at <= now).is_some())
    }

    /// Whether all output before `offset` is in the logs, or cannot be written.
    pub(crate) fn has_reached(&self, id: ProcessId, output: &Output, offset: u64) -> bool {
        let mut targets = self.targets(id).iter();
        targets.all(|target| target.feed.has_reached(output, offset))
    }

    /// The present trouble of a process's logs, if any.
    pub(crate) fn trouble(&self, id: ProcessId) -> Option<String> {
        let mut troubles = self
            .targets(id)
            .iter()
            .filter_map(|target| Some((&target.path, target.feed.trouble()?)));
        let (path, text) = troubles.next()?;
        // Most disk errors contain the path.
        Some(match text.contains(path.as_str()) {
            true => format!("not logged: {text}"),
            false => format!("not logged: {path}: {text}"),
        })
    }

    /// Why a log of a process cannot be written, as if its start had failed for that.
    pub(crate) fn failure(&self, id: ProcessId) -> Option<SpawnFailure> {
        let mut targets = self.targets(id).iter();
        targets.find_map(|target| Some(not_opened(&target.path, target.feed.failure()?)))
    }

    /// Runs an operation on a file on its disk's thread, in order with the others on files of its
    /// directory. It is answered by [`DiskNews::OperationDone`].
    pub(crate) fn run(
        &mut self,
        id: ProcessId,
        path: &Path,
        owner: Option<&Owner>,
        operation: Operation,
    ) {
        self.disk.run(id.0, path, owner, operation);
    }

    /// Reopens every log file by its path.
    pub(crate) fn reopen_all(&self) {
        self.disk.reopen_all();
    }

    /// Writes what was sent, and ends the disk threads. Returns whether that was done within
    /// `limit`.
    pub(crate) fn flush_and_stop(&mut self, limit: Duration) -> bool {
        self.disk.flush_and_stop(limit)
    }

    /// Takes the reports of the disk thread, in order.
    pub(crate) fn collect(&mut self, now: Time) -> Vec<DiskNews> {
        let completions = self.disk.completions();
        self.disk.note_progress(now);
        let mut news = Vec::new();
        for completion in completions {
            match completion {
                Completion::Appended { result, batch } => {
                    news.extend(self.appended(result, batch, now));
                }
                Completion::Opened { id, result } => self.opened(id, result, &mut news),
                Completion::RotationFailed { error } => news.push(DiskNews::Problem(error)),
                Completion::Ran { tag, error } => {
                    news.push(DiskNews::OperationDone(ProcessId(tag), error));
                }
            }
        }
        news
    }

    fn appended(&mut self, result: AppendResult, batch: Batch, now: Time) -> Option<DiskNews> {
        let id = *self.feed_owner.get(&batch.feed)?;
        let mut targets = self.targets_mut(id).iter_mut();
        let target = targets.find(|target| target.feed.tag() == batch.feed)?;
        target.feed.completed(result, batch, now);
        Some(DiskNews::Appended(id))
    }

    /// Reports the starts that waited for this log and no longer do.
    fn opened(&mut self, log: LogId, result: Result<(), DiskError>, news: &mut Vec<DiskNews>) {
        let waiting: Vec<ProcessId> = self
            .processes
            .iter()
            .filter(|(_, logs)| logs.start_waits && logs.uses(log))
            .map(|(id, _)| *id)
            .collect();
        if let Err(error) = &result
            && waiting.is_empty()
        {
            news.push(DiskNews::Problem(error.clone()));
        }
        if let Some(state) = self.open_results.get_mut(&log) {
            *state = Some(result);
        }
        for id in waiting {
            match self.open_state(id) {
                Ok(OpenState::Opening) => {}
                Ok(OpenState::Open) => news.push(DiskNews::LogsOpen(id)),
                Err(failure) => news.push(DiskNews::OpenFailed(id, failure)),
            }
        }
    }

    /// Notes the time while a disk thread has nothing to do.
    pub(crate) fn note_idle(&mut self, now: Time) {
        self.disk.note_progress(now);
    }

    /// Whether a disk that a process writes to has not answered for a second. Nothing should wait
    /// for it then.
    pub(crate) fn is_stuck(&self, id: ProcessId, now: Time) -> bool {
        let mut targets = self.targets(id).iter();
        targets.any(|target| self.disk.is_stuck(target.log, now))
            || self.disk.is_operation_stuck(id.0, now)
    }

    fn targets(&self, id: ProcessId) -> &[LogTarget] {
        self.processes.get(&id).map_or(&[], |logs| &logs.targets)
    }

    fn targets_mut(&mut self, id: ProcessId) -> &mut [LogTarget] {
        match self.processes.get_mut(&id) {
            Some(logs) => &mut logs.targets,
            None => &mut [],
        }
    }
}

impl ProcessLogs {
    fn uses(&self, log: LogId) -> bool {
        self.targets.iter().any(|target| target.log == log)
    }
}

impl LogTarget {
    fn is(&self, sink: &FileSink, stream: Option<Stream>) -> bool {
        self.path == sink.path && self.stream == stream
    }
}

fn log_event(path: &str, event: FeedEvent) -> LogEvent {
    let (kind, detail) = match event {
        FeedEvent::Stalled => (
            "output_stalled",
            format!("{path}: the disk is stalled; output is being lost"),
        ),
        FeedEvent::Recovered { lost } => (
            "output_lost",
            format!("{path}: {lost} bytes lost: disk stalled"),
        ),
        FeedEvent::Failing(DiskError { text, .. }) => ("log_failing", text),
        FeedEvent::Working => ("log_working", format!("{path}: written again")),
    };
    LogEvent { kind, detail }
}

/// The log files of a launch, and the stream that goes to each.
fn wanted_logs(launch: &Launch) -> Vec<(&FileSink, Option<Stream>)> {
    let stdout = appended_file(&launch.stdout);
    if launch.tty.is_some() {
        return stdout.map(|sink| (sink, None)).into_iter().collect();
    }
    let out = stdout.map(|sink| (sink, Some(Stream::Stdout)));
    let err = appended_file(&launch.stderr).map(|sink| (sink, Some(Stream::Stderr)));
    out.into_iter().chain(err).collect()
}

fn not_opened(path: &str, error: &DiskError) -> SpawnFailure {
    // The step names the file already.
    let named = [
        format!("log file {path} "),
        format!("log file {path}: "),
        format!("open log file {path}: "),
    ];
    let text = named.iter().find_map(|name| error.text.strip_prefix(name));
    SpawnFailure {
        step: format!("open {path}"),
        error: text.unwrap_or(&error.text).to_string(),
        errno: error.errno,
    }
}

/// The file that the daemon appends a stream to.
fn appended_file(sink: &Sink) -> Option<&FileSink> {
    match sink {
        Sink::File(file) if !file.direct => Some(file),
        Sink::File(_) | Sink::Ring | Sink::Discard | Sink::Stdout => None,
    }
}

#[cfg(test)]
#[path = "log_files_tests.rs"]
mod tests;
