//! Without a terminal at one of the ends.

use crate::consoles::{Console, clients};
use crate::support::system::{Bystander, wait_for_text};
use crate::support::{self, Daemon, PATIENCE, command, wait_exit, wait_for_line};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const PIPES: &str = "programs:\n  \
    shell: {cmd: sh, stdin: pipe, starttime: 0, autorestart: always}\n  \
    deaf: {cmd: [sh, -c, 'echo here; exec sleep 1000'], starttime: 0}\n  \
    tty: {cmd: '@BIN@/echo_tty line', tty: true, starttime: 0}\n  \
    once: {cmd: [sh, -c, 'read -r code; exit $code'], stdin: pipe, starttime: 0,\n    \
      autorestart: never}\n";

#[test]
fn input_reaches_the_process_and_its_end_only_detaches() {
    let daemon = Daemon::start(PIPES);
    let pid = daemon.pid_of("shell:0");
    let output = daemon.tm_with_input(&["attach", "shell:0"], "echo one\n");
    assert_eq!(output.code, 0, "{output:?}");
    let output = daemon.tm_with_input(
        &["attach", "shell:0"],
        "echo two > done\necho $((40 + 2))\n",
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.contains("42\n"),
        "what it answers is shown: {output:?}"
    );
    assert_eq!(wait_for_line(&daemon.path("done")), "two");
    assert_eq!(daemon.pid_of("shell:0"), pid, "it still runs");
    assert!(clients(&daemon, "shell:0").is_empty());
}

#[test]
fn until_exit_hands_the_end_of_input_on_and_brings_the_code_back() {
    let daemon = Daemon::start(PIPES);
    daemon.wait_state("shell:0", "RUNNING");
    let script = "echo going\nexit 7\n";
    let output = daemon.tm_with_input(&["attach", "--until-exit", "shell:0"], script);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (7, "going\n"),
        "{output:?}"
    );
    daemon.wait_state("shell:0", "RUNNING");
    let output = daemon.tm_with_input(&["attach", "--until-exit", "shell:0"], "echo end\n");
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.ends_with("end\n"), "{output:?}");
}

#[test]
fn no_input_at_all_detaches_at_once() {
    let daemon = Daemon::start(PIPES);
    let pid = daemon.pid_of("deaf:0");
    let output = daemon.tm(&["attach", "deaf:0"]);
    assert_eq!(output.code, 0, "{output:?}");
    let output = daemon.tm_with_input(&["attach", "deaf:0"], "nonsense\n");
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("takes no input"), "{output:?}");
    assert_eq!(daemon.pid_of("deaf:0"), pid);
}

#[test]
fn dropped_input_is_reported_with_the_reason() {
    let daemon = Daemon::start(PIPES);
    let output = daemon.tm_with_input(&["attach", "--read-only", "shell:0"], "exit\n");
    let reason = "[attached read-only to shell:0; input is dropped]";
    assert!(output.stderr.contains(reason), "{output:?}");
    let output = daemon.tm_with_input(&["attach", "--until-exit", "once:0"], "3\n");
    assert_eq!(output.code, 3, "{output:?}");
    daemon.wait_state("once:0", "EXITED");
    let output = daemon.tm_with_input(&["attach", "once:0"], "5\n");
    let reason = "[once:0 is EXITED and takes no input; input is dropped]";
    assert!(output.stderr.contains(reason), "{output:?}");
    for process in ["once:0", "deaf:0"] {
        let output = daemon.tm(&["attach", process]);
        assert_eq!(output.stderr, "", "nothing was dropped");
    }
}

#[test]
fn until_exit_of_a_process_that_has_never_run_says_that_it_waits() {
    let once = "stdin: pipe, starttime: 0,\n    ";
    let daemon = Daemon::start(&PIPES.replace(once, &format!("{once}  autostart: false, ")));
    let mut client = command("tm", daemon.dir());
    let told = File::create(daemon.path("told")).expect("a file");
    client.args(["attach", "--until-exit", "once:0"]);
    client.env("TM_SOCKET", daemon.socket()).stderr(told);
    let mut client = client.spawn().expect("tm runs");
    let told = wait_for_text(&daemon.path("told"), "waiting");
    assert!(told.contains("[once:0 is STOPPED; waiting for its next run to end]"));
    daemon.tm(&["start", "once:0"]);
    daemon.tm(&["send", "once:0", "4"]);
    assert_eq!(wait_exit(&mut client, PATIENCE), Some(4));
}

