//! A daemon that lies: it answers requests as a test wants.

use super::terminals::{VERBS, evil_error, evil_result};
use crate::support::{self, Output, PATIENCE, Terminal};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use taskmaster::wire::{Frame, Kind};

/// A reply to one request.
pub enum Reply {
    /// A result.
    Result(Value),
    /// An error object.
    Error(Value),
    /// A result, then these bytes.
    Then(Value, Vec<u8>),
    /// These bytes, then nothing.
    Bytes(Vec<u8>),
    /// These bytes again and again, until the client leaves.
    Endless(Vec<u8>),
    /// This byte again and again, slowly.
    Dripping(u8),
}

type Script = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// A socket on which such a daemon answers.
pub struct FakeDaemon {
    folder: tempfile::TempDir,
    socket: PathBuf,
    requests: Mutex<Receiver<(String, Value)>>,
}

impl FakeDaemon {
    /// Answers `hello` by itself and all else by the script.
    pub fn start(script: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> FakeDaemon {
        let folder = support::folder();
        let socket = folder.path().join("fake.sock");
        let requests = Mutex::new(listen(&socket, script));
        FakeDaemon {
            folder,
            socket,
            requests,
        }
    }

    /// The folder of the socket.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the next request with this method; returns its parameters.
    pub fn wait_request(&self, method: &str) -> Value {
        let requests = self.requests.lock().expect("one test uses it");
        loop {
            let (name, params) = requests.recv_timeout(PATIENCE).expect("a request");
            if name == method {
                return params;
            }
        }
    }

    /// A command that uses this daemon.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = support::command(arguments[0], self.dir());
        command.args(&arguments[1..]).env("TM_SOCKET", &self.socket);
        command
    }

    /// Runs `tm` without a terminal.
    pub fn tm(&self, arguments: &[&str]) -> Output {
        support::run(self.command(&[&["tm"], arguments].concat()))
    }
}

/// Listens at this path; reports each request.
pub fn listen(
    socket: &Path,
    script: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> Receiver<(String, Value)> {
    let listener = UnixListener::bind(socket).expect("a free path");
    let script: Arc<Script> = Arc::new(script);
    let (sender, receiver) = channel();
    // The threads end with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, sender) = (Arc::clone(&script), sender.clone());
            std::thread::spawn(move || serve(stream, &*script, &sender));
        }
    });
    receiver
}

fn serve(mut stream: UnixStream, script: &Script, sender: &Sender<(String, Value)>) {
    let Ok(reading) = stream.try_clone() else {
        return;
    };
    for line in BufReader::new(reading).split(b'\n').map_while(Result::ok) {
        // After a switch to frames the input is no longer JSON.
        let Ok(request) = serde_json::from_slice::<Value>(&line) else {
            continue;
        };
        let method = request["method"].as_str().unwrap_or_default().to_string();
        let params = request["params"].clone();
        let reply = match method.as_str() {
            "hello" => Reply::Result(script_hello(script, &params)),
            _ => script(&method, &params),
        };
        let _ = sender.send((method, params));
        let id = &request["id"];
        let line = |key: &str, value: Value| {
            let mut text = json!({"jsonrpc": "2.0", "id": id, key: value}).to_string();
            text.push('\n');
            text.into_bytes()
        };
        let (bytes, endless) = match reply {
            Reply::Result(value) => (line("result", value), false),
            Reply::Error(value) => (line("error", value), false),
            Reply::Then(value, more) => ([line("result", value), more].concat(), false),
            Reply::Bytes(bytes) => (bytes, false),
            Reply::Endless(bytes) => (bytes, true),
            Reply::Dripping(byte) => return drip(&stream, byte),
        };
        while stream.write_all(&bytes).is_ok() && endless {}
    }
}

/// Sends a byte whenever the client has sent nothing for a moment, until it leaves.
fn drip(mut stream: &UnixStream, byte: u8) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let mut input = [0; 1024];
    loop {
        let left = match stream.read(&mut input) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        if left || stream.write_all(&[byte]).is_err() {
            return;
        }
    }
}

/// The script's `hello`, if it has one.
fn script_hello(script: &Script, params: &Value) -> Value {
    if let Reply::Result(value) = script("hello", params)
        && value.is_object()
    {
        return value;
    }
    hello()
}

/// The answer of a daemon to `hello`.
pub fn hello() -> Value {
    json!({
        "name": "tmd", "version": "0.1.0", "protocol": 1, "features": [],
        "pid": std::process::id(), "uid": 0, "config": "/nonexistent.yaml"
    })
}

