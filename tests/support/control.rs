//! A minimal client of the control socket, so that the tests see the same as any client.

use super::PATIENCE;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A connection that has been greeted.
pub struct Control {
    reader: BufReader<UnixStream>,
    next_id: u64,
}

impl Control {
    /// Connects and says `hello`.
    pub fn connect(socket: &Path) -> io::Result<Control> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut control = Control {
            reader: BufReader::new(stream),
            next_id: 1,
        };
        let hello = control.call("hello", json!({"protocol": 1, "client": "test"}));
        hello.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(control)
    }

    /// Calls a method and returns its result, or the error object of the answer.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let line = format!("{request}\n");
        self.send_bytes(line.as_bytes())
            .map_err(|error| json!(error.to_string()))?;
        let mut answer = self.read_line().map_err(|error| json!(error.to_string()))?;
        // Refused before the request was read, an error has no id.
        let refused = answer["id"].is_null() && answer.get("error").is_some();
        assert!(
            refused || answer["id"] == json!(id),
            "an answer to something else: {answer}"
        );
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// The next line, as JSON.
    pub fn read_line(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(|error| io::Error::other(format!("{error}: {line}")))
    }
}

/// A connection that follows events.
pub struct Events {
    control: Control,
    log: PathBuf,
    seen: Vec<Value>,
}

impl Events {
    /// Follows from now on; what happened before is left out.
    pub fn follow(mut control: Control, log: PathBuf) -> Events {
        let reply = control.call("events", json!({"follow": true}));
        reply.expect("events can be followed");
        Events {
            control,
            log,
            seen: Vec::new(),
        }
    }

    /// Waits until a process enters a state. Returns that event.
    pub fn wait_for(&mut self, process: &str, state: &str) -> Value {
        let what = format!("{process} to be {state}");
        self.wait_until(&what, |event| {
            event["process"] == process && event["to"] == state
        })
    }

    /// Waits for an event. Returns it; those before it are in `seen`.
    pub fn wait_until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Ok(event) = self.next_event() else {
                break;
            };
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        panic!(
            "waited in vain for {what}\nevents: {:#?}\ndaemon:\n{log}",
            self.seen
        );
    }

    /// All events this reader has seen.
    pub fn seen(&self) -> &[Value] {
        &self.seen
    }

    fn next_event(&mut self) -> io::Result<Value> {
        loop {
            let mut line = self.control.read_line()?;
            if line["method"] == "event" {
                return Ok(line["params"].take());
            }
        }
    }
}
