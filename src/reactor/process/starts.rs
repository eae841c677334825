//! Starts under way: children between clone and exec, and what is left of failed ones.

use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::failure::failure;
use crate::reactor::process::process_io::LiveLeader;
use crate::supervisor::{ProcessId, SpawnFailure, Time};
use crate::sys;
use crate::sys::spawn::{
    Command, Launcher, SpawnError, SpawnStep, StartProgress, Starting, step_text, unsearchable,
};
use mio::{Interest, Token};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long a child may take from clone to exec.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Starts younger than this count for [`YOUNG_MAX`]; older ones hang, and delay no others.
const YOUNG: Duration = Duration::from_millis(20);

/// Young starts at a time. More would only compete for the processors, with the daemon too.
const YOUNG_MAX: usize = 8;

/// Children that have not exec'd.
#[derive(Default)]
pub(crate) struct Starts {
    /// Made by the first start.
    launcher: Option<Launcher>,
    pending: BTreeMap<ProcessId, PendingStart>,
    /// The pending starts, the oldest first.
    by_age: BTreeSet<(Time, ProcessId)>,
    /// The children of pending starts, by pid.
    by_pid: HashMap<i32, ProcessId>,
    /// Children of failed starts that are not reaped.
    failed: HashMap<i32, Starting>,
}

struct PendingStart {
    child: Starting,
    ends: OurEnds,
    began: Time,
    report: Token,
    exit: Token,
}

/// The daemon's ends of a process's descriptors.
#[derive(Default)]
pub(crate) struct OurEnds {
    pub terminal: Option<OwnedFd>,
    /// The size that the terminal was opened with.
    pub size: (u16, u16),
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// The end of a start: a leader, or a failure.
pub(crate) type StartAnswer = Result<(LiveLeader, OurEnds), SpawnFailure>;

impl Starts {
    /// Starts a child and watches it. Returns its pid.
    ///
    /// # Errors
    /// When there is no child.
    pub(crate) fn begin(
        &mut self,
        id: ProcessId,
        command: Command,
        ends: OurEnds,
        now: Time,
        poller: &mut Poller,
    ) -> Result<i32, SpawnFailure> {
        let launcher = match &mut self.launcher {
            Some(launcher) => launcher,
            none => {
                let made = Launcher::new().map_err(|error| step_failure(error, None))?;
                none.insert(made)
            }
        };
        let started = launcher.start(command);
        let child = started.map_err(|failed| step_failure(failed.0, Some(&failed.1)))?;
        let pid = child.pid();
        let watched = poller
            .add(child.pidfd(), EventSource::Leader(id), Interest::READABLE)
            .and_then(|exit| {
                let report = EventSource::Start(id);
                match poller.add(child.report(), report, Interest::READABLE) {
                    Ok(report) => Ok((exit, report)),
                    Err(error) => {
                        poller.remove(child.pidfd(), exit);
                        Err(error)
                    }
                }
            });
        let (exit, report) = match watched {
            Ok(tokens) => tokens,
            Err(error) => {
                // A child that cannot be watched must not live.
                let _ = sys::pidfd::signal(child.pidfd(), libc::SIGKILL);
                self.failed.insert(pid, child);
                return Err(failure("watch the process".to_string(), &error));
            }
        };
        let start = PendingStart {
            child,
            ends,
            began: now,
            report,
            exit,
        };
        self.pending.insert(id, start);
        self.by_age.insert((now, id));
        self.by_pid.insert(pid, id);
        Ok(pid)
    }

    /// Looks whether a start has ended.
    pub(crate) fn progress(&mut self, id: ProcessId, poller: &mut Poller) -> Option<StartAnswer> {
        let start = self.pending.get_mut(&id)?;
        match self.launcher.as_mut()?.poll(&mut start.child) {
            StartProgress::Pending => None,
            StartProgress::Executed => self.executed(id, poller),
            StartProgress::Failed(error) => {
                self.fail(id, None, poller, |command| step_failure(error, command))
            }
        }
    }

    /// The child is dead: ends its start in any case.
    pub(crate) fn child_ended(
        &mut self,
        id: ProcessId,
        poller: &mut Poller,
    ) -> Option<StartAnswer> {
        if let Some(answer) = self.progress(id, poller) {
            return Some(answer);
        }
        if self.has_executed(id) {
            return self.executed(id, poller);
        }
        let ended = io::Error::other("killed before the program ran");
        self.fail_at_step(id, None, poller, &ended)
    }

    /// Ends a start that is no longer wanted. Its child is killed, unless it has exec'd already.
    pub(crate) fn cancel(&mut self, id: ProcessId, poller: &mut Poller) -> Option<StartAnswer> {
        if let Some(answer) = self.progress(id, poller) {
            return Some(answer);
        }
        self.fail_at_step(id, Some(libc::SIGKILL), poller, &cancelled())
    }

