use super::*;
use crate::reactor::disk::access::OwnAccess;
use crate::reactor::disk::rotation::numbered;
use crate::supervisor::Stall;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tempfile::TempDir;

fn sink(path: &Path, max_size: u64, keep: u32) -> FileSink {
    FileSink {
        path: path.display().to_string(),
        direct: false,
        max_size,
        keep,
        mode: None,
        compress: false,
        timestamps: false,
        strip_ansi: false,
        stall: Stall::Never,
    }
}

fn log(sink: FileSink) -> LogFile {
    LogFile::new(sink, None, Arc::new(OwnAccess))
}

fn append(log: &mut LogFile, text: &str) {
    let (n, result) = log.append(text.as_bytes());
    assert_eq!((n, result), (text.len(), Ok(())));
}

fn unzipped(path: &Path, number: u32) -> String {
    let mut text = String::new();
    let file = File::open(numbered(path, number, ".gz")).expect("compressed");
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("valid gzip");
    text
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("<{error}>"))
}

#[test]
fn a_file_that_another_user_planted_is_not_used() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, "").expect("written");
    let own = sys::runtime::effective_uid();
    let mode = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode));
    mode(0o1777).expect("it is ours");
    assert_eq!(planted_by(&path, own + 5, own + 7), Some(own + 5));
    for (owner, opener) in [(own + 7, own + 7), (0, own + 7), (own, own + 7)] {
        assert_eq!(planted_by(&path, owner, opener), None);
    }
    // Here others cannot create files.
    mode(0o1755).expect("it is ours");
    assert_eq!(planted_by(&path, own + 5, own + 7), None);
}

#[test]
fn rotation_happens_between_lines_and_keeps_the_newest_files() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let mut log = log(sink(&path, 20, 2));
    append(&mut log, "line 1\nline 2\nline 3");
    append(&mut log, " went on\nline 4\n");
    append(&mut log, "line 5\nline 6\nline 7\nline 8\nline 9\n");
    assert_eq!(text(&path), "line 8\nline 9\n");
    assert_eq!(text(&numbered(&path, 1, "")), "line 6\nline 7\n");
    assert_eq!(text(&numbered(&path, 2, "")), "line 4\nline 5\n");
    assert!(!numbered(&path, 3, "").exists());
}

#[test]
fn no_line_is_split_or_lost_whatever_the_pieces() {
    for seed in 1..30u64 {
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().join("a.log");
        let mut log = log(sink(&path, 64, 10_000));
        let mut state = seed;
        let mut next = move |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(777);
            (state >> 33) % n
        };
        let mut all = String::new();
        for n in 0..60 {
            all.push_str(&format!("{n}:{}\n", "x".repeat(next(90) as usize)));
        }
        let mut rest = all.as_str();
        while !rest.is_empty() {
            let cut = (1 + next(150) as usize).min(rest.len());
            append(&mut log, &rest[..cut]);
            rest = &rest[cut..];
        }
        let mut numbers: Vec<u32> = (1..10_000)
            .take_while(|n| numbered(&path, *n, "").exists())
            .collect();
        numbers.reverse();
        let mut found = String::new();
        for number in numbers {
            let piece = text(&numbered(&path, number, ""));
            assert!(piece.ends_with('\n'), "seed {seed}: {piece:?}");
            found.push_str(&piece);
        }
        found.push_str(&text(&path));
        assert_eq!(found, all, "seed {seed}");
    }
}

#[test]
fn keep_zero_truncates_and_a_smaller_keep_removes() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let mut log = log(sink(&path, 8, 4));
    append(&mut log, "111111\n222222\n333333\n444444\n555555\n666666\n");
    assert!(numbered(&path, 4, "").exists());
    log.configure(sink(&path, 8, 1));
    append(&mut log, "777777\n");
    assert_eq!(text(&numbered(&path, 1, "")), "666666\n");
    assert!(!numbered(&path, 2, "").exists() && !numbered(&path, 4, "").exists());
    log.configure(sink(&path, 8, 0));
    append(&mut log, "888888\n");
    assert_eq!(text(&path), "888888\n");
    assert_eq!(text(&numbered(&path, 1, "")), "666666\n");
}

