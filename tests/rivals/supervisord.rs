//! Freezes on a stalled log sink; dies when its log directory vanishes; drops output silently on
//! a full disk; reports nothing when kill gets EPERM; shuts down serially; stops everything on a
//! bad config at SIGHUP.

use super::support::system::wait_for_text;
use super::support::{self, Daemon, bin_dir, is_root, kill, skip, wait_until_alive};
use rustix::process::Signal;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::chown;
use std::process::Command;
use std::time::{Duration, Instant};

/// A daemon that is executed by a shell that has done something before.
fn start_after(folder: tempfile::TempDir, script: &str) -> Daemon {
    let socket = folder.path().join("tmd.sock");
    let script = format!("{script} exec \"$@\"");
    Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut sh = Command::new("sh");
        sh.args(["-c", &script, "sh"]).arg(tmd.get_program());
        sh.args(tmd.get_args()).arg("--socket").arg(socket);
        sh.current_dir(tmd.get_current_dir().expect("a folder"));
        *tmd = sh;
    })
}

#[test]
fn a_stalled_log_sink_freezes_nothing() {
    let folder = support::folder();
    let fifo = folder.path().join("sink");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo is installed").success());
    // Open at both ends, full and never read.
    let sink = OpenOptions::new().read(true).write(true).open(&fifo);
    let mut sink: File = sink.expect("a FIFO");
    sink.write_all(&[b'x'; 65_536]).expect("so much it takes");
    support::write_config(
        folder.path(),
        "programs:\n\
         \x20 loud: {cmd: 'true', starttime: 0, autorestart: always, restart: {burst: 100}}\n\
         \x20 worker: {cmd: sleep 1000, starttime: 0, autorestart: always}\n",
    );
    let daemon = start_after(folder, "exec 2>sink;");
    while daemon.status("loud:0")["restarts"].as_u64() < Some(20) {}
    let pid = daemon.pid_of("worker:0");
    let mut events = daemon.events();
    let began = Instant::now();
    kill(pid, Signal::KILL);
    events.wait_for("worker:0", "RUNNING");
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(daemon);
    drop(sink);
}

#[test]
fn a_log_directory_that_vanishes_kills_no_process() {
    let folder = support::folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    support::write_config(
        folder.path(),
        "daemon: {log: {file: '@DIR@/logs/tmd.log'}}\n\
         programs:\n  a: {cmd: cat, stdin: pipe, starttime: 0,\n\
         \x20   stdout: {file: '@DIR@/logs/a', max_size: 1KB, keep: 2}}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    wait_for_text(&daemon.path("logs/tmd.log"), "RUNNING");
    let mut events = daemon.events();
    fs::remove_dir_all(daemon.path("logs")).expect("it is there");
    let pid = daemon.pid_of("a:0");
    let line = "x".repeat(99);
    for _ in 0..30 {
        // Enough for a rotation, which fails without a directory.
        daemon.rpc("send", json!({"process": "a", "text": format!("{line}\n")}));
    }
    daemon.signal(Signal::USR1);
    // The next line cannot be written.
    daemon.rpc("send", json!({"process": "a", "text": "late\n"}));
    events.wait_until("trouble", |event| event["event"] == "log_failing");
    daemon.rpc("send", json!({"process": "a", "text": "kept\n"}));
    assert_eq!(daemon.pid_of("a:0"), pid, "it was not touched");
    fs::create_dir(daemon.path("logs")).expect("a new folder");
    events.wait_until("its end", |event| event["event"] == "log_working");
    wait_for_text(&daemon.path("logs/a"), "kept\n");
    daemon.signal(Signal::USR1);
    daemon.tm(&["restart", "a"]);
    wait_for_text(&daemon.path("logs/tmd.log"), "RUNNING");
}

#[test]
fn losses_on_a_full_disk_are_marked_in_the_log() {
    // A file size limit acts like a full disk, and needs no rights.
    const TOTAL: usize = 2_000_000;
    let folder = support::folder();
    support::write_config(
        folder.path(),
        &format!(
            "programs:\n  a: {{cmd: '@BIN@/flood {TOTAL} 1', starttime: 0, autorestart: never,\n\
             \x20   autostart: false, buffer: 16KiB,\n\
             \x20   stdout: {{file: '@DIR@/log', stall: 100ms, max_size: 0}}}}\n"
        ),
    );
    let daemon = start_after(folder, "ulimit -f 1000;");
    let mut events = daemon.events();
    daemon.rpc("start", json!({"targets": ["a"], "wait": false}));
    events.wait_until("trouble", |event| event["event"] == "log_failing");
    events.wait_for("a:0", "EXITED");
    fs::rename(daemon.path("log"), daemon.path("full")).expect("it is there");
    daemon.signal(Signal::USR1);
    events.wait_until("the account", |event| event["event"] == "output_lost");
    let text = daemon.read("full") + &daemon.read("log");
    let (marks, kept): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.len() > 1);
    let lost = |line: &&str| line.split(' ').nth(1)?.parse::<usize>().ok();
    let lost: usize = marks.iter().filter_map(lost).sum();
    let kept = kept.len();
    assert!(lost > 0, "{marks:?}");
    assert_eq!(kept + lost, TOTAL, "{marks:?}");
}

