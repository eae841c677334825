//! `up` waits for every process, and starts again only what failed.

use super::home::{Home, Running};
use super::support::{self, Daemon, PATIENCE, Terminal, kill, wait_exit};
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

/// Ends the daemon of a project.
pub(super) fn down(home: &Home) {
    let output = home.tm("p", &["down"]);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn up_takes_its_config_as_an_argument() {
    let home = Home::new();
    home.project("p", "");
    let output = home.tm("", &["up", "-d", "p/taskmaster.yaml"]);
    assert_eq!(output.code, 0, "{output:?}");
    let output = home.tm("p", &["up", "-d", "web"]);
    assert_eq!(output.code, 1, "{output:?}");
    let said =
        "there is no config file 'web'; to start a program of a daemon that runs: tm start web";
    assert!(output.stderr.contains(said), "{output:?}");
    let output = home.tm("", &["up", "-c", "x.yaml", "p/taskmaster.yaml"]);
    assert_eq!(output.code, 2, "{output:?}");
    down(&home);
}

#[test]
fn a_directory_is_no_config() {
    let home = Home::new();
    home.project("p", "");
    for verb in ["status", "stop"] {
        let output = home.tm("p", &["-c", ".", verb, "web"]);
        assert_eq!(output.code, 1, "{output:?}");
        let said = "tm: '.' is a directory; name the config file in it with -c\n";
        assert_eq!(output.stderr, said);
    }
}

#[test]
fn a_warning_of_the_config_is_printed_once() {
    let home = Home::new();
    home.write(
        "p",
        "programs: {a: {cmd: echo a | cat, starttime: 0, autorestart: never}}\n",
    );
    let failing = ["up", "-d", "--socket", "/nope/x.sock"];
    for arguments in [&failing[..], &["up", "-d"]] {
        let output = home.tm("p", arguments);
        assert_eq!(output.stderr.matches("warning:").count(), 1, "{output:?}");
    }
    down(&home);
}

#[test]
fn down_names_what_it_waits_for() {
    let mut daemon = Daemon::start(
        "programs:\n  slow: {cmd: [sh, -c, 'trap \"\" TERM; echo up >@DIR@/up; \
         while :; do sleep 1000; done'], starttime: 0, stoptime: 1h}\n",
    );
    support::wait_for_line(&daemon.path("up"));
    let mut terminal = daemon.terminal(&["tm", "down"], 24, 80);
    terminal.expect("waiting for 1: slow:0");
    daemon.tm(&["down", "--now"]);
    terminal.expect("the daemon has ended");
    assert_eq!(terminal.wait_end(), 0);
    daemon.wait_end();
}

/// The next line of a client's output.
pub(super) fn next_line(output: &mut impl Read) -> String {
    let mut line = String::new();
    let read = BufReader::with_capacity(1, output).read_line(&mut line);
    read.expect("a line");
    line.trim_end().to_string()
}

/// The exit code of a client, and the rest of its output.
pub(super) fn outcome_of(client: Child) -> (Option<i32>, String) {
    let output = client.wait_with_output().expect("our child");
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    (output.status.code(), text)
}

/// Starts `tm up -d`.
pub(super) fn begin_up(home: &Home) -> Child {
    let mut tm = home.command("tm", "p");
    tm.args(["up", "-d"]);
    tm.stdout(Stdio::piped()).stderr(Stdio::piped());
    tm.spawn().expect("a client")
}

#[test]
fn up_waits_for_the_end_of_a_daemon_that_is_shutting_down() {
    let home = Home::new();
    let config = home.write(
        "p",
        "programs:\n  slow: {cmd: [sh, -c, 'trap \"read line <end; exit\" TERM; echo x >up; \
         while :; do sleep 0.01; done'], starttime: 0, stoptime: 1h}\n",
    );
    let usual = home.usual(&config);
    assert_eq!(home.shell("p", "mkfifo end").code, 0);
    let daemon = home.start("p", &usual);
    let first = daemon.pid();
    support::wait_for_line(&home.path("p/up"));
    assert_eq!(home.tm("p", &["shutdown"]).code, 0);
    let mut client = begin_up(&home);
    let said = next_line(client.stderr.as_mut().expect("it is piped"));
    let wanted = format!("the daemon is shutting down (pid {first}); waiting for its end…");
    assert_eq!(said, wanted);
    assert_eq!(home.shell("p", "echo x >end").code, 0);
    let (code, text) = outcome_of(client);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("slow:0  RUNNING"), "{text}");
    let next = Running::behind(&usual);
    assert_ne!(next.pid(), first);
    assert_eq!(home.tm("p", &["down", "--now"]).code, 0);
    daemon.end();
    next.end();
}

