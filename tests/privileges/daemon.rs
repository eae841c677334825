//! A daemon that becomes another user.

use super::support::{self, Daemon};
use super::*;
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use taskmaster::sys::runtime;

/// These daemons share the folder of their user, and a test removes it at its end.
static ONE: Mutex<()> = Mutex::new(());

/// Returns the socket of a config's daemon that has become this user.
fn socket_of(folder: &Path, uid: u32) -> PathBuf {
    let config = folder.join("taskmaster.yaml");
    let config = config.canonicalize().expect("it is written");
    runtime::socket_path(&runtime::runtime_dir(uid, None), &config)
}

#[test]
fn a_daemon_with_a_user_drops_root_for_good() {
    if !is_root() {
        skip!("needs root");
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let yaml = |more: &str| {
        format!(
            "daemon: {{user: games, log: {{file: '@DIR@/games/log'}}}}\n\
             defaults: {{starttime: 0, cmd: sleep 1000}}\n\
             programs:\n  a: {{stdout: '@DIR@/games/a'}}\n{more}"
        )
    };
    let folder = shared_folder();
    let own = folder.path().join("games");
    fs::create_dir(&own).expect("a new folder");
    chown(&own, Some(GAMES.0), Some(GAMES.1)).expect("we are root");
    support::write_config(folder.path(), &yaml(""));
    let socket = socket_of(folder.path(), GAMES.0);
    let mut daemon = Daemon::start_prepared(folder, socket.clone(), |_| {});
    let owned = |path: &Path| {
        let metadata = fs::metadata(path).expect("it is there");
        (metadata.uid(), metadata.mode() & 0o777)
    };
    assert_eq!(owned(&socket), (GAMES.0, 0o600));
    assert_eq!(owned(socket.parent().expect("a folder")), (GAMES.0, 0o700));
    assert_eq!(owned(&runtime::lock_path(&socket)).0, GAMES.0);
    // The log's own thread creates it.
    wait_for_line(&daemon.path("games/log"));
    assert_eq!(owned(&daemon.path("games/log")).0, GAMES.0);
    assert_only(daemon.pid(), GAMES);

    daemon.wait_state("a:0", "RUNNING");
    assert_only(daemon.pid_of("a:0"), GAMES);
    assert_eq!(owned(&daemon.path("games/a")).0, GAMES.0);

    daemon.reload_with(&yaml("  b: {cmd: sleep 1001}\n"));
    daemon.wait_state("b:0", "RUNNING");
    assert_only(daemon.pid_of("b:0"), GAMES);
    let refused = daemon.reload_with(&yaml("  c: {user: nobody}\n"));
    assert_eq!(refused["event"], "reload_failed", "{refused}");
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("drops root"), "{refused}");

    // Root finds the daemon by its config.
    support::write_config(daemon.dir(), &yaml(""));
    let config = daemon.path("taskmaster.yaml").display().to_string();
    let mut status = support::command("tm", Path::new("/"));
    status
        .args(["-c", &config, "status"])
        .env_remove("TM_SOCKET");
    let output = support::run(status);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("b:0"), "{output:?}");

    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
    assert!(!socket.exists());
    assert!(!runtime::lock_path(&socket).exists());
    forget(&socket, &daemon.path("taskmaster.yaml"));
}

#[test]
fn another_user_in_the_config_makes_no_second_daemon() {
    if !is_root() {
        skip!("needs root");
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let yaml = |settings: &str| {
        format!("{settings}\nprograms: {{a: {{cmd: sleep 1000, starttime: 0}}}}\n")
    };
    let users = ["", "daemon: {user: games}", "daemon: {user: daemon}"];
    let uids = [0, GAMES.0, DAEMON.0];
    for ((before, uid), after) in users.iter().zip(uids).zip([users[1], users[2], users[0]]) {
        let folder = shared_folder();
        support::write_config(folder.path(), &yaml(before));
        let socket = socket_of(folder.path(), uid);
        let mut daemon = Daemon::start_prepared(folder, socket.clone(), |_| {});
        let config = support::write_config(daemon.dir(), &yaml(after));
        let name = config.display().to_string();
        let run = |program, arguments: &[&str]| {
            let mut command = support::command(program, Path::new("/"));
            command.args(arguments).env_remove("TM_SOCKET");
            support::run(command)
        };
        let output = run("tmd", &["-d", "-c", &name]);
        assert_eq!(output.code, 1, "{output:?}");
        let expected = format!("{name}: already running (pid {})", daemon.pid());
        assert!(output.stderr.contains(&expected), "{output:?}");
        // A reload reports the user that the daemon can no longer become.
        let output = run("tm", &["-c", &name, "reload"]);
        let refused = output.stderr.contains("needs root");
        assert!(output.code == 0 || refused, "{output:?}");
        for verb in [&["status"][..], &["up", "-d"]] {
            let output = run("tm", &[&["-c", &name], verb].concat());
            assert_eq!(output.code, 0, "{before:?} → {after:?}: {output:?}");
        }
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait_end(), 0);
        forget(&socket, &config);
    }
}

/// Removes the folder, and the lock taken as root. A daemon without root cannot remove them.
fn forget(socket: &Path, config: &Path) {
    let config = config.canonicalize().expect("it is written");
    let usual = runtime::socket_path(&runtime::runtime_dir(0, None), &config);
    let _ = fs::remove_file(runtime::lock_path(&usual));
    let _ = fs::remove_dir(socket.parent().expect("a folder"));
}

/// Fails unless each thread of a process has only this user and no capability.
fn assert_only(pid: i32, (uid, gid): (u32, u32)) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    for thread in threads.flatten() {
        let status = fs::read_to_string(thread.path().join("status")).expect("a thread");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.unwrap_or_default().split_whitespace();
            words.map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(field("Uid:"), vec![uid.to_string(); 4]);
        assert_eq!(field("Gid:"), vec![gid.to_string(); 4]);
        assert_eq!(field("Groups:"), [gid.to_string()]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), ["0000000000000000"], "{set}");
        }
    }
}
