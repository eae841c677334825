//! What a start inherits, and what it leaves behind.

use super::home::{Home, Running};
use super::support::Control;
use rustix::fs::FlockOperation;
use serde_json::json;
use std::fs::File;

#[test]
fn ignored_ends_of_children_are_noticed_all_the_same() {
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
