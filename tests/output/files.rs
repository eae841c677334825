//! All output reaches its configured place.

use super::support::{self, Daemon, program};
use super::{flood_lines, wait_for_text};
use serde_json::json;
use std::fs;

/// A daemon with one program `a` that runs a script once.
fn script(script: &str, more: &str) -> Daemon {
    let daemon = Daemon::start(&format!(
        "programs:\n  a:\n    cmd: |\n      {}\n    shell: true\n    starttime: 0\n    \
         autorestart: never\n    {more}\n",
        script.replace('\n', "\n      ")
    ));
    daemon.wait_ended("a:0");
    daemon
}

#[test]
fn each_stream_has_its_own_file() {
    let daemon = script(
        "echo out; echo err >&2; echo more",
        "stdout: '@DIR@/{program}.{instance:02}.out'\n    stderr: '@DIR@/err'",
    );
    assert_eq!(daemon.read("a.00.out"), "out\nmore\n");
    assert_eq!(daemon.read("err"), "err\n");
}

#[test]
fn merged_streams_keep_their_order() {
    let daemon = script(
        "for i in $(seq 300); do echo out $i; echo err $i >&2; done",
        "stdout: '@DIR@/log'\n    stderr: stdout",
    );
    let expected: String = (1..=300).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(daemon.read("log"), expected);
}

#[test]
fn one_file_named_twice_gets_both_streams() {
    let daemon = script(
        "echo out; echo err >&2",
        "stdout: '@DIR@/log'\n    stderr: '@DIR@/log'",
    );
    let text = daemon.read("log");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
}

#[test]
fn one_file_named_twice_keeps_lines_and_their_order() {
    let daemon = script(
        "for i in $(seq 3000); do echo out $i; echo err $i >&2; done",
        "stdout: '@DIR@/log'\n    stderr: '@DIR@/log'",
    );
    let expected: String = (1..=3000).map(|i| format!("out {i}\nerr {i}\n")).collect();
    let text = daemon.read("log");
    let differs = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(text == expected, "{differs:?}");
}

#[test]
fn discarded_and_direct_output_does_not_pass_through_the_daemon() {
    let daemon = script(
        "readlink /proc/self/fd/2; echo err >&2; echo last",
        "stdout: {file: '@DIR@/direct', direct: true}\n    stderr: discard",
    );
    assert_eq!(daemon.read("direct"), "/dev/null\nlast\n");
    assert_eq!(daemon.tm(&["logs", "a"]).stdout, "");
}

#[test]
fn timestamps_stand_before_each_line_and_escapes_go() {
    let daemon = script(
        r"printf '\033[31mred\033[0m\n\033]0;title\007plain\r\n'; printf half; printf ' line'",
        "stdout: {file: '@DIR@/log', timestamps: true, strip_ansi: true}",
    );
    let text = daemon.read("log");
    let lines: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let texts: Vec<&str> = lines.iter().map(|(_, text)| *text).collect();
    assert_eq!(texts, ["red", "plain", "half line"], "{text:?}");
    for (time, _) in lines {
        let time: jiff::Timestamp = time.parse().expect("a time");
        assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60);
    }
    assert!(
        text.ends_with("half line"),
        "the newline is not made up: {text:?}"
    );
}

#[test]
fn a_last_line_without_newline_is_kept() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: '@BIN@/partial_line the_end 3', starttime: 0, autorestart: never,\n\
         \x20   stdout: '@DIR@/log'}\n",
    );
    daemon.wait_ended("a:0");
    assert_eq!(daemon.read("log"), "a whole line\nthe_end");
    assert_eq!(daemon.tm(&["logs", "a"]).stdout, "a whole line\nthe_end");
}

