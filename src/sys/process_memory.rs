//! Files of `/proc` that the kernel reads from the memory of a process: `cmdline` and `environ`.
//!
//! Such a read waits for the lock of that memory, and a process can hold its lock: with a page that
//! a file system of its own never delivers, or with many threads that map and fork. So the files of
//! other users' processes are read by a thread, for a bounded time.

use std::fs;
use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a read may take. Much more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long no such file is read after one that took too long.
const PAUSE: Duration = Duration::from_secs(10);

static READER: Mutex<MemoryReader> = Mutex::new(MemoryReader {
    thread: None,
    pending: 0,
    paused_until: None,
});

/// A thread that reads files, one after the other.
struct MemoryReader {
    thread: Option<ReaderThread>,
    /// The requests without an answer.
    pending: usize,
    paused_until: Option<Instant>,
}

/// Where its requests go, and where its answers come from.
type ReaderThread = (Sender<FileOfProcess>, Receiver<Option<Vec<u8>>>);

struct FileOfProcess {
    path: String,
    bytes_max: u64,
}

/// Reads at most this many bytes of `/proc/PID/FILE`. `None` if that fails, or takes too long.
pub(super) fn read(pid: i32, file: &str, bytes_max: u64) -> Option<Vec<u8>> {
    let path = format!("/proc/{pid}/{file}");
    if is_trusted(pid) {
        return read_bounded(path, bytes_max);
    }
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    reader.read(FileOfProcess { path, bytes_max }, Instant::now())
}

impl MemoryReader {
    fn read(&mut self, file: FileOfProcess, now: Instant) -> Option<Vec<u8>> {
        self.take_late_answers();
        let paused = self.paused_until.is_some_and(|until| now < until);
        if self.pending > 0 || paused {
            return None;
        }
        let (requests, answers) = match &self.thread {
            Some(thread) => thread,
            None => self.thread.insert(start(read_file).ok()?),
        };
        requests.send(file).ok()?;
        match answers.recv_timeout(PATIENCE) {
            Ok(content) => content,
            Err(RecvTimeoutError::Timeout) => {
                self.pending = 1;
                self.paused_until = Some(now + PATIENCE + PAUSE);
                None
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.thread = None;
                None
            }
        }
    }

    fn take_late_answers(&mut self) {
        if let Some((_, answers)) = &self.thread {
            self.pending = self.pending.saturating_sub(answers.try_iter().count());
        }
    }
}

fn read_file(file: FileOfProcess) -> Option<Vec<u8>> {
    read_bounded(file.path, file.bytes_max)
}

/// Starts the thread, which ends with the other end of its channel.
fn start(read: fn(FileOfProcess) -> Option<Vec<u8>>) -> io::Result<ReaderThread> {
    let (requests, taken) = mpsc::channel::<FileOfProcess>();
    let (give, answers) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("tmd-names".to_string())
        .stack_size(64 * 1024);
    thread.spawn(move || {
        while let Ok(file) = taken.recv() {
            if give.send(read(file)).is_err() {
                return;
            }
        }
    })?;
    Ok((requests, answers))
}

/// Whether a process is of root or of this user, who could stop this process anyway.
fn is_trusted(pid: i32) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let status = read_bounded(format!("/proc/{pid}/status"), 4096).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let mut ids = ids.unwrap_or_default().split_ascii_whitespace();
    let trusted = |id: &str| id.parse().is_ok_and(|id: u32| id == 0 || id == own);
    let first = ids.next().is_some_and(trusted);
    first && ids.all(trusted)
}

/// Reads a file, up to a number of bytes.
pub(super) fn read_bounded(path: String, bytes_max: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(bytes_max).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    static HELD: AtomicBool = AtomicBool::new(true);

    /// Reads a file that the test holds.
    fn held(file: FileOfProcess) -> Option<Vec<u8>> {
        while file.path == "held" && HELD.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        Some(file.path.into_bytes())
    }

    fn file(path: &str) -> FileOfProcess {
        FileOfProcess {
            path: path.to_string(),
            bytes_max: 10,
        }
    }

    #[test]
    fn a_read_that_is_held_up_ends_and_is_not_repeated_at_once() {
        let mut reader = MemoryReader {
            thread: start(held).ok(),
            pending: 0,
            paused_until: None,
        };
        let began = Instant::now();
        assert_eq!(reader.read(file("a"), began), Some(b"a".to_vec()));
        assert_eq!(reader.read(file("held"), began), None);
        assert!(began.elapsed() >= PATIENCE);
        let later = began + PATIENCE + PAUSE;
        let before = Instant::now();
        assert_eq!(reader.read(file("a"), later), None, "it still waits");
        assert!(before.elapsed() < PATIENCE);
        HELD.store(false, Ordering::SeqCst);
        while reader.pending > 0 {
            reader.take_late_answers();
            thread::yield_now();
        }
        assert_eq!(reader.read(file("a"), began), None, "the pause lasts");
        assert_eq!(reader.read(file("a"), later), Some(b"a".to_vec()));
    }

    #[test]
    fn files_of_own_processes_are_read() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert!(is_trusted(own));
        assert!(read(own, "cmdline", 1024).is_some_and(|line| !line.is_empty()));
        assert!(!is_trusted(i32::MAX));
        assert_eq!(read(i32::MAX, "cmdline", 1024), None);
    }
}
