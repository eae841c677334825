//! Between the rings and the disk thread: which log each stream goes to, batches out, completions
//! in, and what people are told about it.

use crate::reactor::Reactor;
use crate::reactor::clock::{Timer, unix_ns};
use crate::reactor::control::event_history;
use crate::reactor::disk::file::{DiskError, Owner};
use crate::reactor::disk::{Completion, LogId};
use crate::reactor::output::Stream;
use crate::reactor::output::log_feed::{FeedEvent, Gate, LogFeed};
use crate::reactor::process::process_io::{Child, Feed};
use crate::supervisor::{FileSink, Launch, Process, ProcessId, Sink, SpawnFailure, Time};

/// Whether the logs of a process are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// All of them.
    Open,
    /// The disk thread is at it.
    Opening,
}

impl Reactor {
    /// The child's record, also of a process that was never started.
    pub(crate) fn ensure_child(&mut self, process: &Process) {
        if self.children.contains_key(&process.id) {
            return;
        }
        let child = Child::new(process.id, &process.name, &process.launch);
        self.children.insert(process.id, child);
        self.follow_newcomer(process.id);
    }

    /// Opens the logs of a new run, or goes on with those of the last.
    ///
    /// # Errors
    /// When one of them is known not to open. None is kept then: the next start tries anew.
    pub(crate) fn open_logs(&mut self, process: &Process) -> Result<Logs, SpawnFailure> {
        let Some(child) = self.children.get_mut(&process.id) else {
            return Ok(Logs::Open);
        };
        let wanted = wanted_logs(&process.launch);
        let same = child.feeds.len() == wanted.len()
            && child
                .feeds
                .iter()
                .zip(&wanted)
                .all(|(feed, (sink, stream))| feed.path == sink.path && feed.stream == *stream);
        if same {
            child.feeds.iter_mut().for_each(|feed| feed.feed.resume());
            self.configure_logs(process.id);
            return Ok(Logs::Open);
        }
        self.close_logs(process.id);
        let owner = process.launch.identity.as_ref().map(Owner::from);
        for (sink, stream) in wanted {
            self.open_log(process.id, sink, stream, owner.as_ref());
        }
        self.logs_state(process.id)
    }

    fn open_log(
        &mut self,
        id: ProcessId,
        sink: &FileSink,
        stream: Option<Stream>,
        owner: Option<&Owner>,
    ) {
        let log = self.disk.open(sink, owner);
        let users = self.disk.users(log);
        self.opened.entry(log).or_insert(None);
        self.feeds_opened += 1;
        let tag = self.feeds_opened;
        self.feeds.insert(tag, id);
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let feed = LogFeed::new(log, tag, &child.output, stream, users > 1, sink.stall);
        let path = sink.path.clone();
        child.feeds.push(Feed {
            feed,
            log,
            path,
            stream,
        });
        if users == 2 {
            self.configure_sharers(&sink.path);
        }
    }

    /// Whether all logs of a process are open.
    fn logs_state(&mut self, id: ProcessId) -> Result<Logs, SpawnFailure> {
        let Some(child) = self.children.get_mut(&id) else {
            return Ok(Logs::Open);
        };
        let mut opening = false;
        let mut failed = None;
        for feed in &child.feeds {
            match self.opened.get(&feed.log) {
                Some(Some(Ok(()))) => {}
                Some(Some(Err(error))) => failed = Some(not_opened(&feed.path, error)),
                Some(None) | None => opening = true,
            }
        }
        child.opening = opening && failed.is_none();
        match failed {
            Some(error) => {
                self.close_logs(id);
                Err(error)
            }
            None if opening => Ok(Logs::Opening),
            None => Ok(Logs::Open),
        }
    }

