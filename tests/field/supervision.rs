//! The life of processes: reloads, stops, pidfiles, and the events about them.

use crate::support::{self, Daemon, PATIENCE, kill, wait_for_line, wait_gone, wait_until_alive};
use rustix::process::Signal;
use serde_json::json;
use std::time::Instant;

/// Holds a lock like a server its port: it fails if another has it. It needs a while to end.
const SERVER: &str = r#"[sh, -c, "exec 9>@DIR@/port; flock -n 9 || exit 1; \
    trap 'sleep 0.3; exit 0' TERM; echo up > @DIR@/up; while :; do sleep 1000 9>&- & wait; done"]"#;

fn server(name: &str, more: &str) -> String {
    format!("programs:\n  {name}: {{cmd: {SERVER}, starttime: 100ms, startretries: 0, {more}}}\n")
}

#[test]
fn a_renamed_server_starts_when_the_old_one_has_ended() {
    let daemon = Daemon::start(&server("web", "pidfile: '@DIR@/pid'"));
    daemon.wait_state("web:0", "RUNNING");
    wait_for_line(&daemon.path("up"));
    let old = daemon.pid_of("web:0");
    let mut events = daemon.events();
    daemon.reload_with(&server("api", "pidfile: '@DIR@/pid'"));
    let event = events.wait_for("api:0", "WAITING");
    assert_eq!(event["detail"], "starts when web:0 has ended", "{event}");
    events.wait_for("api:0", "STARTING");
    wait_gone(old);
    events.wait_for("api:0", "RUNNING");
    // The pidfile of the new one stays.
    let pid = daemon.pid_of("api:0").to_string();
    assert_eq!(daemon.read("pid").trim_end(), pid);
}

#[test]
fn a_pidfile_that_another_process_has_written_is_left_alone() {
    let yaml = "programs:\n  a: {cmd: sleep 1000, starttime: 100ms, pidfile: '@DIR@/pid'}\n";
    let daemon = Daemon::start(yaml);
    daemon.wait_state("a:0", "RUNNING");
    assert_eq!(
        daemon.read("pid").trim_end(),
        daemon.pid_of("a:0").to_string()
    );
    std::fs::write(daemon.path("pid"), "1\n").expect("written");
    assert_eq!(daemon.tm(&["stop", "a"]).code, 0);
    assert_eq!(daemon.read("pid"), "1\n");
    assert_eq!(daemon.tm(&["start", "a"]).code, 0);
    assert_eq!(daemon.tm(&["stop", "a"]).code, 0);
    assert!(!daemon.path("pid").exists());
}

#[test]
fn a_pidfile_that_cannot_be_written_is_reported() {
    let yaml = "programs:\n  a: {cmd: sleep 1000, starttime: 100ms, pidfile: '@DIR@/no/pid'}\n";
    let daemon = Daemon::start(yaml);
    let row = daemon.wait_state("a:0", "RUNNING");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("/no/pid: No such file or directory"),
        "{row}"
    );
    let why = daemon.tm(&["why", "a"]).stdout;
    assert!(why.contains("/no/pid: No such file or directory"), "{why}");
    assert!(why.contains("create the directory of the pidfile"), "{why}");
    std::fs::create_dir(daemon.path("no")).expect("created");
    assert_eq!(daemon.tm(&["restart", "a"]).code, 0);
    assert_eq!(daemon.status("a:0")["detail"], "");
}

#[test]
fn a_changed_config_starts_what_gave_up_and_what_has_exited() {
    let yaml = |code: u8, more: &str| {
        format!(
            "programs:\n  job: {{cmd: [sh, -c, 'echo x >> @DIR@/runs; exit {code}'], {more}}}\n"
        )
    };
    let daemon = Daemon::start(&yaml(1, "startretries: 0"));
    daemon.wait_state("job:0", "FATAL");
    let mut events = daemon.events();
    // A changed policy is a changed config, too.
    daemon.reload_with(&yaml(1, "startretries: 0, starttime: 0"));
    events.wait_for("job:0", "FATAL");
    daemon.reload_with(&yaml(0, "startretries: 0, starttime: 0"));
    events.wait_for("job:0", "EXITED");
    daemon.reload_with(&yaml(0, "startretries: 0, starttime: 0, stoptime: 3"));
    daemon.reload_with(&yaml(
        0,
        "startretries: 0, starttime: 0, stoptime: 3, umask: 077",
    ));
    events.wait_for("job:0", "EXITED");
    assert_eq!(daemon.read("runs").lines().count(), 4);
}

