//! Counterparts of supervisord in a container, and of scripts with setsid, pidfiles and kill.
//! docs/coming-from.md names these tests.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use support::system::FolderWatch;
use support::{Daemon, PATIENCE, kill, wait_exit, wait_gone, wait_until_alive};

/// The three programs of the container.
const THREE: &str = "
programs:
  ttyd: {cmd: sleep 1000, starttime: 0}
  jupyter: {cmd: [sh, -c, 'echo serving; echo warning >&2; exec sleep 1000'], starttime: 0}
  fluxgym: {cmd: sleep 1000, starttime: 0}
";

/// A node as the scripts ran it. It prints a line at SIGTERM and ends.
const NODE: &str = "
programs:
  node:
    cmd: [sh, -c, 'trap \"echo bye; exit 0\" TERM; echo up > up; while :; do sleep 0.05; done']
    pidfile: '@DIR@/node.pid'
    starttime: 200ms
    stoptime: 30s
";

/// A program that only SIGKILL ends.
const STUBBORN: &str =
    "[sh, -c, 'trap \"\" TERM; echo up > stubborn; while :; do sleep 0.05; done']";

fn three() -> Daemon {
    let daemon = Daemon::start(THREE);
    for name in ["ttyd:0", "jupyter:0", "fluxgym:0"] {
        daemon.wait_state(name, "RUNNING");
    }
    daemon
}

/// Waits until a file has this content, or is gone (`None`).
fn wait_content(path: &Path, wanted: Option<&str>) {
    let mut watch = FolderWatch::new(path.parent().expect("a file lies in a folder"));
    let began = std::time::Instant::now();
    while fs::read_to_string(path).ok().as_deref() != wanted {
        assert!(began.elapsed() < PATIENCE, "{}: {wanted:?}", path.display());
        watch.wait(PATIENCE);
    }
}

#[test]
fn status_shows_every_program_with_pid_and_uptime() {
    let daemon = three();
    let output = daemon.tm(&["status"]);
    assert_eq!(output.code, 0, "{output:?}");
    for name in ["ttyd:0", "jupyter:0", "fluxgym:0"] {
        let line = output.stdout.lines().find(|line| line.starts_with(name));
        let fields: Vec<&str> = line.expect(name).split_whitespace().collect();
        assert_eq!(fields[1], "RUNNING", "{output:?}");
        assert_eq!(fields[2], daemon.pid_of(name).to_string(), "{output:?}");
        assert!(fields[3].ends_with('s'), "an uptime: {output:?}");
    }
}

#[test]
fn tail_shows_the_last_lines_of_one_program_or_of_its_errors() {
    let daemon = three();
    let mut events = daemon.events();
    let mut looking = daemon.terminal(&["tm", "logs", "-f", "jupyter"], 24, 80);
    looking.expect("warning");
    looking.send("\x03");
    looking.wait_end();
    daemon.tm(&["stop", "jupyter"]);
    events.wait_for("jupyter:0", "STOPPED");
    let both = daemon.tm(&["tail", "jupyter"]);
    assert_eq!(both.stdout, "serving\nwarning\n", "{both:?}");
    let errors = daemon.tm(&["tail", "jupyter", "--stderr"]);
    assert_eq!(errors.stdout, "warning\n", "{errors:?}");
    let last = daemon.tm(&["tail", "-n", "1", "jupyter", "--stdout"]);
    assert_eq!(last.stdout, "serving\n", "{last:?}");
}

#[test]
fn tail_f_follows_new_output() {
    let daemon = Daemon::start("programs:\n  echo: {cmd: cat, stdin: pipe, starttime: 0}\n");
    daemon.wait_state("echo:0", "RUNNING");
    let mut command = support::command("tm", daemon.dir());
    command
        .args(["tail", "-f", "echo"])
        .env("TM_SOCKET", daemon.socket())
        .stdout(Stdio::piped());
    let mut tail = command.spawn().expect("tm");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    for text in ["first", "second"] {
        assert_eq!(daemon.tm(&["send", "echo", text]).code, 0);
        let line = lines.next().expect("a line").expect("readable");
        assert_eq!(line, text);
    }
    kill(tail.id() as i32, Signal::INT);
    let code = wait_exit(&mut tail, PATIENCE).expect("Ctrl-C ends it");
    assert!(code == 0 || code == 130, "{code}");
    assert_eq!(daemon.status("echo:0")["state"], "RUNNING");
}

#[test]
fn restart_of_one_leaves_the_others_and_restart_of_all_does_not() {
    let daemon = three();
    let pids = || ["ttyd:0", "jupyter:0", "fluxgym:0"].map(|name| daemon.pid_of(name));
    let before = pids();
    let one = daemon.tm(&["restart", "fluxgym"]);
    assert_eq!(one.code, 0, "{one:?}");
    let between = pids();
    assert_eq!(between[..2], before[..2]);
    assert_ne!(between[2], before[2]);
    let all = daemon.tm(&["restart", "all"]);
    assert_eq!((all.code, all.stdout.lines().count()), (0, 3), "{all:?}");
    let after = pids();
    assert!(after.iter().zip(between).all(|(new, old)| *new != old));
}

