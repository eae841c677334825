//! Advice after a likely mistake, and errors of the client itself.

use super::support::{Daemon, Terminal, command, folder, run, write_config};
use std::fs::{self, OpenOptions};
use std::process::Stdio;

#[test]
fn an_expanded_pattern_is_recognised() {
    let daemon = Daemon::start("programs: {a: {cmd: sleep 1000, starttime: 0}}\n");
    fs::write(daemon.path("crash.sh"), "").expect("a new file");
    let output = daemon.tm(&["restart", "crash.sh", "tmd.log"]);
    assert_eq!(output.code, 1, "{output:?}");
    let tip = "no such process: crash.sh; it is a file here: quote a pattern, as in '*'";
    assert!(output.stderr.contains(tip), "{output:?}");
    let output = daemon.tm(&["restart", "crush.sh"]);
    assert!(!output.stderr.contains("quote"), "{output:?}");
}

#[test]
fn tmd_names_the_option_for_its_config() {
    let folder = folder();
    let mut tmd = command("tmd", folder.path());
    tmd.arg("x.yaml");
    let output = run(tmd);
    assert_eq!(output.code, 2, "{output:?}");
    let tip = "tip: to name the config: tmd -c x.yaml";
    assert!(output.stderr.contains(tip), "{output:?}");
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let folder = folder();
    for (name, argument) in [
        ("tm", "--help"),
        ("tm", "--version"),
        ("tmd", "--version"),
        ("tm", "help"),
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full");
        let mut command = command(name, folder.path());
        command.arg(argument).stdout(full.expect("it exists"));
        let output = command.stderr(Stdio::piped()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name} {argument}: {said}");
        assert!(
            said.contains("No space left on device"),
            "{name} {argument}: {said}"
        );
    }
}

#[test]
fn a_control_shell_without_a_daemon_says_why_and_what_to_do() {
    let folder = folder();
    write_config(folder.path(), "programs: {a: {cmd: sleep 1}}\n");
    let mut tm = command("tm", folder.path());
    tm.args(["-c", "taskmaster.yaml"]).env_remove("TM_SOCKET");
    let mut terminal = Terminal::spawn_command(&tm, 24, 200);
    terminal.expect("not connected to a daemon: no daemon runs for");
    terminal.expect("start it: tm up -c");
    terminal.expect("tm> ");
    terminal.send("quit\r");
    assert_eq!(terminal.wait_end(), 0);
}
