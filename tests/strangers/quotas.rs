//! Clients that take more than their share of connections or memory, or flood the log; and rights
//! that are taken away.

use super::attackers::{
    OPERATOR, OTHER_READER, QUIET, READER, STRANGER, alone, answer, call, connect_as, crowd, ends,
    memory, request, send, start, start_with_files,
};
use super::support::{self, is_root, skip};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn a_user_without_a_right_gets_one_line_and_no_place() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(QUIET);
    let mut owner = daemon.control();
    let mut strangers = crowd(&daemon, STRANGER, 1100);
    let refusal = answer(&strangers[0]).expect("a line");
    assert_eq!(refusal["error"]["code"], -32002, "{refusal}");
    assert_eq!(refusal["id"], Value::Null);
    assert!(strangers.iter_mut().all(ends));
    owner
        .call("status", json!({}))
        .expect("the owner has its place");
    daemon.rpc("status", json!({}));
    let denials = daemon.log().matches("denied").count();
    assert!(denials <= 20, "{denials} lines about 1100 connections");
}

#[test]
fn no_user_takes_the_last_descriptors() {
    if !is_root() {
        skip!("needs root");
    }
    let programs = "programs:\n  quiet: {cmd: sleep 1000, starttime: 0}\n  \
                    restarts: {cmd: sleep 0.1, autorestart: always, starttime: 0, \
                    restart: {burst: 100}, stdout: '@DIR@/log'}\n";
    let daemon = start_with_files(programs, 64);
    let readers = crowd(&daemon, READER, 100);
    let others = crowd(&daemon, OTHER_READER, 100);
    let greeted = readers.iter().chain(&others).filter(|stream| {
        call(stream, "hello", &json!({})).is_some_and(|one| one["result"].is_object())
    });
    assert_eq!(greeted.count(), 8);
    // The owner's are more than those that are kept for it.
    let mut owners: Vec<_> = (0..8).map(|_| daemon.control()).collect();
    for owner in &mut owners {
        owner
            .call("status", json!({}))
            .expect("the owner is served");
    }
    let restarts = || daemon.status("restarts:0")["restarts"].as_u64();
    let before = restarts();
    let deadline = Instant::now() + support::PATIENCE;
    while restarts() < before.map(|count| count + 3) {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        std::thread::yield_now();
    }
    drop((readers, others));
}

#[test]
fn no_user_takes_the_places_of_others() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(QUIET);
    let mut inside = Vec::new();
    for uid in [READER, OPERATOR] {
        let streams = crowd(&daemon, uid, 400);
        let mut kept = streams
            .into_iter()
            .filter(|stream| {
                call(stream, "hello", &json!({})).is_some_and(|one| one["result"].is_object())
            })
            .collect::<Vec<_>>();
        assert_eq!(kept.len(), 256, "uid {uid}");
        inside.append(&mut kept);
    }
    let other = connect_as(OTHER_READER, &daemon.socket()).expect("it connects");
    let greeted = call(&other, "hello", &json!({})).expect("an answer");
    assert!(greeted["result"].is_object(), "{greeted}");
    daemon.rpc("status", json!({}));
    // A place is free again as soon as its client is gone.
    drop(inside.pop());
    let next = connect_as(OPERATOR, &daemon.socket()).expect("it connects");
    let mut answered = call(&next, "hello", &json!({}));
    let deadline = Instant::now() + support::PATIENCE;
    while answered.is_none_or(|one| one["result"].is_null()) {
        assert!(Instant::now() < deadline, "no place is free");
        let next = connect_as(OPERATOR, &daemon.socket()).expect("it connects");
        answered = call(&next, "hello", &json!({}));
    }
}

#[test]
fn half_requests_take_a_limited_amount_of_memory() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(QUIET);
    let before = memory(&daemon, "VmRSS:");
    let half = vec![b'x'; 1_000_000];
    for greets in [false, true] {
        let crowd = crowd(&daemon, READER, 250);
        for stream in &crowd {
            let timeout = Some(Duration::from_millis(200));
            stream.set_write_timeout(timeout).expect("it is a socket");
            if greets {
                call(stream, "hello", &json!({}));
            }
            send(stream, &half);
        }
        daemon.rpc("status", json!({}));
    }
    let grown = memory(&daemon, "VmHWM:").saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} KiB");
}

#[test]
fn refused_requests_do_not_flood_the_log() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = start(QUIET);
    daemon.rpc("restart", json!({"targets": ["quiet"]}));
    let stream = connect_as(READER, &daemon.socket()).expect("it connects");
    for _ in 0..100 {
        let requests = request(1, "stop", &json!({"targets": ["quiet"]})).repeat(100);
        assert!(send(&stream, requests.as_bytes()));
        for _ in 0..100 {
            let refused = answer(&stream).expect("an answer");
            assert_eq!(refused["error"]["code"], -32002);
        }
    }
    // The count of what was left out follows within a second.
    let log = support::system::wait_for_text(&daemon.path("tmd.log"), "more lines like this");
    let denied = log.matches("stop denied").count();
    assert!(denied <= 60, "{denied} lines about 10,000 requests");
    assert!(log.contains("restart {"), "{log}");
    // A change with a megabyte of parameters is one short line.
    let operator = connect_as(OPERATOR, &daemon.socket()).expect("it connects");
    call(&operator, "hello", &json!({}));
    let long = json!({"targets": ["x".repeat(900_000)]});
    call(&operator, "stop", &long).expect("an answer");
    assert!(daemon.log().len() < 64 * 1024);
}

#[test]
fn a_watcher_may_not_slow_a_process_down() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(QUIET);
    for more in ["lossless", "steal"] {
        let reader = connect_as(READER, &daemon.socket()).expect("it connects");
        let params = json!({"process": "quiet", "read_only": true, more: true});
        let refused = call(&reader, "attach", &params).expect("an answer");
        assert_eq!(refused["error"]["code"], -32002, "{more}: {refused}");
    }
    let reader = connect_as(READER, &daemon.socket()).expect("it connects");
    let params = json!({"process": "quiet", "read_only": true});
    let attached = call(&reader, "attach", &params).expect("an answer");
    assert!(attached["result"].is_object(), "{attached}");
}

#[test]
fn a_reload_ends_what_is_no_longer_allowed() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(QUIET);
    let open = |uid, method, params: Value| {
        let stream = connect_as(uid, &daemon.socket()).expect("it connects");
        let answer = call(&stream, method, &params).expect("an answer");
        assert!(answer["result"].is_object(), "{method}: {answer}");
        stream
    };
    let watched = json!({"process": "quiet", "read_only": true});
    let mut ended = [
        open(READER, "hello", json!({})),
        open(READER, "events", json!({"follow": true})),
        open(READER, "logs", json!({"targets": ["all"], "follow": true})),
        open(READER, "attach", watched.clone()),
        // It may still read, but not type.
        open(OPERATOR, "attach", json!({"process": "quiet"})),
    ];
    let kept = [
        open(OTHER_READER, "hello", json!({})),
        open(OPERATOR, "hello", json!({})),
    ];
    let access = "daemon: {socket_mode: 0666, access: {read: [54403, 54404]}}\n";
    support::write_config(daemon.dir(), &format!("{access}{QUIET}"));
    daemon.rpc("reload", json!({}));
    for (number, stream) in ended.iter_mut().enumerate() {
        assert!(ends(stream), "connection {number} is still open");
    }
    for stream in &kept {
        let answer = call(stream, "status", &json!({})).expect("an answer");
        assert!(answer["result"].is_object(), "{answer}");
    }
}
