//! Many ends at once, one after the other, and while the daemon itself is stopped.

use super::support::system::{is_alive, zombies_of};
use super::support::{self, Daemon, kill, run};
use super::{descriptors, ends_well, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Fails unless each pid in `status` is alive and shown once.
fn cross_check(daemon: &Daemon) {
    let mut seen = BTreeSet::new();
    for row in daemon.all() {
        let Some(pid) = row["pid"].as_i64() else {
            continue;
        };
        assert!(seen.insert(pid), "shown twice: {row}");
        if !is_alive(pid as i32) {
            // It may have died since that answer; then the next one shows it.
            let name = row["name"].as_str().expect("a name");
            assert_ne!(daemon.status(name)["pid"], json!(pid), "{row}");
        }
    }
}

fn pids_of(daemon: &Daemon, program: &str) -> Vec<i32> {
    let rows = daemon.rpc("status", json!({"targets": [program]}));
    let rows = rows["processes"].as_array().cloned().unwrap_or_default();
    let pid = |row: &Value| row["pid"].as_i64().map(|pid| pid as i32);
    rows.iter().filter_map(pid).collect()
}

fn all_are(daemon: &Daemon, state: &str) -> bool {
    daemon.all().iter().all(|row| row["state"] == state)
}

#[test]
fn random_kills_under_load_are_reported_correctly() {
    let daemon = Daemon::start(
        "defaults: {autorestart: always, starttime: 0}\n\
         programs:\n\
         \x20 victim: {cmd: sleep 1000, numprocs: 20}\n\
         \x20 shell: {cmd: cat, tty: true, numprocs: 4}\n\
         \x20 flood: {cmd: '@BIN@/flood'}\n",
    );
    eventually(&daemon, "all to run", || all_are(&daemon, "RUNNING"));
    let before = descriptors(&daemon);
    let mut events = daemon.events();
    let mut random = 1_u64;
    for round in 0..150 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let rows = daemon.all();
        let row = &rows[(random >> 33) as usize % rows.len()];
        let Some(pid) = row["pid"].as_i64() else {
            continue;
        };
        let name = row["name"].as_str().expect("a name");
        kill(pid as i32, Signal::KILL);
        events.wait_until("its death", |event| {
            event["process"] == name && event["pid"] == pid && event["exit"]["signal"] == 9
        });
        if round % 10 == 0 {
            let mut client = support::command("tm", daemon.dir());
            client
                .args(["logs", "-f"])
                .env("TM_SOCKET", daemon.socket());
            client.stdout(std::process::Stdio::null());
            drop(support::system::Bystander::start(&mut client));
            cross_check(&daemon);
        }
    }
    eventually(&daemon, "calm", || {
        all_are(&daemon, "RUNNING") && descriptors(&daemon) <= before + 1
    });
    assert_eq!(zombies_of(daemon.pid()), Vec::<i32>::new());
    ends_well(daemon);
}

#[test]
fn hundreds_of_ends_in_one_instant_are_all_seen() {
    let daemon = Daemon::start(
        "defaults: {cmd: sleep 1000, starttime: 0, numprocs: 300}\n\
         programs: {once: {autorestart: never}, again: {autorestart: always}}\n",
    );
    eventually(&daemon, "all to run", || all_are(&daemon, "RUNNING"));
    for (program, state) in [("once", "EXITED"), ("again", "RUNNING")] {
        let dead = pids_of(&daemon, program);
        assert_eq!(dead.len(), 300);
        daemon.signal(Signal::STOP);
        for pid in &dead {
            kill(*pid, Signal::KILL);
        }
        dead.iter().for_each(|pid| support::wait_gone(*pid));
        daemon.signal(Signal::CONT);
        // The first answer shows all the deaths.
        let shown = pids_of(&daemon, program);
        let lies = shown.iter().filter(|pid| dead.contains(pid)).count();
        assert_eq!(lies, 0, "dead processes are shown as alive");
        eventually(&daemon, state, || {
            let rows = daemon.rpc("status", json!({"targets": [program]}));
            let rows = rows["processes"].as_array().cloned().unwrap_or_default();
            rows.iter().all(|row| row["state"] == state)
        });
        assert_eq!(zombies_of(daemon.pid()), Vec::<i32>::new());
    }
    ends_well(daemon);
}

#[test]
fn a_start_of_hundreds_delays_no_answer() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: sleep 1000, starttime: 0, numprocs: 300, autostart: false}\n",
    );
    let mut control = daemon.control();
    let params = json!({"targets": ["a"], "wait": false});
    control.call("start", params).expect("they can be started");
    let mut halfway = 0;
    loop {
        let reply = control.call("status", json!({})).expect("an answer");
        let rows = reply["processes"].as_array().cloned().unwrap_or_default();
        let alive = rows.iter().filter(|row| row["pid"].is_i64()).count();
        if alive == rows.len() {
            break;
        }
        halfway += usize::from(alive > 0);
    }
    assert!(halfway >= 3, "answered {halfway} times on the way");
    ends_well(daemon);
}

