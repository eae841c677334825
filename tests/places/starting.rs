//! Starts inherit nothing harmful and leave nothing behind.

use super::home::{Home, Running};
use super::support::Control;
use rustix::fs::FlockOperation;
use serde_json::json;
use std::fs::{self, File};

#[test]
fn an_ignored_sigchld_hides_no_death() {
    let home = Home::new();
    let config = home.write(
        "a",
        "programs:\n  a: {cmd: 'exit 3', shell: true, starttime: 0, autorestart: never}\n\
         \x20 b: {cmd: sleep 1000, starttime: 0}\n",
    );
    let usual = home.usual(&config);
    for line in ["tmd -d", "tm up -d"] {
        let output = home.shell("a", &format!("exec env --ignore-signal=CHLD {line}"));
        let daemon = Running::behind(&usual);
        let mut control = Control::connect(&usual).expect("it listens");
        let params = json!({"targets": ["a"], "for": "exited"});
        control.call("wait", params).expect("it ends");
        let reply = control.call("status", json!({"targets": ["a"]}));
        let reply = reply.expect("it is known");
        assert_eq!(reply["processes"][0]["exit"]["code"], 3, "{line}: {reply}");
        assert!(!output.stderr.contains("starting"), "{output:?}");
        daemon.end();
    }
}

#[test]
fn a_daemon_in_the_background_keeps_nothing_open() {
    let home = Home::new();
    let config = home.project("a", "");
    let usual = home.usual(&config);
    for line in ["exec tmd -d", "exec tm up -d"] {
        let output = home.shell("a", &format!("exec 9>lk; flock 9; {line}"));
        assert_eq!(output.code, 0, "{output:?}");
        let daemon = Running::behind(&usual);
        let lock = File::open(home.path("a/lk")).expect("the shell made it");
        let free = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
        daemon.end();
        assert_eq!(free, Ok(()), "{line}");
    }
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let home = Home::new();
    let settings = [
        "daemon: {pidfile: /nope/x.pid}",
        "daemon: {pidfile: /nope/x.pid, socket: x.sock}",
        "daemon: {socket: nope/x.sock}",
    ];
    for settings in settings {
        home.project("a", settings);
        for arguments in [&[][..], &["-d"]] {
            let output = home.tmd("a", arguments);
            assert_eq!(output.code, 1, "{output:?}");
            assert!(!output.stderr.contains("os error"), "{output:?}");
            assert_eq!(home.registered(), Vec::<String>::new(), "{settings}");
            let left: Vec<_> = fs::read_dir(home.path("a"))
                .expect("it is there")
                .flatten()
                .map(|entry| entry.file_name())
                .collect();
            assert_eq!(left, ["taskmaster.yaml"], "{settings}");
        }
    }
}

#[test]
fn the_end_takes_socket_and_lock_along() {
    let home = Home::new();
    let config = home.project("a", "");
    home.start("a", &home.usual(&config)).end();
    assert_eq!(home.registered(), Vec::<String>::new());
    home.project("a", "daemon: {socket: x.sock, pidfile: x.pid}");
    home.start("a", &home.path("a/x.sock")).end();
    assert_eq!(home.registered(), Vec::<String>::new());
    for name in ["x.sock", "x.lock", "x.pid"] {
        assert!(!home.path("a").join(name).exists(), "{name}");
    }
}

#[test]
fn each_config_has_a_log_of_its_own() {
    let home = Home::new();
    for project in ["a", "b"] {
        let config = home.project(project, "daemon: {socket: tmd.sock}");
        let output = home.tmd(project, &["-d"]);
        assert_eq!(output.code, 0, "{output:?}");
        Running::behind(&home.path(project).join("tmd.sock")).end();
        let usual = home.usual(&config).with_extension("log");
        let name = usual.file_name().expect("a name").to_owned();
        let log = fs::read_to_string(home.path("state/tmd").join(name)).expect("a log");
        assert!(log.contains(&config.display().to_string()), "{log}");
    }
    assert!(!home.path("state/tmd/tmd.log").exists());
}

#[test]
fn places_that_cannot_be_had_are_named_with_a_remedy() {
    let home = Home::new();
    let cases = [
        ("daemon: {pidfile: /nope/x.pid}", "daemon.pidfile"),
        ("daemon: {socket: /nope/x.sock}", "daemon.socket"),
    ];
    for (settings, key) in cases {
        home.project("a", settings);
        let output = home.tmd("a", &[]);
        let expected = format!("{key} /nope/x.");
        assert!(output.stderr.contains(&expected), "{output:?}");
        let remedy = "the directory /nope does not exist; create it or choose another path";
        assert!(output.stderr.contains(remedy), "{output:?}");
    }
    home.project("a", "");
    let output = home.tmd("a", &["--socket", "/nope/x.sock"]);
    assert!(
        output.stderr.contains("--socket /nope/x.sock"),
        "{output:?}"
    );
    assert!(output.stderr.contains("the directory /nope"), "{output:?}");
    let output = home.tmd("a", &["--socket", "/proc/x.sock"]);
    assert!(!output.stderr.contains("os error"), "{output:?}");
}
