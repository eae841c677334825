//! Strange sizes, constantly changing sizes, and clients whose terminal is smaller
//! than that of the process.

use crate::consoles::{Console, ECHO, client_pid, count};
use crate::support::{Daemon, kill};
use rustix::process::Signal;
use serde_json::json;
use std::io::Write;
use std::os::unix::net::UnixStream;
use taskmaster::wire::{Frame, Kind};

/// The most memory that a process has used, in KiB.
fn memory_peak(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(path).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let digits = line.expect("it uses memory").split_whitespace().nth(1);
    digits.and_then(|digits| digits.parse().ok()).expect("KiB")
}

#[test]
fn strange_sizes_are_as_good_as_others() {
    let daemon = Daemon::start(ECHO);
    for (rows, cols) in [
        (0, 0),
        (1, 1),
        (2, 2),
        (1000, 1000),
        (65535, 65535),
        (24, 80),
    ] {
        let mut console = Console::sized(&daemon, "raw:0", rows, cols);
        console.expect_bytes(b"detaches");
        let typed = format!("<{rows}>");
        console.terminal.send(&typed);
        console.expect_bytes(typed.as_bytes());
        for pid in [client_pid(&daemon, "raw:0"), daemon.pid()] {
            let peak = memory_peak(pid);
            assert!(peak < 150_000, "{rows}x{cols}: {peak} KiB");
        }
        console.terminal.send("\x01d");
        console.expect_bytes(b"over: 0.");
        console.assert_restored();
    }
}

/// A client without `tm`, which sends its own requests.
fn attach(daemon: &Daemon, rows: u16, cols: u16) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.socket()).expect("the daemon listens");
    let params = json!({"process": "line:0", "rows": rows, "cols": cols});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "attach", "params": params});
    let line = format!("{request}\n");
    stream.write_all(line.as_bytes()).expect("the daemon reads");
    stream
}

#[test]
fn a_storm_of_sizes_is_merged_and_the_last_wins() {
    let daemon = Daemon::start(ECHO);
    let mut stream = attach(&daemon, 30, 90);
    let sizes = (0..200).map(|n| Frame::resize(20 + n % 7, 100 + n));
    let storm: Vec<u8> = sizes.flat_map(|frame| frame.to_bytes()).collect();
    stream.write_all(&storm).expect("the daemon reads");
    let mut watcher = Console::attach(&daemon, "--read-only line:0");
    let last = format!("size {} {}", 20 + 199 % 7, 100 + 199);
    watcher.expect_bytes(last.as_bytes());
    // Further sizes would arrive before this answer.
    let input = Frame::new(Kind::Input, *b"after\r").to_bytes();
    stream.write_all(&input).expect("the daemon reads");
    watcher.expect_bytes(b"echo: after");
    let log = daemon.tm(&["logs", "line:0"]).stdout;
    let told = count(log.as_bytes(), b"size ");
    assert!(told <= 5, "{told} sizes: {log}");
    assert!(log.trim_end().ends_with("echo: after"), "{log}");
    watcher.terminal.send("\x01d");
    assert_eq!(watcher.wait_over(), 0);
}

#[test]
fn a_storm_of_signals_ends_with_the_last_size() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("size 24 80");
    for n in 0..200 {
        console.terminal.resize(30, 100 + n);
    }
    console.terminal.expect("size 30 299");
    console.terminal.send("x\r");
    console.terminal.expect("echo: x");
    let log = daemon.tm(&["logs", "line:0"]).stdout;
    let told = count(log.as_bytes(), b"size ");
    assert!(told <= 20, "{told} sizes: {log}");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_smaller_terminal_shows_the_end_of_what_does_not_fit() {
    let daemon = Daemon::start(ECHO);
    let mut large = Console::sized(&daemon, "line:0", 30, 100);
    large.terminal.expect("size 30 100");
    let long = "x".repeat(85);
    for n in 10..40 {
        large.terminal.send(&format!("{n}{long}\r"));
        large.terminal.expect(&format!("echo: {n}{long}"));
    }
    let mut small = Console::sized(&daemon, "--quiet --read-only line:0", 24, 80);
    small.terminal.expect_screen("the last lines", |screen| {
        let text = screen.replace('\n', "");
        (35..40).all(|n| text.contains(&format!("echo: {n}{long}")))
    });
    // A watcher's picture follows the size of its terminal; the size of the process stays.
    small.terminal.resize(12, 40);
    small.terminal.send("\x01?");
    small.terminal.expect("press space");
    small.terminal.send(" ");
    small.terminal.expect_screen("the last lines", |screen| {
        let text = screen.replace('\n', "");
        (39..40).all(|n| text.contains(&format!("echo: {n}{long}")))
    });
    assert!(!daemon.log().contains("size 12 40"));
    for console in [&mut large, &mut small] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_client_that_sees_only_a_part_is_notified_once() {
    let daemon = Daemon::start(ECHO);
    let mut large = Console::sized(&daemon, "line:0", 40, 120);
    large.terminal.expect("size 40 120");
    let mut small = Console::sized(&daemon, "--read-only line:0", 20, 100);
    small
        .terminal
        .expect("its terminal is 120x40, larger than yours");
    small.terminal.send("\x01?");
    small.terminal.expect("yours is 100x20: enlarge yours");
    small.terminal.send(" ");
    small.terminal.expect_screen("the console", |screen| {
        screen.contains("ready") && !screen.contains("press space")
    });
    // Only a client without the notice gets it.
    let mut equal = Console::sized(&daemon, "line:0", 40, 120);
    equal.terminal.expect("ctrl-a d detaches");
    assert!(!equal.terminal.contents().contains("larger"));
    large.terminal.resize(41, 130);
    equal
        .terminal
        .expect("terminal is 130x41, larger than yours");
    large.terminal.resize(42, 131);
    large.terminal.expect("size 42 131");
    large.terminal.send("typed\r");
    equal.terminal.expect("echo: typed");
    assert_eq!(count(equal.terminal.raw(), b"131x42"), 0);
    for console in [&mut large, &mut small, &mut equal] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_killed_client_is_succeeded_by_the_last_typist() {
    let daemon = Daemon::start(ECHO);
    let mut typist = Console::sized(&daemon, "line:0", 30, 90);
    typist.terminal.expect("size 30 90");
    let first = client_pid(&daemon, "line:0");
    let mut idle = Console::sized(&daemon, "line:0", 31, 91);
    idle.terminal.expect("detaches");
    typist.terminal.send("busy\r");
    idle.terminal.expect("echo: busy");
    let mut third = Console::sized(&daemon, "--steal line:0", 10, 40);
    third.terminal.expect("size 10 40");
    let rows = crate::consoles::clients(&daemon, "line:0");
    let thief = rows.iter().find(|row| row["driver"] == true).expect("it");
    kill(thief["pid"].as_i64().expect("a pid") as i32, Signal::KILL);
    typist.terminal.expect_screen("its size again", |screen| {
        screen.matches("size 30 90").count() == 2
    });
    let rows = crate::consoles::clients(&daemon, "line:0");
    let drives = rows.iter().find(|row| row["driver"] == true).expect("one");
    assert_eq!(drives["pid"], first);
    for console in [&mut typist, &mut idle] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}