#[test]
fn what_killmode_process_leaves_is_named_and_no_survivor() {
    let home = Home::new();
    let config = home.write(
        "p",
        "programs:\n  p: {cmd: [sh, -c, 'sleep 1000 & echo $! >left; wait'], starttime: 0, \
         killmode: process}\n",
    );
    let daemon = home.start("p", &home.usual(&config));
    let left = support::wait_for_line(&home.path("p/left"));
    support::system::wait_for_exec(left.parse().expect("a pid"), "sleep 1000");
    let output = home.tm("p", &["down"]);
    let named = format!("left running by killmode: process: {left} (p:0, sleep 1000)");
    assert!(output.stderr.contains(&named), "{output:?}");
    daemon.end();
    let output = home.tmd("p", &["-d"]);
    assert_eq!(output.code, 0, "{output:?}");
    let named_by_daemon = format!("p:0 of an earlier daemon still runs: pid {left} sleep 1000");
    assert!(output.stderr.contains(&named_by_daemon), "{output:?}");
    Running::behind(&home.usual(&config)).end();
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains(&named), "{output:?}");
    assert_eq!(home.tm("p", &["down"]).code, 0);
    let pids = support::system::processes_of(&home.usual(&config));
    for (pid, _) in pids {
        kill(pid, Signal::KILL);
    }
}

