use super::*;
use crate::reactor::disk::access::OwnAccess;
use crate::reactor::disk::message::AppendResult;
use crate::supervisor::Stall;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

fn start(access: impl FileAccess + 'static) -> (Disk, Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    let waker = move || sender.send(()).unwrap_or(());
    (
        Disk::start(Arc::new(access), waker).expect("a thread"),
        receiver,
    )
}

fn sink(path: &Path) -> FileSink {
    FileSink {
        path: path.display().to_string(),
        direct: false,
        max_size: 0,
        keep: 1,
        mode: None,
        compress: false,
        timestamps: false,
        strip_ansi: false,
        stall: Stall::Never,
    }
}

fn batch(feed: u64, text: &str) -> Batch {
    Batch {
        feed,
        bytes: text.into(),
        ..Batch::default()
    }
}

/// Waits for the next answer to an append.
fn outcome(
    disk: &mut Disk,
    woken: &Receiver<()>,
    queue: &mut Vec<Completion>,
) -> (u64, AppendResult) {
    loop {
        while !queue.is_empty() {
            if let Completion::Appended { result, batch } = queue.remove(0) {
                return (batch.feed, result);
            }
        }
        queue.extend(disk.completions());
        if queue.is_empty() {
            woken.recv_timeout(LIMIT).expect("woken");
        }
    }
}

#[test]
fn batches_of_two_feeds_share_a_file_in_order() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut disk, woken) = start(OwnAccess);
    let first = disk.open(&sink(&path), None);
    let second = disk.open(&sink(&path), None);
    assert_eq!((first, disk.users(first)), (second, 2));
    let mut queue = Vec::new();
    for n in 0..200u64 {
        disk.append(first, batch(n, &format!("{n}\n")));
        assert_eq!(
            outcome(&mut disk, &woken, &mut queue),
            (n, AppendResult::Written)
        );
    }
    disk.close(first);
    disk.append(second, batch(1, "end"));
    disk.close(second);
    disk.append(second, batch(2, "too late"));
    // No worker has the closed log, so its answer may come first.
    let mut last = [(); 2].map(|()| outcome(&mut disk, &woken, &mut queue));
    last.sort_by_key(|(feed, _)| *feed);
    assert!(
        matches!(
            last,
            [(1, AppendResult::Written), (2, AppendResult::Refused(_))]
        ),
        "{last:?}"
    );
    assert!(disk.flush_and_stop(LIMIT));
    let expected: String = (0..200).map(|n| format!("{n}\n")).collect();
    assert_eq!(fs::read_to_string(&path).expect("text"), expected + "end");
    disk.append(second, batch(3, "after the end"));
    assert_eq!(outcome(&mut disk, &woken, &mut queue).0, 3);
}

#[test]
fn a_missing_directory_holds_then_refuses_then_works() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("logs/a.log");
    let (mut disk, woken) = start(OwnAccess);
    let id = disk.open(&sink(&path), None);
    let mut queue = Vec::new();
    disk.append(id, batch(1, "one\n"));
    disk.append(id, batch(2, "two\n"));
    let (_, held) = outcome(&mut disk, &woken, &mut queue);
    assert!(
        matches!(&held, AppendResult::Held(e) if e.errno == libc::ENOENT),
        "{held:?}"
    );
    let (_, refused) = outcome(&mut disk, &woken, &mut queue);
    assert!(matches!(&refused, AppendResult::Refused(_)), "{refused:?}");
    fs::create_dir(dir.path().join("logs")).expect("created");
    disk.append(id, batch(3, ""));
    assert_eq!(
        outcome(&mut disk, &woken, &mut queue),
        (3, AppendResult::Written)
    );
    disk.append(id, batch(2, "two\n"));
    assert_eq!(
        outcome(&mut disk, &woken, &mut queue),
        (2, AppendResult::Written)
    );
    assert_eq!(fs::read_to_string(&path).expect("text"), "one\ntwo\n");
}

