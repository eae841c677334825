//! `tm why`: the chain of causes, what happens next, and what would help.

use super::status_line::left;
use crate::supervisor::{
    Autorestart, Desired, Exit, KillMode, Leader, Policy, Process, SpawnFailure, State, Time,
    signal_name,
};
use crate::text::duration::{approximate, exact};
use crate::text::plural::plural;
use std::time::Duration;

/// Why a process is in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// One line: what it is, since when.
    pub summary: String,
    /// What led there, the nearest cause first.
    pub causes: Vec<String>,
    /// What happens next, and when.
    pub next: String,
    /// What would most likely help.
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
    let wanted = match process.desired {
        Desired::Up => "up",
        Desired::Down => "down",
    };
    let pid = process
        .pid()
        .map(|pid| format!(", pid {pid}"))
        .unwrap_or_default();
    let since = approximate(now.since(process.since));
    format!(
        "{} is {} for {since}{pid}, wanted {wanted}",
        process.name, process.state
    )
}

fn causes(process: &Process, policy: &Policy, now: Time) -> Vec<String> {
    let mut causes = Vec::new();
    match process.state {
        State::Stopped if process.ran() => causes.push("it was asked to stop".to_string()),
        State::Stopped => causes.push("it was never asked to start".to_string()),
        State::Waiting => {}
        State::Starting if process.leader == Leader::Spawning => {
            causes.push("it is being started".to_string())
        }
        State::Starting if process.is_clearing() => {
            causes.push("what its last run left behind is killed first".to_string());
        }
        State::Starting => {
            let lived = approximate(
                process
                    .started_at()
                    .map_or(Duration::ZERO, |at| now.since(at)),
            );
            let starttime = exact(policy.starttime);
            causes.push(format!(
                "it lives for {lived}, and starttime is {starttime}"
            ));
        }
        State::Running => causes.push("it has lived for starttime".to_string()),
        State::Backoff if process.failures == 0 => {
            causes.push("it ended, and autorestart waits for a delay first".to_string());
        }
        State::Backoff => causes.push(failures(process, policy)),
        State::Fatal => causes.push(failures(process, policy)),
        State::Stopping => causes.push(stopping(process, policy)),
        State::Exited => causes.push(not_restarted(process, policy)),
    }
    if process.restarts > 0 {
        let times = plural(process.restarts as usize, "time", "times");
        causes.push(format!(
            "it was started again {times} since it was last asked to start"
        ));
    }
    causes.extend(last_end(process, policy));
    if process.stragglers > 0 {
        let left = plural(process.stragglers as usize, "process", "processes");
        causes.push(format!("{left} of an earlier leader still alive"));
    }
    causes
}

fn failures(process: &Process, policy: &Policy) -> String {
    let failures = plural(process.failures as usize, "start", "starts");
    let retries = plural(policy.startretries as usize, "retry", "retries");
    format!("{failures} failed in a row; startretries allows {retries}")
}

fn stopping(process: &Process, policy: &Policy) -> String {
    let why = if process.removed {
        "its entry was removed from the config"
    } else if process.desired == Desired::Up {
        "it is restarted"
    } else {
        "it was asked to stop"
    };
    if process.leader == Leader::Spawning {
        return format!("{why} while it was being started");
    }
    if process.pid().is_none() {
        return format!("{why}; its leader has ended, what is left of it has not");
    }
    if process.killed {
        return format!("{why}; SIGKILL was sent");
    }
    let whom = match policy.killmode {
        KillMode::Group => "its process group",
        KillMode::Process => "its leader",
    };
    format!("{why}; {} was sent to {whom}", sig(policy.stopsignal))
}

