//! Describes a process in one line, for the status table.

use crate::supervisor::{Desired, KillMode, KilledFor, LeaderState, Policy, Process, State, Time};
use crate::text::duration::{approximate, exact};
use crate::text::plural::plural;
use std::time::Duration;

/// Killed processes that a line names.
const NAMED_MAX: usize = 3;

/// The DETAIL column: the last event and the next. Empty for a process without problems.
pub(crate) fn detail(process: &Process, policy: &Policy, now: Time) -> String {
    let text = match process.state {
        State::Stopped if process.ran() => stopped(process, policy),
        State::Stopped => "not started".to_string(),
        State::Running if process.is_flapping(policy, now) => flapping(process),
        State::Waiting => format!("starts when {} ended", awaited(process)),
        State::Running => String::new(),
        State::Starting => starting(process, policy, now),
        State::Backoff => backoff(process, policy, now),
        State::Stopping => stopping(process, now),
        State::Exited => exited(process, policy),
        State::Fatal => gave_up(process),
    };
    if process.stragglers == 0 {
        return text;
    }
    let stragglers = plural(process.stragglers as usize, "straggler", "stragglers");
    match text.as_str() {
        "" => stragglers,
        _ => format!("{text}, {stragglers}"),
    }
}

/// The processes that SIGKILL ended, such as `pid 4121 node server.js`.
pub(crate) fn victims(process: &Process) -> Option<String> {
    let named = process.victims.get(..NAMED_MAX).unwrap_or(&process.victims);
    let more = if process.victims.len() > NAMED_MAX {
        " …"
    } else {
        ""
    };
    (!named.is_empty()).then(|| format!("pid {}{more}", named.join(", pid ")))
}

/// The request, what it killed, and the end before the request.
fn stopped(process: &Process, policy: &Policy) -> String {
    let mut parts = vec!["stopped by request".to_string()];
    let victims = victims(process).filter(|_| process.killed_for == KilledFor::Stop);
    if process.last_killed || victims.is_some() {
        if process.kill_requested {
            parts.clear();
        }
        let of_leader = policy.killmode == KillMode::Mixed && !process.last_killed;
        let when = match of_leader || policy.stoptime.is_zero() {
            _ if process.kill_requested => "killed by request".to_string(),
            true => "killed".to_string(),
            false => format!("killed after stoptime ({})", exact(policy.stoptime)),
        };
        parts.push(match victims {
            Some(victims) => format!("{when}: {victims}"),
            None => when,
        });
    }
    match process.stopped_from {
        Some(State::Fatal) => parts.push(gave_up(process)),
        Some(State::Exited) => parts.push(exited(process, policy)),
        Some(_) => parts.push(end(process)),
        None => {}
    }
    parts.join("; ")
}

fn gave_up(process: &Process) -> String {
    let attempts = plural(process.failures as usize, "attempt", "attempts");
    format!("{}, gave up after {attempts}", end(process))
}

/// How the last run or the last attempt ended, `exit 1 after 0.2s`.
pub(crate) fn end(process: &Process) -> String {
    if let Some(failure) = &process.last_failure {
        return failure.to_string();
    }
    match (process.last_exit, process.last_lifetime) {
        (Some(exit), Some(lifetime)) => format!("{exit} after {}", approximate(lifetime)),
        (Some(exit), None) => exit.to_string(),
        (None, _) => "never ran".to_string(),
    }
}

/// Time left until the deadline of the current state.
pub(crate) fn left(process: &Process, now: Time) -> Duration {
    process
        .deadline
        .map_or(Duration::ZERO, |due| due.since(now))
}

impl Process {
    /// Whether a start was ever attempted, successfully or not.
    pub(crate) fn ran(&self) -> bool {
        self.last_exit.is_some() || self.last_failure.is_some()
    }
}

fn starting(process: &Process, policy: &Policy, now: Time) -> String {
    let begun = process.killed || process.deadline.is_some();
    if process.is_clearing() && begun {
        return clearing(process, now);
    }
    if process.failures > 0 {
        return format!("retry {} of {}", process.failures, policy.startretries);
    }
    if process.is_flapping(policy, now) {
        return format!("{}, {}", end(process), flapping(process));
    }
    if process.restarts > 0 && process.ran() {
        return format!("{}, restarted", end(process));
    }
    String::new()
}

/// The stragglers of the last run, which a start waits for.
fn clearing(process: &Process, now: Time) -> String {
    let start = match process.restarts {
        0 => "start",
        _ => "restart",
    };
    let how = match (&process.signal_failure, process.deadline) {
        (Some(failure), _) => failure.to_string(),
        (None, Some(_)) => format!("SIGKILL in {}", approximate(left(process, now))),
        (None, None) => "killed".to_string(),
    };
    let end = end(process);
    format!("{end}, {start} when its stragglers have ended ({how})")
}

/// The processes that have to end first, with their verb.
pub(crate) fn awaited(process: &Process) -> String {
    let verb = match process.awaited.contains(' ') {
        true => "have",
        false => "has",
    };
    format!("{} {verb}", process.awaited)
}

/// The word for a row of short runs.
fn flapping(process: &Process) -> String {
    format!("flapping: {} short runs in a row", process.short_runs)
}

