//! A daemon that lies: it answers requests as a test wants.

use crate::support::{self, Output, PATIENCE};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
