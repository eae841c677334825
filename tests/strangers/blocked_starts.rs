//! Users who stop or block a child between its clone and its exec.
//!
//! The user of a program may signal the program's child as soon as that has changed its user, and
//! may hold up the kernel's open of a file of its own. The child then does not reach its program.

use super::support::system::Bystander;
use super::support::{self, Daemon, command, is_root, skip, wait_for_line, wait_gone};
use rustix::process::Signal;
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Stops every process of its user, until one of them is a child of the daemon that has not
/// exec'd. Keeps that stopped, and prints its pid.
const STOP_CHILDREN: &str = r#"
import os, signal, sys, time
uid = str(os.getuid())
def held():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = open(f"/proc/{pid}/status").read()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        ours = fields["Uid"].split()[0] == uid and int(pid) != os.getpid()
        if ours and fields["Name"].strip() == "tmd" and fields["State"].split()[0] == "T":
            return pid
try:
    os.kill(-1, signal.SIGKILL)  # what a failed test has left
except OSError:
    pass
open(sys.argv[1] + "/ready", "w").write("ready\n")
while True:
    try:
        os.kill(-1, signal.SIGSTOP)
    except OSError:
        continue
    time.sleep(0.001)
    pid = held()
    if pid:
        break
    try:
        os.kill(-1, signal.SIGCONT)
    except OSError:
        pass
open(sys.argv[1] + "/held", "w").write(pid + "\n")
while True:
    signal.pause()
"#;

/// Holds a write lease on a file, and says when the kernel asks for its end.
const HOLD_LEASE: &str = r#"
import fcntl, os, signal, sys
def asked(*_):
    open(sys.argv[1] + "/held", "w").write("held\n")
signal.signal(signal.SIGIO, asked)
file = os.open(sys.argv[2], os.O_RDONLY)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
open(sys.argv[1] + "/ready", "w").write("ready\n")
while True:
    signal.pause()
"#;

/// A folder for the daemon with a folder for the attacker.
fn shared_folder(uid: u32) -> tempfile::TempDir {
    let folder = support::folder();
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).expect("a new folder");
    for path in [folder.path(), &theirs] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
    }
    chown(&theirs, Some(uid), Some(uid)).expect("we are root");
    folder
}

/// Runs a Python script as another user, and waits until it is ready.
fn attack(folder: &Path, uid: u32, script: &str, file: &str) -> Bystander {
    let theirs = folder.join("theirs");
    let mut attacker = command("setpriv", &theirs);
    attacker.args([&format!("--reuid={uid}"), &format!("--regid={uid}")]);
    attacker.args(["--clear-groups", "/usr/bin/python3", "-c", script]);
    attacker.arg(&theirs).arg(file);
    let attacker = Bystander::start(&mut attacker);
    wait_for_line(&theirs.join("ready"));
    attacker
}

/// Whether the attacks can be made here.
fn is_possible() -> bool {
    is_root() && Path::new("/usr/bin/python3").exists()
}

/// The daemon answers and starts another program, then SIGTERM ends it.
fn expect_unimpressed(daemon: &mut Daemon) {
    assert_eq!(daemon.all().len(), 2);
    daemon.rpc("start", json!({"targets": ["other:0"]}));
    daemon.wait_state("other:0", "RUNNING");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn a_child_that_its_user_stops_holds_up_nothing() {
    const USER: u32 = 54_331;
    if !is_possible() {
        skip!("needs root and python3");
    }
    let folder = shared_folder(USER);
    // Each missing candidate is one more chance to stop the child before its program runs.
    let missing: String = (0..2000).map(|number| format!("/n{number}:")).collect();
    let yaml = format!(
        "programs:\n\
         \x20 a: {{cmd: 'true', user: {USER}, group: {USER}, workingdir: /, autorestart: always,\n\
         \x20   starttime: 0, restart: {{burst: 100, max_delay: 1s}},\n\
         \x20   env: {{PATH: '{missing}/bin'}}}}\n\
         \x20 other: {{cmd: sleep 1000, autostart: false, starttime: 0}}\n"
    );
    support::write_config(folder.path(), &yaml);
    let attacker = attack(folder.path(), USER, STOP_CHILDREN, "");
    let mut daemon = Daemon::start_held_up(folder);
    let held = wait_for_line(&daemon.path("theirs/held"));
    expect_unimpressed(&mut daemon);
    wait_gone(held.parse().expect("a pid"));
    drop(attacker);
}

#[test]
fn a_lease_on_a_program_holds_up_nothing() {
    const USER: u32 = 54_332;
    if !is_possible() {
        skip!("needs root and python3");
    }
    let (_attacker, mut daemon) = leased(USER);
    expect_unimpressed(&mut daemon);
}

#[test]
fn a_stop_does_not_wait_for_a_child_that_is_held_up() {
    const USER: u32 = 54_333;
    if !is_possible() {
        skip!("needs root and python3");
    }
    let (_attacker, daemon) = leased(USER);
    let row = daemon.status("a:0");
    assert_eq!(row["state"], "STARTING", "{row}");
    daemon.rpc("stop", json!({"targets": ["a:0"]}));
    let row = daemon.status("a:0");
    assert_eq!(row["state"], "STOPPED", "{row}");
}

#[test]
fn a_start_that_is_held_up_fails_in_time_and_names_its_step() {
    const USER: u32 = 54_334;
    if !is_possible() {
        skip!("needs root and python3");
    }
    let (_attacker, daemon) = leased(USER);
    daemon.wait_state("a:0", "BACKOFF");
    let why = daemon.tm(&["why", "a:0"]).stdout;
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let program = daemon.path("theirs/program");
    let step = format!("exec {}: no answer within 10 s", program.display());
    assert!(why.contains(&step), "{why}");
    assert!(why.contains("find out who holds up"), "{why}");
}

/// A daemon whose program `a` cannot be opened as long as the attacker lives.
fn leased(uid: u32) -> (Bystander, Daemon) {
    let folder = shared_folder(uid);
    let program = folder.path().join("theirs/program");
    let mut install = command("install", folder.path());
    let owner = [format!("--owner={uid}"), format!("--group={uid}")];
    install
        .args(owner)
        .args(["--mode=755", "/bin/true"])
        .arg(&program);
    assert_eq!(support::run(install).code, 0);
    let yaml = format!(
        "programs:\n\
         \x20 a: {{cmd: '@DIR@/theirs/program', user: {uid}, group: {uid}, workingdir: /,\n\
         \x20   autorestart: always, starttime: 0}}\n\
         \x20 other: {{cmd: sleep 1000, autostart: false, starttime: 0}}\n"
    );
    support::write_config(folder.path(), &yaml);
    let attacker = attack(
        folder.path(),
        uid,
        HOLD_LEASE,
        &program.display().to_string(),
    );
    let daemon = Daemon::start_held_up(folder);
    wait_for_line(&daemon.path("theirs/held"));
    (attacker, daemon)
}
