//! Output and exit codes of `tm` against a daemon that answers from a script.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use tempfile::TempDir;

/// The daemon's answer to a method: a result or an error.
type Answers = fn(&str, &Value) -> Result<Value, Value>;

/// A daemon in a thread, which ends with the test.
struct Daemon {
    directory: TempDir,
}

impl Daemon {
    fn start(answers: Answers) -> Daemon {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(directory.path().join("d.sock")).expect("a socket");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream, answers));
            }
        });
        Daemon { directory }
    }

    fn tm(&self, arguments: &[&str]) -> Output {
        let socket = self.directory.path().join("d.sock");
        let mut command = tm(self.directory.path());
        command.arg("--socket").arg(socket).args(arguments);
        command.output().expect("tm runs")
    }

    fn tm_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let socket = self.directory.path().join("d.sock");
        let mut command = tm(self.directory.path());
        command
            .arg("--socket")
            .arg(socket)
            .args(arguments)
            .stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tm runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("tm reads");
        drop(stdin);
        child.wait_with_output().expect("tm ends")
    }
}

/// Returns a `tm` with an empty environment, except for the test's settings.
fn tm(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tm"));
    command
        .current_dir(directory)
        .env("XDG_RUNTIME_DIR", directory)
        .env("HOME", directory);
    command
        .env_remove("TM_SOCKET")
        .env_remove("XDG_STATE_HOME")
        .stdin(Stdio::null());
    command
}

fn serve(mut stream: UnixStream, answers: Answers) {
    let reader = BufReader::new(stream.try_clone().expect("a second handle"));
    for line in reader.lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).expect("JSON");
        let method = request["method"].as_str().unwrap_or_default().to_string();
        let mut answer = json!({"jsonrpc": "2.0", "id": request["id"]});
        let outcome = match method.as_str() {
            "hello" => answers("hello", &request["params"]).or_else(|_| Ok(hello(1))),
            _ => answers(&method, &request["params"]),
        };
        match outcome {
            Ok(Value::Null) => return,
            Ok(result) => answer["result"] = result,
            Err(error) => answer["error"] = error,
        }
        if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
        if method == "logs" {
            let _ = stream.write_all(&log_frames());
            return;
        }
        if method == "attach" {
            let exit = br#"{"code":7,"signal":null}"#;
            let _ =
                stream.write_all(&[frame(1, b"\0\0\0\0\0\0\0\0hello\n"), frame(8, exit)].concat());
            return;
        }
    }
}

fn hello(protocol: u32) -> Value {
    json!({"name": "tmd", "version": "9.9.9", "protocol": protocol, "pid": 1, "config": "/x.yaml"})
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&[kind, 0, len[0], len[1], len[2], len[3]], payload].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    frame(1, &[&0u64.to_be_bytes()[..], bytes].concat())
}

fn source(process: &str) -> Vec<u8> {
    let info = json!({"process": process, "stream": "stdout", "time_ns": 0});
    frame(10, info.to_string().as_bytes())
}

fn log_frames() -> Vec<u8> {
    let skipped = frame(5, &12345u64.to_be_bytes());
    [
        source("a:0"),
        data(b"one\ntw"),
        source("long:0"),
        skipped,
        data(b"rest of a line\nx\n"),
        source("a:0"),
    ]
    .into_iter()
    .chain([data(b"o\nlast"), frame(11, b"")])
    .flatten()
    .collect()
}

