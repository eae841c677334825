//! `tm why`: the chain of causes, what happens next, and what would help.

use super::remedy::{remedy, sig};
use super::status_line::{awaited, left, victims};
use crate::supervisor::{
    Autorestart, Desired, Exit, KillMode, KilledFor, LeaderState, Policy, Process, RestartDelays,
    SHORT_RUN, State, Time, signal_name,
};
use crate::text::duration::{approximate, exact};
use crate::text::plural::plural;
use std::time::Duration;

/// Why a process is in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// One line: its state and since when.
    pub summary: String,
    /// The chain of causes, the nearest first.
    pub causes: Vec<String>,
    /// The next change, and when it is due.
    pub next: String,
    /// The most likely fix.
    pub remedy: Option<String>,
}

/// Explains the state of a process at `now`.
pub fn why(process: &Process, policy: &Policy, now: Time) -> Why {
    Why {
        summary: summary(process, now),
        causes: causes(process, policy, now),
        next: next(process, policy, now),
        remedy: remedy(process, policy),
    }
}

fn summary(process: &Process, now: Time) -> String {
    let pid = process
        .pid()
        .map(|pid| format!(", pid {pid}"))
        .unwrap_or_default();
    let since = approximate(now.since(process.since));
    let state = match process.state {
        State::Backoff => format!("in {}", process.state),
        state => state.to_string(),
    };
    format!("{} has been {state} for {since}{pid}", process.name)
}

fn causes(process: &Process, policy: &Policy, now: Time) -> Vec<String> {
    let mut causes = causes_of_state(process, policy, now);
    if process.restarts > 0 {
        let times = plural(process.restarts as usize, "time", "times");
        causes.push(format!(
            "it was restarted automatically {times}; tm start resets this count"
        ));
    }
    if process.is_flapping(policy, now) {
        causes.push(format!(
            "it is flapping: the last {} runs were shorter than {}; after {} in a row, a restart \
             waits",
            process.short_runs,
            exact(SHORT_RUN),
            plural(policy.restart.burst as usize, "short run", "short runs"),
        ));
    }
    causes.extend(last_end(process, policy));
    if let Some(victims) = victims(process) {
        causes.push(match process.killed_for {
            KilledFor::Stop => format!("the last stop killed {victims}"),
            KilledFor::Start => {
                format!("before the restart, tmd killed {victims}, which the last run had left")
            }
        });
    }
    if process.stragglers > 0 {
        causes.push(match process.stragglers {
            1 => "1 process of an earlier run is still alive".to_string(),
            count => format!("{count} processes of an earlier run are still alive"),
        });
    }
    causes
}

fn causes_of_state(process: &Process, policy: &Policy, now: Time) -> Vec<String> {
    let mut causes = Vec::new();
    match process.state {
        State::Stopped if process.ran() => {
            causes.push("it was stopped by request".to_string());
            if process.stopped_from == Some(State::Fatal) {
                causes.push(failures(process, policy));
            }
        }
        State::Stopped => causes.push("it was never started".to_string()),
        State::Waiting => causes.push(format!(
            "the reload that added it removed {}, which may hold its port",
            process.awaited
        )),
        State::Starting if process.leader == LeaderState::Spawning => {
            causes.push("it is being started".to_string())
        }
        State::Starting if process.is_clearing() => {
            causes.push(clearing(process, policy));
        }
        State::Starting => {
            let lived = process
                .started_at()
                .map_or(Duration::ZERO, |at| now.since(at));
            let starttime = exact(policy.starttime);
            causes.push(match lived.as_millis() {
                0..100 => format!("it has just started; starttime is {starttime}"),
                _ => format!(
                    "it started {} ago; starttime is {starttime}",
                    approximate(lived)
                ),
            });
        }
        State::Running if process.is_on_probation() => causes.push(
            "it has just started; an unexpected exit within 1s is a failed start".to_string(),
        ),
        State::Running => causes.push(match policy.starttime {
            Duration::ZERO => "its start succeeded at once (starttime: 0)".to_string(),
            starttime => format!(
                "its start succeeded: it stayed up for {} (starttime)",
                exact(starttime)
            ),
        }),
        State::Backoff if process.failures == 0 => {
            causes.push("it exited; waiting before the automatic restart".to_string());
        }
        State::Backoff => causes.push(failures(process, policy)),
        State::Fatal => causes.push(failures(process, policy)),
        State::Stopping => causes.push(stopping(process, policy)),
        State::Exited => causes.push(not_restarted(process, policy)),
    }
    causes
}

