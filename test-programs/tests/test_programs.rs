//! The programs of `test-programs/` work as documented when the daemon starts them. Other tests
//! rely on that.

use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::Value;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use taskmaster::sys::pidfd::{self, ExitStatus};
use taskmaster::sys::spawn::{Command, Spawned, Stdio, candidates, spawn};
use taskmaster::sys::{io, pty};

/// A started test program; killed with its group when dropped.
struct Run {
    child: Spawned,
    stdin: Option<OwnedFd>,
    output: OwnedFd,
}

fn start(argv: &[&str]) -> Run {
    let (stdin, ours) = io::pipe_to_child().unwrap();
    let (output, stdout) = io::pipe().unwrap();
    let stderr = stdout.try_clone().unwrap();
    let stdio = Stdio::Fds {
        stdin,
        stdout,
        stderr,
    };
    Run {
        child: launch(argv, stdio),
        stdin: Some(ours),
        output,
    }
}

fn start_on_terminal(argv: &[&str]) -> Run {
    let pty = pty::open(24, 80).unwrap();
    let stdin = Some(pty.master.try_clone().unwrap());
    Run {
        child: launch(argv, Stdio::Tty(pty.slave)),
        stdin,
        output: pty.master,
    }
}

fn launch(argv: &[&str], stdio: Stdio) -> Spawned {
    let program = program(argv[0]);
    let command = Command {
        argv: argv
            .iter()
            .map(|text| CString::new(*text).unwrap())
            .collect(),
        candidates: candidates(program.to_str().unwrap(), None),
        envp: vec![c"ANSWER=42".into()],
        workingdir: c"/usr".into(),
        umask: 0o027,
        stdio,
        files: [const { None }; 3],
        session: true,
        credentials: None,
        nofile: Some((128, 256)),
        no_new_privs: false,
        oom_score_adj: None,
        nice: None,
        cgroup: None,
    };
    spawn(&command).unwrap()
}

/// In the folder cargo built them in, or in `TM_TEST_BIN_DIR` when the suite runs from a copy.
fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("TM_TEST_BIN_DIR").map(PathBuf::from);
    let built = Path::new(env!("CARGO_BIN_EXE_crash")).parent().unwrap();
    folder.as_deref().unwrap_or(built).join(name)
}

impl Run {
    fn exit(&self) -> ExitStatus {
        readable(self.child.pidfd.as_fd());
        pidfd::wait(self.child.pidfd.as_fd()).unwrap().unwrap()
    }

    fn until(&self, end: &str) -> String {
        let mut output = String::new();
        while !output.ends_with(end) {
            assert!(
                is_readable(self.output.as_fd()),
                "nothing came after {output:?}"
            );
            match self.byte() {
                Some(byte) => output.push(char::from(byte)),
                None => panic!("the end came after {output:?}"),
            }
        }
        output
    }

    fn rest(&self) -> String {
        std::iter::from_fn(|| self.byte()).map(char::from).collect()
    }

    fn byte(&self) -> Option<u8> {
        let mut byte = [0];
        readable(self.output.as_fd());
        match io::read(self.output.as_fd(), &mut byte) {
            Ok(1) => Some(byte[0]),
            Ok(_) => None,
            Err(error) if error.raw_os_error() == Some(libc::EIO) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn signal(&self, signal: i32) {
        pidfd::signal(self.child.pidfd.as_fd(), signal).unwrap();
    }

    fn type_in(&self, text: &str) {
        let written = io::write(self.stdin.as_ref().unwrap().as_fd(), text.as_bytes()).unwrap();
        assert_eq!(written, text.len());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = pidfd::signal_group(self.child.pid, libc::SIGKILL);
        let _ = pidfd::wait_blocking(self.child.pidfd.as_fd());
    }
}

fn readable(fd: BorrowedFd<'_>) {
    assert!(is_readable(fd), "nothing came");
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let patience = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&patience))) == Ok(1)
}

fn killed_by(signal: i32) -> impl Fn(ExitStatus) -> bool {
    move |exit| matches!(exit, ExitStatus::Signal { signal: by, .. } if by == signal)
}

#[test]
fn exit_code_and_die_after() {
    assert_eq!(start(&["exit_code"]).exit(), ExitStatus::Code(0));
    assert_eq!(
        start(&["exit_code", "42", "5"]).exit(),
        ExitStatus::Code(42)
    );
    assert_eq!(start(&["die_after", "5"]).exit(), ExitStatus::Code(1));
    assert_eq!(start(&["die_after", "5", "3"]).exit(), ExitStatus::Code(3));
    assert!(killed_by(9)(start(&["die_after", "5", "-9"]).exit()));
    assert!(killed_by(40)(start(&["die_after", "5", "-40"]).exit()));
}

#[test]
fn crash() {
    assert!(killed_by(libc::SIGSEGV)(start(&["crash"]).exit()));
}

#[test]
fn flood() {
    let run = start(&["flood", "100000", "50"]);
    let output = run.rest();
    assert_eq!(output.len(), 100_000);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 2000);
    assert!(lines.iter().all(|line| line.len() == 49));
    assert!(lines[1999].starts_with("0000001999 "));
    assert_eq!(run.exit(), ExitStatus::Code(0));
}

#[test]
fn ignore_term() {
    let run = start(&["ignore_term"]);
    run.until("ready\n");
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        run.signal(signal);
    }
    assert_eq!(pidfd::wait(run.child.pidfd.as_fd()).unwrap(), None);
    run.signal(libc::SIGKILL);
    assert!(killed_by(libc::SIGKILL)(run.exit()));
}

