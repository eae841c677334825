//! The client and daemons, sockets and files that it should not trust.

use super::fake_daemon::{FakeDaemon, Reply};
use super::support::system::{Bystander, FolderWatch, wait_for_line, wait_for_text};
use super::support::{self, Daemon, Output, is_root, skip};
use super::users::{ALICE, BOB, command_as, owned, shared, write_as};
use serde_json::json;
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a client may take that must not wait.
const SOON: Duration = Duration::from_secs(5);

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("we are root");
}

/// Alice listens at a path, and writes what she gets beside it.
fn alice_listens(socket: &Path) -> Bystander {
    let script = r#"
import socket, sys, json
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
open(sys.argv[1] + ".up", "w").write("up\n")
while True:
    c, _ = s.accept()
    for line in c.makefile():
        r = json.loads(line)
        open(sys.argv[1] + ".got", "a").write(line)
        hello = {"name": "tmd", "version": "0.1.0", "protocol": 1, "features": [], "pid": 1,
                 "uid": 0, "config": sys.argv[2]}
        result = hello if r["method"] == "hello" else {"processes": [], "bytes": 1}
        c.sendall((json.dumps({"jsonrpc": "2.0", "id": r["id"], "result": result}) + "\n").encode())
"#;
    let config = socket.parent().expect("a folder").join("taskmaster.yaml");
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(socket).arg(&config);
    python.uid(ALICE).gid(ALICE);
    let listener = Bystander::start(&mut python);
    wait_for_line(&socket.with_extension("sock.up"));
    mode(socket, 0o777);
    listener
}

fn nothing_was_said(socket: &Path) {
    let got = fs::read_to_string(socket.with_extension("sock.got")).unwrap_or_default();
    assert_eq!(got, "");
}

#[test]
fn a_socket_in_a_strangers_directory_gets_no_request() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).expect("a new folder");
    owned(&theirs, ALICE);
    let socket = theirs.join("x.sock");
    let _alice = alice_listens(&socket);
    let name = socket.display().to_string();
    for caller in [0, BOB] {
        for verb in [
            &["send", "web", "my-password"][..],
            &["start", "web"],
            &["status"],
        ] {
            let mut tm = command_as(caller, "tm", folder.path(), verb);
            tm.env("TM_SOCKET", &socket);
            let output = support::run(tm);
            assert_eq!(output.code, 5, "{output:?}");
            assert!(
                output.stderr.contains("belongs to user 54001"),
                "{output:?}"
            );
        }
        let output = support::run(command_as(
            caller,
            "tm",
            folder.path(),
            &["--socket", &name, "status"],
        ));
        assert_eq!(output.code, 5, "{output:?}");
    }
    nothing_was_said(&socket);
    // A path of root's leads there, or the directory is everybody's.
    let link = folder.path().join("link.sock");
    std::os::unix::fs::symlink(&socket, &link).expect("a link");
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("a new folder");
    mode(&open, 0o1777);
    let shared_socket = open.join("y.sock");
    let _listener = alice_listens(&shared_socket);
    for path in [&link, &shared_socket] {
        let mut tm = command_as(0, "tm", folder.path(), &["status"]);
        tm.env("TM_SOCKET", path);
        let output = support::run(tm);
        assert_eq!(output.code, 5, "{output:?}");
    }
    nothing_was_said(&socket);
    nothing_was_said(&shared_socket);
    // She can be trusted by name.
    let arguments = ["--daemon-user", "54001", "--socket", &name, "status"];
    let output = support::run(command_as(0, "tm", folder.path(), &arguments));
    assert!(output.code != 5, "{output:?}");
}

