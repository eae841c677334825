//! Clients that are too many, slow, half-open or odd.

use super::support::{Daemon, PATIENCE};
use super::{descriptors, ends_well, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

const STEADY: &str = "programs:\n  worker: {cmd: sleep 1000, starttime: 0}\n";

const STATUS: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n";

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn answer(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("an answer");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn a_client_too_many_is_refused_and_the_first_stay_served() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
    let daemon = Daemon::start(STEADY);
    daemon.wait_state("worker:0", "RUNNING");
    let before = descriptors(&daemon);
    // Those of the harness are gone, so that the count is exact.
    let inside: Vec<UnixStream> = (0..1024)
        .map(|_| {
            let mut client = connect(&daemon);
            client.write_all(STATUS).expect("it is read");
            assert_eq!(answer(&client)["id"], 1);
            client
        })
        .collect();
    for _ in 0..200 {
        let refusal = answer(&connect(&daemon));
        let message = refusal["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("1024 clients"), "{refusal}");
    }
    for mut client in [&inside[0], &inside[1023]] {
        client.write_all(STATUS).expect("it is read");
        let state = &answer(client)["result"]["processes"][0]["state"];
        assert_eq!(state, "RUNNING");
    }
    drop(inside);
    eventually(&daemon, "room", || descriptors(&daemon) <= before + 1);
    ends_well(daemon);
}

#[test]
fn requests_that_come_byte_by_byte_or_half_are_answered_once_whole() {
    let daemon = Daemon::start(STEADY);
    let mut slow: Vec<UnixStream> = (0..20).map(|_| connect(&daemon)).collect();
    for byte in STATUS.chunks(1) {
        for client in &mut slow {
            client.write_all(byte).expect("it is read");
        }
        // Others are served in between.
        daemon.status("worker:0");
    }
    for client in &slow {
        assert_eq!(answer(client)["id"], 1);
    }
    let mut half = connect(&daemon);
    half.write_all(&STATUS[..20]).expect("it is read");
    half.shutdown(Shutdown::Write).expect("it is open");
    let mut rest = String::new();
    half.read_to_string(&mut rest).expect("an end");
    assert!(rest.contains("-32700"), "{rest}");
    ends_well(daemon);
}

#[test]
fn a_last_request_without_its_newline_is_answered() {
    let daemon = Daemon::start(STEADY);
    let mut client = connect(&daemon);
    client
        .write_all(STATUS.trim_ascii_end())
        .expect("it is read");
    client.shutdown(Shutdown::Write).expect("it is open");
    let mut all = String::new();
    client.read_to_string(&mut all).expect("an end");
    assert!(all.contains("\"worker:0\""), "{all:?}");
    assert_eq!(all.lines().count(), 1);
    ends_well(daemon);
}

#[test]
fn a_request_whose_id_is_null_is_answered() {
    let daemon = Daemon::start(STEADY);
    let mut control = daemon.control();
    for (id, answered) in [("null", true), ("\"\"", true), ("0", true)] {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"status\"}}\n");
        control.send_bytes(line.as_bytes()).expect("it is read");
        let answer = control.read_line().expect("an answer");
        assert_eq!(answer.get("result").is_some(), answered, "{answer}");
        assert_eq!(answer["id"].to_string(), id, "{answer}");
    }
    // A notification is not answered: what comes next belongs to the request behind it.
    let both = "{\"jsonrpc\":\"2.0\",\"method\":\"status\"}\n\
                {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"status\"}\n";
    control.send_bytes(both.as_bytes()).expect("it is read");
    assert_eq!(control.read_line().expect("an answer")["id"], json!(7));
    ends_well(daemon);
}