/// A row of `status`.
pub fn row(program: &str) -> Value {
    json!({
        "name": format!("{program}:0"), "program": program, "instance": 0, "state": "RUNNING",
        "desired": "up", "pid": 1, "uptime_s": 5.0, "restarts": 0, "started_at": null,
        "exit": null, "detail": ""
    })
}

/// A text that would begin a line of its own, in red and from right to left.
const PLANTED: &str = "\u{1b}[31mfirst\nforged: all is well\u{202e}";

/// Replaces each text of a reply.
fn plant(value: &mut Value) {
    match value {
        Value::String(text) => *text = PLANTED.to_string(),
        Value::Array(items) => items.iter_mut().for_each(plant),
        Value::Object(fields) => fields.values_mut().for_each(plant),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn planted(mut value: Value) -> Value {
    plant(&mut value);
    value
}

/// An event as a notification.
fn planted_event() -> Vec<u8> {
    let event = planted(evil_result("events"))["events"][0].clone();
    let line = json!({"jsonrpc": "2.0", "method": "event", "params": event});
    format!("{line}\n").into_bytes()
}

fn frames(frames: &[(Kind, &[u8])]) -> Vec<u8> {
    let bytes = frames.iter();
    bytes
        .flat_map(|(kind, payload)| Frame::new(*kind, *payload).to_bytes())
        .collect()
}

/// A daemon whose every text is planted. Its process has a terminal if `tty`.
fn planting(tty: bool) -> FakeDaemon {
    FakeDaemon::start(move |method, params| {
        let mut result = planted(evil_result(method));
        let source = json!({"process": PLANTED, "stream": PLANTED, "time_ns": 1}).to_string();
        match method {
            "logs" => Reply::Then(
                json!({}),
                frames(&[
                    (Kind::Source, source.as_bytes()),
                    (Kind::Notice, PLANTED.as_bytes()),
                    (Kind::Skipped, &9_u64.to_be_bytes()),
                    (Kind::End, b""),
                ]),
            ),
            "events" if params["follow"] == true => Reply::Then(result, planted_event()),
            "attach" => {
                result["tty"] = json!(tty);
                if params["lossless"] == true {
                    result["pid"] = json!(1);
                }
                let shown = match params["replay"] == true {
                    true => (Kind::Snapshot, &b"\0\0\0\0\0\0\0\0screen\r\n"[..]),
                    false => (Kind::Notice, PLANTED.as_bytes()),
                };
                let end = (Kind::Detach, PLANTED.as_bytes());
                let all = [shown, end];
                // A client that steals stays until it leaves.
                let count = if params["steal"] == true { 1 } else { 2 };
                Reply::Then(result, frames(&all[..count]))
            }
            _ => Reply::Result(result),
        }
    })
}

/// The line without the colours of the client.
fn uncoloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| {
        text + part
            .split_once(|c: char| c.is_ascii_alphabetic())
            .map_or("", |(_, rest)| rest)
    })
}

/// Fails if the planted text controls the terminal or begins a line.
fn assert_tame(what: &str, output: &str) {
    assert!(!output.contains('\u{202e}'), "{what}: {output:?}");
    assert!(!output.contains("\u{1b}[31mfirst"), "{what}: {output:?}");
    assert_no_forged_line(what, output);
}

fn assert_no_forged_line(what: &str, output: &str) {
    let mut lines = output.split(['\n', '\r']).map(uncoloured);
    assert!(
        !lines.any(|line| line.starts_with("forged")),
        "{what}: {output:?}"
    );
}

/// Texts that a terminal shows, each with the keys that follow.
type Dialogue = [(&'static str, &'static str)];

/// Runs a command on a wide terminal, and types each text when the text before it has appeared.
fn typed(mut command: Command, coloured: bool, dialogue: &Dialogue) -> String {
    match coloured {
        true => command.env_remove("NO_COLOR").env("TERM", "xterm"),
        false => command.env("NO_COLOR", "1"),
    };
    let mut terminal = Terminal::spawn_command(&command, 50, 1000);
    for (shown, keys) in dialogue {
        terminal.expect(shown);
        terminal.send(keys);
    }
    terminal.wait_end();
    String::from_utf8_lossy(terminal.raw()).into_owned()
}