#[test]
fn a_swapped_socket_changes_the_mode_of_no_other_file() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let secret = folder.path().join("secret");
    fs::write(&secret, "x").expect("a new file");
    mode(&secret, 0o600);
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).expect("a new folder");
    owned(&theirs, ALICE);
    let socket = theirs.join("x.sock");
    let config = format!(
        "daemon: {{socket: {}, socket_mode: 0666, log: {{file: own.log}}}}\nprograms: {{}}\n",
        socket.display()
    );
    let path = support::write_config(folder.path(), &config);
    let mut tmd = support::command("tmd", folder.path());
    tmd.arg("-c").arg(&path);
    let daemon = Bystander::start(&mut tmd);
    let log = folder.path().join("own.log");
    wait_for_text(&log, "socket");
    // Alice puts a link in place of each new socket, and takes it away again.
    let over = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (over, secret) = (Arc::clone(&over), secret.clone());
        let link = socket.with_extension("link");
        let socket = CString::new(socket.as_os_str().as_encoded_bytes()).expect("a path");
        move || {
            while !over.load(Ordering::Relaxed) {
                let _ = std::os::unix::fs::symlink(&secret, &link);
                // Nothing else between the two system calls.
                while rustix::fs::lstat(&socket).is_err() && !over.load(Ordering::Relaxed) {}
                let _ = rustix::fs::rename(&link, &socket);
                let _ = rustix::fs::unlink(&socket);
            }
        }
    });
    let mut watch = FolderWatch::new(folder.path());
    let deadline = Instant::now() + 3 * support::PATIENCE;
    for round in 1..=1000 {
        support::kill(daemon.pid(), rustix::process::Signal::USR1);
        let text = || fs::read_to_string(&log).unwrap_or_default();
        while text().matches("reopening log files").count() < round {
            assert!(Instant::now() < deadline, "round {round}: {}", text());
            watch.wait(Duration::from_millis(20));
        }
    }
    over.store(true, Ordering::Relaxed);
    swapping.join().expect("it does not panic");
    let mode = fs::metadata(&secret)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_squatted_runtime_directory_stops_no_client() {
    if !is_root() {
        skip!("needs root");
    }
    // Bob has no session, so his directory would be in /tmp.
    let victim = 54_100 + std::process::id() % 400;
    let squatted = Path::new("/tmp").join(format!("tmd-{victim}"));
    let _ = fs::remove_dir_all(&squatted);
    fs::create_dir(&squatted).expect("a new folder");
    mode(&squatted, 0o755);
    owned(&squatted, ALICE);
    let _alice = alice_listens(&squatted.join("x.sock"));
    let home = shared();
    let mut tm = command_as(victim, "tm", home.path(), &["start", "web"]);
    tm.env_remove("XDG_RUNTIME_DIR");
    let output = support::run(tm);
    assert_eq!(output.code, 4, "{output:?}");
    let mut tm = command_as(victim, "tm", home.path(), &["daemons"]);
    tm.env_remove("XDG_RUNTIME_DIR");
    let output = support::run(tm);
    assert_eq!(output.code, 4, "{output:?}");
    nothing_was_said(&squatted.join("x.sock"));
    fs::remove_dir_all(&squatted).expect("we are root");
}

#[test]
fn a_config_that_was_only_found_must_be_the_callers_or_roots() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    mode(folder.path(), 0o1777);
    let below = folder.path().join("a/b");
    fs::create_dir_all(&below).expect("a new folder");
    let theirs = folder.path().join("hers");
    fs::create_dir(&theirs).expect("a new folder");
    owned(&theirs, ALICE);
    let socket = theirs.join("x.sock");
    let yaml = format!(
        "daemon: {{socket: '{}'}}\nprograms: {{a: {{cmd: id}}}}\n",
        socket.display()
    );
    let config = write_as(ALICE, &folder.path().join("taskmaster.yaml"), &yaml);
    fs::copy(&config, theirs.join("taskmaster.yaml")).expect("copied");
    let _alice = alice_listens(&socket);
    for verb in [
        &["send", "a", "my-password"][..],
        &["status"],
        &["stop", "a"],
    ] {
        let mut tm = command_as(BOB, "tm", &below, verb);
        tm.env("XDG_RUNTIME_DIR", folder.path().join("a"));
        let output = support::run(tm);
        assert_eq!(output.code, 4, "{output:?}");
        is_ignored(&output);
    }
    // Root may have a daemon elsewhere, whose state it sees instead.
    is_ignored(&support::run(command_as(0, "tm", &below, &["status"])));
    // The daemon is not even started: its commands would be hers.
    for caller in [0, BOB] {
        let output = support::run(command_as(caller, "tm", folder.path(), &["up", "-d"]));
        assert_eq!(output.code, 5, "{output:?}");
        is_ignored(&output);
        for how in ["-d", "-t"] {
            let output = support::run(command_as(caller, "tmd", folder.path(), &[how]));
            assert_eq!(output.code, 1, "{output:?}");
            is_ignored(&output);
        }
    }
    nothing_was_said(&socket);
}

fn is_ignored(output: &Output) {
    let reason = "is ignored: it belongs to user 54001; to use it, name it: -c";
    assert!(output.stderr.contains(reason), "{output:?}");
}