#[test]
fn the_events_of_a_removal_come_in_order() {
    let yaml = "programs:\n  keep: {cmd: sleep 1000}\n";
    let web = "  web: {cmd: sleep 1000, starttime: 100ms, pidfile: '@DIR@/pid'}\n";
    let daemon = Daemon::start(&format!("{yaml}{web}"));
    daemon.wait_state("web:0", "RUNNING");
    let mut events = daemon.events();
    daemon.reload_with(yaml);
    events.wait_until("the removal", |event| event["event"] == "process_removed");
    let of_web = events.seen().iter().filter(|e| e["process"] == "web:0");
    let seen: Vec<&str> = of_web
        .map(|event| event["to"].as_str().unwrap_or("removed"))
        .collect();
    assert_eq!(seen, ["STOPPING", "STOPPED", "removed"]);
    let gone = daemon.rpc("status", json!({"targets": ["all"]}));
    assert_eq!(gone["processes"].as_array().map(Vec::len), Some(1));
}

/// Starts a child in a session of its own, which notes the stop signal and ends, or ignores it.
fn escaped(trap: &str, more: &str) -> String {
    format!(
        "programs:\n  db:\n    starttime: 100ms\n{more}    cmd:\n    - sh\n    - -c\n    \
         - |\n      setsid sh -c 'trap \"{trap}\" TERM; echo $$ > @DIR@/child; \
         while :; do sleep 0.1; done' &\n      wait\n"
    )
}

#[test]
fn the_stop_signal_reaches_what_has_left_the_group() {
    let daemon = Daemon::start(&escaped("echo asked > @DIR@/asked; exit 0", ""));
    daemon.wait_state("db:0", "RUNNING");
    let child: i32 = wait_for_line(&daemon.path("child")).parse().expect("a pid");
    let output = daemon.tm(&["stop", "db"]);
    assert_eq!(output.code, 0, "{output:?}");
    wait_gone(child);
    assert_eq!(daemon.read("asked"), "asked\n");
    assert!(!output.stdout.contains("killed"), "{output:?}");
}

#[test]
fn what_is_killed_after_stoptime_is_named() {
    let daemon = Daemon::start(&escaped(":", "    stoptime: 300ms\n"));
    daemon.wait_state("db:0", "RUNNING");
    let child: i32 = wait_for_line(&daemon.path("child")).parse().expect("a pid");
    let mut events = daemon.events();
    let output = daemon.tm(&["stop", "db"]);
    wait_gone(child);
    let named = format!("killed after stoptime (300ms): pid {child} sh -c trap");
    assert!(output.stdout.contains(&named), "{output:?}");
    let event = events.wait_for("db:0", "STOPPED");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&named), "{event}");
    let row = daemon.status("db:0");
    assert!(
        row["detail"].as_str().unwrap_or_default().contains(&named),
        "{row}"
    );
    let why = daemon.tm(&["why", "db"]).stdout;
    assert!(why.contains(&format!("killed pid {child}")), "{why}");
    daemon.wait_for_log(&format!("killing pid {child}"));
}

#[test]
fn stragglers_of_an_ended_leader_get_the_stop_signal_first() {
    let yaml = escaped(
        "echo asked > @DIR@/asked; exit 0",
        "    autorestart: never\n",
    );
    let daemon = Daemon::start(&yaml);
    daemon.wait_state("db:0", "RUNNING");
    let child: i32 = wait_for_line(&daemon.path("child")).parse().expect("a pid");
    let mut events = daemon.events();
    kill(daemon.pid_of("db:0"), Signal::KILL);
    events.wait_for("db:0", "EXITED");
    assert_eq!(daemon.tm(&["stop", "db"]).code, 0);
    wait_gone(child);
    assert_eq!(daemon.read("asked"), "asked\n");
}

