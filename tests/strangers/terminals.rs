//! Control sequences from programs, files and the wire on the way to a terminal.

use super::fake_daemon::{FakeDaemon, Reply, hello};
use super::support::{self, Daemon, Terminal};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Sets the title, clears the screen, and more: with C0, C1, DEL and bidirectional controls.
const EVIL: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[8m\u{9b}31m\u{9d}\u{7f}\u{8}\u{202e}\u{2067}evil";

/// Each verb, and whether it prints something that the daemon sent.
pub const VERBS: &[(&[&str], bool)] = &[
    (&["status"], true),
    (&["start", "x"], true),
    (&["stop", "x"], true),
    (&["restart", "x"], true),
    (&["signal", "HUP", "x"], true),
    (&["wait", "x", "--for", "running"], true),
    (&["why", "x"], true),
    (&["logs", "x"], true),
    (&["logs", "x", "y", "-t"], true),
    (&["clients"], true),
    (&["detach", "x:0"], false),
    (&["peek", "x:0"], true),
    (&["peek", "--ansi", "x:0"], true),
    (&["send", "x:0", "text"], false),
    (&["events"], true),
    (&["version"], true),
    (&["doctor"], true),
    (&["reload"], true),
    (&["reload", "--dry-run"], true),
    (&["scale", "x=2"], true),
    (&["shutdown"], false),
    (&["down"], false),
    (&["daemons"], false),
];

fn evil_row() -> Value {
    json!({
        "name": EVIL, "program": EVIL, "instance": 0, "state": EVIL, "desired": EVIL, "pid": 1,
        "uptime_s": 5.0, "restarts": 1, "started_at": EVIL, "exit": null, "detail": EVIL,
        "stragglers": [EVIL],
        "clients": [{"process": EVIL, "pid": 1, "uid": 1, "since": EVIL}]
    })
}

/// A result in which each text is evil.
pub fn evil_result(method: &str) -> Value {
    let change = json!({"key": EVIL, "from": EVIL, "to": EVIL});
    let entry = |action: &str| json!({"process": EVIL, "action": action, "changes": [change]});
    match method {
        "hello" => {
            let mut hello = hello();
            hello["version"] = json!(EVIL);
            hello["config"] = json!(EVIL);
            hello["started_at"] = json!(EVIL);
            hello["pid"] = json!(i32::MAX);
            hello
        }
        "status" => json!({"processes": [evil_row()]}),
        "start" | "stop" | "restart" | "signal" | "wait" => {
            let outcome = json!({"name": EVIL, "ok": false, "state": EVIL, "message": EVIL});
            json!({"processes": [outcome], "timed_out": false})
        }
        "why" => json!({
            "process": evil_row(), "summary": EVIL, "causes": [EVIL], "next": EVIL,
            "remedy": EVIL, "output": [EVIL]
        }),
        "clients" => json!({"clients": [{"process": EVIL, "pid": 1, "uid": 1, "since": EVIL}]}),
        "peek" => json!({"lines": [EVIL], "title": EVIL, "history": [EVIL], "rows": 1, "cols": 1}),
        "events" => {
            let event = json!({"ts": EVIL, "event": EVIL, "process": EVIL, "from": EVIL,
                "to": EVIL, "detail": EVIL});
            json!({"events": [event]})
        }
        "doctor" => json!({
            "kernel": EVIL, "checks": [{"name": EVIL, "ok": false, "detail": EVIL}]
        }),
        "reload" | "scale" => {
            let actions = ["add", "remove", "restart", "live", "unchanged", EVIL];
            let entries: Vec<Value> = actions.iter().map(|action| entry(action)).collect();
            json!({"entries": entries, "warnings": [EVIL], "applied": true})
        }
        "attach" => json!({"process": EVIL, "state": EVIL, "driver": true}),
        "send" => json!({"bytes": 4}),
        "detach" => json!({"detached": 1, "process": EVIL}),
        _ => json!(null),
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    [&[kind, 0][..], &length.to_be_bytes(), payload].concat()
}

/// Output whose source, text and notices are evil.
fn evil_frames() -> Vec<u8> {
    let source = json!({"process": EVIL, "stream": EVIL, "time_ns": 1}).to_string();
    let data = [&[0; 8][..], EVIL.as_bytes(), b"\n"].concat();
    [
        frame(10, source.as_bytes()),
        frame(1, &data),
        frame(6, EVIL.as_bytes()),
        frame(5, &9_u64.to_be_bytes()),
        frame(1, &data),
        frame(11, b""),
    ]
    .concat()
}

pub fn evil_error() -> Value {
    json!({"code": -32001, "message": EVIL, "data": {
        "suggestion": EVIL,
        "diagnostics": [EVIL, {"file": EVIL, "line": 1, "column": 1, "severity": EVIL,
            "key": EVIL, "message": EVIL, "help": EVIL}]
    }})
}

/// Runs a command on a terminal to its end, without colours; returns its output.
fn on_a_terminal(mut command: Command) -> String {
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::spawn_command(&command, 50, 1000);
    terminal.wait_end();
    String::from_utf8_lossy(terminal.raw()).into_owned()
}

/// Fails if the output holds a character that controls a terminal. Newlines and tabs are fine.
fn assert_harmless(what: &str, output: &str) {
    let text = output.replace("\r\n", "\n");
    let bad = |c: char| {
        let redirects = "\u{202e}\u{2067}\u{200f}\u{61c}".contains(c);
        redirects || c.is_control() && c != '\n' && c != '\t'
    };
    assert!(!text.contains(bad), "{what}: {text:?}");
}

#[test]
fn no_verb_prints_what_a_daemon_sends_as_it_is() {
    let daemon = FakeDaemon::start(|method, _| match method {
        "logs" => Reply::Then(json!({}), evil_frames()),
        _ => Reply::Result(evil_result(method)),
    });
    for (verb, prints) in VERBS {
        for more in [&[][..], &["--json"]] {
            let arguments = [&["tm"], *verb, more].concat();
            let output = on_a_terminal(daemon.command(&arguments));
            if arguments.contains(&"--ansi") && more.is_empty() {
                // The colours of the process are what was asked for.
                let plain = output.replace("\u{1b}[8m", "").replace("\u{1b}[0m", "");
                assert_harmless("peek --ansi", &plain);
            } else {
                assert_harmless(&arguments.join(" "), &output);
            }
            let printed = output.contains("evil") || !prints;
            assert!(printed, "{arguments:?} prints nothing: {output}");
        }
    }
}

#[test]
fn no_verb_prints_an_error_as_it_is() {
    let daemon = FakeDaemon::start(|method, _| match method {
        "hello" => Reply::Result(evil_result("hello")),
        _ => Reply::Error(evil_error()),
    });
    let attach: (&[&str], bool) = (&["attach", "x:0"], true);
    for (verb, _) in VERBS.iter().chain([&attach]) {
        for more in [&[][..], &["--json"]] {
            let arguments = [&["tm"], *verb, more].concat();
            let output = on_a_terminal(daemon.command(&arguments));
            assert_harmless(&arguments.join(" "), &output);
            let asks = !["version", "daemons"].contains(&verb[0]);
            assert!(output.contains("evil") || !asks, "{arguments:?}: {output}");
        }
    }
    // A daemon of another version names it.
    let daemon = FakeDaemon::start(|_, _| {
        let mut hello = evil_result("hello");
        hello["protocol"] = json!(9);
        Reply::Result(hello)
    });
    let output = on_a_terminal(daemon.command(&["tm", "status"]));
    assert_harmless("another version", &output);
    assert!(output.contains("evil"), "{output}");
}

#[test]
fn files_and_their_names_are_printed_escaped() {
    let folder = support::folder();
    // A directory's name may hold anything but a slash.
    let home = folder.path().join(format!("d{EVIL}"));
    fs::create_dir(&home).expect("a new folder");
    let config = home.join("taskmaster.yaml");
    let programs = [
        format!(
            "programs:\n  a: {{cmd: id}}\n  \"{}\": {{cmd: id}}\n",
            "b\\e]0;x\\a"
        ),
        "programs:\n  a: {cmd: id, env: {\"\\e]0;x\": 1}}\n".to_string(),
        "programs:\n  a: {cmd: id, env_file: x.env}\n".to_string(),
        "programs:\n  a: {cmd: id, \"x\\u202e\": 1, stopsignal: \"\\x9b\"}\n".to_string(),
        "programs:\n  a: {cmd: id}\n".to_string(),
    ];
    fs::write(home.join("x.env"), format!("{EVIL}=1\nA={EVIL}\n{EVIL}\n")).expect("written");
    for text in programs {
        fs::write(&config, &text).expect("written");
        for name in [
            &["tm", "check"][..],
            &["tm", "check", "--json"],
            &["tmd", "--check"],
        ] {
            let mut command = support::command(name[0], &home);
            command.args(&name[1..]).env_remove("TM_SOCKET");
            let output = on_a_terminal(command);
            assert_harmless(&text, &output);
            assert!(
                output.contains("evil/") || output.contains("\"ok\":true"),
                "{output}"
            );
        }
    }
}

#[test]
fn logs_of_a_real_daemon_pass_colours_only() {
    let daemon = Daemon::start(
        "defaults: {starttime: 0, autorestart: never}\nprograms:\n  a:\n    cmd: [printf, \
         '\\033[31mred\\033[0m\\302\\2330m\\342\\200\\256\\033[2Jend\\n']\n",
    );
    daemon.wait_ended("a:0");
    let mut terminal = daemon.terminal(&["tm", "logs", "a"], 24, 80);
    terminal.wait_end();
    let output = String::from_utf8_lossy(terminal.raw()).into_owned();
    assert!(output.contains("\u{1b}[31mred"), "{output:?}");
    let plain = output.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
    assert_harmless("logs", &plain);
    assert!(plain.contains("end"), "{output:?}");
    let _: Value = daemon.status("a:0");
}
