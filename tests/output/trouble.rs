//! Full disks, vanished folders and logs that are not regular files.

use super::support::{self, Daemon, PATIENCE, is_root, skip};
use super::wait_for_text;
use rustix::process::Signal;
use serde_json::json;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A small file system, gone with its owner.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> SmallDisk {
        fs::create_dir(at).expect("a new folder");
        let options = format!("size={size},mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
        assert!(mount.status().expect("mount is installed").success());
        SmallDisk(at.to_path_buf())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const TOTAL: usize = 3_000_000;

#[test]
fn a_full_disk_loses_counted_bytes_and_blocks_no_client() {
    if !is_root() {
        skip!("needs root to mount a small file system");
    }
    let folder = support::folder();
    let disk = SmallDisk::mount(&folder.path().join("small"), "8m");
    let ballast = folder.path().join("small/ballast");
    fs::write(&ballast, vec![0; 8068 * 1024]).expect("there is room");
    support::write_config(
        folder.path(),
        &format!(
            // Lines of one byte, so that a mark never cuts a line.
            "programs:\n  a: {{cmd: '@BIN@/flood {TOTAL} 1', starttime: 0, autorestart: never,\n\
             \x20   buffer: 64KiB, autostart: false,\n\
             \x20   stdout: {{file: '@DIR@/small/log', stall: 200ms, max_size: 0}}}}\n"
        ),
    );
    let daemon = Daemon::start_in(folder, &[]);
    let mut events = daemon.events();
    daemon.rpc("start", json!({"targets": ["a"], "wait": false}));
    let failing = events.wait_until("trouble", |event| event["event"] == "log_failing");
    let detail = failing["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("small/log: No space left on device"),
        "{failing}"
    );
    let expected = detail.to_string();
    let told = told_of_log(&daemon);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|text| text.contains(&expected)), "{told:?}");
    events.wait_until("a stall", |event| event["event"] == "output_stalled");
    // The process ends, although the disk takes none of its output.
    events.wait_for("a:0", "EXITED");
    fs::remove_file(&ballast).expect("it is there");
    let working = Cell::new(false);
    let lost = events.wait_until("the account", |event| {
        working.set(working.get() || event["event"] == "log_working");
        event["event"] == "output_lost"
    });
    if !working.get() {
        events.wait_until("a log", |event| event["event"] == "log_working");
    }
    // The output that is still in memory follows the report.
    let text = wait_for_text(&daemon, "small/log", |text| accounted_for(text) == TOTAL);
    assert!(lost["detail"].to_string().contains("bytes lost"), "{lost}");

    // The log works again. The disk has room for two runs.
    let before = text.len();
    daemon.rpc("start", json!({"targets": ["a"], "wait": false}));
    wait_for_text(&daemon, "small/log", |text| text.len() > before);
    assert_eq!(told_of_log(&daemon), Vec::<String>::new());
    drop(daemon);
    drop(disk);
}

/// Returns the complaints of `status` and `why` about the log of `a:0`.
fn told_of_log(daemon: &Daemon) -> Vec<String> {
    let why = daemon.rpc("why", json!({"process": "a:0"}));
    let causes = why["causes"].as_array().expect("a list").iter();
    let told = causes.chain([&why["process"]["detail"]]);
    let told = told.filter_map(|text| text.as_str()).map(str::to_string);
    told.filter(|text| text.contains("not logged")).collect()
}

/// Returns the bytes kept plus the bytes reported lost. Each line of output is only a newline.
fn accounted_for(text: &str) -> usize {
    // The last mark may be incomplete.
    let text = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let text = format!("{text}\n");
    let markers: Vec<usize> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(lost_in)
        .collect();
    text.lines().count() - markers.len() + markers.iter().sum::<usize>()
}

/// The number in `[tmd: 12345 bytes lost: disk stalled]`.
fn lost_in(line: &str) -> usize {
    let number = line
        .strip_prefix("[tmd: ")
        .and_then(|rest| rest.strip_suffix(" bytes lost: disk stalled]"));
    let number = number.and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("neither output nor a mark: {line:?}"))
}

/// A program that prints its input.
fn parrot(more: &str) -> Daemon {
    let folder = support::folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    let yaml = format!(
        "programs:\n  a: {{cmd: cat, stdin: pipe, starttime: 0, stdout: '@DIR@/logs/log'}}\n{more}"
    );
    support::write_config(folder.path(), &yaml);
    let daemon = Daemon::start_in(folder, &[]);
    daemon.wait_state("a:0", "RUNNING");
    daemon
}

fn say(daemon: &Daemon, text: &str) {
    daemon.rpc("send", json!({"process": "a:0", "text": text}));
}