fn backoff(process: &Process, policy: &Policy, now: Time) -> String {
    let (end, left) = (end(process), approximate(left(process, now)));
    match process.failures {
        0 if process.is_flapping(policy, now) => format!("{end}, flapping, restart in {left}"),
        0 => format!("{end}, restart in {left}"),
        n => format!("{end}, retry {n} of {} in {left}", policy.startretries),
    }
}

fn stopping(process: &Process, now: Time) -> String {
    let what = if process.leader == LeaderState::Spawning {
        "waiting for the start to complete".to_string()
    } else if process.deadline.is_some() {
        format!("SIGKILL in {}", approximate(left(process, now)))
    } else if process.pid().is_none() && !process.killed {
        "looking for stragglers".to_string()
    } else {
        "killed, waiting for it to end".to_string()
    };
    let what = match &process.signal_failure {
        Some(failure) if process.deadline.is_some() => format!("{failure}, {what}"),
        Some(failure) => failure.to_string(),
        None => what,
    };
    match process.desired {
        Desired::Up => format!("{what}, then restarted"),
        Desired::Down => what,
    }
}

fn exited(process: &Process, policy: &Policy) -> String {
    match process.last_exit {
        Some(exit) if policy.expects(exit) => format!("{} (expected)", end(process)),
        Some(_) | None => end(process),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Autostart, Exit, Launch, ProcessId, Program, SpawnFailure};
    use std::collections::BTreeMap;

    fn at(millis: u64) -> Time {
        Time(Duration::from_millis(millis))
    }

    fn process(state: State) -> Process {
        let program = Program {
            name: "worker".to_string(),
            numprocs: 1,
            autostart: Autostart::Yes,
            policy: Policy::default(),
            launch: Launch::default(),
            vars: BTreeMap::new(),
        };
        let mut process = Process::new(ProcessId(0), &program, 0, at(0));
        process.state = state;
        process.last_exit = Some(Exit::Code(1));
        process.last_lifetime = Some(Duration::from_millis(240));
        process
    }

    fn text(process: &Process) -> String {
        detail(process, &Policy::default(), at(1000))
    }

    #[test]
    fn backoff_tells_the_cause_and_the_retry() {
        let mut process = process(State::Backoff);
        process.failures = 3;
        process.deadline = Some(at(2850));
        assert_eq!(text(&process), "exit 1 after 0.2s, retry 3 of 3 in 1.8s");
        process.failures = 0;
        assert_eq!(text(&process), "exit 1 after 0.2s, restart in 1.8s");
        process.short_runs = 4;
        let expected = "exit 1 after 0.2s, flapping, restart in 1.8s";
        assert_eq!(text(&process), expected);
        process.failures = 1;
        process.last_failure = Some(SpawnFailure {
            step: "chdir /nope".to_string(),
            error: "No such file or directory".to_string(),
            errno: 2,
        });
        let expected = "chdir /nope: No such file or directory, retry 1 of 3 in 1.8s";
        assert_eq!(text(&process), expected);
    }

    #[test]
    fn each_state_has_its_line() {
        let mut fatal = process(State::Fatal);
        fatal.failures = 4;
        assert_eq!(text(&fatal), "exit 1 after 0.2s, gave up after 4 attempts");
        let mut exited = process(State::Exited);
        assert_eq!(text(&exited), "exit 1 after 0.2s");
        exited.last_exit = Some(Exit::Code(0));
        exited.last_lifetime = Some(Duration::from_millis(3190));
        assert_eq!(text(&exited), "exit 0 after 3.1s (expected)");
        let mut stopping = process(State::Stopping);
        stopping.deadline = Some(at(9200));
        assert_eq!(text(&stopping), "SIGKILL in 8.2s");
        stopping.deadline = None;
        stopping.killed = true;
        assert_eq!(text(&stopping), "killed, waiting for it to end");
        let mut running = process(State::Running);
        assert_eq!(text(&running), "");
        running.stragglers = 1;
        assert_eq!(text(&running), "1 straggler");
        let mut stopped = process(State::Stopped);
        assert_eq!(text(&stopped), "stopped by request");
        stopped.last_killed = true;
        assert_eq!(
            text(&stopped),
            "stopped by request; killed after stoptime (10s)"
        );
        stopped.kill_requested = true;
        assert_eq!(text(&stopped), "killed by request");
        stopped.kill_requested = false;
        stopped.victims = vec!["7 node server.js".to_string(), "8 cat".to_string()];
        assert_eq!(
            text(&stopped),
            "stopped by request; killed after stoptime (10s): pid 7 node server.js, pid 8 cat"
        );
        stopped.victims.clear();
        stopped.last_killed = false;
        stopped.stopped_from = Some(State::Exited);
        let expected = "stopped by request; exit 1 after 0.2s";
        assert_eq!(text(&stopped), expected);
        stopped.stopped_from = Some(State::Fatal);
        stopped.failures = 4;
        let expected = "stopped by request; exit 1 after 0.2s, gave up after 4 attempts";
        assert_eq!(text(&stopped), expected);
        stopped.stopped_from = None;
        stopped.last_exit = None;
        assert_eq!(text(&stopped), "not started");
    }
}
