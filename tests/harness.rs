//! The harness itself sees each event that it waits for.

mod support;

use std::io::Read;
use std::process::{Command, Stdio};
use support::system::Bystander;
use support::{Terminal, system};

#[test]
fn a_terminal_shows_types_resizes_and_ends() {
    let folder = support::folder();
    let mut shell = support::command("sh", folder.path());
    shell.env("PS1", "ready$ ");
    let mut terminal = Terminal::spawn_command(&shell, 24, 80);
    terminal.expect("ready$");
    let before = terminal.termios();
    terminal.send("stty size; trap 'stty size' WINCH\r");
    // The shell gets the signal only in the foreground, at its prompt.
    terminal.expect("24 80\nready$");
    terminal.resize(30, 90);
    terminal.send(":\r");
    terminal.expect("30 90");
    assert_eq!(terminal.termios().local_modes, before.local_modes);
    terminal.send("exit 7\r");
    assert_eq!(terminal.wait_end(), 7);
}

#[test]
fn the_end_of_a_process_is_seen() {
    let mut child = Bystander::start(Command::new("sleep").arg("1000"));
    let pid = child.pid();
    assert!(system::is_alive(pid));
    assert_eq!(
        support::wait_exit(&mut child.0, std::time::Duration::ZERO),
        None
    );
    child.0.kill().expect("it is our child");
    support::wait_gone(pid);
    assert!(!system::is_alive(pid), "a zombie is not alive");
    assert!(system::zombies_of(std::process::id() as i32).contains(&pid));
    assert_eq!(
        support::wait_exit(&mut child.0, support::PATIENCE),
        Some(128 + 9)
    );
}

#[test]
fn what_a_daemon_would_leave_behind_is_found() {
    let folder = support::folder();
    let socket = folder.path().join("tmd.sock");
    assert_eq!(system::processes_of(&socket), Vec::new());
    // Its environment cannot be read during the exec, so it says when it runs.
    let (mut ready, theirs) = std::io::pipe().expect("a pipe");
    let mut command = Command::new("yes");
    let child = Bystander::start(command.stdout(theirs).env("TM_SOCKET", &socket));
    drop(command);
    ready.read_exact(&mut [0]).expect("a byte");
    let found = system::processes_of(&socket);
    assert_eq!(found.len(), 1, "{found:?}");
    drop(child);
    assert_eq!(system::processes_of(&socket), Vec::new());
}

#[test]
fn a_line_in_a_file_is_awaited() {
    let folder = support::folder();
    let file = folder.path().join("pid");
    let script = format!(
        "read line; printf 12 > {0}; printf '34\\n' >> {0}",
        file.display()
    );
    let mut command = Command::new("sh");
    let mut child = command
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh");
    drop(child.stdin.take());
    assert_eq!(support::wait_for_line(&file), "1234");
    assert_eq!(support::wait_exit(&mut child, support::PATIENCE), Some(0));
}