fn failures(process: &Process, policy: &Policy) -> String {
    let failed = match process.failures {
        1 => "the last start failed".to_string(),
        count => format!("the last {count} starts failed"),
    };
    match policy.startretries {
        0 => format!("{failed}; startretries is 0: no retry"),
        retries => format!("{failed}; startretries is {retries}"),
    }
}

fn stopping(process: &Process, policy: &Policy) -> String {
    let why = if process.removed {
        "its entry was removed from the config"
    } else if process.desired == Desired::Up {
        "it is being restarted"
    } else {
        "it was asked to stop"
    };
    if process.leader == LeaderState::Spawning {
        return format!("{why} while it was starting");
    }
    if let Some(failure) = &process.signal_failure {
        return format!("{why}; {failure}");
    }
    if process.pid().is_none() {
        return match process.stragglers {
            0 => format!("{why}; its leader has ended, looking for stragglers"),
            _ => format!("{why}; its leader has ended, its stragglers have not"),
        };
    }
    if process.killed {
        return format!("{why}; SIGKILL was sent");
    }
    let whom = match policy.killmode {
        KillMode::Group => "all of its processes",
        KillMode::Mixed | KillMode::Process => "its leader",
    };
    format!("{why}; {} was sent to {whom}", sig(policy.stopsignal))
}

/// Stragglers of the last run have to end first.
fn clearing(process: &Process, policy: &Policy) -> String {
    let (signal, stoptime) = (sig(policy.stopsignal), exact(policy.stoptime));
    match (process.stragglers, process.deadline) {
        (0, _) => "its leader has ended, looking for stragglers".to_string(),
        (_, Some(_)) => format!(
            "stragglers of its last run end first: {signal} was sent, SIGKILL follows after \
             {stoptime} (stoptime)"
        ),
        (_, None) => "stragglers of its last run end first: SIGKILL was sent".to_string(),
    }
}

fn not_restarted(process: &Process, policy: &Policy) -> String {
    let expected = process.last_exit.is_some_and(|exit| policy.expects(exit));
    match policy.autorestart {
        Autorestart::Never => "it exited, and autorestart is never".to_string(),
        Autorestart::Unexpected if expected => {
            "it exited with an expected code, and autorestart is unexpected".to_string()
        }
        Autorestart::Unexpected | Autorestart::Always => {
            "it exited while its policy did not ask for a restart".to_string()
        }
    }
}

fn last_end(process: &Process, policy: &Policy) -> Option<String> {
    if let Some(failure) = &process.last_failure {
        return Some(format!(
            "the last attempt failed before the program ran: {failure}"
        ));
    }
    let exit = process.last_exit?;
    let lifetime = process.last_lifetime.map(approximate).unwrap_or_default();
    let which = match process.pid() {
        Some(_) => "the run before this one",
        None => "the last run",
    };
    if process.last_killed && process.kill_requested {
        return Some(format!(
            "{which} was killed by tmd after {lifetime}: a request asked for it"
        ));
    }
    if process.last_killed {
        let (signal, stoptime) = (sig(policy.stopsignal), exact(policy.stoptime));
        return Some(format!(
            "{which} was killed by tmd after {lifetime}: \
             it did not end within {stoptime} of {signal}"
        ));
    }
    Some(format!("{which} {} after {lifetime}", in_words(exit)))
}

/// The verb phrase for an exit, such as `exited with code 127 (command not found)`.
fn in_words(exit: Exit) -> String {
    match exit {
        Exit::Code(0) => "exited with code 0 (success)".to_string(),
        Exit::Code(126) => "exited with code 126 (found but not executable)".to_string(),
        Exit::Code(127) => "exited with code 127 (command not found)".to_string(),
        Exit::Code(code) if signal_name(code - 128).is_some() => {
            format!(
                "exited with code {code} (as a shell reports {})",
                sig(code - 128)
            )
        }
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal { signal, core } => {
            let core = if core { ", core dumped" } else { "" };
            let name = sig(signal);
            match meaning(signal) {
                Some(meaning) => format!("was killed by {name} ({meaning}{core})"),
                None => format!("was killed by {name}{core}"),
            }
        }
    }
}

