//! The attackers of the tests of quotas: a thread changes its ids, connects, and hands the
//! connection back.

use super::support::{self, Control, Daemon};
use rustix::fs::{Gid, Uid};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A user without any right.
pub(super) const STRANGER: u32 = 54_401;

/// Users with the right to read.
pub(super) const READER: u32 = 54_402;
pub(super) const OTHER_READER: u32 = 54_403;

/// A user with the right to control.
pub(super) const OPERATOR: u32 = 54_404;

/// `daemon` of the configs: the socket is open to all, the rights are not.
pub(super) const ACCESS: &str = "daemon: {socket_mode: 0666, \
    access: {read: [54402, 54403], control: [54404]}}\n";

/// Starts a daemon that other users reach.
pub(super) fn start(programs: &str) -> Daemon {
    let folder = support::folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
    support::write_config(folder.path(), &format!("{ACCESS}{programs}"));
    Daemon::start_in(folder, &[])
}

/// The same, with few descriptors.
pub(super) fn start_with_files(programs: &str, files: u32) -> Daemon {
    let folder = support::folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
    support::write_config(folder.path(), &format!("{ACCESS}{programs}"));
    let socket = folder.path().join("tmd.sock");
    Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut limited = support::command("prlimit", tmd.get_current_dir().expect("a folder"));
        limited
            .arg(format!("--nofile={files}:{files}"))
            .arg(tmd.get_program());
        limited.args(tmd.get_args()).arg("--socket").arg(socket);
        *tmd = limited;
    })
}

/// Connects as another user.
pub(super) fn connect_as(uid: u32, socket: &Path) -> std::io::Result<UnixStream> {
    let socket = socket.to_path_buf();
    let connecting = std::thread::spawn(move || {
        let (id, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(id, id, id)?;
        UnixStream::connect(socket)
    });
    let stream = connecting.join().expect("it does not panic")?;
    stream.set_read_timeout(Some(support::PATIENCE))?;
    stream.set_write_timeout(Some(support::PATIENCE))?;
    Ok(stream)
}

/// Many connections of one user, however many of them are kept.
pub(super) fn crowd(daemon: &Daemon, uid: u32, count: usize) -> Vec<UnixStream> {
    let socket = daemon.socket();
    let connected = (0..count).filter_map(|_| connect_as(uid, &socket).ok());
    connected.collect()
}

pub(super) fn request(id: u64, method: &str, params: &Value) -> String {
    let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    format!("{request}\n")
}

/// Sends without waiting for an answer; the daemon may have closed the connection.
pub(super) fn send(stream: &UnixStream, bytes: &[u8]) -> bool {
    let mut stream = stream;
    stream.write_all(bytes).is_ok()
}

/// The next answer, or nothing when the daemon has closed the connection.
pub(super) fn answer(stream: &UnixStream) -> Option<Value> {
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, stream);
    match reader.read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => serde_json::from_str(&line).ok(),
    }
}

/// Calls a method and waits for the answer.
pub(super) fn call(stream: &UnixStream, method: &str, params: &Value) -> Option<Value> {
    send(stream, request(1, method, params).as_bytes()).then(|| answer(stream))?
}

/// Reads a connection to its end. Returns whether it had one.
pub(super) fn ends(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The daemon's memory in KiB.
pub(super) fn memory(daemon: &Daemon, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kib| kib.parse().ok()).expect("a number")
}

/// For a test that attacks and measures: while it holds this, no other such test runs, so it
/// measures its own attack.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the owner's requests take: the median and the longest.
pub(super) struct Delays {
    pub(super) median: Duration,
    pub(super) longest: Duration,
}

pub(super) fn delays(owner: &mut Control, method: &str, count: usize) -> Delays {
    let mut all: Vec<Duration> = (0..count)
        .map(|_| {
            let began = Instant::now();
            let params = json!({"targets": ["quiet"]});
            owner.call(method, params).expect("the owner is answered");
            began.elapsed()
        })
        .collect();
    all.sort_unstable();
    Delays {
        median: all[count / 2],
        longest: all[count - 1],
    }
}

/// The least delays of three rounds, during an attack that lasts: what the machine does beside it
/// does not delay each of them.
pub(super) fn least_delays(owner: &mut Control, method: &str, count: usize) -> Delays {
    let rounds = (0..3).map(|_| delays(owner, method, count));
    let least = rounds.min_by_key(|delays| delays.median);
    least.expect("there are rounds")
}

/// Fails if an attack delays the owner by more than this, beyond what a busy machine needs.
pub(super) fn assert_undisturbed(before: &Delays, during: &Delays, millis: u64) {
    let limit = Duration::from_millis(millis) + before.median * 4;
    let median = during.median;
    eprintln!("{median:?}, at most {:?}", during.longest);
    assert!(median <= limit, "{median:?}, {:?} before", before.median);
}

/// Clients that call one method without a pause, each on a connection of its own, until dropped.
pub(super) struct Siege {
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Siege {
    /// Begins; returns when each client was answered once.
    pub(super) fn lay(daemon: &Daemon, uid: u32, clients: usize, request: &str) -> Siege {
        let over = Arc::new(AtomicBool::new(false));
        let (answered, first) = std::sync::mpsc::channel();
        let threads = (0..clients).map(|_| {
            let stream = connect_as(uid, &daemon.socket()).expect("it connects");
            let (over, answered) = (Arc::clone(&over), answered.clone());
            let request = request.to_string();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut line = Vec::new();
                while !over.load(Ordering::Relaxed) && send(&stream, request.as_bytes()) {
                    line.clear();
                    if reader.read_until(b'\n', &mut line).is_err() || line.is_empty() {
                        return;
                    }
                    let _ = answered.send(());
                }
            })
        });
        let threads = threads.collect();
        for _ in 0..clients {
            let _ = first.recv_timeout(support::PATIENCE);
        }
        Siege { over, threads }
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

pub(super) const QUIET: &str = "programs:\n  quiet: {cmd: sleep 1000, starttime: 0}\n";
