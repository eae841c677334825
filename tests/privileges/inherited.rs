//! The attributes that a process starts with.

use super::support::{self, Daemon};
use super::*;

#[test]
fn a_process_inherits_nothing_that_is_the_daemons() {
    let folder = support::folder();
    support::write_config(
        folder.path(),
        "defaults: {autorestart: never, starttime: 0, umask: 027, workingdir: /}\n\
         programs:\n\
         \x20 pipes: {cmd: '@BIN@/print_env', numprocs: 2, stdout: '@DIR@/pipes{instance}'}\n\
         \x20 clean: {cmd: '@BIN@/print_env', inherit_env: false, stdout: '@DIR@/clean'}\n\
         \x20 tty: {cmd: '@BIN@/print_env', tty: {rows: 33, cols: 99}, stdout: '@DIR@/tty'}\n",
    );
    let socket = folder.path().join("tmd.sock");
    let daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        tmd.arg("--socket").arg(&socket);
        *tmd = under_a_strange_parent(tmd);
    });
    let pipes = report(&daemon, "pipes1");
    assert_signals_and_limits(&pipes);
    assert_eq!(pipes["cwd"], "/");
    assert_eq!(pipes["umask"], "0027");
    assert_eq!(pipes["controlling_tty"], false);
    let fds = pipes["fds"].as_object().expect("an object");
    assert_eq!(fds.keys().collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(fds["0"], "/dev/null");
    let env = &pipes["env"];
    assert_eq!(env["TM_PROGRAM"], "pipes");
    assert_eq!(env["TM_INSTANCE"], "1");
    assert_eq!(env["TM_PROCESS"], "pipes:1");
    assert_eq!(env["TM_SOCKET"], json!(socket));
    assert_eq!(env["KEPT"], "yes");
    for name in [
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "TMUX",
        "STY",
    ] {
        assert_eq!(env[name], Value::Null, "{name}");
    }

    let clean = report(&daemon, "clean");
    assert_eq!(clean["env"]["KEPT"], Value::Null);
    let names: Vec<&String> = clean["env"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    let expected = [
        "HOME",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TM_INSTANCE",
        "TM_PROCESS",
    ];
    assert_eq!(names[..6], expected, "{names:?}");
    assert_eq!(names[6..], ["TM_PROGRAM", "TM_SOCKET", "USER"], "{names:?}");

    let tty = report(&daemon, "tty");
    assert_signals_and_limits(&tty);
    assert_eq!(tty["controlling_tty"], true);
    assert_eq!(
        (&tty["tty"]["rows"], &tty["tty"]["cols"]),
        (&json!(33), &json!(99))
    );
    let fds = tty["fds"].as_object().expect("an object");
    assert_eq!(fds.keys().collect::<Vec<_>>(), ["0", "1", "2"]);
}

/// Sets signals, open files, limits, a score and an environment that no child may inherit.
fn under_a_strange_parent(tmd: &Command) -> Command {
    let script = "trap '' PIPE USR1 USR2 WINCH; ulimit -S -n 333; \
                  echo 321 > /proc/self/oom_score_adj; \
                  exec 7</dev/null 9>/dev/null; exec \"$@\"";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, "sh"])
        .arg(tmd.get_program())
        .args(tmd.get_args());
    sh.current_dir(tmd.get_current_dir().unwrap_or(Path::new("/")));
    for (name, value) in tmd.get_envs() {
        match value {
            Some(value) => sh.env(name, value),
            None => sh.env_remove(name),
        };
    }
    for name in [
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "TMUX",
        "STY",
    ] {
        sh.env(name, "1");
    }
    sh.env("KEPT", "yes");
    sh
}

fn assert_signals_and_limits(report: &Value) {
    let none = "0000000000000000";
    for what in ["blocked", "ignored", "caught"] {
        assert_eq!(report["signals"][what], none, "{what}: {report}");
    }
    assert_eq!(report["nofile"][0], 333, "{report}");
    assert_eq!(report["pid"], report["pgid"], "{report}");
    assert_eq!(report["pid"], report["sid"], "{report}");
    let own = rustix::process::nice(0).expect("a niceness");
    assert_eq!(report["nice"], own, "{report}");
    if is_root() {
        assert_eq!(report["oom_score_adj"], 0, "{report}");
    }
}
