//! Limits on descriptors, processes, memory and file sizes.

use super::support::system::wait_for_text;
use super::support::{self, Daemon, bin_dir, is_root, skip};
use super::{ends_well, eventually, figure, limited, start_under};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;

/// Returns the processes in a state, once no start is under way.
fn settled(daemon: &Daemon, state: &str) -> Vec<Value> {
    let busy = |row: &Value| ["STARTING", "STOPPED"].iter().any(|s| row["state"] == *s);
    eventually(daemon, "all starts", || !daemon.all().iter().any(busy));
    let rows = daemon.all().into_iter();
    rows.filter(|row| row["state"] == state).collect()
}

/// The descriptors of the daemon.
fn open_files(daemon: &Daemon) -> usize {
    let folder = format!("/proc/{}/fd", daemon.pid());
    fs::read_dir(folder).expect("it runs").count()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["name"].as_str()).collect()
}

/// Fails unless starts report this error by name, and succeed once others have stopped.
fn fails_by_name_and_recovers(daemon: &Daemon, error: &str) {
    let failed = settled(daemon, "FATAL");
    let running = settled(daemon, "RUNNING");
    assert!(running.len() > 5, "{}", daemon.log());
    assert!(!failed.is_empty(), "the limit was not met: {running:?}");
    for row in &failed {
        let detail = row["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(error), "{row}");
    }
    let why = daemon.rpc("why", json!({"process": failed[0]["name"]}));
    assert!(why["remedy"].is_string(), "{why}");
    daemon.rpc("stop", json!({"targets": names(&running)[..5]}));
    let reply = daemon.rpc("start", json!({"targets": [failed[0]["name"]]}));
    assert_eq!(reply["processes"][0]["ok"], true, "{reply}");
}

const THIRTY: &str = "programs:\n\
    \x20 a: {cmd: sleep 1000, numprocs: 30, starttime: 0, startretries: 0}\n";

#[test]
fn without_descriptors_starts_fail_by_name_and_clients_wait() {
    let daemon = limited(THIRTY, "ulimit -n 60");
    let running = settled(&daemon, "RUNNING");
    let mut control = daemon.control();
    // More clients than descriptors: the kernel keeps the others waiting.
    let crowd: Vec<UnixStream> = (0..30)
        .map(|_| {
            let mut client = UnixStream::connect(daemon.socket()).expect("it listens");
            let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n";
            client.write_all(request).expect("there is room");
            client
        })
        .collect();
    let stopped = &names(&running)[..running.len().min(10)];
    let reply = control.call("stop", json!({"targets": stopped}));
    assert!(reply.is_ok(), "a connected client is served: {reply:?}");
    for client in crowd {
        let mut answer = String::new();
        let read = BufReader::new(client).read_line(&mut answer);
        assert!(read.is_ok() && answer.contains("\"result\""), "{answer}");
    }
    eventually(&daemon, "the crowd is gone", || open_files(&daemon) < 40);
    control
        .call("start", json!({"targets": stopped, "wait": false}))
        .expect("it can be asked for");
    drop(control);
    fails_by_name_and_recovers(&daemon, "Too many open files");
    ends_well(daemon);
}

#[test]
fn without_processes_starts_fail_by_name() {
    // An ordinary user may run other processes at the same time; this uid has none.
    const USER: u32 = 54_321;
    if !is_root() {
        skip!("needs root");
    }
    let folder = support::folder();
    let tmd = folder.path().join("tmd");
    support::copy_executable(&bin_dir().join("tmd"), &tmd, 0o755);
    support::write_config(folder.path(), THIRTY);
    chown(folder.path(), Some(USER), Some(USER)).expect("we are root");
    let script = "shift; exec ./tmd \"$@\"";
    let user = [format!("--reuid={USER}"), format!("--regid={USER}")];
    let daemon = start_under(
        folder,
        &[
            "setpriv",
            &user[0],
            &user[1],
            "--clear-groups",
            "prlimit",
            "--nproc=20",
            "sh",
            "-c",
            script,
            "sh",
        ],
    );
    fails_by_name_and_recovers(&daemon, "Resource temporarily unavailable");
    ends_well(daemon);
}

#[test]
fn without_memory_buffers_stay_small_and_the_daemon_lives() {
    let daemon = limited(
        "programs:\n\
         \x20 steady: {cmd: sleep 1000, starttime: 0}\n\
         \x20 hungry: {cmd: '@BIN@/flood 150000000 1000', starttime: 0, numprocs: 2,\n\
         \x20   buffer: 1GiB, autorestart: never}\n",
        "ulimit -v 250000",
    );
    daemon.wait_ended("hungry:0");
    daemon.wait_ended("hungry:1");
    for index in 0..2 {
        let row = daemon.status(&format!("hungry:{index}"));
        assert_eq!(row["exit"]["code"], 0, "{row}");
    }
    assert!(figure(daemon.pid(), "VmSize") < 250_000);
    let last = daemon.tm(&["logs", "hungry:0", "-n", "1"]).stdout;
    assert!(
        last.starts_with("0000149999 "),
        "the newest is kept: {last}"
    );
    assert_eq!(daemon.status("steady:0")["restarts"], 0);
    ends_well(daemon);
}

#[test]
fn a_log_at_the_file_size_limit_fails_and_the_daemon_continues() {
    let daemon = limited(
        "programs:\n\
         \x20 steady: {cmd: sleep 1000, starttime: 0}\n\
         \x20 flood: {cmd: '@BIN@/flood 3000000 100', starttime: 0, autorestart: never,\n\
         \x20   autostart: false, stdout: {file: '@DIR@/log', stall: 200ms}}\n",
        "ulimit -f 1000",
    );
    let mut events = daemon.events();
    daemon.rpc("start", json!({"targets": ["flood"], "wait": false}));
    let failing = events.wait_until("trouble", |event| event["event"] == "log_failing");
    let detail = failing["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("File too large"), "{failing}");
    events.wait_for("flood:0", "EXITED");
    assert_eq!(daemon.status("steady:0")["restarts"], 0);
    // After a rotation the daemon writes to a new file, which reports the lost bytes.
    fs::rename(daemon.path("log"), daemon.path("log.old")).expect("it is there");
    daemon.signal(rustix::process::Signal::USR1);
    wait_for_text(&daemon.path("log"), "bytes lost: disk stalled]");
    ends_well(daemon);
}

#[test]
fn arguments_beyond_the_systems_limit_are_named_with_a_remedy() {
    let daemon = Daemon::start(&format!(
        "programs:\n  a: {{cmd: ['true', {}], starttime: 0, startretries: 0}}\n",
        "x".repeat(200_000)
    ));
    let row = daemon.wait_state("a:0", "FATAL");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Argument list too long"), "{row}");
    let why = daemon.rpc("why", json!({"process": "a:0"}));
    let remedy = why["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("shorten"), "{why}");
}