#[test]
fn a_folder_that_vanishes_and_comes_back_loses_nothing() {
    let daemon = parrot("");
    say(&daemon, "one\n");
    wait_for_text(&daemon, "logs/log", |text| text == "one\n");
    fs::rename(daemon.path("logs"), daemon.path("gone")).expect("it is there");
    let mut events = daemon.events();
    // The open file moved with its folder. This goes there if the move is not noticed yet.
    say(&daemon, "two\n");
    daemon.signal(Signal::USR1);
    say(&daemon, "three\n");
    let failing = events.wait_until("trouble", |event| event["event"] == "log_failing");
    let detail = failing["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("logs does not exist"), "{failing}");
    fs::create_dir(daemon.path("logs")).expect("a new folder");
    events.wait_until("its end", |event| event["event"] == "log_working");
    let text = daemon.read("gone/log") + &daemon.read("logs/log");
    assert_eq!(text, "one\ntwo\nthree\n");
}

#[test]
fn a_replaced_log_is_reported_and_retried() {
    let daemon = parrot("");
    let log = daemon.path("logs/log");
    for (turn, kind) in ["FIFO", "directory", "symbolic link"]
        .into_iter()
        .enumerate()
    {
        let mut events = daemon.events();
        fs::rename(&log, daemon.path(&format!("logs/old.{turn}"))).expect("it is there");
        match kind {
            "FIFO" => {
                let made = Command::new("mkfifo").arg(&log).status();
                assert!(made.expect("mkfifo is installed").success());
            }
            "directory" => fs::create_dir(&log).expect("a new folder"),
            _ => std::os::unix::fs::symlink("/dev/null", &log).expect("a link"),
        }
        daemon.signal(Signal::USR1);
        let text = format!("said {turn}\n");
        say(&daemon, &text);
        let failing = events.wait_until("trouble", |event| event["event"] == "log_failing");
        let detail = failing["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(&format!("is a {kind}")), "{failing}");
        match kind {
            "directory" => fs::remove_dir(&log).expect("it is empty"),
            _ => fs::remove_file(&log).expect("it is there"),
        }
        events.wait_until("its end", |event| event["event"] == "log_working");
        assert_eq!(daemon.read("logs/log"), text);
    }
}

#[test]
fn a_program_whose_log_cannot_be_opened_says_so() {
    let folder = support::folder();
    fs::create_dir(folder.path().join("folder")).expect("a new folder");
    let made = Command::new("mkfifo")
        .arg(folder.path().join("fifo"))
        .status();
    assert!(made.expect("mkfifo is installed").success());
    support::write_config(
        folder.path(),
        "defaults: {cmd: sleep 1000, startretries: 0}\n\
         programs:\n\
         \x20 folder: {stdout: '@DIR@/folder'}\n\
         \x20 fifo: {stdout: '@DIR@/fifo'}\n\
         \x20 device: {stdout: /dev/full}\n\
         \x20 nowhere: {stdout: '@DIR@/no/such/log'}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    let expected = [
        ("folder", "is a directory"),
        ("fifo", "is a FIFO"),
        ("device", "not a regular file but a device"),
        ("nowhere", "no/such does not exist"),
    ];
    for (name, text) in expected {
        let row = daemon.wait_state(&format!("{name}:0"), "FATAL");
        let detail = row["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(text), "{row}");
    }
}

#[test]
fn a_daemon_survives_an_unread_standard_error() {
    let folder = support::folder();
    let fifo = folder.path().join("stderr");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo is installed").success());
    // Open at both ends and never read: it takes 64 KiB, then no more.
    let unread = fs::OpenOptions::new().read(true).write(true).open(&fifo);
    let unread = unread.expect("a FIFO");
    support::write_config(
        folder.path(),
        "daemon: {log: {file: '@DIR@/log'}}\nprograms:\n  a: {cmd: sleep 1000, starttime: 0}\n",
    );
    let socket = folder.path().join("tmd.sock");
    let daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut sh = Command::new("sh");
        sh.args(["-c", "exec \"$@\" 2>stderr", "sh"]);
        sh.arg(tmd.get_program()).args(tmd.get_args());
        sh.arg("--socket").arg(socket);
        sh.current_dir(tmd.get_current_dir().expect("a folder"));
        *tmd = sh;
    });
    daemon.wait_state("a:0", "RUNNING");
    let mut control = daemon.control();
    for _ in 0..1500 {
        let params = json!({"signal": "CONT", "targets": ["a"]});
        control.call("signal", params).expect("it is obeyed");
    }
    let began = Instant::now();
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
    assert!(began.elapsed() < PATIENCE / 10);
    let audited = |text: &str| text.matches(": signal {").count() == 1500;
    wait_for_text(&daemon, "log", audited);
    drop(daemon);
    drop(unread);
}