#[test]
fn a_pipe_into_a_terminal_brings_the_answer_and_no_drawing() {
    let daemon = Daemon::start(PIPES);
    let output = daemon.tm_with_input(&["attach", "tty:0"], "hello\r");
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("echo: hello"), "{output:?}");
    assert!(!output.stdout.contains('\x1b'), "{output:?}");
    assert_eq!(daemon.status("tty:0")["state"], "RUNNING");
}

#[test]
fn lines_typed_go_to_the_input_of_a_process_without_terminal() {
    let daemon = Daemon::start(PIPES);
    let mut console = Console::attach(&daemon, "shell:0");
    console
        .terminal
        .expect("lines go to its input, ctrl-c detaches");
    console.terminal.send("echo $((40 + 2))\n");
    console.terminal.expect("42");
    console.terminal.send("\x03");
    console.terminal.expect("[detached from shell:0]");
    // The shell of the test may be interrupted as well.
    drop(console);
    let mut console = Console::attach(&daemon, "deaf:0");
    console.terminal.expect("here");
    console.terminal.send("text\n");
    console.terminal.expect("takes no input");
    console.terminal.send("\x04");
    assert_eq!(console.wait_over(), 0);
    assert_eq!(daemon.status("deaf:0")["state"], "RUNNING");
}

#[test]
fn the_end_of_the_process_ends_a_pipe_with_its_code() {
    let daemon = Daemon::start(
        "programs:\n  once: {cmd: [sh, -c, 'read x; echo bye; exit 5'], stdin: pipe, \
         starttime: 0, autorestart: never}\n",
    );
    daemon.wait_state("once:0", "RUNNING");
    let mut child = command("tm", daemon.dir());
    child
        .args(["attach", "--until-exit", "once:0"])
        .env("TM_SOCKET", daemon.socket());
    let output = support::run_with_input(child, "go\n");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (5, "bye\n"),
        "{output:?}"
    );
}

#[test]
fn a_terminal_whose_output_goes_elsewhere_exchanges_lines() {
    let daemon = Daemon::start(PIPES);
    let before = daemon.rpc("peek", json!({"process": "tty:0"}));
    let script = "tm attach tty:0 > out; echo \"over: $?.\"";
    let mut terminal = daemon.terminal(&["sh", "-c", script], 30, 90);
    terminal.expect("lines go to its input, ctrl-c detaches");
    terminal.send("typed\n");
    wait_for_text(&daemon.path("out"), "echo: typed");
    // The client shows no screen of the process, so it does not send its size.
    let after = daemon.rpc("peek", json!({"process": "tty:0"}));
    assert_eq!(
        (&after["rows"], &after["cols"]),
        (&before["rows"], &before["cols"])
    );
    terminal.send("\x04");
    terminal.expect("over: 0.");
    assert!(
        !daemon.read("out").contains('\x1b'),
        "{}",
        daemon.read("out")
    );
}

