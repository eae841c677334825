//! Processes that write, close or leave their output in odd ways.

use super::support::{Daemon, kill, system::wait_for_text};
use super::{assert_answers_within, ends_well, figure};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::time::Duration;

const ONCE: &str = "defaults: {starttime: 0, autorestart: never, autostart: false}\nprograms:\n";

fn run_to_its_end(daemon: &Daemon, process: &str) {
    daemon.rpc("start", json!({"targets": [process], "wait": false}));
    daemon.wait_ended(process);
}

#[test]
fn hundreds_of_megabytes_leave_memory_and_latency_as_they_were() {
    let daemon = Daemon::start(&format!(
        "{ONCE}\
         \x20 huge: {{cmd: '@BIN@/flood 150000000 1000'}}\n\
         \x20 line: {{cmd: 'head -c 100000000 /dev/zero | tr \"\\0\" x; echo; echo after',\n\
         \x20   shell: true, stdout: {{file: '@DIR@/line', max_size: 0}}}}\n"
    ));
    let before = figure(daemon.pid(), "RssAnon");
    daemon.rpc("start", json!({"targets": ["huge", "line"], "wait": false}));
    assert_answers_within(&daemon, Duration::from_millis(20), 30);
    for process in ["huge:0", "line:0"] {
        let params = json!({"targets": [process], "for": "exited"});
        daemon.rpc("wait", params);
        assert_eq!(daemon.status(process)["exit"]["code"], 0);
    }
    let size = fs::metadata(daemon.path("line")).expect("a log").len();
    assert_eq!(size, 100_000_007);
    let after = figure(daemon.pid(), "RssAnon");
    assert!(after < before + 4096, "{before} KiB before, {after} after");
    fs::remove_file(daemon.path("line")).expect("it is large");
    ends_well(daemon);
}

#[test]
fn nul_and_broken_utf_8_pass_through_pipe_and_terminal() {
    let bytes = r"\000\377\376\303\050\355\240\200 end\n";
    let script = format!("[sh, -c, 'stty raw 2>/dev/null; printf \"{bytes}\"']");
    let daemon = Daemon::start(&format!(
        "{ONCE}\
         \x20 pipe: {{cmd: {script}, stdout: '@DIR@/pipe'}}\n\
         \x20 pty: {{cmd: {script}, tty: true, stdout: '@DIR@/pty'}}\n"
    ));
    for program in ["pipe", "pty"] {
        run_to_its_end(&daemon, program);
        let log = fs::read(daemon.path(program)).expect("a log");
        let expected = b"\0\xff\xfe\xc3\x28\xed\xa0\x80 end\n";
        assert_eq!(log, expected, "{program}");
        for verb in ["logs", "why"] {
            let output = daemon.tm(&[verb, program]);
            assert_eq!(output.code, 0, "{output:?}");
            assert!(output.stdout.contains(" end"), "{output:?}");
        }
    }
    assert_eq!(daemon.tm(&["peek", "pty"]).code, 0);
    ends_well(daemon);
}

#[test]
fn a_process_that_closes_its_output_lives_on_and_its_end_is_seen() {
    let daemon = Daemon::start(
        "defaults: {cmd: '@BIN@/close_stdout', starttime: 0, autorestart: never,\n\
         \x20   stdout: '@DIR@/{program}.log'}\n\
         programs:\n  a: {}\n  b: {tty: true}\n",
    );
    for process in ["a:0", "b:0"] {
        let pid = daemon.wait_state(process, "RUNNING")["pid"].clone();
        // RUNNING begins at exec, before the first output.
        wait_for_text(&daemon.path(&process.replace(":0", ".log")), "closing");
        let mut events = daemon.events();
        kill(pid.as_i64().expect("a pid") as i32, Signal::KILL);
        assert_eq!(events.wait_for(process, "EXITED")["pid"], pid);
        let output = daemon.tm(&["logs", process]).stdout;
        assert_eq!(output.trim_end(), "closing");
    }
    ends_well(daemon);
}

#[test]
fn a_process_may_leave_its_terminal_and_return() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'mkfifo @DIR@/go; echo before; exec <&- >&- 2>&-;\n\
         \x20   read -r word < @DIR@/go; echo after $word > /dev/tty; exec sleep 1000',\n\
         \x20   shell: true, tty: true, starttime: 0, autorestart: never, stdout: '@DIR@/log'}\n",
    );
    wait_for_text(&daemon.path("log"), "before");
    fs::write(daemon.path("go"), "all\n").expect("it is waited for");
    wait_for_text(&daemon.path("log"), "after all");
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
    ends_well(daemon);
}
