//! `attach` from inside the control shell, and back: on a terminal and from a pipe.

use crate::consoles::clients;
use crate::support::system::wait_for_text;
use crate::support::{Daemon, PATIENCE, Terminal, command, kill, wait_exit, wait_for_line};
use rustix::process::Signal;
use std::fs::File;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const CONFIG: &str = "programs:\n  web: {cmd: sleep 1000, starttime: 0}\n  \
    echo: {cmd: cat, stdin: pipe, starttime: 0}\n  \
    shell: {cmd: sh, stdin: pipe, starttime: 0}\n  \
    tty: {cmd: '@BIN@/echo_tty line', tty: true, starttime: 0}\n";

/// As root, all shells on a terminal share one history.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at_prompt(screen: &str) -> bool {
    screen.trim_end().ends_with("tm>")
}

fn shell(daemon: &Daemon) -> Terminal {
    let mut shell = daemon.terminal(&["tm"], 30, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell
}

/// Types a line, reads its answer and quits. Fails unless only the shell reads the keyboard.
fn assert_at_home(shell: &mut Terminal, process: &str) {
    shell.expect_screen("the prompt again", at_prompt);
    shell.send(&format!("status {process}\r"));
    shell.expect("RUNNING");
    shell.expect_screen("the prompt once more", at_prompt);
    shell.send("\x04");
    assert_eq!(shell.wait_end(), 0);
}

#[test]
fn the_keyboard_is_the_shells_again_after_a_process_without_terminal() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    for process in ["web:0", "echo:0", "tty:0"] {
        let mut shell = shell(&daemon);
        shell.send(&format!("attach {process}\r"));
        shell.expect("attached to");
        shell.send(if process == "tty:0" { "\x01d" } else { "\x03" });
        shell.expect("[detached from");
        assert_at_home(&mut shell, process);
    }
}

#[test]
fn the_keyboard_is_the_shells_again_after_detach_from_outside() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    let mut shell = shell(&daemon);
    shell.send("attach echo\r");
    shell.expect("attached to");
    shell.send("typed\r");
    shell.expect_screen("the echo", |screen| screen.matches("typed").count() > 1);
    daemon.tm(&["detach", "echo:0", "--all"]);
    shell.expect("[detached from");
    assert_at_home(&mut shell, "echo:0");
}

#[test]
fn sigterm_ends_the_shell_at_its_prompt_and_in_an_attachment() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    for line in [
        "status\r",
        "attach web\r",
        "attach tty\r",
        "status --watch\r",
    ] {
        let outer = "read go; tm; echo \"over: $?.\"";
        let mut shell = daemon.terminal(&["sh", "-c", outer], 30, 100);
        let before = shell.termios();
        shell.send("\r");
        shell.expect_screen("the prompt", at_prompt);
        shell.send(line);
        match line.split_once(' ') {
            Some(("attach", _)) => shell.expect("attached to"),
            Some(_) => shell.expect("q quits"),
            None => {
                shell.expect("RUNNING");
                shell.expect_screen("the prompt again", at_prompt);
            }
        }
        let children = format!("/proc/{0}/task/{0}/children", shell.pid());
        let children = std::fs::read_to_string(children).expect("the shell lives");
        kill(children.trim().parse().expect("one child"), Signal::TERM);
        shell.expect("over: 143.");
        let modes = shell.termios().local_modes;
        assert_eq!(modes, before.local_modes, "after {line:?}");
        assert_eq!(shell.wait_end(), 0);
    }
}

#[test]
fn in_a_script_attach_takes_the_rest_of_the_input() {
    let daemon = Daemon::start(CONFIG);
    for process in ["echo:0", "shell:0"] {
        daemon.wait_state(process, "RUNNING");
    }
    let output = daemon.tm_with_input(&[], "status echo\nattach echo\nhello\nstatus web\n");
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("echo:0"), "{output:?}");
    assert!(output.stdout.ends_with("hello\nstatus web\n"), "{output:?}");
    let output = daemon.tm_with_input(&[], "attach echo\n");
    assert_eq!(output.code, 0, "{output:?}");
    let output = daemon.tm_with_input(&[], "attach shell\necho $((40 + 2)) > done\n");
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(wait_for_line(&daemon.path("done")), "42");
    assert!(clients(&daemon, "echo:0").is_empty());
}

/// The control shell on a pipe that stays open.
fn script(daemon: &Daemon, lines: &str) -> Child {
    let mut client = command("tm", daemon.dir());
    let file = |name| File::create(daemon.path(name)).expect("a file");
    client
        .env("TM_SOCKET", daemon.socket())
        .stdin(Stdio::piped())
        .stdout(file("out"))
        .stderr(file("told"));
    let mut child = client.spawn().expect("tm runs");
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(lines.as_bytes()).expect("tm reads");
    child
}

/// Verbs that last, and the signs that they have begun: a file and a text.
const LASTING: [(&str, &str, &str); 4] = [
    ("attach web", "told", "takes no input"),
    ("attach echo --until-exit", "out", "stop web"),
    ("logs -f", "out", "mark"),
    ("wait web --for exited", "out", "RUNNING"),
];

#[test]
fn a_signal_ends_the_script_and_not_only_its_verb() {
    let daemon = Daemon::start(CONFIG);
    let pid = daemon.pid_of("web:0");
    daemon.tm(&["send", "echo", "mark"]);
    for signal in [Signal::TERM, Signal::INT] {
        for (verb, file, text) in LASTING {
            let mut child = script(&daemon, &format!("status web\n{verb}\nstop web\n"));
            wait_for_text(&daemon.path(file), text);
            kill(child.id() as i32, signal);
            let code = wait_exit(&mut child, PATIENCE);
            assert_eq!(code, Some(128 + signal.as_raw()), "{verb}, {signal:?}");
            assert_eq!(daemon.pid_of("web:0"), pid, "it went on after {verb}");
        }
        // A signal also ends it while it waits for its next line.
        let mut child = script(&daemon, "status web\n");
        wait_for_text(&daemon.path("out"), "RUNNING");
        kill(child.id() as i32, signal);
        let code = wait_exit(&mut child, PATIENCE);
        assert_eq!(code, Some(128 + signal.as_raw()), "{signal:?}");
    }
}
