//! The control protocol seen from outside: golden lines and frames, the session of
//! docs/protocol.md with the real daemon, and peers of other versions.

mod support;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use support::{Daemon, PATIENCE};
use taskmaster::wire::{
    ActReply, AttachReply, Call, ClientsReply, DetachReply, DoctorReply, EventInfo, EventsReply,
    ExitInfo, Frame, FrameDecoder, HelloReply, Kind, LogsReply, METHODS, Message, PeekReply,
    PlanReply, RoleInfo, SendReply, SourceInfo, StatusReply, WhyReply, flags,
};

const WORKER: &str = "programs:\n  worker: {cmd: sleep 1000, starttime: 0}\n";

/// Reads the lines of a golden file: name and rest.
fn golden(name: &str) -> Vec<(String, String)> {
    let path = support::repository()
        .join("tests/fixtures/protocol")
        .join(name);
    let text = fs::read_to_string(path).expect("the fixture is there");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').expect("a name and a line"))
        .map(|(name, rest)| (name.to_string(), rest.to_string()))
        .collect()
}

/// Fails unless everything in `old` is in `new`, which may have more fields.
fn assert_holds(new: &Value, old: &Value, line: &str) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (key, value) in old {
                let found = new
                    .get(key)
                    .unwrap_or_else(|| panic!("{key} is lost in {line}"));
                assert_holds(found, value, line);
            }
        }
        (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
            for (new, old) in new.iter().zip(old) {
                assert_holds(new, old, line);
            }
        }
        _ => assert_eq!(new, old, "in {line}"),
    }
}

fn through<T: DeserializeOwned + Serialize>(value: &Value, line: &str) {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {line}"));
    let again = serde_json::to_value(typed).expect("it came from JSON");
    assert_holds(&again, value, line);
}

