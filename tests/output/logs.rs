//! `tm logs`, and the daemon's own log.

use super::support::system::FolderWatch;
use super::support::{Daemon, PATIENCE, Terminal, command, wait_exit};
use super::wait_for_text;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn two_programs() -> Daemon {
    let daemon = Daemon::start(
        "defaults: {shell: true, starttime: 0, autorestart: never}\n\
         programs:\n\
         \x20 web: {cmd: 'for i in 1 2 3 4; do echo out $i; echo err $i >&2; done'}\n\
         \x20 db: {cmd: 'printf \"\\033[31mred\\033[0m\\033[2J\\nlast\"'}\n",
    );
    daemon.wait_ended("web:0");
    daemon.wait_ended("db:0");
    daemon
}

#[test]
fn streams_and_last_lines_can_be_chosen() {
    let daemon = two_programs();
    let logs = |more: &[&str]| {
        let output = daemon.tm(&[&["logs", "web"][..], more].concat());
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout
    };
    assert_eq!(logs(&["--stdout"]), "out 1\nout 2\nout 3\nout 4\n");
    assert_eq!(logs(&["--stderr", "-n", "2"]), "err 3\nerr 4\n");
    assert_eq!(logs(&["-n", "0"]), "");
    assert_eq!(logs(&[]).lines().count(), 8);
    assert_eq!(logs(&["--since", "1h"]).lines().count(), 8);
    assert_eq!(logs(&["--since", "0"]), "");
    assert_eq!(
        daemon.tm(&["tail", "web", "--stdout", "-n", "1"]).stdout,
        "out 4\n"
    );
}

#[test]
fn several_targets_are_merged_with_their_names() {
    let daemon = two_programs();
    let text = daemon.tm(&["logs"]).stdout;
    let of = |label: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(label));
        lines.map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of("web:0 | ").len(), 8, "{text}");
    assert_eq!(
        of("db:0  | ").last().map(String::as_str),
        Some("last"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 10, "{text}");
}

#[test]
fn times_stand_before_each_line() {
    let daemon = two_programs();
    let text = daemon.tm(&["logs", "web", "--stdout", "-t"]).stdout;
    for (index, line) in text.lines().enumerate() {
        let (time, rest) = line.split_once(' ').expect("a time and a line");
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!(rest, format!("out {}", index + 1));
    }
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn a_terminal_gets_colours_but_no_other_control_unless_raw() {
    let daemon = two_programs();
    let mut shown = daemon.terminal(&["tm", "logs", "db"], 24, 80);
    assert_eq!(shown.wait_end(), 0);
    let bytes = String::from_utf8_lossy(shown.raw()).into_owned();
    assert!(bytes.contains("\x1b[31mred"), "{bytes:?}");
    assert!(!bytes.contains("\x1b[2J"), "{bytes:?}");
    let mut raw = daemon.terminal(&["tm", "logs", "db", "--raw"], 24, 80);
    assert_eq!(raw.wait_end(), 0);
    let bytes = String::from_utf8_lossy(raw.raw()).into_owned();
    assert!(bytes.contains("\x1b[2J"), "{bytes:?}");
}

#[test]
fn logs_are_followed_over_a_restart_until_ctrl_c() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'echo run $$; sleep 1000', shell: true, starttime: 0}\n",
    );
    let first = format!("run {}", daemon.wait_state("a:0", "RUNNING")["pid"]);
    let mut terminal = daemon.terminal(&["tm", "logs", "-f", "a"], 24, 80);
    terminal.expect(&first);
    assert_eq!(daemon.tm(&["restart", "a"]).code, 0);
    terminal.expect(&format!("run {}", daemon.pid_of("a:0")));
    terminal.send("\x03");
    assert_eq!(terminal.wait_end(), 0);
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
}

#[test]
fn the_daemons_log_can_be_json() {
    let daemon = Daemon::start(
        "daemon: {log: {file: '@DIR@/log', format: json}}\n\
         programs:\n  a: {cmd: sleep 1000, starttime: 0}\n",
    );
    let text = wait_for_text(&daemon, "log", |text| text.contains("STARTING -> RUNNING"));
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is an object");
        let time = line["ts"].as_str().unwrap_or_default();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!(line["level"], "info", "{line}");
        assert!(line["message"].is_string(), "{line}");
    }
}

#[test]
fn the_level_says_what_is_logged() {
    let daemon = Daemon::start(
        "daemon: {log: {file: '@DIR@/log', level: warn}}\n\
         programs:\n  a: {cmd: /nope, startretries: 0}\n",
    );
    daemon.wait_state("a:0", "FATAL");
    let text = wait_for_text(&daemon, "log", |text| text.contains("FATAL"));
    assert!(!text.contains(" INFO "), "{text}");
    assert!(text.contains(" ERROR a:0: STARTING -> FATAL"), "{text}");
}