#[test]
fn the_hint_has_a_line_of_its_own() {
    let daemon = Daemon::start(
        "programs:\n  part: {cmd: [sh, -c, 'printf \"Name? \"; exec cat'], stdin: pipe,\n\
         \x20   starttime: 0}\n",
    );
    // The second client finds the output already there: the first one has seen it.
    let mut first = Console::attach(&daemon, "part:0");
    first.terminal.expect("Name?");
    let mut console = Console::attach(&daemon, "part:0");
    console.terminal.expect("ctrl-c detaches");
    let shown = console.terminal.contents();
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let hint = "[attached to part:0 — lines go to its input, ctrl-c detaches]";
    assert!(lines.ends_with(&["Name?", hint]), "{shown}");
    // Typed input ends the line as well.
    console.terminal.send("me\n");
    console.terminal.expect("me\nme");
    console.terminal.send("\x04");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn input_to_a_process_that_is_being_started_waits_for_it() {
    let folder = support::folder();
    let program = folder.path().join("program");
    let script = "#!/bin/sh\nread -r line; echo \"got $line\" >> $1; exec sleep 1000\n";
    fs::write(&program, script).expect("a new file");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is ours");
    let yaml = "programs:\n  pipe: {cmd: '@DIR@/program @DIR@/pipe', stdin: pipe, starttime: 0}\n  \
        tty: {cmd: '@DIR@/program @DIR@/tty', tty: true, starttime: 0}\n";
    support::write_config(folder.path(), yaml);
    // The exec of the program blocks while the lease is held.
    let mut holder = command("hold_lease", folder.path());
    holder.arg(&program).stdin(Stdio::piped());
    let held = File::create(folder.path().join("held")).expect("a new file");
    let mut holder = Bystander(holder.stdout(held).spawn().expect("it starts"));
    let wait_for = |text: &str| wait_for_text(&folder.path().join("held"), text);
    wait_for("ready");
    let daemon = Daemon::start_held_up(folder);
    wait_for_text(&daemon.path("held"), "held");
    for name in ["pipe:0", "tty:0"] {
        assert_eq!(daemon.status(name)["pid"], Value::Null, "it is held up");
    }
    let output = daemon.tm_with_input(&["attach", "pipe:0"], "by pipe\n");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    let output = daemon.tm(&["send", "tty:0", "by hand\\n"]);
    assert_eq!(output.code, 0, "{output:?}");
    drop(holder.0.stdin.take());
    wait_for_text(&daemon.path("pipe"), "got by pipe");
    wait_for_text(&daemon.path("tty"), "got by hand");
}

#[test]
fn a_sender_goes_on_when_the_process_that_reads_nothing_is_gone() {
    let run = "test -e $0 && exec cat; echo > $0; exec sleep 1000";
    let yaml = format!(
        "defaults: {{workingdir: '@DIR@', starttime: 10ms, autorestart: always}}\n\
         programs:\n\
         \x20 pipe: {{cmd: [sh, -c, '{run}', b], stdin: pipe}}\n\
         \x20 tty: {{cmd: [sh, -c, 'stty raw -echo; {run}', c], tty: true}}\n"
    );
    let daemon = Daemon::start(&yaml);
    for (name, made) in [("pipe:0", "b"), ("tty:0", "c")] {
        wait_for_line(&daemon.path(made));
        a_sender_goes_on(&daemon, name);
    }
}

/// Kills a process that reads nothing while its input is full, and sends to its next run.
fn a_sender_goes_on(daemon: &Daemon, name: &str) {
    let pid = daemon.wait_state(name, "RUNNING")["pid"].as_i64();
    let text = "x".repeat(32 * 1024);
    let send = || {
        let params = json!({"process": name, "text": &text});
        daemon.control().call("send", params)
    };
    while send().is_ok() {}
    let mut writer = command("tm", daemon.dir());
    writer.arg("attach").arg(name).stdin(Stdio::piped());
    writer.env("TM_SOCKET", daemon.socket());
    let out = File::create(daemon.path("out")).expect("a new file");
    let mut writer = Bystander(writer.stdout(out).spawn().expect("it starts"));
    let mut stdin = writer.0.stdin.take().expect("a pipe");
    let sender = std::thread::spawn(move || {
        // More than all pipes and queues hold.
        let written = stdin.write_all(&[b'x'; 2 << 20]);
        written.map(|()| stdin).expect("it is read at last")
    });
    support::kill(pid.expect("it runs") as i32, Signal::KILL);
    let mut stdin = sender.join().expect("all is read");
    daemon.wait_state(name, "RUNNING");
    stdin.write_all(b"\nthe last line\n").expect("it is read");
    wait_for_text(&daemon.path("out"), "the last line");
}