#[test]
fn every_golden_request_is_parsed_and_written_again() {
    let mut seen = BTreeSet::new();
    for (name, line) in golden("requests.txt") {
        let parsed = Message::parse(line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(
            parsed.to_line(),
            format!("{line}\n").into_bytes(),
            "the envelope"
        );
        let Message::Request { id, method, params } = parsed else {
            panic!("no request: {line}");
        };
        assert_eq!(method, name);
        let call = Call::parse(&method, params.clone())
            .unwrap_or_else(|e| panic!("{}: {line}", e.message));
        let (method, again) = call.to_parts();
        assert_holds(&again, &params, &line);
        assert!(id.is_some());
        seen.insert(method);
    }
    let all: BTreeSet<String> = METHODS.iter().map(|name| name.to_string()).collect();
    assert_eq!(seen, all, "a golden request for every method");
}

#[test]
fn every_golden_answer_is_parsed_and_written_again() {
    for (name, line) in golden("answers.txt") {
        let parsed = Message::parse(line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(
            parsed.to_line(),
            format!("{line}\n").into_bytes(),
            "the envelope"
        );
        let value = match parsed {
            Message::Request { id, method, params } => {
                assert_eq!((id, &method), (None, &name));
                params
            }
            Message::Answer { outcome, .. } => match outcome {
                Ok(value) => value,
                Err(error) => json!(error),
            },
        };
        match name.as_str() {
            "hello" => through::<HelloReply>(&value, &line),
            "status" => through::<StatusReply>(&value, &line),
            "start" | "stop" | "restart" | "signal" | "wait" => through::<ActReply>(&value, &line),
            "send" => through::<SendReply>(&value, &line),
            "reload" | "scale" => through::<PlanReply>(&value, &line),
            "why" => through::<WhyReply>(&value, &line),
            "events" => through::<EventsReply>(&value, &line),
            "logs" => through::<LogsReply>(&value, &line),
            "attach" => through::<AttachReply>(&value, &line),
            "detach" => through::<DetachReply>(&value, &line),
            "clients" => through::<ClientsReply>(&value, &line),
            "peek" => through::<PeekReply>(&value, &line),
            "doctor" => through::<DoctorReply>(&value, &line),
            "event" => through::<EventInfo>(&value, &line),
            "shutdown" => assert_eq!(value, json!({})),
            "error" => assert!(value["code"].is_i64(), "{line}"),
            other => panic!("no type for {other}"),
        }
    }
}

/// Returns the meaning of each golden frame.
fn frame_of(name: &str) -> Frame {
    let flagged = |kind, flag_bits, payload: &[u8]| Frame {
        flags: flag_bits,
        ..Frame::new(kind, payload)
    };
    let at = |offset: u64, bytes: &[u8]| [&offset.to_be_bytes(), bytes].concat();
    let source = SourceInfo {
        process: "worker:0".to_string(),
        stream: "stdout".to_string(),
        time_ns: 1_767_323_045_678_000_000,
    };
    let role = RoleInfo {
        driver: true,
        clients: 2,
        ..RoleInfo::default()
    };
    let sized = RoleInfo {
        rows: 40,
        cols: 120,
        ..role.clone()
    };
    let exit = ExitInfo {
        code: None,
        signal: Some(9),
    };
    let notice = b"[worker:0 exited with code 1; restart in 2.0s]";
    match name {
        "data" => Frame::new(Kind::Data, at(4096, b"hello\r\n")),
        "data-stderr" => flagged(Kind::Data, flags::STDERR, &at(0, b"oops\n")),
        "input" => Frame::new(Kind::Input, *b"ls -l\r"),
        "resize" => Frame::resize(24, 80),
        "snapshot" => Frame::new(Kind::Snapshot, at((1 << 40) + 1, b"\x1b[H\x1b[2J$ ")),
        "skipped" => Frame::new(Kind::Skipped, 65_536_u64.to_be_bytes()),
        "notice" => flagged(Kind::Notice, flags::IGNORABLE, notice),
        "role" => Frame::new(Kind::Role, json!(role).to_string()),
        "role-sized" => Frame::new(Kind::Role, json!(sized).to_string()),
        "exit" => Frame::new(Kind::Exit, json!(exit).to_string()),
        "detach" => Frame::new(Kind::Detach, []),
        "detach-reason" => Frame::new(Kind::Detach, *b"detached from outside"),
        "source" => Frame::new(Kind::Source, json!(source).to_string()),
        "end" => Frame::new(Kind::End, []),
        "redraw" => Frame::new(Kind::Redraw, []),
        "input-end" => Frame::new(Kind::InputEnd, []),
        other => panic!("no frame for {other}"),
    }
}

#[test]
fn every_golden_frame_is_written_and_read() {
    let mut kinds = BTreeSet::new();
    for (name, hex) in golden("frames.txt") {
        let frame = frame_of(&name);
        let written: String = frame
            .to_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(written, hex, "{name}");
        let mut decoder = FrameDecoder::default();
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        decoder.push(&bytes);
        assert_eq!(decoder.next_frame(), Ok(Some(frame.clone())), "{name}");
        kinds.insert(frame.kind as u8);
    }
    let all: BTreeSet<u8> = (0..=u8::MAX)
        .filter(|number| Kind::from_u8(*number).is_some())
        .collect();
    assert_eq!(kinds, all, "a golden frame for every kind");
}

#[test]
fn the_document_shows_golden_frames_and_names_every_method() {
    let document = document();
    let frames = golden("frames.txt");
    for kind in 1..=13 {
        let row = format!("\n| {kind} ");
        let (_, rest) = document.split_once(&row).expect("a row for each kind");
        let line = rest.lines().next().expect("a line");
        let shown = line.rsplit('`').nth(1).expect("an example in backticks");
        let start = shown.trim_end_matches('…');
        let found = frames.iter().any(|(_, hex)| match shown == start {
            true => hex == shown,
            false => hex.starts_with(start),
        });
        assert!(found, "kind {kind}: {shown} is not golden");
    }
    for method in METHODS {
        let heading = document
            .lines()
            .any(|line| line.starts_with("### ") && line.contains(method));
        assert!(heading, "{method} has no section");
    }
}

fn document() -> String {
    let path = support::repository().join("docs/protocol.md");
    fs::read_to_string(path).expect("docs/protocol.md")
}

/// Returns the first code block of a language.
fn block(document: &str, language: &str) -> String {
    let (_, rest) = document
        .split_once(&format!("\n```{language}\n"))
        .expect("a block");
    rest.split("\n```").next().expect("its end").to_string()
}

/// Replaces the values that differ between runs. All others must match the document.
fn masked(value: &Value) -> Value {
    const DIFFER: [&str; 8] = [
        "pid",
        "uid",
        "uptime_s",
        "started_at",
        "ts",
        "config",
        "version",
        "features",
    ];
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(
                |(key, value)| match (DIFFER.contains(&key.as_str()), value) {
                    (true, Value::Number(_)) => (key.clone(), json!("a number")),
                    (true, Value::String(_)) => (key.clone(), json!("a text")),
                    _ => (key.clone(), masked(value)),
                },
            )
            .collect(),
        Value::Array(values) => values.iter().map(masked).collect(),
        Value::String(text) => match text.split_once(" after ") {
            Some((before, _)) => json!(format!("{before} after a while")),
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

#[test]
fn the_session_of_the_document_works_as_printed() {
    let document = document();
    let folder = support::folder();
    let yaml = block(&document, "yaml");
    support::write_config(folder.path(), &yaml);
    let mut daemon = Daemon::start_in(folder, &[]);
    let (mut reader, mut asked) = (BufReader::new(raw(&daemon)), 0);
    for line in block(&document, "console").lines().skip(1) {
        let printed: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if line.starts_with("{\"jsonrpc\"") && printed["id"] != json!(null) {
            let typed = format!("{line}\n");
            reader
                .get_mut()
                .write_all(typed.as_bytes())
                .expect("the daemon listens");
            asked += 1;
        } else {
            let answer = read_line(&mut reader);
            assert_eq!(masked(&answer), masked(&printed), "{answer}");
        }
    }
    assert!(asked >= 9, "{asked} requests");
    assert_eq!(daemon.wait_end(), 0);
}

/// Connects without a greeting.
fn raw(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket has timeouts");
    stream
}

fn read_line(reader: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer in time");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Sends everything, closes its own direction, and returns all that comes.
fn ask_and_close(daemon: &Daemon, request: &Value) -> Vec<u8> {
    let mut stream = raw(daemon);
    stream
        .write_all(format!("{request}\n").as_bytes())
        .expect("the daemon listens");
    stream
        .shutdown(Shutdown::Write)
        .expect("the socket is open");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("an answer, then the end");
    answer
}

#[test]
fn a_half_closed_client_still_gets_a_slow_answer() {
    let daemon = Daemon::start(WORKER);
    daemon.wait_state("worker:0", "RUNNING");
    let before = daemon.pid_of("worker:0");
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "restart",
        "params": {"targets": ["worker"]}});
    let answer = ask_and_close(&daemon, &request);
    let answer: Value = serde_json::from_slice(&answer).expect("one line");
    assert_eq!(
        answer["result"]["processes"][0]["state"], "RUNNING",
        "{answer}"
    );
    assert_ne!(daemon.pid_of("worker:0"), before);
}

#[test]
fn a_half_closed_client_still_gets_a_stream_of_logs() {
    let daemon =
        Daemon::start("programs:\n  once: {cmd: sh -c 'seq 20000', starttime: 0, buffer: 1MiB}\n");
    daemon.wait_ended("once:0");
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "logs", "params": {"frames": true}});
    let answer = ask_and_close(&daemon, &request);
    let at = answer
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("the answer");
    let mut decoder = FrameDecoder::default();
    decoder.push(&answer[at + 1..]);
    let (mut output, mut last) = (Vec::new(), None);
    while let Some(frame) = decoder.next_frame().expect("sound frames") {
        if let (Kind::Data, Some((_, bytes))) = (frame.kind, frame.offset_and_bytes()) {
            output.extend_from_slice(bytes);
        }
        last = Some(frame.kind);
    }
    assert_eq!(last, Some(Kind::End));
    assert_eq!(
        output.split(|byte| *byte == b'\n').count(),
        20_001,
        "every line"
    );
}

#[test]
fn the_daemon_does_not_wait_for_gone_clients() {
    let daemon = Daemon::start(WORKER);
    daemon.wait_state("worker:0", "RUNNING");
    let waits = json!({"jsonrpc": "2.0", "id": 1, "method": "wait",
        "params": {"targets": ["worker"], "for": "fatal"}});
    // More clients than the daemon accepts at once: each must make room for the next.
    for _ in 0..1100 {
        let mut stream = raw(&daemon);
        stream
            .write_all(format!("{waits}\n").as_bytes())
            .expect("the daemon listens");
    }
    assert_eq!(daemon.status("worker:0")["state"], "RUNNING");
}

#[test]
fn a_newer_client_is_answered_in_the_daemons_version() {
    let daemon = Daemon::start(WORKER);
    let hello = daemon.rpc(
        "hello",
        json!({"protocol": 99, "client": "tm 99.0", "compression": "zstd"}),
    );
    assert_eq!(hello["protocol"], 1);
    assert_eq!(hello["name"], "tmd");
    let status = daemon.rpc(
        "status",
        json!({"targets": ["worker"], "columns": ["cpu", "mem"]}),
    );
    assert_eq!(status["processes"][0]["name"], "worker:0");
    let error = daemon.rpc_error("teleport", json!({"targets": ["worker"]}));
    assert_eq!(error["code"], -32601);
    let known = error["data"]["methods"]
        .as_array()
        .expect("the known methods");
    assert_eq!(known.len(), METHODS.len());
    assert_eq!(daemon.status("worker:0")["name"], "worker:0");
}

#[test]
fn an_optional_unknown_frame_is_ignored_and_another_ends_the_console() {
    let daemon = Daemon::start("programs:\n  echo: {cmd: cat, stdin: pipe, starttime: 0}\n");
    daemon.wait_state("echo:0", "RUNNING");
    let mut stream = raw(&daemon);
    let attach = json!({"jsonrpc": "2.0", "id": 1, "method": "attach",
        "params": {"process": "echo", "zoom": 2}});
    stream
        .write_all(format!("{attach}\n").as_bytes())
        .expect("the daemon listens");
    let strange = Frame::new(Kind::Input, *b"ignored\n").to_bytes();
    let ignorable = [&[200, flags::IGNORABLE], &strange[2..]].concat();
    let input = Frame::new(Kind::Input, *b"taken\n").to_bytes();
    let other = [&[201, 0], &strange[2..]].concat();
    stream
        .write_all(&[ignorable, input].concat())
        .expect("the daemon listens");
    let mut reader = BufReader::new(stream);
    let reply = read_line(&mut reader);
    assert_eq!(reply["result"]["input"], true, "{reply}");
    let mut decoder = FrameDecoder::default();
    let echoed = loop {
        let bytes = reader.fill_buf().expect("frames in time").to_vec();
        assert!(!bytes.is_empty(), "the console ended");
        reader.consume(bytes.len());
        decoder.push(&bytes);
        if let Some(frame) = next_data(&mut decoder) {
            break frame;
        }
    };
    let (_, bytes) = echoed.offset_and_bytes().expect("data has an offset");
    assert_eq!(bytes, b"taken\n");
    reader
        .get_mut()
        .write_all(&other)
        .expect("the daemon listens");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("the end in time");
    assert_eq!(daemon.status("echo:0")["state"], "RUNNING");
}

fn next_data(decoder: &mut FrameDecoder) -> Option<Frame> {
    loop {
        let frame = decoder.next_frame().expect("sound frames")?;
        if frame.kind == Kind::Data {
            return Some(frame);
        }
    }
}

#[test]
fn tm_refuses_a_newer_daemon_politely() {
    let folder = support::folder();
    let socket = folder.path().join("newer.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("tm comes");
        let mut reader = BufReader::new(stream);
        let request = read_line(&mut reader);
        assert_eq!(request["method"], "hello");
        let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result":
            {"name": "tmd", "version": "9.0.0", "protocol": 9, "pid": 77, "orbit": "low"}});
        reader
            .get_mut()
            .write_all(format!("{answer}\n").as_bytes())
            .expect("tm listens");
    });
    let mut tm = support::command("tm", folder.path());
    tm.arg("status").env("TM_SOCKET", &socket);
    let output = support::run(tm);
    server.join().expect("the server saw what it expected");
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("newer") && output.stderr.contains("9.0.0"),
        "{output:?}"
    );
    assert_eq!(output.stdout, "");
}