#[test]
fn rotated_files_are_compressed_on_another_thread() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let mut settings = sink(&path, 8, 3);
    settings.compress = true;
    let mut log = log(settings);
    for line in ["111111\n", "222222\n", "333333\n"] {
        append(&mut log, line);
        log.settle();
    }
    assert_eq!(unzipped(&path, 2), "111111\n");
    assert!(numbered(&path, 1, ".gz").exists() && !numbered(&path, 1, "").exists());
}

/// Compression waits for the lock.
#[derive(Default)]
struct Slow(Mutex<()>);

impl FileAccess for Slow {
    fn run_as(&self, _owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let compresses = thread::current().name() == Some("tmd-gzip");
        let _turn = compresses.then(|| self.0.lock());
        action()
    }
}

/// A log of three files of 8 bytes, whose compression hangs while the lock is held.
fn slowly_compressed(path: &Path) -> (LogFile, Arc<Slow>) {
    let mut settings = sink(path, 8, 2);
    settings.compress = true;
    let owner = Owner {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
    };
    let access = Arc::new(Slow::default());
    let log = LogFile::new(settings, Some(owner), access.clone());
    (log, access)
}

fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).expect("a directory").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn rotation_continues_while_a_compression_hangs() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut log, access) = slowly_compressed(&path);
    let held_up = access.0.lock().expect("the first");
    for n in 0..50 {
        append(&mut log, &format!("line {n:02}\n"));
    }
    assert_eq!(names(&dir), ["a.log", "a.log.1", "a.log.2"]);
    assert_eq!(text(&numbered(&path, 2, "")), "line 47\n");
    drop(held_up);
    log.settle();
    assert_eq!(names(&dir), ["a.log", "a.log.1.gz", "a.log.2.gz"]);
    assert_eq!(unzipped(&path, 1), "line 48\n");
    assert_eq!(unzipped(&path, 2), "line 47\n");
    append(&mut log, "line 50\n");
    log.settle();
    assert_eq!(unzipped(&path, 2), "line 48\n");
}

#[test]
fn compression_spares_a_file_that_took_the_name() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut log, access) = slowly_compressed(&path);
    let held_up = access.0.lock().expect("the first");
    append(&mut log, "111111\n222222\n");
    fs::rename(numbered(&path, 1, ""), dir.path().join("moved")).expect("moved");
    fs::write(numbered(&path, 1, ""), "other").expect("written");
    drop(held_up);
    log.settle();
    assert_eq!(names(&dir), ["a.log", "a.log.1", "moved"]);
    assert_eq!(text(&numbered(&path, 1, "")), "other");
}

#[test]
fn a_fifo_in_place_of_a_rotated_file_delays_nothing() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let (mut log, access) = slowly_compressed(&path);
    let held_up = access.0.lock().expect("the first");
    append(&mut log, "111111\n222222\n");
    let rotated = numbered(&path, 1, "");
    fs::remove_file(&rotated).expect("removed");
    for name in [&rotated, &dir.path().join("a.log.gz.tmp")] {
        nix::unistd::mkfifo(name, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    }
    drop(held_up);
    append(&mut log, "333333\n444444\n");
    log.settle();
    assert_eq!(text(&path), "444444\n");
    assert_eq!(unzipped(&path, 1), "333333\n");
    assert_eq!(unzipped(&path, 2), "222222\n");
}

#[test]
fn a_new_file_gets_the_rights_of_the_one_before_or_the_mode_of_the_config() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let rights = |path: &Path| {
        let found = path.metadata().expect("a file");
        (found.mode() & 0o777, found.uid(), found.gid())
    };
    let mut settings = sink(&path, 8, 3);
    settings.compress = true;
    let mut log = log(settings.clone());
    append(&mut log, "111111\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("changed");
    let root = nix::unistd::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&path, Some(65534), Some(65533)).expect("changed");
    }
    let expected = rights(&path);
    append(&mut log, "222222\n");
    log.settle();
    assert_eq!(rights(&path), expected);
    assert_eq!(rights(&numbered(&path, 1, ".gz")), expected);
    fs::rename(&path, dir.path().join("moved")).expect("moved");
    log.reopen();
    append(&mut log, "333333\n");
    assert_eq!(rights(&path), expected);
    settings.mode = Some(0o666);
    log.configure(settings);
    append(&mut log, "444444\n");
    assert_eq!(rights(&path), (0o666, expected.1, expected.2));
    log.settle();
}

