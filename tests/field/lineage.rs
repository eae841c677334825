//! Processes that belong to another, and processes that survive their daemon.

use super::support::system::{is_alive, wait_for_text};
use super::support::{self, Daemon, PATIENCE, kill, skip, wait_for_line, wait_gone};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// It daemonises when it reads a line.
const SERVER: &str = "programs:\n  server: {cmd: '@BIN@/daemonise', stdin: pipe,\n\
    stdout: '@DIR@/out', starttime: 0, autorestart: never}\n";

/// The pids of a server and its worker, which are in the background.
fn daemonised(daemon: &Daemon) -> [i32; 2] {
    let out = daemon.path("out");
    wait_for_text(&out, "ready\n");
    assert_eq!(daemon.tm(&["send", "server:0", "go"]).code, 0);
    let text = wait_for_text(&out, "worker ");
    let text = match text.ends_with('\n') {
        true => text,
        false => wait_for_text(&out, "\nworker "),
    };
    daemon.wait_ended("server:0");
    let pid = |name| {
        let mut lines = text.lines().rev();
        let pid = lines.find_map(|line| line.strip_prefix(name));
        pid.and_then(|pid| pid.parse().ok()).expect("a pid")
    };
    [pid("master "), pid("worker ")]
}

/// The row of a process once it has this many stragglers. No event reports them.
fn with_stragglers(daemon: &Daemon, process: &str, count: usize) -> Value {
    let began = Instant::now();
    loop {
        let row = daemon.status(process);
        if row["stragglers"].as_array().map_or(0, Vec::len) == count {
            return row;
        }
        assert!(began.elapsed() < PATIENCE, "{row}\n{}", daemon.log());
        std::thread::yield_now();
    }
}

/// A port that no process listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("a free port").port()
}

