//! Processes that hide from their daemon, or claim to belong to it.

use super::support::system::{Bystander, is_alive, wait_for_text};
use super::support::{
    self, Daemon, is_root, kill, run, skip, wait_for_line, wait_gone, wait_until_alive,
};
use super::users::{ALICE, owned, shared};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A daemon of an ordinary user.
fn daemon_of(uid: u32, folder: tempfile::TempDir, yaml: &str) -> Daemon {
    let config = support::write_config(folder.path(), yaml);
    owned(&config, uid);
    owned(folder.path(), uid);
    let socket = folder.path().join("tmd.sock");
    Daemon::start_prepared(folder, socket.clone(), |tmd| {
        tmd.arg("--socket").arg(socket).uid(uid).gid(uid);
    })
}

/// Without a cgroup, a session, a group and an environment, the address space is left.
#[test]
fn a_server_that_hides_from_an_ordinary_users_daemon_is_found() {
    if !is_root() {
        skip!("needs root to start a daemon of another user");
    }
    // Without the right to inspect it, its name is left.
    for hide in ["", " hide"] {
        let daemon = daemon_of(
            ALICE,
            shared(),
            &format!(
                "programs:\n  server: {{cmd: '@BIN@/daemonise{hide}', stdin: pipe,\n\
                 \x20   stdout: '@DIR@/out', starttime: 0, autorestart: never}}\n"
            ),
        );
        wait_for_text(&daemon.path("out"), "ready\n");
        daemon.rpc("send", json!({"process": "server:0", "text": "go\n"}));
        let text = wait_for_text(&daemon.path("out"), "worker ");
        let pid = text.lines().find_map(|line| line.strip_prefix("master "));
        let pid: i32 = pid.and_then(|pid| pid.parse().ok()).expect("a pid");
        daemon.wait_ended("server:0");
        daemon.rpc("stop", json!({"targets": ["server"]}));
        wait_gone(pid);
    }
}

#[test]
fn a_claim_of_another_user_is_no_survivor() {
    if !is_root() {
        skip!("needs root to run programs as another user");
    }
    let folder = shared();
    let yaml = format!(
        "programs:\n  x: {{cmd: sleep 1000, starttime: 0}}\n  \
         y: {{cmd: sleep 1000, starttime: 0, user: {ALICE}, group: {ALICE}, workingdir: /}}\n"
    );
    let config = support::write_config(folder.path(), &yaml);
    let socket = folder.path().join("tmd.sock");
    let claim = |name: &str| {
        let mut claimant = Command::new("sleep");
        claimant.arg("7003").uid(ALICE).gid(ALICE);
        claimant.env("TM_SOCKET", &socket).env("TM_PROCESS", name);
        Bystander::start(&mut claimant)
    };
    let up = |more: &[&str]| {
        let mut up = support::command("tm", folder.path());
        up.args(["up", "-d", "-c"]).arg(&config);
        up.arg("--socket").arg(&socket).args(more);
        run(up)
    };
    let other = claim("x:0");
    let own = claim("y:0");
    let refused = up(&[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("1 process of an earlier daemon"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains(&own.pid().to_string()),
        "{refused:?}"
    );
    drop(own);
    let started = up(&[]);
    assert_eq!(started.code, 0, "{started:?}");
    assert!(is_alive(other.pid()));
    let mut down = support::command("tm", folder.path());
    down.arg("down").env("TM_SOCKET", &socket);
    assert_eq!(run(down).code, 0);
    assert!(is_alive(other.pid()));
}

#[test]
fn a_process_that_was_there_before_the_daemon_outlives_it() {
    let folder = support::folder();
    support::write_config(folder.path(), "programs:\n  a: {cmd: sleep 1000}\n");
    let socket = folder.path().join("tmd.sock");
    // The second one is adopted when its parent ends. Both claim to be of the program.
    let script = "TM_PROCESS=a:0 TM_SOCKET=$1 sleep 7001 & echo $! > before
        (TM_PROCESS=a:0 TM_SOCKET=$1 sleep 7002 & echo $! > below; read line < end) &
        shift; exec \"$@\"";
    let made = Command::new("mkfifo")
        .arg(folder.path().join("end"))
        .status();
    assert!(made.expect("mkfifo is installed").success());
    let mut daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut sh = support::command("sh", tmd.get_current_dir().expect("a folder"));
        sh.args(["-c", script, "sh"]).arg(&socket);
        sh.arg(tmd.get_program()).args(tmd.get_args());
        sh.arg("--socket").arg(socket);
        *tmd = sh;
    });
    let pid_in = |name: &str| -> i32 { wait_for_line(&daemon.path(name)).parse().expect("a pid") };
    let theirs = [pid_in("before"), pid_in("below")];
    for pid in theirs {
        support::system::wait_for_exec(pid, "sleep 700");
    }
    fs::write(daemon.path("end"), "end\n").expect("it is read");
    daemon.wait_state("a:0", "RUNNING");
    let stragglers = |daemon: &Daemon| daemon.status("a:0")["stragglers"].clone();
    daemon.rpc("restart", json!({"targets": ["a"]}));
    assert_eq!(stragglers(&daemon), json!([]));
    daemon.rpc("stop", json!({"targets": ["a"]}));
    assert_eq!(stragglers(&daemon), json!([]));
    daemon.signal(Signal::TERM);
    let code = daemon.wait_end_leaving(&theirs);
    let alive = theirs.map(is_alive);
    theirs.into_iter().for_each(|pid| kill(pid, Signal::KILL));
    assert_eq!((code, alive), (0, [true; 2]), "{}", daemon.log());
}

#[test]
fn a_leader_that_became_root_is_named_and_holds_up_no_second_signal() {
    if !is_root() {
        skip!("needs root to start a process that its daemon may not kill");
    }
    let folder = shared();
    let mut install = support::command("install", folder.path());
    install.args(["-m", "4755", "/usr/bin/setpriv", "become"]);
    assert_eq!(run(install).code, 0);
    let mut daemon = daemon_of(
        ALICE,
        folder,
        "programs:\n  a: {cmd: '@DIR@/become --reuid=0 --clear-groups sleep 1000', starttime: 0,\n\
         \x20   stoptime: 200ms}\n",
    );
    let pid = daemon.pid_of("a:0");
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    while name() != "sleep\n" {
        wait_until_alive(pid);
    }
    let mut events = daemon.events();
    daemon.rpc("stop", json!({"targets": ["a"], "wait": false}));
    events.wait_until("a report", |event| {
        let detail = event["detail"].as_str().unwrap_or_default();
        event["event"] == "signal_failed" && detail.starts_with("signal 9 ")
    });
    let why = daemon.rpc("why", json!({"process": "a:0"})).to_string();
    assert!(why.contains("Operation not permitted"), "{why}");
    assert!(!why.contains("SIGKILL was sent"), "{why}");
    assert_eq!(daemon.status("a:0")["state"], "STOPPING");
    daemon.signal(Signal::TERM);
    wait_for_text(&daemon.path("tmd.log"), "SIGTERM: shutting down\n");
    daemon.signal(Signal::TERM);
    let code = daemon.wait_end_leaving(&[pid]);
    let alive = is_alive(pid);
    kill(pid, Signal::KILL);
    assert!(alive, "{}", daemon.log());
    assert_eq!(code, 0, "{}", daemon.log());
}