#[test]
fn stop_and_start_one() {
    let daemon = three();
    let stopped = daemon.tm(&["stop", "jupyter"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(daemon.status("jupyter:0")["state"], "STOPPED");
    assert_eq!(daemon.tm(&["status"]).code, 0, "it is stopped on purpose");
    assert_eq!(daemon.tm(&["status", "jupyter"]).code, 3, "it does not run");
    let started = daemon.tm(&["start", "jupyter"]);
    assert_eq!(started.code, 0, "{started:?}");
    assert_eq!(daemon.status("jupyter:0")["state"], "RUNNING");
}

#[test]
fn a_failed_program_is_restarted() {
    let daemon = three();
    let mut events = daemon.events();
    let before = daemon.pid_of("ttyd:0");
    kill(before, Signal::SEGV);
    events.wait_for("ttyd:0", "RUNNING");
    assert_ne!(daemon.pid_of("ttyd:0"), before);
}

#[test]
fn every_process_has_a_session_of_its_own_and_no_terminal() {
    let daemon = Daemon::start(
        "programs:\n  env: {cmd: '@BIN@/print_env', starttime: 0, autorestart: never}\n  \
         reader: {cmd: [sh, -c, 'read x; echo end of input'], starttime: 0, autorestart: never}\n",
    );
    daemon.wait_ended("env:0");
    assert_eq!(daemon.status("env:0")["exit"]["code"], 0);
    let printed: Value =
        serde_json::from_str(&daemon.tm(&["tail", "env"]).stdout).expect("print_env prints JSON");
    assert_eq!(printed["sid"], printed["pid"], "{printed}");
    assert_eq!(printed["pgid"], printed["pid"], "{printed}");
    // Standard input is /dev/null, so no process waits for input forever.
    daemon.wait_ended("reader:0");
    assert_eq!(daemon.tm(&["tail", "reader"]).stdout, "end of input\n");
}

#[test]
fn processes_survive_the_terminal_they_were_started_from() {
    let folder = support::folder();
    support::write_config(folder.path(), THREE);
    let tm = |arguments: &[&str]| {
        let mut command = support::command("tm", folder.path());
        command.args(arguments);
        support::run(command)
    };
    let shell = support::command("sh", folder.path());
    let mut terminal = support::Terminal::spawn_command(&shell, 24, 80);
    terminal.send("tm up -d && echo al''l-up\r");
    terminal.expect("all-up");
    terminal.send("exit\r");
    terminal.wait_end();
    let status = tm(&["status"]);
    let down = tm(&["down"]);
    assert_eq!((status.code, down.code), (0, 0), "{status:?} {down:?}");
}

#[test]
fn a_pidfile_is_written_whole_and_removed() {
    let daemon = Daemon::start(NODE);
    daemon.wait_state("node:0", "RUNNING");
    let path = daemon.path("node.pid");
    let pid = daemon.pid_of("node:0");
    wait_content(&path, Some(&format!("{pid}\n")));
    let restarted = daemon.tm(&["restart", "node"]);
    assert_eq!(restarted.code, 0, "{restarted:?}");
    wait_content(&path, Some(&format!("{}\n", daemon.pid_of("node:0"))));
    daemon.tm(&["stop", "node"]);
    wait_content(&path, None);
}

#[test]
fn a_stale_pidfile_is_replaced_and_never_killed_by() {
    let folder = support::folder();
    let mut innocent = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("sleep");
    let stale = format!("{}\n", innocent.id());
    let path = folder.path().join("node.pid");
    fs::write(&path, stale).expect("writable");
    support::write_config(folder.path(), NODE);
    let daemon = Daemon::start_in(folder, &[]);
    daemon.wait_state("node:0", "RUNNING");
    wait_content(&path, Some(&format!("{}\n", daemon.pid_of("node:0"))));
    assert_eq!(daemon.tm(&["stop", "node"]).code, 0);
    wait_until_alive(innocent.id() as i32);
    innocent
        .kill()
        .and_then(|()| innocent.wait())
        .expect("it is our child");
}

#[test]
fn a_stop_waits_for_the_end_and_forces_it_only_when_time_is_over() {
    let daemon = Daemon::start(&format!(
        "{NODE}  stubborn: {{cmd: {STUBBORN}, starttime: 0, stoptime: 300ms}}\n"
    ));
    daemon.wait_state("node:0", "RUNNING");
    daemon.wait_state("stubborn:0", "RUNNING");
    support::wait_for_line(&daemon.path("up"));
    support::wait_for_line(&daemon.path("stubborn"));
    let graceful = daemon.tm(&["stop", "node"]);
    assert_eq!(graceful.code, 0, "{graceful:?}");
    assert_eq!(daemon.status("node:0")["exit"]["code"], 0);
    assert!(daemon.tm(&["tail", "node"]).stdout.contains("bye\n"));
    let pid = daemon.pid_of("stubborn:0");
    let forced = daemon.tm(&["stop", "stubborn"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    wait_gone(pid);
    assert_eq!(daemon.status("stubborn:0")["exit"]["signal"], 9);
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first_and_1() {
    let daemon = three();
    let mut second = support::command("tmd", daemon.dir());
    second
        .arg("-c")
        .arg(daemon.path("taskmaster.yaml"))
        .arg("--socket")
        .arg(daemon.socket());
    let output = support::run(second);
    assert_eq!(output.code, 1, "{output:?}");
    let expected = format!("already running (pid {})", daemon.pid());
    assert!(output.stderr.contains(&expected), "{output:?}");
    // Starting a running program does nothing and succeeds.
    let pid = daemon.pid_of("ttyd:0");
    let started = daemon.tm(&["start", "ttyd"]);
    assert_eq!(
        (started.code, started.stdout),
        (0, format!("ttyd:0: already running (pid {pid})\n"))
    );
}

#[test]
fn a_start_is_verified_before_it_counts() {
    let daemon = Daemon::start(
        "programs:\n  good: {cmd: sleep 1000, autostart: false, starttime: 300ms}\n  \
         bad: {cmd: [sh, -c, 'echo no disk; exit 7'], autostart: false, startretries: 0}\n",
    );
    let good = daemon.tm(&["start", "good"]);
    let pid = daemon.pid_of("good:0");
    assert_eq!(
        (good.code, good.stdout),
        (0, format!("good:0: RUNNING (pid {pid})\n"))
    );
    let row = daemon.status("good:0");
    assert!(
        row["uptime_s"].as_f64() >= Some(0.3),
        "it was watched: {row}"
    );
    let bad = daemon.tm(&["start", "bad"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.stdout.contains("exit 7"), "{bad:?}");
    assert!(daemon.tm(&["why", "bad"]).stdout.contains("no disk"));
}

#[test]
fn attach_is_the_foreground_that_can_be_left() {
    let daemon = Daemon::start(
        "programs:\n  console: {cmd: sh -i, tty: true, stopsignal: HUP, env: {PS1: 'in$ '}}\n",
    );
    daemon.wait_state("console:0", "RUNNING");
    let mut terminal = daemon.terminal(&["tm", "attach", "console:0"], 24, 80);
    terminal.expect("in$");
    terminal.send("echo $((6 * 7))\r");
    terminal.expect("42");
    terminal.send("\x01d");
    assert_eq!(terminal.wait_end(), 0);
    assert_eq!(daemon.status("console:0")["restarts"], 0);
}

#[test]
fn a_signal_reaches_the_program() {
    let cmd = "[sh, -c, 'trap \"echo hup > hup\" HUP; echo up > up; while :; do sleep 0.05; done']";
    let daemon = Daemon::start(&format!("programs:\n  jupyter: {{cmd: {cmd}}}\n"));
    support::wait_for_line(&daemon.path("up"));
    let output = daemon.tm(&["signal", "HUP", "jupyter"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(support::wait_for_line(&daemon.path("hup")), "hup");
}

#[test]
fn the_shell_takes_verbs_from_a_pipe() {
    let daemon = three();
    let output = daemon.tm_with_input(&[], "status\nstop ttyd\n");
    assert!(output.stdout.contains("jupyter:0"), "{output:?}");
    assert!(output.stdout.contains("ttyd:0: stopped"), "{output:?}");
}

#[test]
fn a_reload_touches_only_what_differs() {
    let daemon = three();
    let before = ["ttyd:0", "jupyter:0"].map(|name| daemon.pid_of(name));
    let mut events = daemon.events();
    let changed = THREE.replace("fluxgym: {cmd: sleep 1000", "fluxgym: {cmd: sleep 2000");
    support::write_config(daemon.dir(), &changed);
    let plan = daemon.tm(&["reload", "--dry-run"]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.stdout.contains("~ fluxgym:0"), "{plan:?}");
    let applied = daemon.tm(&["reload"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    events.wait_for("fluxgym:0", "RUNNING");
    assert_eq!(
        ["ttyd:0", "jupyter:0"].map(|name| daemon.pid_of(name)),
        before
    );
}

#[test]
fn a_stop_of_the_container_stops_everything() {
    let mut daemon = three();
    let pids = ["ttyd:0", "jupyter:0", "fluxgym:0"].map(|name| daemon.pid_of(name));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
    pids.into_iter().for_each(wait_gone);
}

#[test]
fn the_converted_container_is_sound() {
    let folder = support::folder();
    let shipped = support::repository().join("configs/coming-from.yaml");
    let text = fs::read_to_string(shipped).expect("it is shipped");
    // Root rejects a config that others can write, and a checkout may be group-writable.
    let config = support::write_config(folder.path(), &text);
    let mut check = support::command("tm", folder.path());
    check.arg("check").arg(config);
    let output = support::run(check);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.stderr, "", "not even a warning");
}