fn not_restarted(process: &Process, policy: &Policy) -> String {
    let expected = process.last_exit.is_some_and(|exit| policy.expects(exit));
    match policy.autorestart {
        Autorestart::Never => "it ended, and autorestart is never".to_string(),
        Autorestart::Unexpected if expected => {
            "it ended with an expected code, and autorestart is unexpected".to_string()
        }
        Autorestart::Unexpected | Autorestart::Always => {
            "it ended while its policy did not ask for a restart".to_string()
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
    if process.last_killed {
        let (signal, stoptime) = (sig(policy.stopsignal), exact(policy.stoptime));
        return Some(format!(
            "{which} was killed by tmd after {lifetime}: it had not ended {stoptime} after {signal}"
        ));
    }
    Some(format!("{which} {} after {lifetime}", in_words(exit)))
}

/// An exit as a sentence's end: `exited with code 127 (command not found, says the shell)`.
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

fn sig(number: i32) -> String {
    match signal_name(number) {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {number}"),
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
        9 => Some("kill: by somebody, or by the kernel when memory ran out"),
        11 => Some("segmentation fault: invalid memory access"),
        13 => Some("it wrote to a closed pipe"),
        15 => Some("asked to end"),
        24 => Some("its CPU time limit"),
        25 => Some("its file size limit"),
        31 => Some("a forbidden system call"),
        _ => None,
    }
}

fn next(process: &Process, policy: &Policy, now: Time) -> String {
    let left = approximate(left(process, now));
    match process.state {
        State::Stopped => "nothing until it is started".to_string(),
        State::Waiting => "it starts when what it needs is there".to_string(),
        State::Starting if process.leader == Leader::Spawning => {
            "the answer of the start".to_string()
        }
        State::Starting if process.is_clearing() => "a new leader, when that is gone".to_string(),
        State::Starting => format!("RUNNING in {left} if it lives on"),
        State::Running => after_exit(policy),
        State::Backoff if process.failures == 0 => format!("it is started again in {left}"),
        State::Backoff if process.failures >= policy.startretries => {
            format!("the last retry in {left}; should that fail too, FATAL")
        }
        State::Backoff => {
            let (n, of) = (process.failures, policy.startretries);
            format!("retry {n} of {of} in {left}")
        }
        State::Stopping => {
            let then = match (process.removed, process.desired) {
                (true, _) => "it is forgotten",
                (false, Desired::Up) => "it is started again",
                (false, Desired::Down) => "STOPPED",
            };
            match process.deadline {
                Some(_) => format!("SIGKILL in {left} unless it is gone by then; then {then}"),
                None => format!("when it is gone, {then}"),
            }
        }
        State::Exited => "nothing until it is started".to_string(),
        State::Fatal => "nothing until it is started, or its config changes".to_string(),
    }
}

fn after_exit(policy: &Policy) -> String {
    let delay = match policy.restart.after_exit {
        delay if delay.is_zero() => "at once".to_string(),
        delay => format!("after {}", exact(delay)),
    };
    match policy.autorestart {
        Autorestart::Always => format!("should it end, it is restarted {delay}"),
        Autorestart::Never => "should it end, it stays EXITED".to_string(),
        Autorestart::Unexpected => {
            let codes: Vec<String> = policy.exitcodes.iter().map(i32::to_string).collect();
            let codes = codes.join(", ");
            format!("should it end other than with code {codes}, it is restarted {delay}")
        }
    }
}

fn remedy(process: &Process, policy: &Policy) -> Option<String> {
    match process.state {
        State::Stopped if process.last_killed => Some(heed(policy)),
        State::Stopped | State::Waiting | State::Starting => None,
        State::Stopping => process.killed.then(|| heed(policy)),
        State::Exited if process.last_exit.is_some_and(|exit| policy.expects(exit)) => None,
        State::Running if process.restarts == 0 => None,
        State::Running | State::Exited => exit_remedy(process, process.last_exit?),
        State::Backoff | State::Fatal => {
            if let Some(failure) = &process.last_failure {
                return spawn_remedy(failure);
            }
            let exit = process.last_exit?;
            if process.failures == 0 {
                return exit_remedy(process, exit);
            }
            match exit {
                Exit::Code(0) => Some(one_shot(policy)),
                Exit::Code(_) | Exit::Signal { .. } => exit_remedy(process, exit),
            }
        }
    }
}

/// For what does not end by its stop signal.
fn heed(policy: &Policy) -> String {
    let signal = sig(policy.stopsignal);
    format!("if it never ends by {signal}, set stopsignal to one it heeds; if it is slow, stoptime")
}

fn one_shot(policy: &Policy) -> String {
    let also = match policy.autorestart {
        Autorestart::Always => " and autorestart: unexpected",
        Autorestart::Never | Autorestart::Unexpected => "",
    };
    format!(
        "exited 0 within starttime: for a one-shot set starttime: 0{also}; a program that \
             goes to the background must be told to stay in the foreground"
    )
}

fn exit_remedy(process: &Process, exit: Exit) -> Option<String> {
    let logs = format!("see its output: tm logs {}", process.name);
    Some(match exit {
        Exit::Code(0) => return None,
        Exit::Code(127) => format!("check cmd: a command in it was not found; {logs}"),
        Exit::Code(126) => format!("check cmd: a file in it is not executable; {logs}"),
        Exit::Code(_) => logs,
        Exit::Signal { signal: 9, .. } => {
            "find who sent it: `dmesg` names what the kernel killed for want of memory".to_string()
        }
        Exit::Signal {
            signal: 4 | 6 | 7 | 8 | 11,
            core,
        } => {
            let core = if core { "debug its core file; " } else { "" };
            format!("the program crashed, which is a fault of its own: {core}{logs}")
        }
        Exit::Signal { .. } => logs,
    })
}

/// Linux errno values that have an obvious remedy.
mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const E2BIG: i32 = 7;
    pub const ENOEXEC: i32 = 8;
    pub const EAGAIN: i32 = 11;
    pub const ENOMEM: i32 = 12;
    pub const EACCES: i32 = 13;
    pub const EISDIR: i32 = 21;
    pub const ENFILE: i32 = 23;
    pub const EMFILE: i32 = 24;
    pub const ENOSPC: i32 = 28;
}

fn spawn_remedy(failure: &SpawnFailure) -> Option<String> {
    use errno::*;
    let (step, object) = failure.step.split_once(' ').unwrap_or((&failure.step, ""));
    let text = match (step, failure.errno) {
        ("exec", ENOENT) => {
            format!("check cmd: {object} does not exist, or the interpreter it names does not")
        }
        ("exec", EACCES) => {
            format!("check cmd: {object} is no executable file for this user (chmod +x?)")
        }
        ("exec", ENOEXEC) => {
            format!("check cmd: {object} is no program; a script needs a #! line")
        }
        ("exec", E2BIG) => "shorten cmd and env: together they are more than the system lets \
                            a program start with (a single word: 128 KiB)"
            .to_string(),
        ("exec", _) => format!("check cmd: {object}"),
        ("chdir", ENOENT) => format!("create {object} or change workingdir"),
        ("chdir", _) => format!("check workingdir: {object}"),
        (_, EMFILE | ENFILE) => "raise the limit of open files".to_string(),
        (_, EAGAIN | ENOMEM) => "the system is out of processes or memory".to_string(),
        (_, ENOSPC) => "free some space on that disk".to_string(),
        ("open", ENOENT) => format!("create the directory of {object}"),
        ("open", EISDIR) => format!("{object} is a directory; name a file"),
        (_, EACCES | EPERM) => "check the rights, and `user`".to_string(),
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Autostart, Launch, ProcessId, Program};
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn at(millis: u64) -> Time {
        Time(Duration::from_millis(millis))
    }

    fn process(state: State, exit: Exit) -> Process {
        let program = Program {
            name: "worker".to_string(),
            numprocs: 1,
            autostart: Autostart::Yes,
            policy: Policy::default(),
            launch: Launch::default(),
            vars: BTreeMap::new(),
        };
        let mut process = Process::new(ProcessId(0), &program, 0, at(1000));
        process.state = state;
        process.desired = Desired::Up;
        process.last_exit = Some(exit);
        process.last_lifetime = Some(Duration::from_millis(200));
        process
    }

    fn remedy_of(process: &Process) -> String {
        why(process, &Policy::default(), at(2000))
            .remedy
            .unwrap_or_default()
    }

    #[test]
    fn a_one_shot_is_told_about_starttime() {
        let mut process = process(State::Backoff, Exit::Code(0));
        process.failures = 2;
        process.restarts = 2;
        process.deadline = Some(at(2500));
        let why = why(&process, &Policy::default(), at(2000));
        assert_eq!(why.summary, "worker:0 is BACKOFF for 1.0s, wanted up");
        assert_eq!(
            why.causes,
            [
                "2 starts failed in a row; startretries allows 3 retries",
                "it was started again 2 times since it was last asked to start",
                "the last run exited with code 0 (success) after 0.2s",
            ]
        );
        assert_eq!(why.next, "retry 2 of 3 in 0.5s");
        let remedy = why.remedy.unwrap_or_default();
        let told = "exited 0 within starttime: for a one-shot set starttime: 0";
        assert!(remedy.starts_with(told), "{remedy}");
    }

    #[test]
    fn each_kind_of_end_has_its_remedy() {
        let signal = |signal| Exit::Signal { signal, core: true };
        for (exit, words) in [
            (Exit::Code(127), "not found"),
            (Exit::Code(126), "not executable"),
            (Exit::Code(1), "tm logs worker:0"),
            (signal(11), "crashed"),
            (signal(9), "dmesg"),
            (signal(40), "tm logs worker:0"),
        ] {
            let mut process = process(State::Fatal, exit);
            process.failures = 4;
            let remedy = remedy_of(&process);
            assert!(remedy.contains(words), "{exit}: {remedy}");
        }
    }

    #[test]
    fn each_failed_step_has_its_remedy() {
        for (step, errno, words) in [
            ("exec /bin/nope", 2, "check cmd: /bin/nope does not exist"),
            ("exec /etc/passwd", 13, "chmod"),
            ("exec /etc/passwd", 8, "#!"),
            ("chdir /nope", 2, "create /nope or change workingdir"),
            ("open /log/a", 2, "create the directory of /log/a"),
            ("clone", 11, "processes or memory"),
        ] {
            let mut process = process(State::Fatal, Exit::Code(0));
            process.last_failure = Some(SpawnFailure {
                step: step.to_string(),
                error: "no".to_string(),
                errno,
            });
            let remedy = remedy_of(&process);
            assert!(remedy.contains(words), "{step} {errno}: {remedy}");
        }
    }

    #[test]
    fn what_is_well_needs_no_remedy() {
        for state in [State::Stopped, State::Running, State::Exited] {
            let process = process(state, Exit::Code(0));
            assert_eq!(remedy_of(&process), "");
        }
    }

    #[test]
    fn exits_in_words() {
        assert_eq!(
            in_words(Exit::Code(143)),
            "exited with code 143 (as a shell reports SIGTERM)"
        );
        assert_eq!(in_words(Exit::Code(255)), "exited with code 255");
        let segv = Exit::Signal {
            signal: 11,
            core: true,
        };
        let words =
            "was killed by SIGSEGV (segmentation fault: invalid memory access, core dumped)";
        assert_eq!(in_words(segv), words);
    }
}