    /// Ends a start that has taken too long. Its child is killed.
    pub(crate) fn overdue(
        &mut self,
        now: Time,
        poller: &mut Poller,
    ) -> Option<(ProcessId, StartAnswer)> {
        let (began, id) = *self.by_age.first()?;
        if now < began + ANSWER_MAX {
            return None;
        }
        if let Some(answer) = self.progress(id, poller) {
            return Some((id, answer));
        }
        if self.has_executed(id) {
            return Some((id, self.executed(id, poller)?));
        }
        let late = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let mut answer = self.fail_at_step(id, Some(libc::SIGKILL), poller, &late)?;
        if let Err(failure) = &mut answer {
            failure.error = format!("no answer within {} s", ANSWER_MAX.as_secs());
        }
        Some((id, answer))
    }

    /// The process whose start has this child.
    pub(crate) fn by_pid(&self, pid: i32) -> Option<ProcessId> {
        self.by_pid.get(&pid).copied()
    }

    /// A child is reaped: forgets it if it was one of a failed start.
    pub(crate) fn reaped(&mut self, pid: i32) {
        if let Some(child) = self.failed.remove(&pid)
            && let Some(launcher) = &mut self.launcher
        {
            launcher.release(child);
        }
    }

    /// When the next start has taken too long.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let (began, _) = self.by_age.first()?;
        Some(*began + ANSWER_MAX)
    }

    /// If too many starts are under way for another: until when, at the latest.
    pub(crate) fn crowded_until(&self, now: Time) -> Option<Time> {
        let young = |(began, _): &&(Time, ProcessId)| now < *began + YOUNG;
        let mut newest = self.by_age.iter().rev().take_while(young);
        let (began, _) = newest.nth(YOUNG_MAX - 1)?;
        Some(*began + YOUNG)
    }

    /// Whether a child has exec'd although its report pipe is open: another child, held up right
    /// after its clone, may have a copy of it.
    fn has_executed(&self, id: ProcessId) -> bool {
        let start = self.pending.get(&id);
        start.is_some_and(|start| sys::descendants::has_executed(start.child.pid()))
    }

    fn executed(&mut self, id: ProcessId, poller: &mut Poller) -> Option<StartAnswer> {
        let start = self.forget(id, poller)?;
        let (pid, pidfd) = self.launcher.as_mut()?.release(start.child);
        let leader = LiveLeader {
            pid,
            pidfd,
            token: start.exit,
        };
        Some(Ok((leader, start.ends)))
    }

    /// Ends a start with an error at the step that its child has reached.
    fn fail_at_step(
        &mut self,
        id: ProcessId,
        signal: Option<i32>,
        poller: &mut Poller,
        error: &io::Error,
    ) -> Option<StartAnswer> {
        let step = self.launcher.as_ref()?.step(&self.pending.get(&id)?.child);
        self.fail(id, signal, poller, |command| {
            failure(name_of(step, command), error)
        })
    }

    fn fail(
        &mut self,
        id: ProcessId,
        signal: Option<i32>,
        poller: &mut Poller,
        failure: impl FnOnce(Option<&Command>) -> SpawnFailure,
    ) -> Option<StartAnswer> {
        let start = self.forget(id, poller)?;
        let failed = failure(start.child.command());
        if let Some(signal) = signal {
            // It may be dead already.
            let _ = sys::pidfd::signal(start.child.pidfd(), signal);
        }
        poller.remove(start.child.pidfd(), start.exit);
        self.failed.insert(start.child.pid(), start.child);
        Some(Err(failed))
    }

    fn forget(&mut self, id: ProcessId, poller: &mut Poller) -> Option<PendingStart> {
        let start = self.pending.remove(&id)?;
        self.by_age.remove(&(start.began, id));
        self.by_pid.remove(&start.child.pid());
        poller.remove(start.child.report(), start.report);
        Some(start)
    }
}

/// The error of a start that is no longer wanted.
pub(crate) fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

fn step_failure(error: SpawnError, command: Option<&Command>) -> SpawnFailure {
    let mut failure = failure(name_of(error.step, command), &io::Error::from(error));
    if error.step == SpawnStep::Exec
        && error.errno == libc::EACCES
        && let Some(folder) = command.and_then(unsearchable)
    {
        let folder = folder.display();
        failure.error = format!("{}: {folder}, which is in PATH", failure.error);
    }
    failure
}

fn name_of(step: SpawnStep, command: Option<&Command>) -> String {
    match command {
        Some(command) => step_text(step, command),
        None => step.name().to_string(),
    }
}
