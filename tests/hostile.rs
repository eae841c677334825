//! Bad input: hostile clients, broken configs, wrong folders and impossible commands.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Daemon, Output, PATIENCE, is_root, skip};

const STEADY: &str = "programs:\n  worker: {cmd: sleep 1000, starttime: 0}\n";

/// Runs `tmd` with arguments in a folder, to its end.
fn tmd(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = support::command("tmd", folder);
    command.args(arguments);
    support::run(command)
}

/// Runs `tm` with arguments in a folder, to its end.
fn tm(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = support::command("tm", folder);
    command.args(arguments).env_remove("TM_SOCKET");
    support::run(command)
}

/// Fails unless the daemon serves other clients as before.
fn assert_unimpressed(daemon: &Daemon) {
    let began = Instant::now();
    assert_eq!(daemon.wait_state("worker:0", "RUNNING")["restarts"], 0);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("it has memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket has a timeout");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a socket has a timeout");
    stream
}

#[test]
fn ten_megabytes_without_a_newline() {
    let daemon = Daemon::start(STEADY);
    assert_unimpressed(&daemon);
    let before = resident_kib(daemon.pid());
    let mut stream = connect(&daemon);
    // The daemon may hang up before it has read all of it.
    let sent = stream.write_all(&vec![b'x'; 10 << 20]);
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    assert!(
        read.is_ok() || sent.is_err(),
        "the connection is closed: {read:?}"
    );
    assert!(
        answer.is_empty() || answer.contains("\"error\""),
        "{answer}"
    );
    assert_unimpressed(&daemon);
    let after = resident_kib(daemon.pid());
    assert!(
        after < before + 4096,
        "{before} KiB before, {after} KiB after"
    );
}

#[test]
fn binary_garbage() {
    let daemon = Daemon::start(STEADY);
    let mut stream = connect(&daemon);
    let garbage: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let _ = stream.write_all(&garbage);
    let _ = stream.write_all(b"\n");
    let mut answer = Vec::new();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut answer);
    for line in answer
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let value: serde_json::Value = serde_json::from_slice(line).expect("answers are JSON");
        assert!(value["error"]["code"].is_i64(), "{value}");
    }
    assert_unimpressed(&daemon);
}

#[test]
fn lines_that_are_no_requests_get_the_standard_errors() {
    let daemon = Daemon::start(STEADY);
    let cases = [
        ("nonsense", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"explode\"}",
            -32601,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"start","params":{"targets":7}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"stop","params":{"targets":["no"]}}"#,
            -32001,
        ),
    ];
    let mut control = daemon.control();
    for (line, code) in cases {
        control
            .send_bytes(format!("{line}\n").as_bytes())
            .expect("the daemon reads");
        let answer = control.read_line().expect("an answer");
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    control
        .send_bytes(format!("{deep}\n").as_bytes())
        .expect("the daemon reads");
    let answer = control.read_line().expect("an answer");
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    assert_unimpressed(&daemon);
}

#[test]
fn half_a_request_and_silence() {
    let daemon = Daemon::start(STEADY);
    let mut silent = connect(&daemon);
    silent
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth")
        .expect("the daemon reads");
    assert_unimpressed(&daemon);
    silent
        .write_all(b"od\":\"status\"}\n")
        .expect("it still waits");
    let mut first = [0; 1];
    silent
        .read_exact(&mut first)
        .expect("the request is whole now");
    assert_eq!(&first, b"{");
}

#[test]
fn two_thousand_connections_at_once() {
    let daemon = Daemon::start(STEADY);
    raise_descriptor_limit();
    let mut early = daemon.control();
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..2000 {
        match UnixStream::connect(daemon.socket()) {
            Ok(stream) => open.push(stream),
            Err(_) => refused += 1,
        }
    }
    assert_eq!(open.len() + refused, 2000);
    let status = early.call("status", json!({}));
    assert!(
        status.is_ok(),
        "an earlier client is still served: {status:?}"
    );
    drop(open);
    // The daemon refuses until it has seen the others leave.
    let deadline = Instant::now() + PATIENCE;
    while support::Control::connect(&daemon.socket()).is_err() {
        assert!(Instant::now() < deadline, "no client is accepted again");
    }
    assert_unimpressed(&daemon);
}

#[test]
fn a_client_that_never_reads_disturbs_no_other() {
    let daemon = Daemon::start(&format!("{STEADY}  flood: {{cmd: 'yes', starttime: 0}}\n"));
    let mut deaf = connect(&daemon);
    let params = json!({"targets": ["flood"], "follow": true});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "logs", "params": params});
    deaf.write_all(format!("{request}\n").as_bytes())
        .expect("the daemon reads");
    let status = b"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"status\"}\n".repeat(2000);
    let mut pipelined = connect(&daemon);
    pipelined
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    // The daemon stops reading while it cannot answer, so a timeout is right, too.
    let _ = pipelined.write_all(&status);
    assert_unimpressed(&daemon);
}