#[test]
fn a_batch_sent_behind_a_refused_one_does_not_overtake_it() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("logs/a.log");
    let (mut disk, woken) = start(OwnAccess);
    let id = disk.open(&sink(&path), None);
    let mut queue = Vec::new();
    disk.append(id, batch(1, "one\n"));
    disk.append(id, batch(2, "two\n"));
    for _ in 0..2 {
        let (_, failed) = outcome(&mut disk, &woken, &mut queue);
        assert!(!matches!(failed, AppendResult::Written), "{failed:?}");
    }
    // An append would work now.
    fs::create_dir(dir.path().join("logs")).expect("created");
    let behind = Batch {
        follows: true,
        ..batch(2, "three\n")
    };
    disk.append(id, behind.clone());
    disk.append(id, behind);
    for _ in 0..2 {
        let (_, refused) = outcome(&mut disk, &woken, &mut queue);
        assert!(matches!(&refused, AppendResult::Refused(_)), "{refused:?}");
    }
    for text in ["two\n", "three\n"] {
        disk.append(id, batch(2, text));
        assert_eq!(
            outcome(&mut disk, &woken, &mut queue),
            (2, AppendResult::Written)
        );
    }
    let text = fs::read_to_string(&path).expect("text");
    assert_eq!(text, "one\ntwo\nthree\n");
}

#[test]
fn a_failed_open_is_reported() {
    let dir = TempDir::new().expect("a directory");
    let (mut disk, woken) = start(OwnAccess);
    let id = disk.open(&sink(dir.path()), None);
    let mut completions = Vec::new();
    while completions.is_empty() {
        woken.recv_timeout(LIMIT).expect("woken");
        completions = disk.completions();
    }
    let [
        Completion::Opened {
            id: opened,
            result: Err(error),
        },
    ] = &completions[..]
    else {
        panic!("{completions:?}");
    };
    assert_eq!(*opened, id);
    assert!(error.text.contains("is a directory"), "{}", error.text);
}

#[test]
fn a_loss_is_marked_at_a_line_start() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut disk, woken) = start(OwnAccess);
    let id = disk.open(&sink(&path), None);
    let mut queue = Vec::new();
    disk.append(id, batch(1, "half a li"));
    disk.append(
        id,
        Batch {
            lost_before: 12345,
            ..batch(2, "more\n")
        },
    );
    outcome(&mut disk, &woken, &mut queue);
    outcome(&mut disk, &woken, &mut queue);
    let expected = "half a li\n[tmd: 12345 bytes lost: disk stalled]\nmore\n";
    assert_eq!(fs::read_to_string(&path).expect("text"), expected);
}

#[test]
fn a_changed_format_applies_at_once() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut disk, woken) = start(OwnAccess);
    let id = disk.open(&sink(&path), None);
    let mut queue = Vec::new();
    disk.append(id, batch(1, "\x1b[1mraw\n"));
    let mut settings = sink(&path);
    settings.strip_ansi = true;
    settings.timestamps = true;
    disk.configure(id, &settings);
    disk.append(id, batch(2, "\x1b[1mbold\n"));
    outcome(&mut disk, &woken, &mut queue);
    outcome(&mut disk, &woken, &mut queue);
    let expected = "\x1b[1mraw\n1970-01-01T00:00:00.000Z bold\n";
    assert_eq!(fs::read_to_string(&path).expect("text"), expected);
}

#[test]
fn reopening_creates_the_new_file_at_once() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut disk, woken) = start(OwnAccess);
    let id = disk.open(&sink(&path), None);
    let mut queue = Vec::new();
    disk.append(id, batch(1, "old\n"));
    outcome(&mut disk, &woken, &mut queue);
    fs::rename(&path, dir.path().join("old")).expect("moved");
    disk.reopen_all();
    assert!(disk.flush_and_stop(LIMIT));
    assert_eq!(fs::read_to_string(&path).expect("the new file"), "");
}