#[test]
fn trap_signal() {
    let run = start(&["trap_signal", "USR1", "5"]);
    run.until("ready\n");
    run.signal(libc::SIGUSR1);
    assert_eq!(run.rest(), "got USR1\n");
    assert_eq!(run.exit(), ExitStatus::Code(5));
}

#[test]
fn slow_start_and_close_stdout() {
    let run = start(&["slow_start", "5"]);
    assert_eq!(run.until("ready\n"), "starting\nready\n");
    let run = start(&["close_stdout"]);
    assert_eq!(run.rest(), "closing\n");
    assert_eq!(
        pidfd::wait(run.child.pidfd.as_fd()).unwrap(),
        None,
        "it stays alive"
    );
}

#[test]
fn partial_line() {
    let run = start(&["partial_line", "the end", "4"]);
    assert_eq!(run.rest(), "a whole line\nthe end");
    assert_eq!(run.exit(), ExitStatus::Code(4));
}

#[test]
fn fork_tree() {
    let run = start(&["fork_tree", "2", "--leader-exits"]);
    let output = run.until("ready 7\n");
    assert_eq!(run.exit(), ExitStatus::Code(0));
    let number = |line: &str, index| line.split(' ').nth(index).unwrap().parse::<i32>().unwrap();
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| line.starts_with("pid "))
        .collect();
    assert_eq!(lines.len(), 7);
    let own_session = lines
        .iter()
        .filter(|line| number(line, 1) == number(line, 7))
        .count();
    assert_eq!(
        own_session, 4,
        "the leader and three that called setsid\n{output}"
    );
    for line in lines {
        // Only the leader is gone; each of the others waits for this.
        if number(line, 1) != run.child.pid {
            let pidfd = pidfd::open(number(line, 1)).unwrap();
            pidfd::signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
        }
    }
    assert_eq!(run.rest(), "", "no process holds the output");
}

#[test]
fn daemonise() {
    let run = start(&["daemonise"]);
    run.until("ready\n");
    run.type_in("go\n");
    assert_eq!(run.exit(), ExitStatus::Code(0));
    let text = run.until("worker ") + &run.until("\n");
    let pids: Vec<i32> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(pids.len(), 2, "{text}");
    for pid in pids {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&environ).contains("ANSWER"));
        let pidfd = pidfd::open(pid).unwrap();
        pidfd::signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
    }
}

#[test]
fn fork_twice() {
    let run = start(&["fork_twice"]);
    assert_eq!(run.exit(), ExitStatus::Code(0));
    let line = run.until("\n");
    let number = |index| line.split_whitespace().nth(index).unwrap().parse::<i32>();
    let (pid, sid) = (number(1).unwrap(), number(3).unwrap());
    assert!(![pid, run.child.pid].contains(&sid), "{line}");
    let pidfd = pidfd::open(pid).unwrap();
    pidfd::signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
    assert_eq!(run.rest(), "", "no process holds the output");
}

#[test]
fn echo_tty() {
    let run = start_on_terminal(&["echo_tty"]);
    run.until("size 24 80\r\n");
    run.type_in("hello\n");
    run.until("hello\r\necho: hello\r\n");
    pty::resize(run.output.as_fd(), 50, 132).unwrap();
    run.until("size 50 132\r\n");
    run.type_in("\x04");
    assert_eq!(run.exit(), ExitStatus::Code(0));

    let run = start_on_terminal(&["echo_tty", "raw"]);
    run.until("size 24 80\r\n");
    run.type_in("a\rb");
    assert_eq!(run.until("b"), "a\rb", "each byte once, untouched");
    run.type_in("\x03");
    assert_eq!(run.exit(), ExitStatus::Code(0));

    let mut run = start(&["echo_tty"]);
    run.until("no terminal\n");
    run.type_in("x\n");
    run.stdin = None;
    assert_eq!(run.rest(), "echo: x\n");
}

#[test]
fn print_env() {
    let run = start(&["print_env", "one", "two words"]);
    let report: Value = serde_json::from_str(&run.rest()).unwrap();
    assert_eq!(
        report["argv"],
        serde_json::json!(["print_env", "one", "two words"])
    );
    assert_eq!(report["env"], serde_json::json!({"ANSWER": "42"}));
    assert_eq!(report["cwd"], "/usr");
    assert_eq!(report["umask"], "0027");
    for id in ["pid", "pgid", "sid"] {
        assert_eq!(report[id], run.child.pid);
    }
    assert_eq!(report["ppid"], std::process::id());
    for mask in ["blocked", "ignored", "caught"] {
        assert_eq!(report["signals"][mask], "0000000000000000");
    }
    let fds: Vec<&String> = report["fds"].as_object().unwrap().keys().collect();
    assert_eq!(fds, ["0", "1", "2"]);
    assert_eq!(report["nofile"], serde_json::json!([128, 256]));
    assert_eq!(report["tty"], Value::Null);
    assert_eq!(report["controlling_tty"], false);
    assert_eq!(report["uid"][0], rustix::process::getuid().as_raw());

    let run = start_on_terminal(&["print_env"]);
    let report: Value = serde_json::from_str(&run.until("}\r\n")).unwrap();
    assert_eq!(report["controlling_tty"], true);
    assert_eq!(report["tty"]["rows"], 24);
    assert_eq!(report["tty"]["cols"], 80);
}
