use super::*;
use crate::supervisor::{Autostart, Launch, ProcessId, Program, SpawnFailure};
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
fn a_one_shot_gets_the_remedy_starttime() {
    let mut process = process(State::Backoff, Exit::Code(0));
    process.failures = 2;
    process.restarts = 2;
    process.deadline = Some(at(2500));
    let why = why(&process, &Policy::default(), at(2000));
    assert_eq!(why.summary, "worker:0 has been in BACKOFF for 1.0s");
    assert_eq!(
        why.causes,
        [
            "the last 2 starts failed; startretries is 3",
            "it was restarted automatically 2 times; tm start resets this count",
            "the last run exited with code 0 (success) after 0.2s",
        ]
    );
    assert_eq!(why.next, "retry 2 of 3 in 0.5s");
    let remedy = why.remedy.unwrap_or_default();
    let told = "it exited with 0 before starttime was over. A one-shot needs starttime: 0";
    assert!(remedy.starts_with(told), "{remedy}");
    assert!(remedy.ends_with(", then: tm reload"), "{remedy}");
}

#[test]
fn each_kind_of_end_has_its_remedy() {
    let signal = |signal| Exit::Signal { signal, core: true };
    for (exit, words) in [
        (Exit::Code(127), "does not exist, then: tm reload"),
        (Exit::Code(126), "not executable, then: tm reload"),
        (Exit::Code(1), "fix the cause, then: tm start worker:0"),
        (signal(11), "crashed"),
        (signal(9), "dmesg"),
        (signal(40), "fix the cause, then: tm start worker:0"),
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
        (
            "exec cd",
            2,
            "`cd` is a part of shells, not a program; set `workingdir`, or add `shell: true`",
        ),
        ("exec /etc/passwd", 13, "chmod"),
        ("exec /etc/passwd", 8, "#!"),
        (
            "chdir /nope",
            2,
            "create /nope, then: tm start worker:0; or change workingdir, then: tm reload",
        ),
        ("open /log/a", 2, "create /log, then: tm start worker:0"),
        (
            "open /log/a",
            40,
            "the target of the symbolic link /log/a, then: tm reload",
        ),
        (
            "open /log/a",
            13,
            "check the permissions, then: tm start worker:0",
        ),
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
fn the_next_restart_has_the_delay_that_applies() {
    let mut process = process(State::Running, Exit::Code(1));
    let policy = Policy {
        autorestart: Autorestart::Always,
        ..Policy::default()
    };
    let next = |process: &Process, millis| why(process, &policy, at(millis)).next;
    let since = at(1000);
    process.leader = LeaderState::Alive { pid: 7, since };
    process.short_runs = 2;
    assert_eq!(
        next(&process, 2000),
        "if it exits, it is restarted immediately"
    );
    for (runs, delay) in [(3, "1s"), (6, "8s")] {
        process.short_runs = runs;
        let expected = format!(
            "if it exits, it is restarted after about {delay} (immediately once it has been \
             up for 10s)"
        );
        assert_eq!(next(&process, 2000), expected);
    }
    assert_eq!(
        next(&process, 11_000),
        "if it exits, it is restarted immediately"
    );
}

#[test]
fn what_is_well_needs_no_remedy() {
    for state in [State::Running, State::Exited] {
        let process = process(state, Exit::Code(0));
        assert_eq!(remedy_of(&process), "");
    }
    let stopped = process(State::Stopped, Exit::Code(0));
    assert_eq!(remedy_of(&stopped), "tm start worker:0");
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
    let words = "was killed by SIGSEGV (segmentation fault: invalid memory access, core dumped)";
    assert_eq!(in_words(segv), words);
}
