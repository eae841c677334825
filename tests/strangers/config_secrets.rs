//! Users with a right who cannot read the config: they do not learn its text from the daemon.

use super::attackers::{ACCESS, OPERATOR, READER, answer, call, connect_as, request, send, start};
use super::support::{self, Daemon, is_root, skip};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

const SOUND: &str = "programs:\n  quiet: {cmd: sleep 1000, starttime: 0}\n";

/// A daemon whose config only root can read.
fn guarded() -> Daemon {
    let daemon = start(SOUND);
    daemon.wait_state("quiet:0", "RUNNING");
    write(&daemon, SOUND);
    daemon
}

fn write(daemon: &Daemon, programs: &str) {
    let path = support::write_config(daemon.dir(), &format!("{ACCESS}{programs}"));
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it is ours");
}

/// The answer to a call of another user.
fn ask(daemon: &Daemon, uid: u32, method: &str, params: &Value) -> Value {
    let stream = connect_as(uid, &daemon.socket()).expect("it connects");
    call(&stream, method, params).expect("an answer")
}

#[test]
fn errors_of_a_config_are_shown_to_its_owner_only() {
    if !is_root() {
        skip!("needs root");
    }
    let faulty = [
        "programs:\n  quiet: {cmd: sleep 1000, stoptime: hunter2}\n",
        "programs:\n  quiet: {cmd: sleep 1000, hunter2: 1}\n",
        "programs:\n  hunter2: {cmd: sleep 1000, numprocs: -1}\n",
        "programs:\n  quiet: {cmd: sleep 1000, env: {A: '${hunter2}'}}\n",
        "include: [hunter2.yaml]\n",
        "programs:\n  quiet: {cmd: sleep 1000, env_file: hunter2.env}\n",
    ];
    let daemon = guarded();
    let follower = connect_as(READER, &daemon.socket()).expect("it connects");
    call(&follower, "events", &json!({"follow": true})).expect("an answer");
    let mut events = daemon.events();
    for text in faulty {
        write(&daemon, text);
        let dry = json!({"dry_run": true});
        let answers = [
            ask(&daemon, READER, "reload", &dry),
            ask(&daemon, OPERATOR, "reload", &dry),
            ask(&daemon, OPERATOR, "reload", &json!({})),
        ];
        for refused in answers {
            assert_eq!(refused["error"]["code"], -32004, "{refused}");
            let message = refused["error"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("ask its owner"), "{refused}");
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        let told = answer(&follower).expect("an event");
        assert_eq!(told["params"]["event"], "reload_failed", "{told}");
        assert!(!told.to_string().contains("hunter2"), "{told}");
        let kept = ask(&daemon, READER, "events", &json!({}));
        assert!(kept.to_string().contains("reload_failed"), "{kept}");
        assert!(!kept.to_string().contains("hunter2"), "{kept}");

        let shown = daemon.rpc_error("reload", dry.clone()).to_string();
        assert!(shown.contains("hunter2"), "{shown}");
        let event = events.wait_until("reload_failed", |event| event["event"] == "reload_failed");
        assert!(event.to_string().contains("hunter2"), "{event}");
        let kept = daemon.rpc("events", json!({}));
        assert!(kept.to_string().contains("hunter2"), "{kept}");
    }
    support::system::wait_for_text(&daemon.path("tmd.log"), "hunter2");
}

#[test]
fn reloads_of_a_faulty_config_do_not_flood_the_log() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = guarded();
    let mut text = SOUND.to_string();
    for number in 0..300 {
        text.push_str(&format!(
            "  p{number}: {{cmd: sleep 1000, stoptime: never}}\n"
        ));
    }
    write(&daemon, &text);
    let stream = connect_as(OPERATOR, &daemon.socket()).expect("it connects");
    let began = Instant::now();
    for _ in 0..50 {
        let refused = call(&stream, "reload", &json!({})).expect("an answer");
        assert_eq!(refused["error"]["code"], -32004, "{refused}");
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("few");
    // The log keeps the order, so it has all errors then.
    daemon.rpc("restart", json!({"targets": ["quiet"]}));
    let log = support::system::wait_for_text(&daemon.path("tmd.log"), "restart {");
    let named = log.matches("p299.stoptime").count();
    assert!(named >= 1, "{log}");
    assert!(named <= seconds + 2, "{named} times in {seconds} s");
}

#[test]
fn warnings_and_plans_show_values_to_the_owner_only() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = guarded();
    write(
        &daemon,
        "programs:\n  quiet: {cmd: 'sleep 1000 | hunter2', starttime: 0, stoptime: 7777}\n",
    );
    for (uid, dry) in [(READER, true), (OPERATOR, true), (OPERATOR, false)] {
        let plan = ask(&daemon, uid, "reload", &json!({"dry_run": dry}));
        let text = plan.to_string();
        let change = &plan["result"]["entries"][0]["changes"];
        assert!(change.to_string().contains("stoptime"), "{plan}");
        assert!(plan["result"]["warnings"][0].is_string(), "{plan}");
        assert!(
            !text.contains("hunter2") && !text.contains("7777"),
            "{plan}"
        );
    }
    write(
        &daemon,
        "programs:\n  quiet: {cmd: 'sleep 2000 | hunter2', starttime: 0}\n",
    );
    let plan = daemon.rpc("reload", json!({"dry_run": true})).to_string();
    assert!(plan.contains("sleep 2000 | hunter2"), "{plan}");
}

#[test]
fn a_dry_run_by_a_reader_changes_nothing_beside_a_reload() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = guarded();
    write(&daemon, &SOUND.replace("quiet", "other"));
    let stream = connect_as(READER, &daemon.socket()).expect("it connects");
    let dry = request(1, "reload", &json!({"dry_run": true}));
    send(&stream, dry.as_bytes());
    let plan = answer(&stream).expect("an answer");
    assert_eq!(plan["result"]["applied"], false, "{plan}");
    assert_eq!(daemon.status("quiet:0")["name"], "quiet:0");
}