#[test]
fn a_full_queue_makes_no_client_and_no_daemon_wait() {
    let folder = support::folder();
    let socket = folder.path().join("full.sock");
    let listener = UnixListener::bind(&socket).expect("a free path");
    rustix::net::listen(&listener, 0).expect("it listens");
    // The queue holds one connection more than it is asked to.
    let flags = rustix::net::SocketFlags::NONBLOCK;
    let address = rustix::net::SocketAddrUnix::new(&socket).expect("a short path");
    let connect = || {
        let family = rustix::net::AddressFamily::UNIX;
        let kind = rustix::net::SocketType::STREAM;
        let client = rustix::net::socket_with(family, kind, flags, None).expect("a socket");
        rustix::net::connect(&client, &address)
            .ok()
            .map(|()| client)
    };
    let queued: Vec<_> = std::iter::from_fn(connect).collect();
    assert!(!queued.is_empty());
    let began = Instant::now();
    let mut tm = support::command("tm", folder.path());
    tm.arg("status").env("TM_SOCKET", &socket);
    let output = support::run(tm);
    assert_eq!(output.code, 4, "{output:?}");
    support::write_config(folder.path(), "programs: {a: {cmd: id}}\n");
    let mut tmd = support::command("tmd", folder.path());
    tmd.arg("--socket").arg(&socket);
    let output = support::run(tmd);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("another process listens"),
        "{output:?}"
    );
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn silent_daemons_are_asked_at_the_same_time() {
    if !is_root() {
        skip!("needs root");
    }
    // Root has only one runtime directory.
    let folder = shared();
    let runtime = folder.path().join("tmd");
    fs::create_dir(&runtime).expect("a new folder");
    owned(&runtime, BOB);
    let listen = |n| UnixListener::bind(runtime.join(format!("s{n}.sock"))).expect("a free path");
    let _silent: Vec<UnixListener> = (0..20).map(listen).collect();
    let began = Instant::now();
    // Those that listen are root's, whom Bob trusts.
    for n in 0..20 {
        mode(&runtime.join(format!("s{n}.sock")), 0o666);
    }
    let output = support::run(command_as(BOB, "tm", folder.path(), &["daemons"]));
    assert_eq!(output.code, 4, "{output:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_daemon_that_goes_silent_is_given_up() {
    for drips in [false, true] {
        let daemon = FakeDaemon::start(move |_, _| match drips {
            false => Reply::Bytes(Vec::new()),
            true => Reply::Dripping(b'{'),
        });
        let began = Instant::now();
        let output = daemon.tm(&["stop", "a", "--timeout", "1"]);
        assert_eq!(output.code, 4, "{output:?}");
        assert!(output.stderr.contains("does not respond"), "{output:?}");
        assert!(began.elapsed() < 3 * SOON, "{:?}", began.elapsed());
    }
}

#[test]
fn an_endless_line_is_refused() {
    let daemon = FakeDaemon::start(|_, _| Reply::Endless(vec![b'x'; 64 * 1024]));
    let inner = daemon.command(&["tm", "status"]);
    let mut tm = Command::new("prlimit");
    tm.arg("--data=134217728")
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => tm.env(name, value),
            None => tm.env_remove(name),
        };
    }
    let output = support::run(tm);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("a line is longer than"),
        "{output:?}"
    );
}

#[test]
fn a_lock_of_another_user_stops_no_daemon_of_root() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("a new folder");
    mode(&open, 0o1777);
    let squat = "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.flock(f,2); f.write('1');\
                 f.flush(); open(sys.argv[1]+'.up','w').write('up\\n'); time.sleep(1000)";
    let lock = open.join("x.lock");
    let mut python = Command::new("python3");
    python.args(["-c", squat]).arg(&lock).uid(ALICE).gid(ALICE);
    let _alice = Bystander::start(&mut python);
    wait_for_line(&open.join("x.lock.up"));
    support::write_config(
        folder.path(),
        "programs: {a: {cmd: sleep 1000, starttime: 0}}\n",
    );
    // An ordinary user learns whose it is.
    let home = folder.path().join("bob");
    fs::create_dir(&home).expect("a new folder");
    owned(&home, BOB);
    write_as(
        BOB,
        &home.join("taskmaster.yaml"),
        "programs: {a: {cmd: id}}\n",
    );
    let socket = open.join("x.sock");
    let name = socket.display().to_string();
    let output = support::run(command_as(BOB, "tmd", &home, &["--socket", &name]));
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("belongs to user 54001"),
        "{output:?}"
    );
    let daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        tmd.arg("--socket").arg(&socket);
    });
    assert_eq!(
        daemon.rpc("hello", json!({"protocol": 1}))["pid"],
        daemon.pid()
    );
}