#[test]
fn many_are_followed_at_once_each_line_whole_and_in_order() {
    const PROCESSES: usize = 8;
    const LINES: usize = 1500;
    let daemon = Daemon::start(&format!(
        "programs:\n  w:\n    cmd: [sh, -c, 'read go; seq -f \"line %g\" {LINES}; exec cat']\n    \
         numprocs: {PROCESSES}\n    stdin: pipe\n    starttime: 0\n"
    ));
    for index in 0..PROCESSES {
        daemon.wait_state(&format!("w:{index}"), "RUNNING");
    }
    let arguments = ["env", "NO_COLOR=1", "tm", "logs", "-f", "w"];
    let mut terminal = daemon.terminal(&arguments, 24, 80);
    let send = |index: usize, text: &str| {
        let params = serde_json::json!({"process": format!("w:{index}"), "text": text});
        daemon.rpc("send", params);
    };
    for index in 0..PROCESSES {
        send(index, "go\n");
    }
    let text = |terminal: &Terminal| String::from_utf8_lossy(terminal.raw()).into_owned();
    let deadline = Instant::now() + PATIENCE;
    let last = format!("| line {LINES}\r\n");
    while text(&terminal).matches(&last).count() < PROCESSES {
        assert!(terminal.read_until(deadline), "{}", text(&terminal));
    }
    // Later output stands below.
    for index in [5, 0, 7, 2] {
        send(index, &format!("later {index}\n"));
        terminal.expect(&format!("w:{index} | later {index}"));
    }
    let all = text(&terminal);
    for index in 0..PROCESSES {
        let prefix = format!("w:{index} | line ");
        let lines = all.lines().filter_map(|line| line.strip_prefix(&prefix));
        let numbers: Vec<usize> = lines.map(|n| n.parse().expect("a whole line")).collect();
        assert!(
            numbers.iter().copied().eq(1..=LINES),
            "w:{index}: {}",
            numbers.len()
        );
    }
    let later: Vec<&str> = all.lines().filter(|line| line.contains("later")).collect();
    let wanted = [5, 0, 7, 2].map(|index| format!("w:{index} | later {index}"));
    assert_eq!(later, wanted);
    terminal.send("\x03");
    terminal.wait_end();
}

/// Starts `tm` with its output not on a terminal.
fn follow(daemon: &Daemon, arguments: &[&str], stdout: Stdio) -> Child {
    let mut client = command("tm", daemon.dir());
    client.args(arguments).env("TM_SOCKET", daemon.socket());
    client.stdin(Stdio::null()).stdout(stdout);
    client.spawn().expect("tm runs")
}

fn end(mut child: Child) {
    let _ = child.kill();
    child.wait().expect("it is ours");
}

#[test]
fn in_a_file_lines_of_several_are_whole() {
    let daemon =
        Daemon::start("programs:\n  p: {cmd: cat, stdin: pipe, starttime: 0, numprocs: 2}\n");
    daemon.wait_state("p:0", "RUNNING");
    daemon.wait_state("p:1", "RUNNING");
    let file = File::create(daemon.path("shown")).expect("a file");
    let client = follow(&daemon, &["logs", "-f"], file.into());
    let send = |process: &str, text: &str| {
        daemon.rpc("send", json!({"process": process, "text": text}));
    };
    send("p:0", "pro");
    send("p:1", "tick\n");
    wait_for_text(&daemon, "shown", |text| text.contains("tick"));
    // A terminal would show the partial line at once.
    FolderWatch::new(daemon.dir()).wait(Duration::from_millis(300));
    send("p:1", "tack\n");
    wait_for_text(&daemon, "shown", |text| text.contains("tack"));
    send("p:0", "gress\n");
    let text = wait_for_text(&daemon, "shown", |text| text.contains("gress\n"));
    assert_eq!(text, "p:1 | tick\np:1 | tack\np:0 | progress\n");
    end(client);
}

/// Returns the output of a client that does not read while a process writes 4 MB.
fn shown_late(arguments: &[&str]) -> Vec<String> {
    let daemon = Daemon::start(
        "programs:\n  y:\n    cmd: [sh, -c, 'echo first; read go; @BIN@/flood 4000000 100']\n\
         \x20   stdin: pipe\n    starttime: 0\n    autorestart: never\n",
    );
    let mut client = follow(&daemon, arguments, Stdio::piped());
    let mut lines = BufReader::new(client.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().contains("first"));
    daemon.rpc("send", json!({"process": "y:0", "text": "go\n"}));
    daemon.wait_ended("y:0");
    let mut shown = Vec::new();
    while !shown
        .last()
        .is_some_and(|line: &String| line.contains("0000039999 "))
    {
        shown.push(next());
    }
    end(client);
    shown
}

#[test]
fn behind_a_gap_lines_are_whole_and_every_loss_is_reported() {
    let mut bytes = 0;
    let shown = shown_late(&["logs", "-f", "y"]);
    let skipped = |line: &str| {
        let number = line.strip_prefix('[')?.strip_suffix(" bytes skipped]")?;
        Some(number.parse::<usize>().expect("a number"))
    };
    for (index, line) in shown.iter().enumerate() {
        let before_gap = || skipped(&shown[index + 1]).is_some();
        bytes += match (skipped(line), line.len()) {
            (Some(number), _) => number,
            (None, 99) => 100,
            // The gap cut this line, and the client ended it.
            (None, len) if before_gap() => len,
            _ => panic!("{line}"),
        };
    }
    assert!(shown.len() < 39_000, "nothing was skipped");
    assert_eq!(bytes, 4_000_000);
}

#[test]
fn in_json_a_gap_is_an_object() {
    let mut bytes = 0;
    let shown = shown_late(&["--json", "logs", "-f", "y"]);
    for line in &shown {
        let line: Value = serde_json::from_str(line).expect("an object");
        assert_eq!(line["process"], "y:0");
        bytes += match line["text"].as_str() {
            Some(text) if text.len() == 99 => 100,
            Some(text) => text.len() as u64,
            None => line["skipped"].as_u64().expect("a gap"),
        };
    }
    assert!(shown.len() < 39_000, "nothing was skipped");
    assert_eq!(bytes, 4_000_000);
}

#[test]
fn a_follower_ends_once_its_reader_is_gone() {
    let daemon = Daemon::start("programs:\n  a: {cmd: 'sleep 1000', starttime: 0}\n");
    daemon.wait_state("a:0", "RUNNING");
    for arguments in [["logs", "-f"], ["events", "-f"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut client = follow(&daemon, &arguments, writer.into());
        drop(reader);
        assert_eq!(wait_exit(&mut client, PATIENCE), Some(0), "{arguments:?}");
    }
}