#[test]
fn no_text_of_a_reply_begins_a_line_or_controls_the_terminal() {
    let daemon = planting(false);
    let failing = FakeDaemon::start(|method, _| match method {
        "hello" => Reply::Result(planted(evil_result("hello"))),
        _ => Reply::Error(planted(evil_error())),
    });
    let more: [(&[&str], bool); 3] = [
        (&["attach", "x"], true),
        (&["attach", "--no-replay", "x"], true),
        (&["__complete-names", "stop"], false),
    ];
    for (verb, prints) in VERBS.iter().chain(&more) {
        let arguments = [&["tm"], *verb].concat();
        for coloured in [true, false] {
            let what = format!("{arguments:?}, coloured: {coloured}");
            let output = typed(daemon.command(&arguments), coloured, &[]);
            if verb.contains(&"--ansi") {
                // The colours of the process are what was asked for.
                assert!(!output.contains('\u{202e}'), "{what}: {output:?}");
                assert_no_forged_line(&what, &output);
            } else {
                assert_tame(&what, &output);
                // The end of an attachment resets the terminal.
                let own = coloured || verb[0] == "attach";
                assert!(own || !output.contains('\u{1b}'), "{what}: {output:?}");
            }
            let printed = output.contains("all is well") || !prints;
            assert!(printed, "{what}: {output:?}");
            assert_tame(&what, &typed(failing.command(&arguments), coloured, &[]));
        }
    }
}

#[test]
fn no_text_of_a_reply_controls_the_terminal_of_a_session() {
    let dialogues: [(bool, &[&str], &Dialogue); 6] = [
        (true, &["status", "--watch"], &[("all is well", "q")]),
        (
            true,
            &["events", "--follow"],
            &[("all is well", ""), ("\n", "\u{3}")],
        ),
        (
            true,
            &["attach", "--steal", "x"],
            &[
                ("waiting for its next start", "\u{1}?"),
                ("press space", " "),
                ("screen", "\u{1}d"),
            ],
        ),
        (
            false,
            &["attach", "--steal", "x"],
            &[("takes no input now", "\u{3}")],
        ),
        (
            false,
            &["attach", "--steal", "--lossless", "x"],
            &[("[attached to", "x\r"), ("input is dropped", "\u{3}")],
        ),
        (
            true,
            &[],
            &[
                ("all is well", "version\r"),
                ("tmd ", "status\r"),
                ("UPTIME", "quit\r"),
            ],
        ),
    ];
    for (tty, verb, dialogue) in dialogues {
        let daemon = planting(tty);
        let arguments = [&["tm"], verb].concat();
        let output = typed(daemon.command(&arguments), true, dialogue);
        assert_tame(&format!("{arguments:?}"), &output);
        assert!(output.contains("all is well"), "{arguments:?}: {output:?}");
    }
    // The history has colours, and each of its lines is one line.
    let daemon = planting(true);
    let keys = [
        ("waiting for its next start", "\u{1}["),
        ("press any key", " "),
        ("screen", "\u{1}d"),
    ];
    let output = typed(
        daemon.command(&["tm", "attach", "--steal", "x"]),
        true,
        &keys,
    );
    assert!(!output.contains('\u{202e}'), "{output:?}");
    assert_no_forged_line("history", &output);
}

#[test]
fn the_words_of_a_start_are_one_line_each() {
    let folder = support::folder();
    let config = support::write_config(folder.path(), "programs: {x: {cmd: id}}\n");
    let path = config.display().to_string();
    let daemon = FakeDaemon::start(move |method, _| {
        let mut result = planted(evil_result(method));
        match method {
            "hello" => result["config"] = json!(config),
            "status" => {
                result["processes"][0]["state"] = json!("FATAL");
                result["processes"][0]["desired"] = json!("up");
            }
            _ => {}
        }
        Reply::Result(result)
    });
    let socket = daemon.socket.display().to_string();
    let up = ["tm", "up", "-d", "-c", &path, "--socket", &socket];
    let output = typed(daemon.command(&up), true, &[]);
    assert_tame("up", &output);
    assert!(output.contains("all is well"), "{output:?}");
}

#[test]
fn a_reply_as_json_is_as_it_was_sent() {
    let daemon = planting(false);
    let json = |arguments: &[&str]| -> Value {
        let output = daemon.tm(arguments);
        serde_json::from_str(&output.stdout).expect("JSON")
    };
    assert_eq!(json(&["status", "--json"])["processes"][0]["name"], PLANTED);
    assert_eq!(json(&["events", "--json"])["detail"], PLANTED);
    assert_eq!(json(&["version", "--json"])["daemon"]["config"], PLANTED);
    assert_eq!(json(&["peek", "x", "--json"])["lines"][0], PLANTED);
    assert_eq!(json(&["logs", "x", "--json"])["process"], PLANTED);
    let failing = FakeDaemon::start(|_, _| Reply::Error(planted(evil_error())));
    let output = failing.tm(&["status", "--json"]);
    let error: Value = serde_json::from_str(&output.stderr).expect("JSON");
    let message = error["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with(PLANTED), "{message:?}");
    assert_eq!(error["error"]["data"]["suggestion"], PLANTED);
}
