//! The attributes of a start, the places of output, and the log of events.

use crate::support::system::{Bystander, wait_for_text};
use crate::support::{self, Daemon, kill};
use rustix::process::Signal;
use serde_json::json;
use std::process::Command;
use std::time::Instant;

/// The example of the taskmaster subject, word for word in what matters: octal umask, one exit
/// code as a scalar, a number in the environment, eight processes.
const SUBJECT: &str = r#"programs:
    nginx:
        cmd: "/usr/local/bin/nginx -c /etc/nginx/test.conf"
        numprocs: 1
        umask: 022
        workingdir: /tmp
        autostart: true
        autorestart: unexpected
        exitcodes:
            - 0
            - 2
        startretries: 3
        starttime: 5
        stopsignal: TERM
        stoptime: 10
        stdout: @DIR@/nginx.stdout
        stderr: @DIR@/nginx.stderr
        env:
            STARTED_BY: taskmaster
            ANSWER: 42
    vogsphere:
        cmd: "/usr/local/bin/vogsphere-worker --no-prefork"
        numprocs: 8
        umask: 077
        workingdir: /tmp
        autostart: true
        autorestart: unexpected
        exitcodes: 0
        startretries: 3
        starttime: 5
        stopsignal: USR1
        stoptime: 10
        stdout: @DIR@/vgsworker.stdout
        stderr: @DIR@/vgsworker.stderr
"#;