#[test]
fn killmode_mixed_lets_the_leader_end_its_workers() {
    let yaml = "programs:\n  web:\n    killmode: mixed\n    starttime: 100ms\n    cmd:\n    \
                - sh\n    - -c\n    - |\n      \
                sh -c 'trap \"echo asked > @DIR@/asked\" TERM; echo $$ > @DIR@/worker; \
                until test -e @DIR@/end; do sleep 0.05; done; echo done > @DIR@/done' &\n      \
                trap ': > @DIR@/end; wait; wait; exit 0' TERM\n      wait\n";
    let daemon = Daemon::start(yaml);
    daemon.wait_state("web:0", "RUNNING");
    let worker: i32 = wait_for_line(&daemon.path("worker"))
        .parse()
        .expect("a pid");
    wait_until_alive(worker);
    let output = daemon.tm(&["stop", "web"]);
    assert_eq!(output.code, 0, "{output:?}");
    wait_gone(worker);
    assert_eq!(
        (daemon.read("asked").as_str(), daemon.read("done").as_str()),
        ("", "done\n")
    );
    assert_eq!(daemon.status("web:0")["exit"]["code"], 0);
}

#[test]
fn an_interactive_shell_ends_when_it_is_stopped() {
    let daemon = Daemon::start(
        "programs:\n  sh: {cmd: bash --norc, tty: true, starttime: 100ms, stoptime: 1000}\n",
    );
    daemon.wait_state("sh:0", "RUNNING");
    let output = daemon.tm(&["stop", "sh"]);
    assert_eq!(output.code, 0, "{output:?}");
    let row = daemon.status("sh:0");
    assert_ne!(row["exit"]["signal"], 9, "{row}");
}