/// Asks for `status` again and again: how long each answer takes, and how often programs were
/// restarted since the answer before it.
fn answers_and_restarts(daemon: &Daemon, count: usize) -> Vec<(Duration, u64)> {
    let mut control = daemon.control();
    let mut before = None;
    let mut answers = Vec::new();
    while answers.len() < count {
        let began = Instant::now();
        let answer = control.call("status", json!({})).expect("an answer");
        let took = began.elapsed();
        let rows = answer["processes"].as_array().expect("rows");
        let restarts: u64 = rows.iter().filter_map(|row| row["restarts"].as_u64()).sum();
        if let Some(before) = before.replace(restarts) {
            answers.push((took, restarts - before));
        }
    }
    answers
}

#[test]
fn a_crash_loop_at_full_speed_leaves_time_for_others() {
    let daemon = Daemon::start(
        "defaults: {starttime: 0, autorestart: always, restart: {burst: 100}}\n\
         programs:\n\
         \x20 crash: {cmd: 'true', numprocs: 4}\n\
         \x20 steady: {cmd: sleep 1000}\n",
    );
    let before = daemon.status("crash:0")["restarts"].as_u64();
    let answers = answers_and_restarts(&daemon, 200);
    let mut restarts: Vec<u64> = answers.iter().map(|(_, restarts)| *restarts).collect();
    restarts.sort_unstable();
    assert!(
        restarts[180] <= 4,
        "answers wait for restarts: {restarts:?}"
    );
    // An answer that waits for the start of a program takes as long as the machine is loaded. Where
    // most answers wait for none, they are fast.
    let undelayed = answers.iter().filter(|(_, restarts)| *restarts == 0);
    let mut times: Vec<Duration> = undelayed.map(|(time, _)| *time).collect();
    times.sort_unstable();
    if times.len() > 100 {
        let median = times[times.len() / 2];
        assert!(median < Duration::from_millis(5), "{median:?}");
    }
    // On a busy machine 200 answers may take less time than one restart.
    let deadline = Instant::now() + Duration::from_secs(30);
    while daemon.status("crash:0")["restarts"].as_u64() <= before {
        assert!(Instant::now() < deadline, "it does not loop");
    }
    assert_eq!(daemon.status("steady:0")["restarts"], 0);
    let output = daemon.tm(&["restart", "--no-wait", "crash:1"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(daemon.tm(&["stop", "crash"]).code, 0);
    for index in 0..4 {
        assert_eq!(daemon.status(&format!("crash:{index}"))["state"], "STOPPED");
    }
    ends_well(daemon);
}

#[test]
fn a_daemon_that_was_stopped_catches_up_with_everything() {
    let daemon = Daemon::start(
        "defaults: {starttime: 0}\n\
         programs:\n\
         \x20 victim: {cmd: sleep 1000, numprocs: 10, autorestart: always}\n\
         \x20 once: {cmd: sleep 1000, autorestart: never}\n\
         \x20 late: {cmd: 'false', startretries: 1, starttime: 1}\n\
         \x20 writer: {cmd: 'for i in $(seq 1000); do echo line $i; done; sleep 1000',\n\
         \x20   shell: true, stdout: '@DIR@/log'}\n",
    );
    daemon.wait_state("writer:0", "RUNNING");
    for index in 0..10 {
        daemon.wait_state(&format!("victim:{index}"), "RUNNING");
    }
    daemon.wait_state("once:0", "RUNNING");
    daemon.wait_state("late:0", "BACKOFF");
    // A pid is known before the process runs its program.
    daemon.wait_state("once:0", "RUNNING");
    for index in 0..10 {
        daemon.wait_state(&format!("victim:{index}"), "RUNNING");
    }
    let victims = pids_of(&daemon, "victim");
    let once = daemon.pid_of("once:0");
    daemon.signal(Signal::STOP);
    for pid in victims.iter().chain([&once]) {
        kill(*pid, Signal::KILL);
    }
    let asking: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut client = UnixStream::connect(daemon.socket()).expect("it listens");
            let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n";
            client.write_all(request).expect("there is room");
            client
        })
        .collect();
    // Longer than the delay of the retry that comes due meanwhile.
    let mut nap = support::command("sleep", daemon.dir());
    nap.arg("1.5");
    run(nap);
    daemon.signal(Signal::CONT);
    for client in asking {
        let mut answer = String::new();
        let read = BufReader::new(client).read_line(&mut answer);
        assert!(read.is_ok() && answer.contains("\"result\""), "{answer}");
    }
    daemon.wait_state("once:0", "EXITED");
    daemon.wait_state("late:0", "FATAL");
    for index in 0..10 {
        // The reactor limits how many exits it reads in a turn.
        eventually(&daemon, "the restart of each", || {
            let row = daemon.wait_state(&format!("victim:{index}"), "RUNNING");
            row["restarts"] == 1
        });
    }
    let lines: String = (1..=1000).map(|i| format!("line {i}\n")).collect();
    eventually(&daemon, "all lines", || daemon.read("log") == lines);
    ends_well(daemon);
}

#[test]
fn a_stopped_process_heeds_its_stop_signal_at_once() {
    // Without a handler, the kernel itself wakes and ends a stopped process.
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: '@BIN@/trap_signal TERM', starttime: 0, stoptime: 1000,\n\
         \x20   stdout: '@DIR@/log'}\n",
    );
    support::wait_for_line(&daemon.path("log"));
    kill(daemon.pid_of("a:0"), Signal::STOP);
    let row = daemon.rpc("stop", json!({"targets": ["a"], "timeout_s": 10}));
    assert_eq!(row["timed_out"], false, "{row}");
    assert_eq!(daemon.status("a:0")["exit"]["code"], 0);
}
