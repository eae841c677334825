//! Helpers for the tests of this folder.

use super::pidfd::{self, ExitStatus};
use super::spawn::{Command, Spawned, Stdio, candidates};
use super::{io, pty};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longer than any wait here takes on a loaded machine.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// Runs `body` in a process of its own, isolated from other tests. `name` is the test's full path
/// below the crate.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    const VARIABLE: &str = "TM_TEST_ALONE";
    if std::env::var(VARIABLE).as_deref() == Ok(name) {
        return body();
    }
    let test_binary = std::env::current_exe().expect("this program");
    let output = std::process::Command::new(test_binary)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .expect("the test program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "no test is called {name}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reports a test that cannot run here, as `tests/support/skip.rs` does.
pub(crate) fn skipped(reason: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("?"));
    print!("{line}");
    if let Some(path) = std::env::var_os("TM_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("TM_TEST_SKIPS names a file that can be written");
    }
}

/// A command with pipes, and the test's ends of them.
pub(crate) struct Piped {
    pub(crate) command: Command,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
}

pub(crate) fn piped(argv: &[&str]) -> Piped {
    let (child_in, stdin) = io::pipe_to_child().expect("a pipe");
    let (stdout, child_out) = io::pipe().expect("a pipe");
    let child_err = child_out.try_clone().expect("a descriptor");
    let stdio = Stdio::Fds {
        stdin: child_in,
        stdout: child_out,
        stderr: child_err,
    };
    Piped {
        command: command(argv, stdio),
        stdin,
        stdout,
    }
}

/// A command on a terminal, and its master.
pub(crate) fn on_terminal(argv: &[&str]) -> (Command, OwnedFd) {
    let pty = pty::open(31, 97).expect("a terminal");
    (command(argv, Stdio::Tty(pty.slave)), pty.master)
}

fn command(argv: &[&str], stdio: Stdio) -> Command {
    let text = |text: &&str| CString::new(*text).expect("no NUL");
    Command {
        argv: argv.iter().map(text).collect(),
        candidates: argv
            .first()
            .map_or(Vec::new(), |program| candidates(program, None)),
        envp: vec![c"PATH=/usr/bin:/bin".into(), c"LC_ALL=C".into()],
        workingdir: c"/".into(),
        umask: 0o022,
        stdio,
        files: [const { None }; 3],
        session: true,
        credentials: None,
        nofile: None,
        no_new_privs: false,
        oom_score_adj: None,
        nice: None,
        cgroup: None,
    }
}

/// Waits until the descriptor is readable.
pub(crate) fn readable(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&PATIENCE)));
    assert_eq!(ready, Ok(1), "nothing came");
}

/// Waits for the end of a child and reaps it.
pub(crate) fn exit_of(child: &Spawned) -> ExitStatus {
    readable(child.pidfd.as_fd());
    pidfd::wait(child.pidfd.as_fd())
        .expect("our child")
        .expect("it has ended")
}

/// Reads until all writers have closed.
pub(crate) fn output_of(fd: &OwnedFd) -> String {
    let mut output = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        readable(fd.as_fd());
        match io::read(fd.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(length) => output.extend_from_slice(&buffer[..length]),
            // A terminal without slaves.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&output).into_owned()
}

/// Reads up to and including `end`.
pub(crate) fn output_until(fd: &OwnedFd, end: &str) -> String {
    let mut output = String::new();
    let mut byte = [0_u8; 1];
    while !output.ends_with(end) {
        readable(fd.as_fd());
        assert_eq!(
            io::read(fd.as_fd(), &mut byte).expect("output"),
            1,
            "after {output:?}"
        );
        output.push(char::from(byte[0]));
    }
    output
}

/// Runs a command to its end; returns its output and exit status.
pub(crate) fn run(piped: Piped) -> (String, ExitStatus) {
    let child = super::spawn::spawn(&piped.command).expect("it starts");
    let Piped {
        command,
        stdin,
        stdout,
    } = piped;
    drop((command, stdin));
    let output = output_of(&stdout);
    (output, exit_of(&child))
}

/// A `cat` that has read a byte and waits for more, so that its start is complete.
pub(crate) struct Cat {
    pub(crate) child: Spawned,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
}

pub(crate) fn cat(change: impl FnOnce(&mut Command)) -> Cat {
    let mut piped = piped(&["cat"]);
    change(&mut piped.command);
    let child = super::spawn::spawn(&piped.command).expect("cat starts");
    let Piped {
        command,
        stdin,
        stdout,
    } = piped;
    drop(command);
    io::write(stdin.as_fd(), b"x").expect("a pipe takes a byte");
    output_until(&stdout, "x");
    Cat {
        child,
        stdin,
        stdout,
    }
}

impl Cat {
    /// Closes its input and waits for its end.
    pub(crate) fn end(self) {
        drop(self.stdin);
        assert_eq!(output_of(&self.stdout), "");
        assert_eq!(exit_of(&self.child), ExitStatus::Code(0));
    }

    /// A line of its `/proc/PID/status`.
    pub(crate) fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.pid));
        let status = status.expect("it lives");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("the kernel reports it")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The numbers of its open descriptors, sorted.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.pid)).expect("it lives");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut numbers: Vec<i32> = names
            .map(|name| name.to_str().expect("a number").parse().expect("a number"))
            .collect();
        numbers.sort_unstable();
        numbers
    }
}