#[test]
fn a_second_daemon_for_the_same_config_says_so() {
    let daemon = Daemon::start(STEADY);
    let config = daemon.path("taskmaster.yaml").display().to_string();
    let socket = daemon.socket().display().to_string();
    let output = tmd(daemon.dir(), &["-c", &config, "--socket", &socket]);
    assert_eq!(output.code, 1, "{output:?}");
    let expected = format!("already running (pid {})", daemon.pid());
    assert!(output.stderr.contains(&expected), "{output:?}");
    assert_unimpressed(&daemon);
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = support::folder();
    support::write_config(folder.path(), STEADY);
    drop(UnixListener::bind(folder.path().join("tmd.sock")).expect("a socket"));
    let daemon = Daemon::start_in(folder, &[]);
    assert_unimpressed(&daemon);
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let folder = support::folder();
    let config = support::write_config(folder.path(), STEADY);
    let precious = folder.path().join("precious");
    fs::write(&precious, "mine").expect("a file");
    let paths = [config.display().to_string(), precious.display().to_string()];
    let output = tmd(folder.path(), &["-c", &paths[0], "--socket", &paths[1]]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("precious"), "{output:?}");
    assert_eq!(fs::read_to_string(&precious).ok().as_deref(), Some("mine"));
}

#[test]
fn a_socket_path_too_long_is_named_with_its_limit() {
    let folder = support::folder();
    let config = support::write_config(folder.path(), STEADY)
        .display()
        .to_string();
    let socket = folder.path().join("x".repeat(120)).display().to_string();
    let output = tmd(folder.path(), &["-c", &config, "--socket", &socket]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("107"), "{output:?}");
}

#[test]
fn a_runtime_folder_that_others_can_enter_is_narrowed_and_a_link_refused() {
    let folder = support::folder();
    let config = support::write_config(folder.path(), STEADY)
        .display()
        .to_string();
    let runtime = folder.path().join("tmd");
    fs::create_dir(&runtime).expect("a folder");
    let output = support::tmd_as_user(folder.path(), &["-t", "-c", &config]);
    assert_eq!(output.code, 0, "it can be run: {output:?}");
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let output = support::tmd_as_user(folder.path(), &["-d", "-c", &config]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("is 0700 now"), "{output:?}");
    let lock = fs::read_dir(&runtime).expect("it is there").flatten();
    let mut lock = lock.filter(|entry| entry.path().extension().is_some_and(|end| end == "lock"));
    let pid = lock.next().expect("a lock").path();
    let pid = fs::read_to_string(pid)
        .expect("readable")
        .trim()
        .parse()
        .expect("a pid");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::TERM).expect("sent");
    support::system::wait_gone(pid);
    let mode = fs::metadata(&runtime).expect("it is there").mode();
    assert_eq!(mode & 0o7777, 0o700);

    fs::remove_dir_all(&runtime).expect("it is empty");
    symlink("/", &runtime).expect("a link to a folder of another");
    let output = support::tmd_as_user(folder.path(), &["-c", &config]);
    assert_eq!(output.code, 1, "{output:?}");
}

#[test]
fn no_config_and_unreadable_config() {
    let folder = support::folder();
    let output = tmd(folder.path(), &[]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("taskmaster.yaml"),
        "it says where it looked: {output:?}"
    );

    let output = tmd(folder.path(), &["-c", "missing.yaml"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output
            .stderr
            .contains("there is no config file 'missing.yaml'"),
        "{output:?}"
    );

    let output = tmd(folder.path(), &["-c", "/"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.to_lowercase().contains("is a directory"),
        "{output:?}"
    );

    let config = support::write_config(folder.path(), STEADY);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o000)).expect("it is ours");
    if !is_root() {
        let output = tmd(folder.path(), &["-t"]);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains("Permission denied"), "{output:?}");
    }
}

#[test]
fn as_root_a_config_that_others_can_write_is_refused() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = support::folder();
    let config = support::write_config(folder.path(), STEADY);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let socket = folder.path().join("tmd.sock").display().to_string();
    let output = tmd(folder.path(), &["--socket", &socket]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("write"), "{output:?}");
}

