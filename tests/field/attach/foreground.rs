//! Commands on a terminal that goes away, and ctrl-\.

use crate::consoles::Console;
use crate::support::{
    Daemon, PATIENCE, Terminal, command, folder, wait_for_line, wait_gone, write_config,
};
use std::os::unix::net::UnixStream;
use std::time::Instant;

#[test]
fn closing_the_terminal_of_a_foreground_up_stops_everything() {
    let folder = folder();
    write_config(
        folder.path(),
        "programs:\n  talks: {cmd: [sh, -c, 'echo $$ > pid; while :; do echo talk; sleep 0.1; \
         done'], \
         starttime: 0, workingdir: '@DIR@'}\n",
    );
    let socket = folder.path().join("tmd.sock");
    let script = format!(
        "tm up -c taskmaster.yaml --socket {}; true",
        socket.display()
    );
    let mut shell = command("sh", folder.path());
    shell.args(["-c", &script]);
    let mut terminal = Terminal::spawn_command(&shell, 24, 80);
    terminal.expect("talk");
    let pid = wait_for_line(&folder.path().join("pid"));
    // This hangs the session up.
    drop(terminal);
    wait_gone(pid.parse().expect("a pid"));
    let until = Instant::now() + PATIENCE;
    while UnixStream::connect(&socket).is_ok() {
        assert!(Instant::now() < until, "the daemon is left");
    }
}

#[test]
fn ctrl_backslash_ends_a_command_without_a_core_file() {
    let daemon = Daemon::start(crate::consoles::ECHO);
    for verb in ["logs -f", "events -f"] {
        let script = format!(
            "trap : QUIT; ulimit -c unlimited; read -r go; tm {verb}; \
             echo \"over: $?.\"; read -r rest"
        );
        let mut console = Console::begin(daemon.terminal(&["sh", "-c", &script], 24, 80));
        console.terminal.expect("line:0");
        console.terminal.send("\x1c");
        console.terminal.expect("over: 131.");
        let shown = console.terminal.contents();
        assert!(!shown.contains("Quit"), "{shown}");
    }
    for process in ["line:0", "raw:0"] {
        assert_eq!(daemon.status(process)["state"], "RUNNING");
    }
}

#[test]
fn followers_end_with_their_terminal_even_if_they_ignore_its_signal() {
    let daemon = Daemon::start(crate::consoles::ECHO);
    for verb in ["logs -f", "events -f"] {
        let _ = std::fs::remove_file(daemon.path("pid"));
        let script = format!("trap '' HUP; sh -c 'echo $$ > pid; exec tm {verb}'; true");
        let mut terminal = daemon.terminal(&["sh", "-c", &script], 24, 80);
        let pid = wait_for_line(&daemon.path("pid"));
        terminal.expect("line:0");
        drop(terminal);
        wait_gone(pid.parse().expect("a pid"));
    }
}

#[test]
fn the_end_of_a_run_is_shown_before_the_output_of_the_next() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: [sh, -c, 'echo begins; sleep 0.5; echo dying; exit 1'], \
         starttime: 100ms}\n",
    );
    let config = daemon.path("taskmaster.yaml");
    let mut up = daemon.terminal(&["tm", "up", "-c", &config.to_string_lossy()], 24, 100);
    up.expect_screen("the end and the next run", |screen| {
        let end = screen.rfind("STARTING, exit 1 after");
        end.is_some_and(|at| screen[at..].contains("begins"))
    });
    // Between the last words of a run and its end stands nothing of the next.
    let screen = up.contents();
    let before = screen.split("[STARTING, exit 1 after").next();
    let before = before.unwrap_or_default();
    let said = before.rfind("dying").unwrap_or_default();
    assert!(!before[said..].contains("begins"), "{screen}");
}