#[test]
fn a_signal_that_is_not_permitted_is_reported() {
    if !is_root() {
        skip!("needs root to start a process that its daemon may not kill");
    }
    const USER: u32 = 54_322;
    let folder = support::folder();
    let place = |name: &str, from: &std::path::Path, mode: u32| {
        support::copy_executable(from, &folder.path().join(name), mode);
    };
    place("tmd", &bin_dir().join("tmd"), 0o755);
    chown(folder.path(), Some(USER), Some(USER)).expect("we are root");
    place("root", "/usr/bin/setpriv".as_ref(), 0o4755);
    support::write_config(
        folder.path(),
        "programs:\n  a: {cmd: '@DIR@/root --reuid=0 --clear-groups sleep 1000', starttime: 0,\n\
         \x20   stoptime: 200ms}\n",
    );
    let user = format!("setpriv --reuid={USER} --regid={USER} --clear-groups");
    let daemon = start_after(folder, &format!("shift; set -- {user} ./tmd \"$@\";"));
    let pid = daemon.pid_of("a:0");
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    while name() != "sleep\n" {
        wait_until_alive(pid);
    }
    let mut events = daemon.events();
    daemon.rpc("stop", json!({"targets": ["a"], "wait": false}));
    let failed = events.wait_until("a report", |event| event["event"] == "signal_failed");
    let detail = failed["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Operation not permitted"), "{failed}");
    assert_eq!(failed["process"], "a:0", "{failed}");
    wait_for_text(&daemon.path("tmd.log"), "Operation not permitted");
    // The state is not STOPPED before the process is gone.
    assert_eq!(daemon.status("a:0")["state"], "STOPPING");
    kill(pid, Signal::KILL);
    daemon.wait_state("a:0", "STOPPED");
}

#[test]
fn a_shutdown_takes_as_long_as_the_slowest_not_as_all_together() {
    let mut daemon = Daemon::start(
        "programs:\n  slow: {cmd: '@BIN@/ignore_term', numprocs: 8, starttime: 0,\n\
         \x20   stoptime: 700ms, stdout: '@DIR@/log.{instance}'}\n",
    );
    for index in 0..8 {
        wait_for_text(&daemon.path(&format!("log.{index}")), "ready");
    }
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(690), "{took:?}");
    assert!(took < Duration::from_millis(5500), "{took:?}: one by one");
}

#[test]
fn a_bad_config_at_sighup_stops_nothing() {
    const GOOD: &str = "programs:\n  a: {cmd: sleep 1000, starttime: 0, numprocs: 3}\n";
    let daemon = Daemon::start(GOOD);
    let pids: Vec<i32> = (0..3).map(|i| daemon.pid_of(&format!("a:{i}"))).collect();
    for bad in [
        "programs: {a: {cmd: sleep 1000, numprocs: three}}\n",
        "programs: [\n",
        "",
        "programs: {b: {}}\n",
    ] {
        let event = daemon.reload_with(bad);
        assert_eq!(event["event"], "reload_failed", "{bad}: {event}");
        assert!(event["detail"].as_str().is_some_and(|why| !why.is_empty()));
        for (index, pid) in pids.iter().enumerate() {
            assert_eq!(daemon.pid_of(&format!("a:{index}")), *pid, "{bad}");
        }
    }
    assert_eq!(daemon.reload_with(GOOD)["event"], "reload");
}
