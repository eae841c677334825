//! Starts that are due, their budget, and what every leader of the daemon gets.

use crate::reactor::daemon::child_environment::Inherited;
use crate::reactor::process::cgroups::Cgroups;
use crate::reactor::process::starts::Starts;
use crate::supervisor::{Process, ProcessId, SpawnFailure, Time};
use crate::sys;
use crate::sys::spawn::{Command, Credentials, Stdio};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::time::Duration;

/// Time spent on starts in one turn; then other work has its turn.
const TIME_A_TURN: Duration = Duration::from_millis(1);

/// Starts leaders.
pub(crate) struct Spawner {
    inherited: Inherited,
    /// The soft and hard RLIMIT_NOFILE of leaders.
    nofile: (u64, u64),
    oom_score_adj: Option<i32>,
    /// Processes to be started, by the order decided.
    due: BTreeMap<u64, ProcessId>,
    /// The keys of `due`.
    numbers: HashMap<ProcessId, u64>,
    queued: u64,
    /// Processes whose log files are being opened.
    pub opening: BTreeSet<ProcessId>,
    /// Children that have not exec'd.
    pub starts: Starts,
    /// The cgroups that leaders start in.
    pub cgroups: Cgroups,
    /// Time spent on starts in this turn.
    spent: Duration,
}

impl Spawner {
    /// A spawner whose leaders inherit this environment and limit.
    pub(crate) fn new(inherited: Inherited, nofile: (u64, u64), cgroups: Cgroups) -> Spawner {
        Spawner {
            inherited,
            nofile,
            oom_score_adj: sys::rlimit::oom_score_of_children(),
            due: BTreeMap::new(),
            numbers: HashMap::new(),
            queued: 0,
            opening: BTreeSet::new(),
            starts: Starts::default(),
            cgroups,
            spent: Duration::ZERO,
        }
    }

    /// A turn begins, with a new budget.
    pub(crate) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Queues a start.
    pub(crate) fn queue(&mut self, id: ProcessId) {
        self.queued += 1;
        self.due.insert(self.queued, id);
        self.numbers.insert(id, self.queued);
    }

    /// Takes a start off the queue. Returns whether it was there.
    pub(crate) fn unqueue(&mut self, id: ProcessId) -> bool {
        let number = self.numbers.remove(&id);
        number.is_some_and(|number| self.due.remove(&number).is_some())
    }

    /// Takes the next start, unless the turn's budget is spent or too many are under way.
    pub(crate) fn next_due(&mut self, now: Time) -> Option<ProcessId> {
        if self.spent >= TIME_A_TURN || self.due.is_empty() {
            return None;
        }
        if self.starts.crowded_until(now).is_some() {
            return None;
        }
        let (_, id) = self.due.pop_first()?;
        self.numbers.remove(&id);
        Some(id)
    }

    /// Counts time that a start took.
    pub(crate) fn charge(&mut self, time: Duration) {
        self.spent += time;
    }

    /// When starts are to be looked at again: the queue, or one that takes too long.
    pub(crate) fn next_wake(&self, now: Time) -> Option<Time> {
        let queue = match self.due.is_empty() {
            true => None,
            false => Some(self.starts.crowded_until(now).unwrap_or(now)),
        };
        queue.into_iter().chain(self.starts.next_deadline()).min()
    }

    /// The command that starts a process's leader.
    ///
    /// # Errors
    /// When a word contains a NUL character.
    pub(crate) fn command(
        &mut self,
        process: &Process,
        (stdio, files): (Stdio, [Option<CString>; 3]),
    ) -> Result<Command, SpawnFailure> {
        let launch = &process.launch;
        let (envp, path) = self.inherited.environment_of(process);
        let program = launch.argv.first().map_or("", String::as_str);
        let argv = launch.argv.iter().map(|word| c_string(word, "cmd"));
        Ok(Command {
            argv: argv.collect::<Result<_, _>>()?,
            candidates: sys::spawn::candidates(program, path.as_deref()),
            envp,
            workingdir: c_string(&launch.workingdir, "workingdir")?,
            umask: launch.umask,
            stdio,
            files,
            session: true,
            credentials: launch.identity.as_ref().map(|identity| Credentials {
                uid: identity.uid,
                gid: identity.gid,
                groups: identity.groups.clone(),
            }),
            nofile: Some(self.nofile),
            // A process that gave up root must not regain it through a setuid file. Programs of
            // the daemon's own user may use such files, as in that user's shell.
            no_new_privs: launch
                .identity
                .as_ref()
                .is_some_and(|identity| identity.uid != sys::runtime::effective_uid()),
            oom_score_adj: self.oom_score_adj,
            nice: None,
            cgroup: self.cgroups.enter(process.id, &process.name),
        })
    }
}

pub(crate) fn c_string(text: &str, key: &str) -> Result<CString, SpawnFailure> {
    CString::new(text).map_err(|_| SpawnFailure {
        step: key.to_string(),
        error: "a NUL character inside".to_string(),
        errno: libc::EINVAL,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::process::failure::failure;
    use std::io;
    use std::path::Path;

    fn spawner() -> Spawner {
        let inherited = Inherited::new(std::iter::empty(), None, Path::new("/run/x.sock"));
        Spawner::new(inherited, (1024, 4096), Cgroups::default())
    }

    #[test]
    fn starts_are_limited_by_the_time_they_take() {
        let mut spawner = spawner();
        let now = Time::default();
        (0..3).for_each(|number| spawner.queue(ProcessId(number)));
        assert_eq!(spawner.next_due(now), Some(ProcessId(0)));
        spawner.charge(TIME_A_TURN / 2);
        assert_eq!(spawner.next_due(now), Some(ProcessId(1)));
        spawner.charge(TIME_A_TURN / 2);
        assert_eq!(spawner.next_due(now), None);
        assert_eq!(spawner.next_wake(now), Some(now));
        spawner.begin_turn();
        assert_eq!(spawner.next_due(now), Some(ProcessId(2)));
        assert_eq!(spawner.next_wake(now), None);
    }

    #[test]
    fn a_start_can_be_taken_off_the_queue() {
        let mut spawner = spawner();
        (0..3).for_each(|number| spawner.queue(ProcessId(number)));
        assert!(spawner.unqueue(ProcessId(1)));
        assert!(!spawner.unqueue(ProcessId(1)));
        spawner.queue(ProcessId(1));
        let due = std::iter::from_fn(|| spawner.next_due(Time::default()));
        assert_eq!(due.collect::<Vec<_>>(), [0, 2, 1].map(ProcessId));
        assert!(!spawner.unqueue(ProcessId(0)));
    }

    #[test]
    fn a_nul_character_is_an_error_of_its_key() {
        let failure = c_string("a\0b", "workingdir").expect_err("an error");
        assert_eq!(failure.step, "workingdir");
        assert_eq!(failure.errno, libc::EINVAL);
    }

    #[test]
    fn a_failure_has_no_error_number_in_its_text() {
        let failed = failure(
            "open".to_string(),
            &io::Error::from_raw_os_error(libc::ENOENT),
        );
        assert_eq!(failed.error, "No such file or directory");
        assert_eq!(failed.errno, libc::ENOENT);
    }
}
