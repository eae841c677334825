//! A disk that accepts no writes for a while.

use super::ends_well;
use super::support::{self, Daemon, is_root, skip};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A small ext4 in a file, thawed and gone with its owner.
struct Disk(PathBuf);

impl Disk {
    /// Returns nothing where the system cannot provide one.
    fn mount(folder: &Path) -> Option<Disk> {
        let (image, place) = (folder.join("image"), folder.join("disk"));
        fs::File::create(&image).ok()?.set_len(64 << 20).ok()?;
        fs::create_dir(&place).ok()?;
        let done = done("mkfs.ext4", &["-q", "-F"], &image) && {
            let image = image.display().to_string();
            done("mount", &["-o", "loop", &image], &place)
        };
        let disk = done.then_some(Disk(place))?;
        // Probed here, so that a test runs completely or is skipped.
        (disk.freeze() && disk.thaw()).then_some(disk)
    }

    fn freeze(&self) -> bool {
        done("fsfreeze", &["-f"], &self.0)
    }

    fn thaw(&self) -> bool {
        done("fsfreeze", &["-u"], &self.0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        done("umount", &["-l"], &self.0);
    }
}

struct Thawed<'a>(&'a Disk);

impl Drop for Thawed<'_> {
    fn drop(&mut self) {
        self.0.thaw();
    }
}

fn done(command: &str, arguments: &[&str], place: &Path) -> bool {
    let mut command = Command::new(command);
    command.args(arguments).arg(place);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

const TOTAL: usize = 6_000_000;

/// Requests that must not wait for the disk.
const REQUESTS: [(&str, &str); 3] = [
    ("status", "shell"),
    ("restart", "other"),
    ("restart", "logged"),
];

/// Sends a request and returns how long the reply took, and the reply.
fn timed(daemon: &Daemon, method: &str, target: &str) -> Duration {
    let mut control = daemon.control();
    let began = Instant::now();
    let reply = control.call(method, json!({"targets": [target]}));
    let reply = reply.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    let rows = reply["processes"].as_array().cloned().unwrap_or_default();
    let good = |row: &Value| row["ok"] != false && row["state"] == "RUNNING";
    assert!(rows.iter().all(good), "{reply}");
    began.elapsed()
}

#[test]
fn a_frozen_disk_slows_no_client_and_losses_are_counted() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = support::folder();
    let Some(disk) = Disk::mount(folder.path()) else {
        skip!("no ext4 can be mounted and frozen here");
    };
    support::write_config(
        folder.path(),
        &format!(
            // Lines of one byte, so that a mark never cuts a line.
            // With starttime 0, a restart waits a second for an early end.
            "defaults: {{starttime: 10ms}}\n\
             programs:\n\
             \x20 flood: {{cmd: '@BIN@/flood {TOTAL} 1', autorestart: never, autostart: false,\n\
             \x20   buffer: 64KiB,\n\
             \x20   stdout: {{file: '@DIR@/disk/log', stall: 300ms, max_size: 0}}}}\n\
             \x20 shell: {{cmd: cat, tty: true, stdout: '@DIR@/disk/shell'}}\n\
             \x20 logged: {{cmd: 'echo up; exec sleep 1000', shell: true,\n\
             \x20   stdout: '@DIR@/disk/logged', pidfile: '@DIR@/logged.pid'}}\n\
             \x20 other: {{cmd: sleep 1000, pidfile: '@DIR@/other.pid'}}\n"
        ),
    );
    let daemon = Daemon::start_in(folder, &[]);
    // A daemon with a write under way cannot be killed, so the disk is thawed first in any case.
    let _thawed = Thawed(&disk);
    for process in ["shell:0", "logged:0", "other:0"] {
        daemon.wait_state(process, "RUNNING");
    }
    let mut console = daemon.terminal(&["tm", "attach", "shell"], 24, 80);
    console.send("before\r");
    console.expect("before");
    let mut events = daemon.events();
    assert!(disk.freeze(), "it could be frozen before");
    daemon.rpc("start", json!({"targets": ["flood"], "wait": false}));
    events.wait_until("a stall", |event| event["event"] == "output_stalled");
    // The first writer waits a second, to be sure that the disk is stuck.
    timed(&daemon, "restart", "logged");
    let mut times = [const { Vec::new() }; 3];
    for round in 0..10 {
        for ((method, target), times) in REQUESTS.iter().zip(&mut times) {
            times.push(timed(&daemon, method, target));
        }
        console.send(&format!("round {round}\r"));
        console.expect(&format!("round {round}"));
    }
    // A wait for the disk would be in every round; other load of the machine is not.
    for (request, times) in REQUESTS.iter().zip(&mut times) {
        times.sort();
        assert!(
            times[5] < Duration::from_millis(500),
            "{request:?}: {times:?}"
        );
    }
    events.wait_for("flood:0", "EXITED");
    assert!(disk.thaw(), "it was frozen");
    let lost = events.wait_until("the account", |event| event["event"] == "output_lost");
    assert_eq!(lost["process"], "flood:0", "{lost}");
    let told = counted(lost["detail"].as_str().unwrap_or_default());
    let log = daemon.read("disk/log");
    let (marks, kept): (Vec<&str>, Vec<&str>) =
        log.lines().partition(|line| line.starts_with("[tmd: "));
    let marked: usize = marks.into_iter().map(counted).sum();
    assert_eq!((marked, kept.len() + marked), (told, TOTAL));
    drop(console);
    ends_well(daemon);
}

/// The number before `bytes lost`.
fn counted(text: &str) -> usize {
    let before = text.split(" bytes lost").next().unwrap_or_default();
    let number = before.rsplit(' ').next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number in {text:?}"))
}