#[test]
fn output_before_a_death_is_in_the_log_when_the_death_is_announced() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: '@BIN@/flood 1000000 50; kill -9 $$', shell: true, numprocs: 4,\n\
         \x20   starttime: 0, autorestart: never, autostart: false,\n\
         \x20   stdout: '@DIR@/log.{instance}'}\n",
    );
    let expected = flood_lines(20_000, 50);
    for index in 0..4 {
        let process = format!("a:{index}");
        daemon.rpc("start", json!({"targets": [process], "wait": false}));
        let output = daemon.tm(&["wait", &process, "--for", "exited"]);
        let log = daemon.read(&format!("log.{index}"));
        assert_eq!(output.code, 137, "{output:?}");
        assert!(log == expected, "{} of {} bytes", log.len(), expected.len());
    }
}

#[test]
fn processes_that_share_a_file_keep_their_lines_whole() {
    let daemon = Daemon::start(
        "programs:\n  a:\n    cmd: 'for i in $(seq 400); do printf \"{instance} \"; printf $i;\n\
         \x20     printf \" end\\n\"; done'\n    shell: true\n    numprocs: 3\n    starttime: 0\n\
         \x20   autorestart: never\n    stdout: '@DIR@/log'\n",
    );
    for index in 0..3 {
        daemon.wait_ended(&format!("a:{index}"));
    }
    let text = daemon.read("log");
    for index in 0..3 {
        let start = format!("{index} ");
        let of_it = text.lines().filter(|line| line.starts_with(&start));
        let expected: Vec<String> = (1..=400).map(|i| format!("{index} {i} end")).collect();
        assert_eq!(of_it.collect::<Vec<_>>(), expected);
    }
    assert_eq!(text.lines().count(), 1200);
}

#[test]
fn any_bytes_and_a_line_of_two_megabytes_pass_as_they_are() {
    let daemon = script(
        r"head -c 2000000 /dev/zero | tr '\0' x; printf '\n\000\377\376 end\n'",
        "stdout: '@DIR@/log'",
    );
    let bytes = fs::read(daemon.path("log")).expect("a log");
    let mut expected = vec![b'x'; 2_000_000];
    expected.extend_from_slice(b"\n\0\xff\xfe end\n");
    assert!(bytes == expected, "{} bytes", bytes.len());
    let output = daemon.tm(&["logs", "a", "-n", "1"]);
    assert!(output.stdout.ends_with(" end\n"), "{output:?}");
}

#[test]
fn a_terminal_has_one_log_for_everything() {
    let daemon = script(
        "echo out; echo err >&2",
        "tty: true\n    stdout: {file: '@DIR@/log', strip_ansi: true}",
    );
    assert_eq!(daemon.read("log"), "out\nerr\n");
}

#[test]
fn a_log_gets_only_a_colour_reset_between_two_runs() {
    let yaml = "defaults: {tty: true, starttime: 0, autorestart: never}\nprograms:\n  \
        plain: {cmd: printf 'plain\\n', stdout: '@DIR@/plain'}\n  \
        red: {cmd: \"printf '\\\\033[31mred\\\\n'\", stdout: '@DIR@/red'}\n";
    let daemon = Daemon::start(yaml);
    for process in ["plain:0", "red:0"] {
        daemon.wait_ended(process);
        daemon.tm(&["start", process]);
        daemon.wait_ended(process);
    }
    assert_eq!(daemon.read("plain"), "plain\r\nplain\r\n");
    assert_eq!(daemon.read("red"), "\x1b[31mred\r\n\x1b[m\x1b[31mred\r\n");
}

#[test]
fn a_restarted_process_appends_to_the_same_log() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'echo begin $$; sleep 1000', shell: true, starttime: 0,\n\
         \x20   stdout: '@DIR@/log'}\n",
    );
    wait_for_text(&daemon, "log", |text| text.lines().count() == 1);
    daemon.tm(&["restart", "a"]);
    let text = wait_for_text(&daemon, "log", |text| text.lines().count() == 2);
    assert!(
        text.lines().all(|line| line.starts_with("begin ")),
        "{text}"
    );
}

#[test]
fn flood_writes_the_expected_lines() {
    let mut flood = std::process::Command::new(program("flood"));
    flood.args(["500", "50"]);
    assert_eq!(support::run(flood).stdout, flood_lines(10, 50));
}
