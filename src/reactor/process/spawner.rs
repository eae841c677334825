//! Starts that are due, their budget, and what every leader of the daemon gets.

use crate::reactor::daemon::child_environment::Inherited;
use crate::supervisor::{Process, ProcessId, SpawnFailure};
use crate::sys;
use crate::sys::spawn::{Command, Credentials, Stdio};
use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::time::Duration;

/// Time spent on starts in one turn; then other work has its turn.
const TIME_A_TURN: Duration = Duration::from_millis(1);

/// Starts leaders.
#[derive(Debug)]
pub(crate) struct Spawner {
    inherited: Inherited,
    /// The soft and hard RLIMIT_NOFILE of leaders.
    nofile: (u64, u64),
    oom_score_adj: Option<i32>,
    /// Processes to be started, in the order decided.
    due: VecDeque<ProcessId>,
    /// Time spent on starts in this turn.
    spent: Duration,
}

impl Spawner {
    /// A spawner whose leaders inherit this environment and limit.
    pub(crate) fn new(inherited: Inherited, nofile: (u64, u64)) -> Spawner {
        Spawner {
            inherited,
            nofile,
            oom_score_adj: sys::rlimit::oom_score_of_children(),
            due: VecDeque::new(),
            spent: Duration::ZERO,
        }
    }

    /// A turn begins, with a new budget.
    pub(crate) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Queues a start.
    pub(crate) fn queue(&mut self, id: ProcessId) {
        self.due.push_back(id);
    }

    /// Takes the next start, unless the turn's budget is spent.
    pub(crate) fn next_due(&mut self) -> Option<ProcessId> {
        match self.spent < TIME_A_TURN {
            true => self.due.pop_front(),
            false => None,
        }
    }

    /// Counts time that a start took.
    pub(crate) fn charge(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Whether starts are left for the next turn.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The command that starts a process's leader.
    ///
    /// # Errors
    /// When a word contains a NUL character.
    pub(crate) fn command(&self, process: &Process, stdio: Stdio) -> Result<Command, SpawnFailure> {
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
            session: true,
            credentials: launch.identity.as_ref().map(|identity| Credentials {
                uid: identity.uid,
                gid: identity.gid,
                groups: identity.groups.clone(),
            }),
            nofile: Some(self.nofile),
            // A process that gave up root must not regain it through a setuid file.
            no_new_privs: launch
                .identity
                .as_ref()
                .is_some_and(|identity| identity.uid != sys::runtime::effective_uid()),
            oom_score_adj: self.oom_score_adj,
            nice: None,
        })
    }
}

fn c_string(text: &str, key: &str) -> Result<CString, SpawnFailure> {
    CString::new(text).map_err(|_| SpawnFailure {
        step: key.to_string(),
        error: "a NUL character inside".to_string(),
        errno: libc::EINVAL,
    })
}

/// The failure of a step of a start.
pub(crate) fn failure(step: String, error: &io::Error) -> SpawnFailure {
    SpawnFailure {
        step,
        error: sys::error_text(error),
        errno: error.raw_os_error().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn spawner() -> Spawner {
        let inherited = Inherited::new(std::iter::empty(), None, Path::new("/run/x.sock"));
        Spawner::new(inherited, (1024, 4096))
    }

    #[test]
    fn starts_are_limited_by_the_time_they_take() {
        let mut spawner = spawner();
        (0..3).for_each(|number| spawner.queue(ProcessId(number)));
        assert_eq!(spawner.next_due(), Some(ProcessId(0)));
        spawner.charge(TIME_A_TURN / 2);
        assert_eq!(spawner.next_due(), Some(ProcessId(1)));
        spawner.charge(TIME_A_TURN / 2);
        assert_eq!(spawner.next_due(), None);
        assert!(spawner.has_due());
        spawner.begin_turn();
        assert_eq!(spawner.next_due(), Some(ProcessId(2)));
        assert!(!spawner.has_due());
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