#[test]
fn a_stop_keeps_the_reason_of_an_earlier_end() {
    let daemon = Daemon::start(
        "programs:\n  job: {cmd: sh -c 'exit 3', startretries: 0}\n  \
         done: {cmd: sh -c 'exit 4', starttime: 0, autorestart: never}\n",
    );
    daemon.wait_state("job:0", "FATAL");
    daemon.wait_state("done:0", "EXITED");
    assert_eq!(daemon.tm(&["stop", "all"]).code, 0);
    for (name, words) in [
        ("job:0", "gave up after 1 attempt"),
        ("done:0", "exit 4 after"),
    ] {
        let row = daemon.status(name);
        assert_eq!(row["state"], "STOPPED", "{row}");
        let detail = row["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("stopped by request; exit"), "{row}");
        assert!(detail.contains(words), "{row}");
    }
    assert_eq!(daemon.status("job:0")["exit"]["code"], 3);
    let why = daemon.tm(&["why", "job"]).stdout;
    assert!(why.contains("the last start failed"), "{why}");
}

#[test]
fn a_paused_process_is_shown() {
    let daemon = Daemon::start("programs:\n  a: {cmd: sleep 1000, starttime: 100ms}\n");
    daemon.wait_state("a:0", "RUNNING");
    let pid = daemon.pid_of("a:0");
    let mut events = daemon.events();
    let is = |event: &serde_json::Value, name: &str| event["event"] == name;
    kill(pid, Signal::STOP);
    events.wait_until("the pause", |event| is(event, "process_paused"));
    let row = daemon.status("a:0");
    assert_eq!(
        (&row["state"], &row["detail"]),
        (&json!("RUNNING"), &json!("paused (SIGSTOP)"))
    );
    let why = daemon.tm(&["why", "a"]).stdout;
    assert!(why.contains("paused by SIGSTOP"), "{why}");
    assert!(why.contains("tm signal CONT a:0"), "{why}");
    kill(pid, Signal::CONT);
    events.wait_until("the end of it", |event| is(event, "process_continued"));
    assert_eq!(daemon.status("a:0")["detail"], "");
    kill(pid, Signal::STOP);
    assert_eq!(daemon.tm(&["stop", "a"]).code, 0);
    assert_eq!(daemon.status("a:0")["exit"]["signal"], 15);
}

#[test]
fn pauses_without_end_are_announced_now_and_then() {
    let daemon = Daemon::start("programs:\n  a: {cmd: sleep 1000, starttime: 0}\n");
    let pid = daemon.pid_of("a:0");
    let began = Instant::now();
    for _ in 0..20 {
        for (signal, detail) in [(Signal::STOP, "paused (SIGSTOP)"), (Signal::CONT, "")] {
            kill(pid, signal);
            // Not each pause has an event.
            while daemon.status("a:0")["detail"] != detail {
                assert!(began.elapsed() < PATIENCE, "{}", daemon.log());
                std::thread::yield_now();
            }
        }
    }
    let events = daemon.tm(&["events"]).stdout;
    let about = |line: &&str| line.contains("paused") || line.contains("continued");
    let announced = events.lines().filter(about).count() as u64;
    let allowed = 6 + began.elapsed().as_secs() / 30;
    assert!((6..=allowed).contains(&announced), "{events}");
}

#[test]
fn hup_of_a_foreground_up_reloads() {
    let daemon = Daemon::start("programs:\n  a: {cmd: sleep 1000, starttime: 0}\n");
    let config = daemon.path("taskmaster.yaml");
    let mut up = daemon.terminal(&["tm", "up", "-c", &config.to_string_lossy()], 24, 80);
    up.expect("ctrl-c stops everything");
    let text = "programs:\n  b: {cmd: sleep 1000, starttime: 0}\n";
    std::fs::write(&config, text).expect("written");
    kill(up.pid(), Signal::HUP);
    up.expect("1 added");
    daemon.wait_state("b:0", "RUNNING");
    std::fs::write(&config, "programs: 5\n").expect("written");
    kill(up.pid(), Signal::HUP);
    up.expect("expected a map");
    assert_eq!(daemon.status("b:0")["state"], "RUNNING");
}

#[test]
fn survivors_of_a_killed_daemon_are_named_and_replaced() {
    let yaml = "programs:\n  a: {cmd: sleep 1000, starttime: 100ms}\n";
    let mut daemon = Daemon::start(yaml);
    daemon.wait_state("a:0", "RUNNING");
    let pid = daemon.pid_of("a:0");
    daemon.signal(Signal::KILL);
    daemon.wait_end_leaving(&[pid]);
    let config = daemon.path("taskmaster.yaml");
    let config = config.to_str().expect("UTF-8");
    let socket = daemon.socket();
    let socket = socket.to_str().expect("UTF-8");
    let options = ["up", "-d", "-c", config, "--socket", socket];
    let up = |more: &[&str]| daemon.tm(&[&options, more].concat());
    let refused = up(&[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let named = format!("1 process of an earlier daemon still runs: {pid} (a:0, sleep 1000)");
    assert!(refused.stderr.contains(&named), "{refused:?}");
    assert!(refused.stderr.contains("--replace"), "{refused:?}");
    let beside = up(&["--ignore-survivors"]);
    assert_eq!(beside.code, 0, "{beside:?}");
    wait_until_alive(pid);
    assert_eq!(daemon.tm(&["down"]).code, 0);
    wait_until_alive(pid);
    let replaced = up(&["--replace"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    wait_gone(pid);
    assert_eq!(daemon.tm(&["down"]).code, 0);
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_named_with_the_need() {
    let folder = support::folder();
    let yaml = |number| {
        let program = "cmd: sleep 1000, starttime: 0, autostart: false";
        format!("programs:\n  a: {{{program}, numprocs: {number}}}\n")
    };
    support::write_config(folder.path(), &yaml(30));
    let socket = folder.path().join("tmd.sock");
    let daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut limited = support::command("prlimit", tmd.get_current_dir().expect("a folder"));
        limited.arg("--nofile=150:150").arg(tmd.get_program());
        limited.args(tmd.get_args()).arg("--socket").arg(socket);
        *tmd = limited;
    });
    daemon.wait_for_log("30 processes need 154 open files, and the limit is 150");
    support::write_config(daemon.dir(), &yaml(31));
    let reload = daemon.tm(&["reload"]);
    let shown = format!("{}{}", reload.stdout, reload.stderr);
    assert!(
        shown.contains("31 processes need 157 open files"),
        "{reload:?}"
    );
    support::write_config(daemon.dir(), &yaml(20));
    let reload = daemon.tm(&["reload"]);
    let shown = format!("{}{}", reload.stdout, reload.stderr);
    assert!(!shown.contains("open files"), "{reload:?}");
}

#[test]
fn a_program_on_a_terminal_that_handles_the_stop_signal_is_not_hung_up() {
    let daemon = Daemon::start(
        "defaults: {tty: true, starttime: 0, workingdir: '@DIR@'}\n\
         programs:\n\
         \x20 saves: {cmd: [sh, -c, 'trap \"sleep 0.3; echo saved > saved; exit 0\" TERM; \
           echo up > up; while :; do sleep 0.05; done']}\n\
         \x20 ignores: {cmd: [sh, -c, 'trap \"\" TERM; echo up > up2; \
           while :; do sleep 0.05; done']}\n\
         \x20 refuses: {stoptime: 600ms, cmd: [sh, -c, 'trap : TERM; echo up > up3; \
           while :; do sleep 0.05; done']}\n",
    );
    for up in ["up", "up2", "up3"] {
        wait_for_line(&daemon.path(up));
    }
    daemon.rpc("stop", json!({"targets": ["all"]}));
    assert_eq!(daemon.read("saved"), "saved\n");
    let why = |name: &str| daemon.rpc("why", json!({"process": name}))["causes"].to_string();
    assert!(why("saves:0").contains("code 0"), "{}", why("saves:0"));
    for name in ["ignores:0", "refuses:0"] {
        assert!(why(name).contains("SIGHUP"), "{}", why(name));
    }
}

#[test]
fn starts_leave_descriptors_to_clients() {
    let folder = support::folder();
    let yaml = "programs:\n  \
        a: {cmd: sleep 1000, starttime: 0, startretries: 0, numprocs: 100,\n    \
        stdout: '@DIR@/o{instance}', stderr: '@DIR@/e{instance}'}\n";
    support::write_config(folder.path(), yaml);
    let socket = folder.path().join("tmd.sock");
    let mut daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        let mut limited = support::command("prlimit", tmd.get_current_dir().expect("a folder"));
        limited.arg("--nofile=150:150").arg(tmd.get_program());
        limited.args(tmd.get_args()).arg("--socket").arg(socket);
        *tmd = limited;
    });
    let rows = daemon.all();
    let up = rows.iter().filter(|row| row["state"] == "RUNNING").count();
    assert!((5..100).contains(&up), "{up} run");
    let mut controls: Vec<_> = (0..10).map(|_| daemon.control()).collect();
    for control in &mut controls {
        control.call("status", json!({})).expect("it answers");
    }
    let down = daemon.tm(&["down"]);
    assert_eq!(down.code, 0, "{down:?}");
    daemon.wait_end();
}

#[test]
fn why_tells_the_output_of_a_run_from_that_of_the_run_before() {
    let daemon = Daemon::start(
        "programs:\n  web: {cmd: \"sh -c 'read line; test $line = boom && echo traceback && \
         exit 1; echo ready; read line'\", stdin: pipe, starttime: 0}\n",
    );
    let mut events = daemon.events();
    daemon.wait_state("web:0", "RUNNING");
    assert_eq!(daemon.tm(&["send", "web", "boom"]).code, 0);
    events.wait_for("web:0", "BACKOFF");
    events.wait_for("web:0", "RUNNING");
    let why = daemon.tm(&["why", "web"]).stdout;
    let earlier = "\noutput of the run before\n         traceback\n";
    assert!(why.ends_with(earlier), "{why}");
    assert_eq!(daemon.tm(&["send", "web", "go"]).code, 0);
    let mut logs = daemon.terminal(&["tm", "logs", "-f", "web"], 24, 80);
    logs.expect("ready");
    let why = daemon.tm(&["why", "web"]).stdout;
    assert!(why.ends_with("\noutput   ready\n"), "{why}");
}