fn meaning(signal: i32) -> Option<&'static str> {
    match signal {
        1 => Some("hang-up"),
        2 => Some("interrupt"),
        4 => Some("illegal instruction"),
        6 => Some("abort: a failed assertion or panic"),
        7 => Some("bus error"),
        8 => Some("arithmetic error"),
        9 => Some("sent by a user, or by the kernel when memory ran out"),
        11 => Some("segmentation fault: invalid memory access"),
        13 => Some("write to a closed pipe"),
        15 => Some("termination request"),
        24 => Some("CPU time limit exceeded"),
        25 => Some("file size limit exceeded"),
        31 => Some("forbidden system call"),
        _ => None,
    }
}

fn next(process: &Process, policy: &Policy, now: Time) -> String {
    let left = approximate(left(process, now));
    match process.state {
        State::Stopped => "nothing until it is started".to_string(),
        State::Waiting => format!("it starts when {} ended", awaited(process)),
        State::Starting if process.leader == LeaderState::Spawning => {
            "the start completes or fails".to_string()
        }
        State::Starting if process.deadline.is_some() && process.is_clearing() => {
            format!("it starts once they are gone; SIGKILL in {left}")
        }
        State::Starting if process.is_clearing() => "it starts once they are gone".to_string(),
        State::Starting => format!("RUNNING in {left} if it stays up"),
        State::Running if process.is_on_probation() => {
            format!("its start succeeds in {left} if it stays up")
        }
        State::Running => after_exit(process, policy, now),
        State::Backoff if process.failures == 0 => format!("it is restarted in {left}"),
        State::Backoff if process.failures >= policy.startretries => {
            format!("the last retry in {left}; if it fails too, FATAL")
        }
        State::Backoff => {
            let (n, of) = (process.failures, policy.startretries);
            format!("retry {n} of {of} in {left}")
        }
        State::Stopping => {
            let then = match (process.removed, process.desired) {
                (true, _) => "it is removed",
                (false, Desired::Up) => "it is restarted",
                (false, Desired::Down) => "it is STOPPED",
            };
            match process.deadline {
                Some(_) => format!("SIGKILL in {left} if it is still alive; then {then}"),
                None => format!("once it has ended, {then}"),
            }
        }
        State::Exited => "nothing until it is started".to_string(),
        State::Fatal => "nothing until it is started, or its config changes".to_string(),
    }
}

fn after_exit(process: &Process, policy: &Policy, now: Time) -> String {
    let delay = delay_after_exit(process, policy, now);
    match policy.autorestart {
        Autorestart::Always => format!("if it exits, it is restarted {delay}"),
        Autorestart::Never => "if it exits, it stays EXITED".to_string(),
        Autorestart::Unexpected => {
            let codes: Vec<String> = policy.exitcodes.iter().map(i32::to_string).collect();
            let expected = codes.join(", ");
            format!(
                "if it exits with any code but {expected}, or is killed, it is restarted {delay}"
            )
        }
    }
}

/// When a restart would follow an exit at this time.
fn delay_after_exit(process: &Process, policy: &Policy, now: Time) -> String {
    let lived = process.started_at().map(|at| now.since(at));
    let mut ended = process.clone();
    ended.count_run(lived.unwrap_or_default());
    let delays = RestartDelays {
        jitter: 0.0,
        ..policy.restart
    };
    let without_jitter = Policy {
        restart: delays,
        ..policy.clone()
    };
    let in_words = |delay: Duration, about: &str| match delay.is_zero() {
        true => "immediately".to_string(),
        false => format!("after {about}{}", exact(delay)),
    };
    let delay = ended.restart_delay(&without_jitter, now);
    if delay == delays.initial {
        return in_words(delay, "");
    }
    let about = match policy.restart.jitter > 0.0 {
        true => "about ",
        false => "",
    };
    let (slowed, steady) = (in_words(delay, about), in_words(delays.initial, ""));
    format!(
        "{slowed} ({steady} once it has been up for {})",
        exact(SHORT_RUN)
    )
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
