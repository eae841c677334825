//! Rotation and reopening lose nothing and split no line.

use super::support::{Daemon, system::FolderWatch};
use super::{flood_lines, wait_for_text};
use rustix::process::Signal;
use std::fs;
use std::io::Read;

/// Writes 5 MB into a log with these settings, and ends the daemon.
fn flooded(settings: &str) -> Daemon {
    let mut daemon = Daemon::start(&format!(
        "programs:\n  a: {{cmd: '@BIN@/flood 5000000 100', starttime: 0, autorestart: never,\n\
         \x20   stdout: {{file: '@DIR@/log', {settings}}}}}\n"
    ));
    daemon.wait_ended("a:0");
    // The daemon's end waits for every compression.
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
    daemon
}

/// Returns the rotated files and the log, oldest first.
fn parts(daemon: &Daemon) -> Vec<String> {
    let part = |number: usize| {
        let plain = daemon.path(&format!("log.{number}"));
        let packed = daemon.path(&format!("log.{number}.gz"));
        assert!(
            !(plain.exists() && packed.exists()),
            "{number} is there twice"
        );
        if let Ok(file) = fs::File::open(&packed) {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(file);
            decoder.read_to_string(&mut text).expect("it is whole");
            return Some(text);
        }
        fs::read_to_string(plain).ok()
    };
    let mut parts: Vec<String> = (1..).map_while(part).collect();
    parts.reverse();
    parts.push(daemon.read("log"));
    parts
}

/// A line that spans two batches stays in its file, even above `max_size`.
const SIZE_MAX: usize = 256 * 1024 + 100;

#[test]
fn rotated_files_hold_everything_and_no_half_line() {
    let daemon = flooded("max_size: 256KiB, keep: 100");
    let parts = parts(&daemon);
    assert!(
        parts.concat() == flood_lines(50_000, 100),
        "{} parts",
        parts.len()
    );
    assert_eq!(parts.len(), 5_000_000_usize.div_ceil(262_100));
    for part in &parts {
        assert!(
            part.ends_with('\n') && part.len() <= SIZE_MAX,
            "{}",
            part.len()
        );
    }
}

#[test]
fn compressed_files_hold_everything() {
    let daemon = flooded("max_size: 256KiB, keep: 100, compress: true");
    assert!(daemon.path("log.1.gz").exists());
    let left: Vec<String> = fs::read_dir(daemon.dir())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    let parts = parts(&daemon);
    assert!(
        parts.concat() == flood_lines(50_000, 100),
        "{} parts",
        parts.len()
    );
}

#[test]
fn no_more_files_are_kept_than_wanted() {
    let daemon = flooded("max_size: 256KiB, keep: 3");
    let parts = parts(&daemon);
    assert_eq!(parts.len(), 4);
    assert!(flood_lines(50_000, 100).ends_with(&parts.concat()));
    let daemon = flooded("max_size: 256KiB, keep: 0");
    let log = daemon.read("log");
    assert!(log.len() <= SIZE_MAX && flood_lines(50_000, 100).ends_with(&log));
}

#[test]
fn a_line_longer_than_a_file_is_not_split() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: '@BIN@/flood 300000 30000', starttime: 0, autorestart: never,\n\
         \x20   stdout: {file: '@DIR@/log', max_size: 10KB, keep: 20}}\n",
    );
    daemon.wait_ended("a:0");
    let parts = parts(&daemon);
    assert_eq!(parts.len(), 10);
    assert!(parts.concat() == flood_lines(10, 30_000));
}

#[test]
fn logrotate_may_move_the_log_away_while_it_is_written() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'i=0; while [ ! -e stop ]; do i=$((i+1)); echo \"line $i\"; done;\n\
         \x20   echo end', shell: true, starttime: 0, autorestart: never, workingdir: '@DIR@',\n\
         \x20   stdout: '@DIR@/logs/log'}\n\
         \x20 make: {cmd: 'true', starttime: 0, autorestart: never}\n"
            .replace("'@DIR@/logs/log'", "'@DIR@/log'")
            .as_str(),
    );
    let log = daemon.path("log");
    for moved in 0..6 {
        wait_for_text(&daemon, "log", |text| text.lines().count() > 100);
        let mut watch = FolderWatch::new(daemon.dir());
        fs::rename(&log, daemon.path(&format!("moved.{moved}"))).expect("the log is there");
        daemon.signal(Signal::USR1);
        while !log.exists() {
            watch.wait(super::support::PATIENCE);
        }
    }
    fs::write(daemon.path("stop"), "").expect("a file");
    daemon.wait_ended("a:0");
    let mut text: String = (0..6)
        .map(|moved| daemon.read(&format!("moved.{moved}")))
        .collect();
    text += &daemon.read("log");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"end"));
    for (index, line) in lines[..lines.len() - 1].iter().enumerate() {
        assert_eq!(*line, format!("line {}", index + 1));
    }
}