#[test]
fn a_daemonised_server_is_named_and_stopped_with_its_process() {
    let port = free_port();
    let daemon = Daemon::start(&SERVER.replace("daemonise'", &format!("daemonise {port}'")));
    let [master, worker] = daemonised(&daemon);
    let row = with_stragglers(&daemon, "server:0", 2);
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains(&format!("2 stragglers: pid {master} ")),
        "{row}"
    );
    assert!(detail.contains("daemonise"), "{row}");
    let why = daemon.tm(&["why", "server"]).stdout;
    for pid in [master, worker] {
        let listens = format!("straggler pid {pid} listens on port {port}\n");
        assert!(why.contains(&listens), "{why}");
    }
    let stopped = daemon.tm(&["stop", "server"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    wait_gone(master);
    wait_gone(worker);
    assert_eq!(daemon.status("server:0")["state"], "STOPPED");
}

#[test]
fn a_daemonised_server_is_stopped_before_the_next_start() {
    let daemon = Daemon::start(SERVER);
    let [master, worker] = daemonised(&daemon);
    assert_eq!(daemon.tm(&["start", "server"]).code, 0);
    wait_gone(master);
    wait_gone(worker);
}

#[test]
fn a_daemonised_server_ends_with_the_daemon() {
    let mut daemon = Daemon::start(SERVER);
    let [master, worker] = daemonised(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
    wait_gone(master);
    wait_gone(worker);
}

#[test]
fn a_start_beside_an_old_straggler_names_both_pids() {
    let daemon = Daemon::start(&SERVER.replace("{cmd", "{killmode: process, cmd"));
    let [master, worker] = daemonised(&daemon);
    with_stragglers(&daemon, "server:0", 2);
    let started = daemon.tm(&["start", "server"]);
    let leader = daemon.pid_of("server:0");
    let second = daemon.tm(&["start", "server"]);
    for pid in [master, worker] {
        kill(pid, Signal::KILL);
    }
    for output in [started, second] {
        assert_eq!(output.code, 0, "{output:?}");
        let line = output.stdout;
        assert!(
            line.contains(&format!(" (pid {leader}); 2 stragglers: pid {master} ")),
            "{line}"
        );
    }
}

/// The cgroups that a daemon has made, below the one that this test is in.
fn cgroups_of(daemon: &Daemon) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let own = fs::read_to_string("/proc/self/cgroup").expect("/proc is mounted");
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let points = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    let points = points.filter_map(|line| line.split(' ').nth(4));
    let below = points.map(|point| Path::new(point).join(path.unwrap_or_default()));
    let entries = below.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let groups = entries.map(|entry| entry.path());
    let pid = daemon.pid();
    // The second form is used when the first name is taken.
    let [name, other] = [format!("tmd-{pid}"), format!("tmd-{pid}-")];
    groups
        .filter(|group| {
            let file_name = group.file_name().unwrap_or_default().to_string_lossy();
            file_name == name || file_name.starts_with(&other)
        })
        .collect()
}

#[test]
fn no_cgroup_outlives_its_daemon() {
    let mut daemon = Daemon::start(SERVER);
    let groups = cgroups_of(&daemon);
    if groups.is_empty() {
        skip!("needs a cgroup that it may write to");
    }
    let pids = daemonised(&daemon);
    let leaf = fs::read_dir(&groups[0]).expect("it is there").flatten();
    let leaf = leaf.map(|entry| entry.path()).find(|path| path.is_dir());
    let leaf = leaf.expect("a leaf of the process");
    let inside = || fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default();
    for pid in pids {
        assert!(
            inside().lines().any(|line| line == pid.to_string()),
            "{}",
            inside()
        );
    }
    daemon.reload_with("programs:\n  other: {cmd: sleep 1000}\n");
    // The removal of a program is complete only when its leaf is gone.
    let began = Instant::now();
    while leaf.exists() {
        assert!(began.elapsed() < PATIENCE, "{}", daemon.log());
        std::thread::yield_now();
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
    assert!(!groups[0].exists());
}

/// It has another session, group and parent, executes another program, and names another process.
#[test]
fn a_cgroup_holds_what_no_other_mark_shows() {
    let daemon = Daemon::start(
        "programs:\n  other: {cmd: sleep 1000, starttime: 0}\n\
         \x20 hidden:\n    cmd: \"setsid sh -c 'TM_PROCESS=other:0 setsid sleep 7003 & \
         echo $! > @DIR@/pid'\"\n    shell: true\n    starttime: 0\n    autorestart: never\n",
    );
    if cgroups_of(&daemon).is_empty() {
        skip!("needs a cgroup that it may write to");
    }
    let pid: i32 = wait_for_line(&daemon.path("pid")).parse().expect("a pid");
    daemon.wait_ended("hidden:0");
    let row = with_stragglers(&daemon, "hidden:0", 1);
    assert!(row.to_string().contains(&pid.to_string()), "{row}");
    assert_eq!(daemon.tm(&["stop", "other"]).code, 0);
    assert!(is_alive(pid), "{}", daemon.log());
    assert_eq!(daemon.tm(&["stop", "hidden"]).code, 0);
    wait_gone(pid);
}

/// The processes of a daemon that dies belong to the process that it was.
#[test]
fn what_a_nested_daemon_leaves_is_stopped_with_its_process() {
    let folder = support::folder();
    fs::write(
        folder.path().join("inner.yaml"),
        "programs:\n  a: {cmd: sleep 7004, env: {TM_PROCESS: other:0}}\n",
    )
    .expect("it can be written");
    support::write_config(
        folder.path(),
        "programs:\n  nested: {cmd: '@BIN@/tmd -c inner.yaml --socket @DIR@/inner.sock',\n\
         \x20   starttime: 0, autorestart: never}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    if cgroups_of(&daemon).is_empty() {
        skip!("needs a cgroup that it may write to");
    }
    let inner = daemon.path("inner.sock");
    let began = Instant::now();
    let pid = loop {
        let mut found = support::system::processes_of(&inner).into_iter();
        if let Some((pid, _)) = found.find(|(_, line)| line.contains("7004")) {
            break pid;
        }
        assert!(began.elapsed() < PATIENCE, "{}", daemon.log());
        std::thread::yield_now();
    };
    kill(daemon.pid_of("nested:0"), Signal::KILL);
    daemon.wait_ended("nested:0");
    with_stragglers(&daemon, "nested:0", 1);
    assert_eq!(daemon.tm(&["stop", "nested"]).code, 0);
    wait_gone(pid);
}
