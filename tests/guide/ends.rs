//! Messages and exit codes of clients when the daemon ends, is gone, or is another one.

use super::shell::{alone, at_prompt};
use crate::support::system::wait_for_text;
use crate::support::{
    Daemon, Output, PATIENCE, Terminal, command, folder, run, wait_exit, write_config,
};
use rustix::process::Signal;
use rustix::termios::LocalModes;
use std::fs::File;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A run that has ended, so that a killed daemon leaves no process behind.
const ONCE: &str = "programs:\n  once: {cmd: echo here, starttime: 0}\n";

/// Verbs that follow, and their first output.
const FOLLOWERS: [(&[&str], &str); 2] = [(&["logs", "-f"], "here"), (&["events", "-f"], "EXITED")];

/// `tm` in the background, its output in the files `out` and `told`.
fn client(daemon: &Daemon, arguments: &[&str]) -> Child {
    let mut client = command("tm", daemon.dir());
    let file = |name| File::create(daemon.path(name)).expect("a file");
    client
        .args(arguments)
        .env("TM_SOCKET", daemon.socket())
        .stdout(file("out"))
        .stderr(file("told"));
    client.spawn().expect("tm runs")
}

#[test]
fn a_daemons_death_is_an_error_for_followers() {
    for (arguments, first) in FOLLOWERS {
        let mut daemon = Daemon::start(ONCE);
        daemon.wait_ended("once:0");
        let mut client = client(&daemon, arguments);
        wait_for_text(&daemon.path("out"), first);
        daemon.signal(Signal::KILL);
        assert_eq!(wait_exit(&mut client, PATIENCE), Some(4), "{arguments:?}");
        daemon.wait_end();
        let told = daemon.read("told");
        assert!(
            told.contains("lost the connection to the daemon"),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn followers_of_a_daemon_that_is_shut_down_end_well() {
    for end in ["down", "SIGTERM"] {
        for (arguments, first) in FOLLOWERS {
            let mut daemon = Daemon::start(ONCE);
            daemon.wait_ended("once:0");
            let mut client = client(&daemon, arguments);
            wait_for_text(&daemon.path("out"), first);
            match end {
                "down" => assert_eq!(daemon.tm(&["down"]).code, 0),
                _ => daemon.signal(Signal::TERM),
            }
            let code = wait_exit(&mut client, PATIENCE);
            assert_eq!(code, Some(0), "{arguments:?}, {end}");
            assert_eq!(daemon.wait_end(), 0);
            // The last event says it.
            let told = match arguments[0] {
                "events" => "",
                _ => "the daemon was shut down\n",
            };
            assert_eq!(daemon.read("told"), told, "{arguments:?}, {end}");
        }
    }
}

#[test]
fn up_in_the_foreground_distinguishes_an_orderly_end_from_a_death() {
    let config = "programs:\n  web: {cmd: sleep 1000, starttime: 0}\n";
    for end in ["down", "SIGTERM"] {
        let mut daemon = Daemon::start(config);
        let socket = daemon.socket().display().to_string();
        let mut client = client(&daemon, &["up", "--socket", &socket]);
        wait_for_text(&daemon.path("out"), "1 up");
        match end {
            "down" => assert_eq!(daemon.tm(&["down"]).code, 0),
            _ => daemon.signal(Signal::TERM),
        }
        assert_eq!(wait_exit(&mut client, PATIENCE), Some(0), "{end}");
        assert_eq!(daemon.wait_end(), 0);
        let out = daemon.read("out");
        assert!(out.ends_with("the daemon was shut down\n"), "{end}: {out}");
        assert!(!daemon.read("told").contains("died"), "{end}");
    }
    let mut daemon = Daemon::start(ONCE);
    daemon.wait_ended("once:0");
    let socket = daemon.socket().display().to_string();
    let mut client = client(&daemon, &["up", "--socket", &socket]);
    wait_for_text(&daemon.path("out"), "ctrl-c stops everything");
    daemon.signal(Signal::KILL);
    assert_eq!(wait_exit(&mut client, PATIENCE), Some(1));
    daemon.wait_end();
    assert!(
        daemon
            .read("told")
            .contains("the daemon ended without a shutdown")
    );
}

/// Types Ctrl-C once the verb has the terminal, since the line editor would only drop the line.
/// Types it only once, since the terminal drops unread output then.
fn interrupt(shell: &mut Terminal, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !shell.termios().local_modes.contains(LocalModes::ICANON) {
        assert!(Instant::now() < deadline, "{}", shell.contents());
        shell.read_until(Instant::now() + Duration::from_millis(20));
    }
    shell.send("\x03");
    shell.expect(text);
}

#[test]
fn ctrl_c_gives_up_waiting_and_keeps_the_shell() {
    let _alone = alone();
    let daemon = Daemon::start(
        "programs:\n  web: {cmd: sleep 1000, starttime: 0}\n  stub:\n    \
         {cmd: '@BIN@/ignore_term', starttime: 0, stoptime: 600}\n",
    );
    daemon.wait_state("stub:0", "RUNNING");
    let mut events = daemon.events();
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("wait web --for stopped\r");
    interrupt(&mut shell, "cancelled");
    shell.expect_screen("the prompt again", at_prompt);
    assert!(
        !shell.contents().contains("continues"),
        "{}",
        shell.contents()
    );
    shell.send("restart stub\r");
    events.wait_for("stub:0", "STOPPING");
    interrupt(
        &mut shell,
        "cancelled; the operation continues in the background",
    );
    shell.expect_screen("the prompt once more", at_prompt);
    assert!(
        !shell.contents().contains("lost the connection"),
        "{}",
        shell.contents()
    );
    shell.send("stop web\r");
    shell.expect("web:0: stopped");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
    daemon.rpc("shutdown", serde_json::json!({"now": true}));
}

/// A folder with two projects, `a` and `b`, each with a process of its name.
struct Projects(tempfile::TempDir);

impl Projects {
    fn new() -> Projects {
        let home = folder();
        for name in ["a", "b"] {
            let project = home.path().join(name);
            std::fs::create_dir(&project).expect("a folder");
            let program = format!("  {name}: {{cmd: sleep 1000, starttime: 0}}\n");
            write_config(&project, &format!("programs:\n{program}"));
        }
        Projects(home)
    }

    fn command(&self, project: &str) -> Command {
        let mut tm = command("tm", self.0.path());
        tm.current_dir(self.0.path().join(project));
        tm.env_remove("TM_SOCKET");
        tm
    }

    fn tm(&self, project: &str, arguments: &[&str]) -> Output {
        let mut tm = self.command(project);
        tm.args(arguments);
        run(tm)
    }
}

impl Drop for Projects {
    fn drop(&mut self) {
        for project in ["a", "b"] {
            self.tm(project, &["down"]);
        }
    }
}

#[test]
fn a_shell_stays_with_its_daemon() {
    let _alone = alone();
    let projects = Projects::new();
    for project in ["a", "b"] {
        let output = projects.tm(project, &["up", "-d"]);
        assert_eq!(output.code, 0, "{output:?}");
    }
    let mut shell = Terminal::spawn_command(&projects.command("b"), 24, 120);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("status\r");
    shell.expect("b:0");
    projects.tm("b", &["down"]);
    shell.expect("the daemon was shut down");
    shell.send("stop all\r");
    shell.expect("the daemon of this shell");
    shell.expect_screen("the prompt again", at_prompt);
    let status = projects.tm("a", &["status"]);
    assert!(status.stdout.contains("RUNNING"), "{status:?}");
    projects.tm("b", &["up", "-d"]);
    shell.send("stop all\r");
    shell.expect("b:0: stopped");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
}
