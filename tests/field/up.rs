//! `up` waits for every process, and starts again only what failed.

use super::home::Home;
use super::support::{Daemon, PATIENCE, wait_exit};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// Ends the daemon of a project.
fn down(home: &Home) {
    let output = home.tm("p", &["down"]);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn up_d_returns_when_every_process_has_its_outcome() {
    let home = Home::new();
    home.write(
        "p",
        "programs:
  bad: {cmd: 'false', startretries: 0}
  slow: {cmd: sleep 1000, starttime: 1500ms}
  job: {cmd: 'true', starttime: 0, autorestart: never}
",
    );
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("✓ slow:0  RUNNING"), "{output:?}");
    assert!(output.stdout.contains("✗ bad:0   FATAL"), "{output:?}");
    assert!(output.stdout.contains("1 failed"), "{output:?}");
    down(&home);
}

#[test]
fn up_d_watches_failing_starts_for_ten_seconds() {
    let home = Home::new();
    home.write(
        "p",
        "programs: {flaky: {cmd: 'false', startretries: 100}}\n",
    );
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.ends_with("0 up, 1 retrying\n"), "{output:?}");
    assert!(output.stderr.contains("tm why flaky:0"), "{output:?}");
    down(&home);
}

#[test]
fn up_d_starts_what_failed_but_nothing_that_was_stopped_or_is_done() {
    let home = Home::new();
    home.write(
        "p",
        "programs:
  web: {cmd: sleep 1000, starttime: 0}
  job: {cmd: \"sh -c 'echo x >>job.runs'\", starttime: 0, autorestart: never}
  bad: {cmd: \"sh -c 'echo x >>bad.runs; exit 1'\", startretries: 0}
  off: {cmd: sleep 1000, autostart: false}
",
    );
    let runs = |name: &str| {
        let text = fs::read_to_string(home.path("p").join(name)).unwrap_or_default();
        text.lines().count()
    };
    assert_eq!(home.tm("p", &["up", "-d"]).code, 1);
    assert_eq!(home.tm("p", &["wait", "job", "--for", "exited"]).code, 0);
    assert_eq!(home.tm("p", &["stop", "web"]).code, 0);
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    let said = "not started, since they were stopped or are done: web:0, job:0; to start them: \
                tm up -d --all";
    assert!(output.stderr.contains(said), "{output:?}");
    assert_eq!((runs("job.runs"), runs("bad.runs")), (1, 2));
    assert!(
        output.stdout.ends_with("0 up, 1 done, 1 failed\n"),
        "{output:?}"
    );
    let output = home.tm("p", &["up", "-d", "--all"]);
    assert!(output.stdout.contains("✓ web:0  RUNNING"), "{output:?}");
    home.tm("p", &["wait", "job", "--for", "exited"]);
    assert_eq!((runs("job.runs"), runs("bad.runs")), (2, 3));
    let status = home.tm("p", &["status", "off"]);
    assert!(status.stdout.contains("STOPPED"), "{status:?}");
    down(&home);
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
    super::support::wait_for_line(&daemon.path("up"));
    let mut terminal = daemon.terminal(&["tm", "down"], 24, 80);
    terminal.expect("waiting for 1: slow:0");
    daemon.tm(&["down", "--now"]);
    terminal.expect("the daemon has ended");
    assert_eq!(terminal.wait_end(), 0);
    daemon.wait_end();
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