    /// The disk thread opened a log, or could not; who waited for it goes on.
    fn log_opened(&mut self, log: LogId, result: Result<(), DiskError>) {
        let waiting: Vec<ProcessId> = self
            .children
            .values()
            .filter(|child| child.opening && child.feeds.iter().any(|feed| feed.log == log))
            .map(|child| child.id)
            .collect();
        if let Err(error) = &result
            && waiting.is_empty()
        {
            log::warn!("{}", error.text);
        }
        if let Some(state) = self.opened.get_mut(&log) {
            *state = Some(result);
        }
        for id in waiting {
            match self.logs_state(id) {
                Ok(Logs::Opening) => {}
                Ok(Logs::Open) => self.logs_are_open(id),
                Err(failure) => self.spawn_failed(id, failure),
            }
        }
    }

    /// A start that waited for its logs goes on, also when the disk takes too long.
    pub(crate) fn logs_are_open(&mut self, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.opening = false;
        if let Some(process) = self.supervisor.process(id).cloned() {
            self.spawn_leader(&process);
        }
    }

    /// A start has waited for its logs for long enough.
    pub(crate) fn opening_timed_out(&mut self, id: ProcessId) {
        if self.children.get(&id).is_some_and(|child| child.opening) {
            self.logs_are_open(id);
        }
    }

    /// Gives up the logs of a process.
    fn close_logs(&mut self, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        for feed in std::mem::take(&mut child.feeds) {
            self.feeds.remove(&feed.feed.tag());
            self.disk.close(feed.log);
            if self.disk.users(feed.log) == 0 {
                self.opened.remove(&feed.log);
            }
        }
    }

    /// A log that had one user has two now: its feeds append whole lines from here on.
    fn configure_sharers(&mut self, path: &str) {
        let sharing = |child: &&Child| child.feeds.iter().any(|feed| feed.path == path);
        let ids: Vec<ProcessId> = self
            .children
            .values()
            .filter(sharing)
            .map(|child| child.id)
            .collect();
        for id in ids {
            self.configure_logs(id);
        }
    }

    /// Applies the keys that a reload may change.
    pub(crate) fn configure_logs(&mut self, id: ProcessId) {
        let Some(process) = self.supervisor.process(id) else {
            return;
        };
        let wanted = wanted_logs(&process.launch);
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        for feed in &mut child.feeds {
            let sink = wanted.iter().find(|(sink, _)| sink.path == feed.path);
            if let Some((sink, _)) = sink {
                let shared = self.disk.users(feed.log) > 1;
                feed.feed.configure(shared, sink.stall);
                self.disk.configure(feed.log, sink);
            }
        }
    }

    /// Gives the disk thread what it can take.
    pub(crate) fn pump_logs(&mut self, id: ProcessId) {
        let now = self.clock.now();
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let mut told = Vec::new();
        let mut deadline = None;
        for Feed {
            feed, log, path, ..
        } in &mut child.feeds
        {
            if let Some(batch) = feed.next_batch(&child.output, now, unix_ns()) {
                self.disk.append(*log, batch);
            }
            while let Some(event) = feed.poll_event() {
                told.push((path.clone(), event));
            }
            deadline = deadline.into_iter().chain(feed.deadline(now)).min();
        }
        let name = child.name.clone();
        if let Some(deadline) = deadline {
            self.arm_log(id, deadline);
        }
        for (path, event) in told {
            self.tell_of_log(&name, &path, event);
        }
    }

    fn tell_of_log(&mut self, name: &str, path: &str, event: FeedEvent) {
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
        log::warn!("{name}: {detail}");
        self.publish(event_history::plain(kind, Some(name), detail, unix_ns()));
    }

    /// What is wrong with a process's logs, as long as it is.
    pub(crate) fn log_trouble(&self, id: ProcessId) -> Option<String> {
        let feeds = &self.children.get(&id)?.feeds;
        let mut troubles = feeds
            .iter()
            .filter_map(|feed| Some((&feed.path, feed.feed.trouble()?)));
        let (path, text) = troubles.next()?;
        // Errors name the file, with what is wrong about it.
        Some(match text.contains(path.as_str()) {
            true => format!("not logged: {text}"),
            false => format!("not logged: {path}: {text}"),
        })
    }

