//! The real daemon, tormented for seconds; `bench/torture` does it for minutes.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod disk;
mod ends;
mod limits;
mod output;
mod reload;

use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Control, Daemon, PATIENCE, system::FolderWatch};

/// Returns one figure of `/proc/PID/status`.
fn figure(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// Counts the daemon's open descriptors.
fn descriptors(daemon: &Daemon) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", daemon.pid()));
    folder.expect("it lives").count()
}

/// Checks a condition repeatedly until it is true, even if no event comes.
fn eventually(daemon: &Daemon, what: &str, mut holds: impl FnMut() -> bool) {
    let mut watch = FolderWatch::new(daemon.dir());
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "waited in vain for {what}\n{}",
            daemon.log()
        );
        watch.wait(Duration::from_millis(5));
    }
}

/// Fails if the median `status` takes longer than `limit`. An idle daemon is asked in turn, and
/// twice its median is added to the limit: that is what a loaded machine costs either of them.
fn assert_answers_within(daemon: &Daemon, limit: Duration, count: usize) {
    let idle = Daemon::start("programs:\n  a: {cmd: sleep 1000}\n");
    let mut controls = [daemon.control(), idle.control()];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..count {
        for (control, times) in controls.iter_mut().zip(&mut times) {
            times.push(status_time(control));
        }
    }
    let [busy, idle] = times.map(|mut times| {
        times.sort_unstable();
        times[count / 2]
    });
    assert!(busy < limit + 2 * idle, "{busy:?}, and idle {idle:?}");
}

fn status_time(control: &mut Control) -> Duration {
    let began = Instant::now();
    let answer = control.call("status", json!({}));
    answer.unwrap_or_else(|error| panic!("status: {error}"));
    began.elapsed()
}

/// Fails unless the daemon ends in order and leaves nothing.
fn ends_well(mut daemon: Daemon) {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0, "{}", daemon.log());
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

/// A daemon under a shell that first runs `limit`, such as `ulimit -n 60`.
fn limited(yaml: &str, limit: &str) -> Daemon {
    let folder = support::folder();
    support::write_config(folder.path(), yaml);
    let script = format!("{limit} && exec \"$@\"");
    start_under(folder, &["sh", "-c", &script, "sh"])
}

/// A daemon that another command executes.
fn start_under(folder: tempfile::TempDir, outer: &[&str]) -> Daemon {
    let socket = folder.path().join("tmd.sock");
    Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut command = Command::new(outer[0]);
        command.args(&outer[1..]);
        command.arg(tmd.get_program()).args(tmd.get_args());
        command.arg("--socket").arg(socket);
        command.current_dir(tmd.get_current_dir().unwrap_or(Path::new("/")));
        for (name, value) in tmd.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        *tmd = command;
    })
}