#[test]
fn ten_errors_are_reported_in_one_go_each_with_its_place() {
    let folder = support::folder();
    let config = support::write_config(
        folder.path(),
        "programz: {}\nprograms:\n  a:\n    cmd: x\n    autostrat: true\n    numprocs: many\n    \
         startretries: -1\n    stopsignal: NOPE\n    umask: 999\n    stoptime: soon\n    \
         autorestart: sometimes\n    exitcodes: [300]\n    env: 5\n  b: {}\n",
    );
    for output in [
        tm(folder.path(), &["check", &config.display().to_string()]),
        tmd(
            folder.path(),
            &["--check", "-c", &config.display().to_string()],
        ),
    ] {
        assert_eq!(output.code, 1, "{output:?}");
        let all = format!("{}{}", output.stdout, output.stderr);
        let places = [
            "1:1", "5:5", "6:15", "7:19", "8:17", "9:12", "10:15", "11:18", "12:17", "13:10",
        ];
        for place in places {
            assert!(
                all.contains(&format!("taskmaster.yaml:{place}")),
                "{place} in {all}"
            );
        }
        for hint in ["programs", "autostart", "cmd"] {
            assert!(all.contains(hint), "{hint} in {all}");
        }
    }
}

#[test]
fn a_log_folder_that_is_missing_or_read_only_is_named() {
    for folder in ["/nope/logs", "/proc/sys"] {
        let bad = format!("{{cmd: sleep 1000, startretries: 0, stdout: {folder}/out}}");
        let daemon = Daemon::start(&format!("{STEADY}  bad: {bad}\n"));
        let row = daemon.wait_state("bad:0", "FATAL");
        let detail = row["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(folder), "{row}");
        assert_unimpressed(&daemon);
    }
}

#[test]
fn an_unknown_user_is_a_config_error() {
    let folder = support::folder();
    let config = support::write_config(
        folder.path(),
        "programs:\n  worker: {cmd: sleep 1000, user: no-such-user}\n",
    );
    let output = tm(folder.path(), &["check", &config.display().to_string()]);
    assert_eq!(output.code, 1, "{output:?}");
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(all.contains("no-such-user"), "{all}");
}

#[test]
fn tm_without_a_daemon_exits_4_and_says_how_to_start_one() {
    let folder = support::folder();
    let socket = folder.path().join("none.sock").display().to_string();
    for verb in [
        &["status"][..],
        &["start", "all"],
        &["shutdown"],
        &["attach", "a:0"],
    ] {
        let output = tm(folder.path(), &[&["--socket", &socket], verb].concat());
        assert_eq!(output.code, 4, "{verb:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{verb:?}: {output:?}");
    }
}

#[test]
fn a_name_that_nearly_exists_is_suggested() {
    let daemon = Daemon::start(STEADY);
    for arguments in [
        &["stop", "wroker"][..],
        &["why", "worker:9"],
        &["restart", "Worker"],
    ] {
        let output = daemon.tm(arguments);
        assert_eq!(output.code, 1, "{arguments:?}: {output:?}");
        assert!(
            output.stderr.contains("worker"),
            "{arguments:?}: {output:?}"
        );
    }
    let output = daemon.tm(&["stop", "wroker"]);
    assert!(output.stderr.contains("did you mean"), "{output:?}");
    assert_eq!(daemon.tm(&["statsu"]).code, 2);
    assert_eq!(daemon.tm(&["stop"]).code, 2, "a target is required");
    assert_unimpressed(&daemon);
}

#[test]
fn a_daemon_starts_without_stdio() {
    let folder = support::folder();
    let config = support::write_config(folder.path(), STEADY);
    let socket = folder.path().join("tmd.sock");
    let mut closed = support::command("sh", folder.path());
    closed.args([
        "-c",
        "exec tmd -d -c \"$1\" --socket \"$2\" <&- >&- 2>&-",
        "sh",
    ]);
    closed
        .args([&config, &socket])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let output = support::run(closed);
    assert_eq!(output.code, 0, "{output:?}");
    let socket = socket.display().to_string();
    let output = tm(folder.path(), &["--socket", &socket, "down"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        support::system::processes_of(Path::new(&socket)),
        Vec::new()
    );
}

#[test]
fn a_socket_that_was_removed_comes_back_at_a_signal() {
    let folder = support::folder();
    let socket = folder.path().join("own.sock");
    let yaml = format!("daemon: {{socket: {}}}\n{STEADY}", socket.display());
    support::write_config(folder.path(), &yaml);
    let daemon = Daemon::start_prepared(folder, socket.clone(), |_| {});
    fs::remove_file(&socket).expect("it is there");
    for verb in ["status", "down"] {
        let output = tm(daemon.dir(), &[verb]);
        assert_eq!(output.code, 4, "{output:?}");
        let remedy = format!("kill -USR1 {}", daemon.pid());
        assert!(output.stderr.contains(&remedy), "{output:?}");
    }
    let mut watch = support::system::FolderWatch::new(daemon.dir());
    daemon.signal(Signal::USR1);
    while UnixStream::connect(&socket).is_err() {
        watch.wait(Duration::from_millis(5));
    }
    let mode = fs::metadata(&socket).expect("it is back").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_unimpressed(&daemon);
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
}