#[test]
fn a_stalled_descriptor_drops_lines_and_counts_them() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let (mut disk, _woken) = start(OwnAccess);
    let id = disk.open_fd(writer.into());
    let lines = disk.line_sender(id).expect("open");
    let line = "x".repeat(1000);
    for _ in 0..2000 {
        lines.send(line.clone());
    }
    // The pipe takes 64 KiB and the log holds about 256 KiB more; the rest is dropped.
    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    lines.send("last".to_string());
    assert!(disk.flush_and_stop(LIMIT));
    drop((disk, lines));
    let text = read.join().expect("no panic").expect("text");
    let kept = text.lines().filter(|found| !found.starts_with('[')).count();
    let count = |line: &str| {
        let number = line.strip_prefix("[tmd: ")?.split(' ').next()?;
        number.parse::<usize>().ok()
    };
    let lost: usize = text.lines().filter_map(count).sum();
    assert!(lost > 1000, "{lost}");
    assert_eq!(kept + lost, 2001);
}

/// A disk that hangs until the test releases it.
struct Hanging(Mutex<Receiver<()>>);

impl FileAccess for Hanging {
    fn run_as(&self, _owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        action()
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.lock().map(|wait| wait.recv());
        io::Write::write(&mut file, bytes)
    }
}

#[test]
fn a_hanging_disk_blocks_nothing() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (go_on, wait) = mpsc::channel();
    let (mut disk, woken) = start(Hanging(Mutex::new(wait)));
    let id = disk.open(&sink(&path), None);
    disk.append(id, batch(1, "one\n"));
    assert!(!disk.flush_and_stop(Duration::from_millis(1)));
    go_on.send(()).expect("sent");
    let mut queue = Vec::new();
    assert_eq!(
        outcome(&mut disk, &woken, &mut queue),
        (1, AppendResult::Written)
    );
    assert!(disk.flush_and_stop(LIMIT));
}

/// Two disks: of the directory `stalled`, and of all others. The first one hangs until the test
/// releases it, at a search or at a write.
struct TwoDisks {
    hangs_at_search: bool,
    /// Tells that the first one hangs.
    hangs: mpsc::Sender<()>,
    release: Mutex<Receiver<()>>,
}

impl TwoDisks {
    fn hang(&self) {
        let _ = self.hangs.send(());
        let _ = self.release.lock().map(|wait| wait.recv());
    }
}

impl FileAccess for TwoDisks {
    fn run_as(&self, _owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        action()
    }

    fn device(&self, directory: &Path) -> io::Result<u64> {
        let stalled = directory.ends_with("stalled");
        if stalled && self.hangs_at_search {
            self.hang();
        }
        Ok(u64::from(stalled))
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        if bytes.starts_with(b"stalled") {
            self.hang();
        }
        io::Write::write(&mut file, bytes)
    }
}

#[test]
fn a_stalled_disk_delays_no_other() {
    for hangs_at_search in [true, false] {
        let dir = TempDir::new().expect("a directory");
        fs::create_dir(dir.path().join("stalled")).expect("a directory");
        let (release, wait) = mpsc::channel();
        let (hangs, hanging) = mpsc::channel();
        let (mut disk, woken) = start(TwoDisks {
            hangs_at_search,
            hangs,
            release: Mutex::new(wait),
        });
        let at = |ms| Time(Duration::from_millis(ms));
        let stalled = disk.open(&sink(&dir.path().join("stalled/a.log")), None);
        let healthy = disk.open(&sink(&dir.path().join("b.log")), None);
        disk.append(stalled, batch(1, "stalled\n"));
        let mut queue = Vec::new();
        let mut n = 1;
        let mut write = |disk: &mut Disk| {
            n += 1;
            disk.append(healthy, batch(n, "healthy\n"));
            let written = outcome(disk, &woken, &mut queue);
            assert_eq!(written, (n, AppendResult::Written));
        };
        while hanging.try_recv().is_err() {
            write(&mut disk);
        }
        for n in 2..50 {
            write(&mut disk);
            disk.note_progress(at(n * 50));
        }
        assert!(disk.is_stuck(stalled, at(2450)) && !disk.is_stuck(healthy, at(2450)));
        assert!(!disk.flush_and_stop(Duration::from_millis(1)));
        drop(release);
        assert_eq!(
            outcome(&mut disk, &woken, &mut queue),
            (1, AppendResult::Written)
        );
        assert!(disk.flush_and_stop(LIMIT));
        let text = fs::read_to_string(dir.path().join("stalled/a.log"));
        assert_eq!(text.expect("text"), "stalled\n");
    }
}