#[test]
fn a_config_that_is_missing_or_above_is_named() {
    let home = Home::new();
    home.project("p", "");
    home.make("p/below");
    let missing = "there is no config file 'nope'; check its path";
    for arguments in [
        &["up", "-c", "nope"][..],
        &["up", "-d", "-c", "nope"],
        &["check", "nope"],
    ] {
        let output = home.tm("p", arguments);
        assert_eq!(output.code, 1, "{output:?}");
        assert_eq!(output.stderr, format!("tm: {missing}\n"));
    }
    let output = home.tmd("p", &["-c", "nope"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(output.stderr, format!("tmd: {missing}\n"));
    for arguments in [&["up"][..], &["check"]] {
        let output = home.tm("p/below", arguments);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(
            output.stderr.contains("-c ../taskmaster.yaml"),
            "{output:?}"
        );
    }
}

/// `up` in the foreground, with this standard output.
fn foreground(home: &Home, stdout: Stdio) -> Child {
    let mut up = home.command("tm", "p");
    let up = up.arg("up").stdout(stdout).stderr(Stdio::piped());
    up.spawn().expect("tm can be started")
}

/// Waits for the end of `up` and of its daemon. Returns its exit code and its messages.
fn end_of(home: &Home, mut up: Child) -> (Option<i32>, String) {
    let code = wait_exit(&mut up, PATIENCE);
    let said = up.wait_with_output().expect("it has ended").stderr;
    assert_eq!(home.tm("p", &["status"]).code, 4, "the daemon has ended");
    (code, String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn up_whose_reader_leaves_stops_everything_and_says_so() {
    // One that prints, and one that prints nothing and would not notice a closed pipe.
    for cmd in [
        "[sh, -c, 'while :; do echo x; sleep 0.1; done']",
        "sleep 1000",
    ] {
        let home = Home::new();
        home.write("p", &format!("programs: {{a: {{cmd: {cmd}}}}}\n"));
        let mut up = foreground(&home, Stdio::piped());
        let mut reader = BufReader::new(up.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("ctrl-c stops everything") {
            line.clear();
            assert_ne!(
                reader.read_line(&mut line).expect("text"),
                0,
                "tm has ended"
            );
        }
        drop(reader);
        let (code, said) = end_of(&home, up);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said, "tm: standard output was closed; stopping 1 process\n");
    }
}

#[test]
fn up_whose_output_is_a_full_device_stops_everything_and_says_so() {
    let home = Home::new();
    home.project("p", "");
    let full = OpenOptions::new().write(true).open("/dev/full");
    let up = foreground(&home, full.expect("it exists").into());
    let (code, said) = end_of(&home, up);
    assert_eq!(code, Some(1), "{said}");
    let wanted = "tm: cannot write to standard output: No space left on device (os error 28); \
                  stopping 1 process\n";
    assert_eq!(said, wanted);
}

/// A daemon that was started on its own, and a foreground `up` that only shows it.
fn visited() -> (Daemon, Terminal) {
    let daemon = Daemon::start("programs: {a: {cmd: sleep 1000, starttime: 0}}\n");
    daemon.wait_state("a:0", "RUNNING");
    let mut terminal = daemon.terminal(&["tm", "up"], 24, 80);
    terminal.expect("1 up; ctrl-c stops everything");
    (daemon, terminal)
}

#[test]
fn up_on_a_running_daemon_leaves_it_running_when_its_terminal_closes() {
    let (daemon, terminal) = visited();
    assert_eq!(terminal.hang_up(), 129);
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
}

#[test]
fn up_on_a_running_daemon_leaves_it_running_at_sigterm() {
    let (daemon, mut terminal) = visited();
    kill(terminal.pid(), Signal::TERM);
    terminal.expect("1 process keeps running; to stop everything: tm down");
    assert_eq!(terminal.wait_end(), 143);
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
}

#[test]
fn ctrl_c_at_up_stops_a_daemon_that_ran_before() {
    let (mut daemon, mut terminal) = visited();
    terminal.send("\x03");
    terminal.expect("all stopped");
    assert_eq!(terminal.wait_end(), 0);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn up_on_a_running_daemon_leaves_it_running_when_its_reader_leaves() {
    for arguments in [&["up"][..], &["up", "--json"]] {
        let home = Home::new();
        home.write(
            "p",
            "programs: {a: {cmd: [sh, -c, 'while :; do echo x; sleep 0.1; done']}}\n",
        );
        assert_eq!(home.tm("p", &["up", "-d"]).code, 0);
        let mut up = home.command("tm", "p");
        let up = up.args(arguments).stdin(Stdio::null());
        let mut up = up
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a client");
        let mut first = [0];
        let mut stdout = up.stdout.take().expect("it is piped");
        stdout.read_exact(&mut first).expect("output");
        drop(stdout);
        let (code, said) = outcome_of(up);
        assert_eq!(code, Some(1), "{said}");
        let wanted = "standard output was closed; 1 process keeps running";
        assert!(said.contains(wanted), "{said}");
        assert_eq!(home.tm("p", &["status"]).code, 0);
        down(&home);
    }
}

#[test]
fn ctrl_c_at_up_in_the_control_shell_returns_to_the_prompt() {
    let daemon = Daemon::start("programs: {a: {cmd: sleep 1000, starttime: 0}}\n");
    daemon.wait_state("a:0", "RUNNING");
    let mut shell = daemon.terminal(&["tm"], 24, 80);
    shell.expect("tm> ");
    shell.send("up\r");
    shell.expect("1 up; ctrl-c returns to the prompt");
    shell.send("\x03");
    shell.expect("\n1 process keeps running; to stop everything: tm down");
    shell.send("status\r");
    shell.expect("a:0   RUNNING");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
}

#[test]
fn commands_to_copy_name_the_daemon_as_the_line_did() {
    let home = Home::new();
    home.write("p", "programs: {bad: {cmd: 'false', startretries: 0}}\n");
    for arguments in [
        &["up", "-d", "-c", "p/taskmaster.yaml"][..],
        &["up", "-d", "p/taskmaster.yaml"],
    ] {
        let output = home.tm("", arguments);
        let said = "to see why: tm -c p/taskmaster.yaml why bad:0\n";
        assert!(output.stderr.ends_with(said), "{output:?}");
    }
    let socket = home
        .registered()
        .into_iter()
        .find(|name| name.ends_with(".sock"));
    let socket = home.path("run/tmd").join(socket.expect("a socket"));
    let socket = socket.display().to_string();
    let output = home.tm("", &["--socket", &socket, "why", "bad"]);
    let remedy = format!("then: tm --socket {socket} start bad:0\n");
    assert!(output.stdout.contains(&remedy), "{output:?}");
    // In its folder, no name is needed.
    let output = home.tm("p", &["why", "bad"]);
    assert!(
        output.stdout.contains("then: tm start bad:0\n"),
        "{output:?}"
    );
    down(&home);
}