#[test]
fn the_subjects_example_loads_as_it_is() {
    let folder = support::folder();
    let config = support::write_config(folder.path(), SUBJECT);
    let mut check = support::command("tm", folder.path());
    check.arg("check").arg(&config);
    let output = support::run(check);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn the_subjects_example_runs_eight_workers() {
    let daemon = Daemon::start(
        &SUBJECT.replace("/usr/local/bin/vogsphere-worker --no-prefork", "sleep 1000"),
    );
    let rows = daemon.all();
    let workers = rows
        .iter()
        .filter(|row| row["program"] == "vogsphere")
        .count();
    assert_eq!((rows.len(), workers), (9, 8));
    // A missing program is retried, without effect on the others.
    let state = daemon.status("nginx:0")["state"].clone();
    assert!(
        ["STARTING", "BACKOFF"].contains(&state.as_str().unwrap_or_default()),
        "{state}"
    );
    for index in 0..8 {
        daemon.wait_state(&format!("vogsphere:{index}"), "RUNNING");
    }
}

#[test]
fn umask_environment_folder_and_both_streams_are_as_configured() {
    let daemon = Daemon::start(
        r#"
programs:
  show:
    cmd: [sh, -c, 'umask; pwd; echo $ANSWER $GREETING; echo oops >&2; : > @DIR@/made']
    umask: 027
    workingdir: /usr/share
    env: {ANSWER: 42, GREETING: hello there}
    stdout: @DIR@/out
    stderr: @DIR@/err
    starttime: 0
    autorestart: never
"#,
    );
    daemon.wait_ended("show:0");
    assert_eq!(daemon.read("out"), "0027\n/usr/share\n42 hello there\n");
    assert_eq!(daemon.read("err"), "oops\n");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(daemon.path("made"))
        .expect("it was made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn discarded_output_goes_nowhere() {
    let daemon = Daemon::start(
        r#"
programs:
  show: {cmd: [sh, -c, echo hidden], stdout: discard, starttime: 0, autorestart: never}
"#,
    );
    daemon.wait_ended("show:0");
    assert!(!daemon.tm(&["logs", "show"]).stdout.contains("hidden"));
}

#[test]
fn children_inherit_nothing_of_the_daemon() {
    let daemon = Daemon::start(
        r#"
programs:
  show:
    cmd:
    - sh
    - -c
    - |
      ls /proc/$$/fd
      grep -E '^Sig(Blk|Ign)' /proc/self/status
      echo $TM_PROGRAM $TM_INSTANCE $TM_PROCESS $TM_SOCKET
    stdout: @DIR@/out
    starttime: 0
    autorestart: never
"#,
    );
    daemon.wait_ended("show:0");
    let expected = format!(
        "0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nshow 0 show:0 {}\n",
        daemon.socket().display()
    );
    assert_eq!(daemon.read("out"), expected);
}

#[test]
fn masses_of_output_block_no_client_and_lose_nothing() {
    let daemon = Daemon::start(
        r#"
programs:
  flood:
    cmd: [sh, -c, 'yes 0123456789abcde | head -n 2000000; echo end']
    stdout: @DIR@/out
    starttime: 0
    autorestart: never
    autostart: false
  endless: {cmd: 'yes', starttime: 0, numprocs: 2}
  silent: {cmd: 'yes', starttime: 0, stdout: discard}
"#,
    );
    let mut events = daemon.events();
    daemon.rpc("start", json!({"targets": ["flood"], "wait": false}));
    for _ in 0..20 {
        let began = Instant::now();
        daemon.status("endless:0");
        assert!(
            began.elapsed().as_secs() < 2,
            "status took {:?}",
            began.elapsed()
        );
    }
    let exit = events.wait_for("flood:0", "EXITED");
    assert_eq!(exit["exit"]["code"], 0, "{exit}");
    let out = daemon.read("out");
    assert_eq!(out.len(), 2_000_000 * 16 + 4);
    assert!(out.ends_with("0123456789abcde\nend\n"));
}

#[test]
fn starting_many_delays_no_answer() {
    let daemon = Daemon::start(
        "programs:\n  many: {cmd: sleep 1000, numprocs: 600, starttime: 0, autostart: false}\n",
    );
    daemon.rpc("start", json!({"targets": ["many"], "wait": false}));
    let all = daemon.all();
    let waiting = all.iter().filter(|row| row["pid"].is_null()).count();
    assert!(waiting > 0, "the answer came after all starts");
    let output = daemon.tm(&["stop", "many"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(daemon.all().iter().all(|row| row["state"] == "STOPPED"));
}

#[test]
fn the_log_file_has_every_event() {
    let daemon = Daemon::start(
        "daemon: {log: {file: '@DIR@/events.log'}}\nprograms:\n  \
         worker: {cmd: sleep 1000, starttime: 0}\n  \
         broken: {cmd: 'false', startretries: 0}\n",
    );
    daemon.wait_state("broken:0", "FATAL");
    let pid = daemon.wait_state("worker:0", "RUNNING")["pid"].clone();
    let mut events = daemon.events();
    kill(daemon.pid_of("worker:0"), Signal::KILL);
    events.wait_for("worker:0", "RUNNING");
    daemon.tm(&["stop", "worker"]);
    daemon.tm(&["start", "worker"]);
    daemon.reload_with("programs:\n  worker: {cmd: sleep 1000, starttime: 0, stoptime: 2}\n");
    // The log's own thread writes it.
    let log = wait_for_text(&daemon.path("events.log"), "reloaded: ");
    let told = [
        "worker:0",
        "broken:0",
        "STARTING",
        "RUNNING",
        "FATAL",
        "STOPPING",
        "STOPPED",
        "exit 1",
        "SIGKILL",
        "reload",
        &pid.to_string(),
    ];
    for word in told {
        assert!(log.contains(word), "{word:?} is not in the log:\n{log}");
    }
    let stamped = |line: &str| {
        line.get(..4)
            .is_some_and(|year| year.parse::<u32>().is_ok())
    };
    assert!(log.lines().all(stamped), "a line without its time:\n{log}");
}

#[test]
fn a_foreign_pid_in_a_pidfile_is_never_killed() {
    let bystander = Bystander::start(Command::new("sleep").arg("1000"));
    let daemon = Daemon::start(
        r#"
programs:
  worker: {cmd: sleep 1000, autostart: false, starttime: 0, pidfile: '@DIR@/pid'}
"#,
    );
    std::fs::write(daemon.path("pid"), format!("{}\n", bystander.pid())).expect("a stale pidfile");
    assert_eq!(daemon.tm(&["start", "worker"]).code, 0);
    assert_eq!(
        daemon.read("pid").trim(),
        daemon.pid_of("worker:0").to_string()
    );
    assert_eq!(daemon.tm(&["stop", "worker"]).code, 0);
    assert!(!daemon.path("pid").exists(), "removed at exit");
    support::wait_until_alive(bystander.pid());
}
