//! Processes, files and folders of the system, as the tests need them.

use super::PATIENCE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The folder with `tm`, `tmd` and the test programs: the one cargo built them in, or
/// `TM_TEST_BIN_DIR` when the suite runs from a copy.
pub fn bin_dir() -> PathBuf {
    if let Some(named) = std::env::var_os("TM_TEST_BIN_DIR") {
        return named.into();
    }
    let built = Path::new(env!("CARGO_BIN_EXE_tmd"));
    built
        .parent()
        .expect("a binary lies in a folder")
        .to_path_buf()
}

/// One of the programs of `test-programs/`. `cargo test` builds them; `cargo test --test NAME`
/// on a fresh clone does not.
pub fn program(name: &str) -> PathBuf {
    let path = bin_dir().join(name);
    let remedy = "run cargo build --package taskmaster-test-programs";
    assert!(path.is_file(), "{} is missing: {remedy}", path.display());
    path
}

/// The package's sources: where it was built, or `TM_TEST_ROOT` when the suite runs from a copy.
pub fn repository() -> PathBuf {
    let named = std::env::var_os("TM_TEST_ROOT");
    named.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), Into::into)
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A child that does not outlive its test, however that ends.
pub struct Bystander(pub Child);

impl Bystander {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Bystander {
        let child = command.stdin(Stdio::null()).spawn();
        Bystander(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a process exists and has not ended (a zombie has).
pub fn is_alive(pid: i32) -> bool {
    match open_pidfd(pid) {
        None => false,
        Some(pidfd) => !readable(pidfd.as_fd(), Duration::ZERO),
    }
}

/// Whether a process has a descriptor of another process, whose end it can wait for.
pub fn has_pidfd(pid: u32) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let targets = open
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    let mut targets = targets.map(|target| target.display().to_string());
    targets.any(|target| target.contains("[pidfd]") || target.starts_with("pidfd:"))
}

/// Waits for the end of any process, our child or not.
pub fn wait_gone(pid: i32) {
    if let Some(pidfd) = open_pidfd(pid) {
        let gone = readable(pidfd.as_fd(), PATIENCE);
        assert!(gone, "process {pid} lives on: {}", command_line(pid));
    }
}

/// Waits for the end of any process, but not longer.
pub fn wait_gone_until(pid: i32, until: Instant) {
    if let Some(pidfd) = open_pidfd(pid) {
        let left = until.saturating_duration_since(Instant::now());
        readable(pidfd.as_fd(), left);
    }
}

/// Lists the processes of a session.
pub fn session_of(leader: i32) -> Vec<i32> {
    let belongs = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(3) == Some(&leader.to_string())
    };
    pids().filter(belongs).collect()
}

/// Fails unless the process lives.
pub fn wait_until_alive(pid: i32) {
    assert!(is_alive(pid), "process {pid} is gone");
}

/// Waits until a process has executed this program. A shell names a child before that.
pub fn wait_for_exec(pid: i32, program: &str) {
    let started = Instant::now();
    let pidfd = open_pidfd(pid).unwrap_or_else(|| panic!("process {pid} is gone"));
    while !command_line(pid).starts_with(program) {
        let ended = readable(pidfd.as_fd(), Duration::from_millis(1));
        assert!(!ended, "process {pid} has ended");
        let line = command_line(pid);
        assert!(started.elapsed() < PATIENCE, "process {pid} is {line}");
    }
}

/// Waits for a child. Returns its exit code or 128 + signal, or nothing if it takes longer.
pub fn wait_exit(child: &mut Child, patience: Duration) -> Option<i32> {
    let pidfd = open_pidfd(child.id() as i32)?;
    if !readable(pidfd.as_fd(), patience) {
        return None;
    }
    let status = child.wait().expect("it is our child");
    Some(
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
    )
}

/// Lists the living processes whose environment names this control socket: pid and command line.
pub fn processes_of(socket: &Path) -> Vec<(i32, String)> {
    let wanted = format!("TM_SOCKET={}", socket.display());
    let has = |environ: &[u8]| {
        environ
            .split(|byte| *byte == 0)
            .any(|v| v == wanted.as_bytes())
    };
    let mut found = Vec::new();
    for pid in pids() {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if has(&environ) {
            found.push((pid, command_line(pid)));
        }
    }
    found
}

/// Lists the zombies among the children of a process.
pub fn zombies_of(parent: i32) -> Vec<i32> {
    let is_zombie = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = after_name.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    };
    pids().filter(is_zombie).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Waits until a file holds at least one whole line, and returns the first.
pub fn wait_for_line(path: &Path) -> String {
    let text = wait_for_text(path, "\n");
    text.lines().next().unwrap_or_default().to_string()
}

/// Waits until a file holds a text, and returns all of the file.
pub fn wait_for_text(path: &Path, wanted: &str) -> String {
    let mut watch = FolderWatch::new(path.parent().expect("a file lies in a folder"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(wanted) {
            return text;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "no {wanted:?} came into {}: {text}",
            path.display()
        );
        watch.wait(left);
    }
}

/// Waits until a file has at least this many bytes.
pub fn wait_for_size(path: &Path, bytes: u64) {
    let mut watch = FolderWatch::new(path.parent().expect("a file lies in a folder"));
    let deadline = Instant::now() + PATIENCE;
    while fs::metadata(path).map_or(0, |file| file.len()) < bytes {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{} does not grow", path.display());
        watch.wait(left);
    }
}

/// Tells when something happens in a folder.
pub struct FolderWatch(OwnedFd);

impl FolderWatch {
    /// Watches from now on.
    pub fn new(folder: &Path) -> FolderWatch {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = inotify::init(flags).expect("inotify");
        let changes = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, folder, changes).expect("the folder exists");
        FolderWatch(fd)
    }

    /// Returns at the next change, or when the time is over.
    pub fn wait(&mut self, patience: Duration) {
        if readable(self.0.as_fd(), patience) {
            let mut events = [0; 4096];
            while rustix::io::read(&self.0, &mut events).is_ok_and(|len| len > 0) {}
        }
    }
}

/// Waits until a descriptor is readable or hung up. Returns whether it is.
pub fn readable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos() as _,
        };
        match poll(
            &mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)],
            Some(&timeout),
        ) {
            Ok(count) => return count > 0,
            Err(Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

fn open_pidfd(pid: i32) -> Option<OwnedFd> {
    match pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()) {
        Ok(pidfd) => Some(pidfd),
        Err(Errno::SRCH | Errno::INVAL) => None,
        Err(error) => panic!("pidfd of {pid}: {error}"),
    }
}