#[test]
fn a_line_without_end_is_split_only_when_it_is_longer_than_allowed() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let mut log = log(sink(&path, 50, 100));
    log.set_line_max(80);
    append(&mut log, &"a".repeat(79));
    append(&mut log, "\n");
    let endless = "50%\r".repeat(100);
    for piece in endless.as_bytes().chunks(7) {
        append(&mut log, &String::from_utf8_lossy(piece));
    }
    assert_eq!(text(&numbered(&path, 5, "")), "a".repeat(79) + "\n");
    let mut parts: Vec<String> = (1..5).map(|n| text(&numbered(&path, n, ""))).collect();
    parts.reverse();
    parts.push(text(&path));
    assert!(parts.iter().all(|part| part.len() <= 80), "{parts:?}");
    assert_eq!(parts.concat(), endless);
}

#[test]
fn reopen_follows_a_moved_file_between_lines() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let moved = dir.path().join("moved");
    let mut log = log(sink(&path, 0, 1));
    append(&mut log, "one\nhal");
    fs::rename(&path, &moved).expect("moved");
    log.reopen();
    append(&mut log, "f\ntwo\nthree\n");
    assert_eq!(text(&moved), "one\nhalf\n");
    assert_eq!(text(&path), "two\nthree\n");
    fs::remove_file(&path).expect("removed");
    log.reopen();
    append(&mut log, "four\n");
    assert_eq!(text(&path), "four\n");
}

#[test]
fn other_than_regular_files_are_refused_with_a_remedy() {
    let dir = TempDir::new().expect("a directory");
    let refused = |path: &Path| log(sink(path, 0, 1)).open().expect_err("refused").text;
    let missing = dir.path().join("nope/a.log");
    assert!(refused(&missing).contains("does not exist"));
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
    assert!(refused(&link).contains("symbolic link"));
    assert!(refused(dir.path()).contains("is a directory"));
    assert!(refused(Path::new("/dev/null")).contains("a device"));
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    assert!(refused(&fifo).contains("a FIFO"));
}

#[test]
fn a_failed_rotation_keeps_writing_within_bounds_and_is_reported_once() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    fs::create_dir_all(numbered(&path, 1, "").join("in the way")).expect("a directory");
    let mut log = log(sink(&path, 8, 1));
    append(&mut log, "111111\n222222\n333333\n");
    assert_eq!(text(&path), "111111\n222222\n333333\n");
    let error = log.take_rotation_error().expect("reported");
    assert!(error.text.starts_with("rotate "), "{}", error.text);
    assert_eq!(log.take_rotation_error(), None);
    append(&mut log, "44\n");
    let (n, result) = log.append(b"555\n");
    assert_eq!((n, result), (0, Err(error)), "it has the space of three");
    fs::remove_dir_all(numbered(&path, 1, "")).expect("removed");
    log.configure(sink(&path, 8, 1));
    append(&mut log, "555\n");
    assert_eq!(text(&path), "555\n");
}

/// A disk with this many bytes left.
struct Small(AtomicU64);

impl FileAccess for Small {
    fn run_as(&self, _owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        action()
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        let room = self.0.load(Ordering::Relaxed);
        let n = bytes.len().min(room as usize);
        if n == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.0.fetch_sub(n as u64, Ordering::Relaxed);
        file.write_all(&bytes[..n])?;
        Ok(n)
    }
}

#[test]
fn a_full_disk_reports_exactly_what_was_written() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("a.log");
    let disk = Arc::new(Small(AtomicU64::new(10)));
    let mut log = LogFile::new(sink(&path, 0, 1), None, disk.clone());
    let (n, result) = log.append(b"0123456789abcdef\n");
    let error = result.expect_err("full");
    assert_eq!((n, error.errno), (10, libc::ENOSPC));
    assert!(
        error.text.ends_with("No space left on device"),
        "{}",
        error.text
    );
    disk.0.store(100, Ordering::Relaxed);
    assert_eq!(log.append(b"abcdef\n").0, 7);
    assert_eq!(text(&path), "0123456789abcdef\n");
}