    /// How many bytes of a process may be read now; none while its log has to catch up.
    pub(crate) fn may_read(&mut self, id: ProcessId) -> Option<usize> {
        if self.lossless_waits(id) {
            return None;
        }
        let now = self.clock.now();
        let child = self.children.get_mut(&id)?;
        let mut gate = Gate::Read(usize::MAX);
        for feed in &mut child.feeds {
            gate = gate.and(feed.feed.gate(&child.output, now));
        }
        match gate {
            Gate::Read(max) => Some(max),
            Gate::Pause(until) => {
                if let Some(until) = until {
                    self.arm_log(id, until);
                }
                None
            }
        }
    }

    /// Has the logs looked at again, once, however often that is asked for.
    fn arm_log(&mut self, id: ProcessId, at: Time) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if child.log_timer.is_none_or(|armed| at < armed) {
            child.log_timer = Some(at);
            self.timers.add(at, Timer::Log(id));
        }
    }

    /// The time that was asked for has come.
    pub(crate) fn log_timer(&mut self, id: ProcessId) {
        let now = self.clock.now();
        if let Some(child) = self.children.get_mut(&id)
            && child.log_timer.is_some_and(|at| at <= now)
        {
            child.log_timer = None;
            self.log_due(id);
        }
    }

    /// A log may try again, has stalled for long enough, or is done with a batch.
    fn log_due(&mut self, id: ProcessId) {
        self.pump_logs(id);
        self.resume_outputs(id);
        self.announce(id);
    }

    /// What the disk thread reports.
    pub(crate) fn collect_disk(&mut self) {
        let completions = self.disk.completions();
        if !completions.is_empty() {
            self.disk_progress = self.clock.now();
        }
        for completion in completions {
            match completion {
                Completion::Appended {
                    feed: tag,
                    outcome,
                    bytes,
                    ..
                } => {
                    let now = self.clock.now();
                    let Some(&id) = self.feeds.get(&tag) else {
                        continue;
                    };
                    let Some(child) = self.children.get_mut(&id) else {
                        continue;
                    };
                    let feed = child.feeds.iter_mut().find(|feed| feed.feed.tag() == tag);
                    if let Some(feed) = feed {
                        feed.feed.completed(outcome, bytes, now);
                    }
                    self.log_due(id);
                    self.finish_release(id);
                }
                Completion::Opened { id, result } => self.log_opened(id, result),
                Completion::RotationFailed { error, .. } => log::warn!("{}", error.text),
                Completion::Ran { tag, error } => self.file_done(ProcessId(tag), error),
            }
        }
    }

    /// Whether everything up to an offset of the ring is in the logs, or cannot be got there.
    pub(crate) fn log_reached(&self, id: ProcessId, offset: u64) -> bool {
        let Some(child) = self.children.get(&id) else {
            return true;
        };
        child.files_pending == 0
            && child
                .feeds
                .iter()
                .all(|feed| feed.feed.has_reached(&child.output, offset))
    }

    /// Nothing more comes: the last line goes to the log as it is.
    pub(crate) fn finish_logs(&mut self, id: ProcessId) {
        if let Some(child) = self.children.get_mut(&id) {
            child.feeds.iter_mut().for_each(|feed| feed.feed.finish());
        }
        self.pump_logs(id);
    }

    /// Frees a process that is gone from the config, once its logs are written and its consoles
    /// have been told.
    pub(crate) fn finish_release(&mut self, id: ProcessId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let watched = !child.clients.is_empty();
        if !child.released || watched || !self.log_reached(id, child.output.head()) {
            return;
        }
        self.close_logs(id);
        if let Some(mut child) = self.children.remove(&id) {
            child.close(&mut self.watch);
        }
    }
}

/// The log files of a launch, and what of its output goes there.
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
    // The step names the file; once is enough.
    let named = [
        format!("log file {path} "),
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