fn process(name: &str, state: &str) -> Value {
    json!({"name": name, "program": name.split(':').next(), "state": state, "desired": "up",
        "pid": null, "uptime_s": null, "restarts": 0, "detail": ""})
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn answers(method: &str, params: &Value) -> Result<Value, Value> {
    let target = params["targets"][0].as_str().unwrap_or_default();
    match (method, target) {
        ("status", "up") => Ok(json!({"processes": [process("up:0", "RUNNING")]})),
        ("status", _) => {
            Ok(json!({"processes": [process("a:0", "RUNNING"), process("long:0", "BACKOFF")]}))
        }
        ("start", "good") => Ok(json!({"processes": [{"name": "good:0", "ok": true,
            "state": "RUNNING", "pid": 12, "message": "started"}], "timed_out": false})),
        ("start", "bad") => Ok(json!({"processes": [{"name": "bad:0", "ok": false,
            "state": "FATAL", "message": "exit 1 after 0.2s"}], "timed_out": false})),
        ("start", "slow") => Ok(json!({"processes": [], "timed_out": true})),
        ("start", "mine") => Err(json!({"code": -32002, "message": "may not"})),
        ("start", "dies") => Ok(Value::Null),
        ("wait", "slow") => Ok(json!({"processes": [], "timed_out": true})),
        ("shutdown", _) => Err(json!({"code": -32002, "message": "uid 7 may not shutdown"})),
        ("wait", _) => Ok(
            json!({"processes": [{"name": "a:0", "ok": true, "state": "EXITED",
            "exit": {"code": null, "signal": 9}}], "timed_out": false}),
        ),
        ("send", _) => {
            assert_eq!(params, &json!({"process": "a:0", "text": "two words\n"}));
            Ok(json!({"bytes": 10}))
        }
        ("reload", _) => Ok(
            json!({"entries": [{"process": "a:0", "action": "live", "changes":
            [{"key": "stoptime", "from": "10s", "to": "3s"}]}], "applied": false}),
        ),
        ("logs", _) => Ok(json!({})),
        ("attach", _) => Ok(json!({"process": "a:0", "tty": true, "input": true})),
        ("start", _) => Err(json!({"code": -32001, "message": "no such process: wrker",
            "data": {"suggestion": "worker"}})),
        _ => Err(json!({"code": -32601, "message": "no such method"})),
    }
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    let daemon = Daemon::start(answers);
    let cases: [(&[&str], i32); 14] = [
        (&["status", "up"], 0),
        (&["status"], 3),
        (&["start", "good"], 0),
        (&["start", "bad"], 1),
        (&["start", "slow", "--timeout", "1s"], 124),
        (&["start", "mine"], 5),
        (&["start", "dies"], 4),
        (&["start", "wrker"], 1),
        (&["start"], 2),
        (&["strat", "a"], 2),
        (&["wait", "a", "--for", "exited"], 137),
        (&["send", "a:0", "two", "words"], 0),
        (&["reload", "--dry-run"], 2),
        (&["reload"], 0),
    ];
    for (arguments, code) in cases {
        let output = daemon.tm(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_refused_shutdown_prints_only_the_refusal() {
    let daemon = Daemon::start(answers);
    for verb in ["down", "shutdown"] {
        let output = daemon.tm(&[verb]);
        assert_eq!(output.status.code(), Some(5), "{verb}");
        assert_eq!(
            text(&output.stderr),
            "tm: uid 7 may not shutdown\n",
            "{verb}"
        );
    }
}

#[test]
fn only_a_request_continues_after_the_timeout() {
    let daemon = Daemon::start(answers);
    let output = daemon.tm(&["wait", "slow", "--timeout", "1s"]);
    assert_eq!(text(&output.stdout), "timed out\n");
    let output = daemon.tm(&["start", "slow", "--timeout", "1s"]);
    assert!(text(&output.stdout).contains("continues in the background"));
}

#[test]
fn no_daemon_exits_4_and_prints_what_to_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for arguments in [
        &["--socket", "none.sock", "status"][..],
        &["down", "--socket", "none.sock"],
    ] {
        let output = tm(directory.path())
            .args(arguments)
            .output()
            .expect("tm runs");
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn doctor_checks_the_kernel_without_a_daemon() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = tm(directory.path())
        .args(["--socket", "none.sock", "doctor", "--json"])
        .output()
        .expect("tm runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let reply: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<&str> = reply["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert!(names.contains(&"pidfd"), "{names:?}");
    let output = tm(directory.path())
        .args(["--socket", "none.sock", "doctor"])
        .output()
        .expect("tm runs");
    assert!(text(&output.stdout).contains("pidfd"));
    assert!(text(&output.stderr).contains("these are the checks of this machine"));
}

#[test]
fn suggestions_are_printed_and_errors_are_objects_on_request() {
    let daemon = Daemon::start(answers);
    let output = daemon.tm(&["start", "wrker"]);
    assert_eq!(
        text(&output.stderr),
        "tm: no such process: wrker; did you mean worker?\n"
    );
    let output = daemon.tm(&["start", "wrker", "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], -32001);
    assert_eq!(error["error"]["exit"], 1);
}

#[test]
fn a_pipe_gets_no_colour_and_json_prints_the_answer() {
    let daemon = Daemon::start(answers);
    let output = daemon.tm(&["status"]);
    assert!(!output.stdout.contains(&0x1b));
    assert!(text(&output.stdout).starts_with("NAME    STATE    PID  UPTIME  RESTARTS  DETAIL\n"));
    let output = daemon.tm(&["status", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["processes"][1]["state"], "BACKOFF");
    let output = daemon.tm(&["start", "good"]);
    assert_eq!(text(&output.stdout), "good:0: started (pid 12)\n");
}

#[test]
fn logs_are_merged_in_whole_lines() {
    let daemon = Daemon::start(answers);
    let output = daemon.tm(&["logs"]);
    assert_eq!(output.status.code(), Some(0));
    let wanted = "a:0    | one\nlong:0 | [12360 bytes skipped]\nlong:0 | x\na:0    | two\n\
        a:0    | last\n";
    assert_eq!(text(&output.stdout), wanted);
    let output = daemon.tm(&["tail", "--json"]);
    let first = text(&output.stdout)
        .lines()
        .next()
        .map(str::to_string)
        .expect("a line");
    let line: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(
        (&line["process"], &line["text"]),
        (&json!("a:0"), &json!("one"))
    );
}

#[test]
fn attach_exits_with_the_code_of_the_process() {
    let daemon = Daemon::start(answers);
    let output = daemon.tm_with_input(&["attach", "a:0", "--until-exit"], "");
    assert_eq!(text(&output.stdout), "hello\n");
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
}

#[test]
fn the_shell_reads_a_pipe_and_survives_errors() {
    let daemon = Daemon::start(answers);
    let input = "start bad\n\n# a comment\nnonsense\nstart good\nquit\nstart bad\n";
    let output = daemon.tm_with_input(&[], input);
    assert_eq!(
        output.status.code(),
        Some(2),
        "the last line that failed: nonsense"
    );
    let shown = text(&output.stdout);
    assert!(
        shown.contains("good:0: started") && !shown.contains("tm>"),
        "{shown}"
    );
    assert_eq!(shown.matches("bad:0").count(), 1, "quit leaves");
}

#[test]
fn a_newer_daemon_is_refused_politely() {
    fn newer(method: &str, params: &Value) -> Result<Value, Value> {
        if method == "hello" {
            Ok(hello(2))
        } else {
            answers(method, params)
        }
    }
    let daemon = Daemon::start(newer);
    let output = daemon.tm(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("is newer"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_peer_that_is_no_daemon_is_named() {
    fn nonsense(_: &str, _: &Value) -> Result<Value, Value> {
        Ok(json!("what?"))
    }
    let output = Daemon::start(nonsense).tm(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("malformed reply"),
        "{}",
        text(&output.stderr)
    );
}
