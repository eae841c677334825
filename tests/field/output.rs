//! Logs, rotation and merged output.

use super::support::{Daemon, PATIENCE, folder, system::FolderWatch, write_config};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Waits until the text of a file meets a condition. Returns the text.
fn wait_for_text(daemon: &Daemon, path: &Path, wanted: impl Fn(&str) -> bool) -> String {
    let folder = path.parent().expect("a file lies in a folder");
    let mut watch = FolderWatch::new(folder);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        if wanted(&text) {
            return text;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{text:?}\n{}", daemon.log());
        watch.wait(left);
    }
}

/// A program that writes numbered lines into `logs/log` without end.
fn steady_writer(settings: &str) -> Daemon {
    let folder = folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    let yaml = format!(
        "programs:\n  a:\n\
         \x20   cmd: 'i=0; while :; do i=$((i+1)); echo \"line $i\"; sleep 0.02; done'\n\
         \x20   shell: true\n    starttime: 0\n    stdout: {{file: '@DIR@/logs/log'{settings}}}\n"
    );
    write_config(folder.path(), &yaml);
    let daemon = Daemon::start_in(folder, &[]);
    daemon.wait_state("a:0", "RUNNING");
    daemon
}

/// Asserts that these are the lines `line 1`, `line 2` and so on.
fn assert_counts(text: &str) {
    let (whole, _) = text.rsplit_once('\n').expect("a line");
    for (index, line) in whole.lines().enumerate() {
        assert_eq!(line, format!("line {}", index + 1), "{text}");
    }
}

#[test]
fn a_log_that_was_removed_moved_or_replaced_is_created_again() {
    let daemon = steady_writer(", max_size: 100KB, keep: 2");
    let log = daemon.path("logs/log");
    let old = |turn: usize| daemon.path(&format!("old.{turn}"));
    for turn in 0..3 {
        wait_for_text(&daemon, &log, |text| text.lines().count() > 2);
        match turn {
            0 => {
                fs::hard_link(&log, old(turn)).expect("a second name");
                fs::remove_file(&log).expect("the log is there");
            }
            1 => fs::rename(&log, old(turn)).expect("the log is there"),
            _ => {
                fs::hard_link(&log, old(turn)).expect("a second name");
                fs::write(daemon.path("new"), "").expect("a file");
                fs::rename(daemon.path("new"), &log).expect("the log is replaced");
            }
        }
    }
    let last = wait_for_text(&daemon, &log, |text| text.lines().count() > 2);
    let before: String = (0..3)
        .map(|turn| fs::read_to_string(old(turn)).expect("a log"))
        .collect();
    assert_counts(&(before + &last));
}

#[test]
fn a_truncated_log_continues_at_its_new_end_and_counts_from_there() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: cat, stdin: pipe, starttime: 0,\n\
         \x20   stdout: {file: '@DIR@/log', max_size: 1000, keep: 2}}\n",
    );
    daemon.wait_state("a:0", "RUNNING");
    let log = daemon.path("log");
    let long = "x".repeat(899) + "\n";
    for _ in 0..3 {
        daemon.rpc("send", json!({"process": "a:0", "text": long}));
        wait_for_text(&daemon, &log, |text| text == long);
        fs::File::options()
            .write(true)
            .open(&log)
            .and_then(|file| file.set_len(0))
            .expect("the log is truncated");
    }
    assert!(!daemon.path("log.1").exists(), "an empty log was rotated");
}

/// Runs a flood of output into a log with these settings. Returns the most bytes that the files of
/// the log took together while it ran.
fn most_space_of_a_flood(settings: &str) -> (Daemon, u64) {
    let folder = folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    let yaml = format!(
        "programs:\n  a: {{cmd: '@BIN@/flood 300000000 100', starttime: 0, autorestart: never,\n\
         \x20   autostart: false, stdout: {{file: '@DIR@/logs/log', {settings}}}}}\n"
    );
    write_config(folder.path(), &yaml);
    let daemon = Daemon::start_in(folder, &[]);
    let logs = daemon.path("logs");
    let mut watch = FolderWatch::new(&logs);
    daemon.rpc("start", json!({"targets": ["a"], "wait": false}));
    let mut most = 0;
    while daemon.status("a:0")["state"] != "EXITED" {
        watch.wait(PATIENCE);
        let files = fs::read_dir(&logs).expect("a folder").flatten();
        // A file may be gone by now.
        let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        most = most.max(sizes.sum());
    }
    (daemon, most)
}

#[test]
fn a_flood_takes_no_more_space_than_its_log_may() {
    for settings in ["compress: false", "compress: true"] {
        let settings = format!("max_size: 1MB, keep: 3, {settings}");
        let (daemon, most) = most_space_of_a_flood(&settings);
        assert!(most <= 5 << 20, "{settings}: {most} bytes");
        assert!(most > 1 << 20, "{settings}: {most} bytes");
        drop(daemon);
    }
}

#[test]
fn output_without_newlines_is_split_between_files() {
    let mut daemon = Daemon::start(
        "programs:\n  a: {cmd: 'yes \"50%\" | tr \"\\n\" \"\\r\" | head -c 4000000', shell: true,\n\
         \x20   starttime: 0, autorestart: never, buffer: 64KiB,\n\
         \x20   stdout: {file: '@DIR@/log', max_size: 100KB, keep: 100}}\n",
    );
    daemon.wait_ended("a:0");
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
    let parts = (1..).map(|n| fs::read_to_string(daemon.path(&format!("log.{n}"))));
    let mut parts: Vec<String> = parts.map_while(Result::ok).collect();
    parts.reverse();
    parts.push(daemon.read("log"));
    let sizes: Vec<usize> = parts.iter().map(String::len).collect();
    assert!(sizes.iter().all(|size| *size <= 100 * 1024), "{sizes:?}");
    assert_eq!(parts.concat(), "50%\r".repeat(1_000_000));
}
