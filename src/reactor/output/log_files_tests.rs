use super::*;
use crate::reactor::disk::access::{FileAccess, OwnAccess};
use crate::supervisor::Stall;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const A: ProcessId = ProcessId(1);
const B: ProcessId = ProcessId(2);

fn at(ms: u64) -> Time {
    Time(Duration::from_millis(ms))
}

/// Log files in a directory of their own, and the wakes of the disk thread.
struct World {
    dir: TempDir,
    files: LogFiles,
    woken: Receiver<()>,
    output: Output,
}

impl World {
    fn new(access: impl FileAccess + 'static) -> World {
        let (sender, woken) = mpsc::channel();
        let waker = move || sender.send(()).unwrap_or(());
        World {
            dir: TempDir::new().expect("a directory"),
            files: LogFiles::new(Disk::start(Arc::new(access), waker).expect("a thread")),
            woken,
            output: Output::new(4096),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A launch whose standard output goes to a file of this name.
    fn launch(&self, name: &str) -> Launch {
        Launch {
            stdout: Sink::File(sink(&self.path(name))),
            ..Launch::default()
        }
    }

    fn open(&mut self, id: ProcessId, launch: &Launch) -> Result<OpenState, SpawnFailure> {
        self.files.open(id, launch, &self.output)
    }

    fn print(&mut self, text: &str) {
        self.output.write(Stream::Stdout, text.as_bytes(), 0);
    }

    fn pump(&mut self, id: ProcessId) -> Vec<LogEvent> {
        self.files.pump(id, &self.output, at(0), 0).0
    }

    /// The next reports of the disk thread.
    fn news(&mut self) -> Vec<DiskNews> {
        loop {
            let news = self.files.collect(at(0));
            if !news.is_empty() {
                return news;
            }
            self.woken.recv_timeout(LIMIT).expect("woken");
        }
    }

    /// Sends what there is, and waits for the answer.
    fn append(&mut self, id: ProcessId) {
        self.pump(id);
        assert_eq!(self.news(), [DiskNews::Appended(id)]);
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }
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

#[test]
fn a_process_without_log_files_never_waits() {
    let mut world = World::new(OwnAccess);
    world.print("only in the ring");
    assert_eq!(world.open(A, &Launch::default()), Ok(OpenState::Open));
    assert_eq!(world.pump(A), []);
    assert_eq!(
        world.files.gate(A, &world.output, at(0)),
        Gate::Read(usize::MAX)
    );
    assert!(world.files.has_reached(A, &world.output, u64::MAX));
    assert!(!world.files.arm(A, at(5)));
    assert_eq!(world.files.trouble(A), None);
}

#[test]
fn a_start_waits_for_its_logs_and_the_next_one_keeps_them() {
    let mut world = World::new(OwnAccess);
    let launch = world.launch("a.log");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    assert_eq!(world.news(), [DiskNews::LogsOpen(A)]);
    world.print("one\n");
    world.append(A);
    assert!(
        world
            .files
            .has_reached(A, &world.output, world.output.head())
    );
    assert_eq!(world.open(A, &launch), Ok(OpenState::Open));
    world.print("two\n");
    world.append(A);
    assert_eq!(world.text("a.log"), "one\ntwo\n");
    let other = world.launch("b.log");
    assert_eq!(world.open(A, &other), Ok(OpenState::Opening));
    assert_eq!(world.news(), [DiskNews::LogsOpen(A)]);
    world.print("three\n");
    world.append(A);
    assert_eq!(world.text("b.log"), "three\n");
}

#[test]
fn a_log_that_cannot_be_opened_fails_the_start_and_the_next_start_tries_again() {
    let mut world = World::new(OwnAccess);
    let launch = world.launch("missing/a.log");
    for _ in 0..2 {
        assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
        let news = world.news();
        let [DiskNews::OpenFailed(A, failure)] = &news[..] else {
            panic!("{news:?}");
        };
        assert_eq!(failure.errno, libc::ENOENT);
    }
    std::fs::create_dir(world.path("missing")).expect("a directory");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    assert_eq!(world.news(), [DiskNews::LogsOpen(A)]);
}

#[test]
fn a_start_that_stopped_waiting_is_not_reported() {
    let mut world = World::new(OwnAccess);
    let launch = world.launch("missing/a.log");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    assert!(world.files.stop_waiting(A));
    assert!(!world.files.stop_waiting(A), "only once");
    let news = world.news();
    assert!(matches!(&news[..], [DiskNews::Problem(_)]), "{news:?}");
}

#[test]
fn processes_that_share_a_file_append_whole_lines() {
    let mut world = World::new(OwnAccess);
    let launch = world.launch("a.log");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    assert_eq!(world.open(B, &launch), Ok(OpenState::Opening));
    assert_eq!(world.news(), [DiskNews::LogsOpen(A), DiskNews::LogsOpen(B)]);
    world.print("a line\nhalf");
    world.append(A);
    assert_eq!(world.text("a.log"), "a line\n");
    assert!(world.files.drained_and_shared(A, &world.output).is_empty());
    world.files.close(B);
    world.append(A);
    assert_eq!(world.text("a.log"), "a line\nhalf");
}

#[test]
fn a_finished_run_ends_its_line_in_a_shared_log_and_skips_the_separator() {
    let mut world = World::new(OwnAccess);
    let launch = world.launch("a.log");
    for id in [A, B] {
        assert_eq!(world.open(id, &launch), Ok(OpenState::Opening));
    }
    world.news();
    world.print("last words");
    world.files.flush_now(A);
    world.files.finish(A);
    world.append(A);
    let drained = world.files.drained_and_shared(A, &world.output);
    assert_eq!(drained.len(), 1);
    world.print("\n");
    world.files.skip_to_head(A, &drained, &world.output);
    assert_eq!(world.open(A, &launch), Ok(OpenState::Open));
    world.print("next run\n");
    world.append(A);
    assert_eq!(world.text("a.log"), "last words\nnext run\n");
}

#[test]
fn a_failing_log_is_an_event_and_a_trouble() {
    let mut world = World::new(OwnAccess);
    let dir = world.path("dir");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = world.launch("dir/a.log");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    world.news();
    std::fs::remove_dir_all(&dir).expect("removed");
    world.files.reopen_all();
    let news = world.news();
    assert!(matches!(&news[..], [DiskNews::Problem(_)]), "{news:?}");
    world.print("one\n");
    world.append(A);
    let events = world.pump(A);
    assert_eq!(events[0].kind, "log_failing");
    let trouble = world.files.trouble(A).expect("a trouble");
    let named = format!(
        "not logged: {}: {}",
        world.path("dir/a.log").display(),
        events[0].detail
    );
    assert_eq!(trouble, named);
    assert!(world.files.has_reached(A, &world.output, u64::MAX));
}

#[test]
fn the_earliest_timer_counts() {
    let mut world = World::new(OwnAccess);
    let launch = world.launch("a.log");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    assert!(world.files.arm(A, at(30)));
    assert!(!world.files.arm(A, at(30)));
    assert!(world.files.arm(A, at(20)));
    assert!(!world.files.take_expired(A, at(19)));
    assert!(world.files.take_expired(A, at(20)));
    assert!(!world.files.take_expired(A, at(30)), "it was replaced");
    assert!(world.files.arm(A, at(40)));
}

/// A disk that hangs until its other end is dropped.
struct Hanging(Mutex<Receiver<()>>);

impl FileAccess for Hanging {
    fn run_as(&self, _: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        action()
    }

    fn write(&self, mut file: &std::fs::File, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.lock().map(|wait| wait.recv());
        io::Write::write(&mut file, bytes)
    }
}

#[test]
fn the_disk_is_stuck_after_a_second_without_an_answer() {
    let (go_on, wait) = mpsc::channel();
    let mut world = World::new(Hanging(Mutex::new(wait)));
    let launch = world.launch("a.log");
    assert_eq!(world.open(A, &launch), Ok(OpenState::Opening));
    world.news();
    world.files.note_idle(at(5000));
    assert!(!world.files.is_stuck(A, at(9000)), "nothing to do");
    world.print("one\n");
    world.pump(A);
    world.files.note_idle(at(9000));
    assert!(!world.files.is_stuck(A, at(5999)));
    assert!(world.files.is_stuck(A, at(6000)));
    drop(go_on);
    assert_eq!(world.news(), [DiskNews::Appended(A)]);
    assert!(!world.files.is_stuck(A, at(99_000)));
}

#[test]
fn an_operation_is_answered_once() {
    let mut world = World::new(OwnAccess);
    let path = world.path("b.pid");
    world.files.run(B, &path, None, Box::new(|| Ok(())));
    assert_eq!(world.news(), [DiskNews::OperationDone(B, None)]);
}

#[test]
fn a_log_that_cannot_be_opened_is_named_once() {
    for (text, error) in [
        (
            "log file /x/a.log: Permission denied for the program's user",
            "Permission denied for the program's user",
        ),
        ("log file /x/a.log is a directory", "is a directory"),
        (
            "open log file /x/a.log: Input/output error",
            "Input/output error",
        ),
    ] {
        let trouble = DiskError {
            text: text.to_string(),
            errno: libc::EACCES,
        };
        let failure = not_opened("/x/a.log", &trouble);
        assert_eq!(failure.to_string(), format!("open /x/a.log: {error}"));
    }
}
