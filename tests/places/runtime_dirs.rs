//! A daemon keeps being found, and stays the only one, when its runtime directory is removed or
//! another environment names another one.

use super::home::{Home, Running, pid_of};
use super::support::{self, Output, PATIENCE, is_root, kill, skip, system};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use taskmaster::sys::runtime;

/// The runtime directory of a home's user without a session.
fn without_session(home: &Home) -> PathBuf {
    runtime::runtime_dir(home.uid(), None)
}

/// Runs a binary of a home without XDG_RUNTIME_DIR.
fn run_without_session(home: &Home, name: &str, arguments: &[&str]) -> Output {
    let mut command = home.command(name, "p");
    command.args(arguments).env_remove("XDG_RUNTIME_DIR");
    support::run(command)
}

/// Removes a directory that is not in the home, and the one above, unless they are in use.
struct Cleaner(PathBuf);

impl Drop for Cleaner {
    fn drop(&mut self) {
        // A directory that is not empty stays.
        let _ = fs::remove_dir(&self.0);
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

#[test]
fn a_daemon_whose_runtime_directory_was_removed_is_named_and_stays_the_only_one() {
    let home = Home::new();
    let config = home.project("p", "");
    let usual = home.usual(&config);
    let daemon = home.start("p", &usual);
    let program = pid_of(&usual, "p");
    let directory = home.path("run/tmd");
    fs::remove_dir_all(&directory).expect("it was there");
    let advice = format!("recreate it: kill -USR1 {}", daemon.pid());
    let verbs: [&[&str]; 6] = [
        &["status"],
        &["down"],
        &["up", "-d"],
        &["up", "-d", "--replace"],
        &["up", "-d", "--ignore-survivors"],
        &["stop", "all"],
    ];
    for verb in verbs {
        let output = home.tm("p", verb);
        assert_eq!(output.code, 4, "{verb:?}: {output:?}");
        assert!(output.stderr.contains(&advice), "{verb:?}: {output:?}");
    }
    let output = home.tm("", &["status"]);
    assert!(output.stderr.contains(&advice), "{output:?}");
    let output = home.tmd("p", &["-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    let running = format!("already running (pid {})", daemon.pid());
    assert!(output.stderr.contains(&running), "{output:?}");
    assert_eq!(home.registered(), Vec::<String>::new());
    let mut watch = system::FolderWatch::new(&home.path("run"));
    kill(daemon.pid(), Signal::USR1);
    let began = Instant::now();
    while support::Control::connect(&usual).is_err() {
        assert!(began.elapsed() < PATIENCE, "the socket is not back");
        watch.wait(Duration::from_millis(5));
    }
    assert_eq!(pid_of(&usual, "p"), program);
    assert_eq!(home.tm("p", &["status"]).code, 0);
    // Its lock is back, too.
    let output = home.tmd("p", &["-d"]);
    assert!(output.stderr.contains(&running), "{output:?}");
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn a_daemon_without_a_session_is_found_with_one() {
    let home = Home::new();
    let config = home.project("p", "");
    let directory = without_session(&home);
    let _cleaner = Cleaner(directory.clone());
    let output = run_without_session(&home, "tmd", &["-d"]);
    assert_eq!(output.code, 0, "{output:?}");
    let daemon = Running::behind(&runtime::socket_path(&directory, &config));
    is_the_only_one(
        &home,
        &daemon,
        |arguments| home.tm("p", arguments),
        |arguments| home.tmd("p", arguments),
    );
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn a_daemon_with_a_session_is_found_without_one() {
    if !is_root() {
        skip!("needs root");
    }
    let home = Home::new();
    let config = home.project("p", "");
    let session = PathBuf::from(format!("/run/user/{}", home.uid()));
    fs::create_dir_all(&session).expect("we are root");
    chown(&session, Some(home.uid()), Some(home.uid())).expect("we are root");
    let directory = session.join("tmd");
    let _cleaner = Cleaner(directory.clone());
    let mut tmd = home.command("tmd", "p");
    tmd.arg("-d").env("XDG_RUNTIME_DIR", &session);
    let output = support::run(tmd);
    assert_eq!(output.code, 0, "{output:?}");
    let daemon = Running::behind(&runtime::socket_path(&directory, &config));
    is_the_only_one(
        &home,
        &daemon,
        |arguments| run_without_session(&home, "tm", arguments),
        |arguments| run_without_session(&home, "tmd", arguments),
    );
    daemon.end();
    let _cleaner = Cleaner(without_session(&home));
}

fn is_the_only_one(
    home: &Home,
    daemon: &Running,
    tm: impl Fn(&[&str]) -> Output,
    tmd: impl Fn(&[&str]) -> Output,
) {
    let pid = daemon.pid().to_string();
    let output = tmd(&["-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    let running = format!("already running (pid {pid})");
    assert!(output.stderr.contains(&running), "{output:?}");
    let output = tm(&["up", "-d"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains(&running), "{output:?}");
    assert!(tm(&["status"]).stdout.contains("p:0"));
    let output = tm(&["daemons"]);
    assert!(output.stdout.contains(&pid), "{output:?}");
    let project = home.path("p").display().to_string();
    let listed = output.stdout.matches(&project);
    assert_eq!(listed.count(), 1, "{output:?}");
}

#[test]
fn root_learns_whose_daemon_a_config_has() {
    if !is_root() {
        skip!("needs root");
    }
    let home = Home::new();
    let config = home.project("p", "");
    let directory = without_session(&home);
    let _cleaner = Cleaner(directory.clone());
    let output = run_without_session(&home, "tmd", &["-d"]);
    assert_eq!(output.code, 0, "{output:?}");
    let socket = runtime::socket_path(&directory, &config);
    let daemon = Running::behind(&socket);
    pid_of(&socket, "p");
    let as_root = |more: &[&str]| {
        let mut tm = support::command("tm", Path::new("/"));
        tm.args(["-c", &config.display().to_string()]).args(more);
        tm.env_remove("TM_SOCKET");
        support::run(tm)
    };
    let user = home.uid().to_string();
    let output = as_root(&["status"]);
    assert_eq!(output.code, 5, "{output:?}");
    let advice = format!("to trust that user, add --daemon-user {user}");
    assert!(output.stderr.contains(&advice), "{output:?}");
    let output = as_root(&["--daemon-user", &user, "status"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("p:0"), "{output:?}");
    daemon.end();
    let output = as_root(&["status"]);
    assert_eq!(output.code, 4, "{output:?}");
}

#[test]
fn a_config_that_only_the_daemon_can_read_leads_to_its_socket() {
    let home = Home::new();
    let text = "daemon: {socket: b.sock}\n\
                programs: {p: {cmd: 'sleep 1000', env: {KEY: '${KEY}'}, starttime: 0}}\n";
    home.write("p", text);
    home.make("other");
    let mut tmd = home.command("tmd", "p");
    // Registered where the client does not look.
    tmd.arg("-d")
        .env("KEY", "x")
        .env("XDG_RUNTIME_DIR", home.path("other"));
    let output = support::run(tmd);
    assert_eq!(output.code, 0, "{output:?}");
    let daemon = Running::behind(&home.path("p/b.sock"));
    pid_of(&home.path("p/b.sock"), "p");
    let output = home.tm("p", &["status"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("p:0"), "{output:?}");
    // The place itself depends on the variable.
    home.write("p", &text.replace("b.sock", "'${KEY}.sock'"));
    let output = home.tm("p", &["status"]);
    assert_eq!(output.code, 4, "{output:?}");
    let said = "the config cannot be read here: ";
    assert!(output.stderr.contains(said), "{output:?}");
    assert!(output.stderr.contains("--socket"), "{output:?}");
    daemon.end();
}

#[test]
fn a_client_waits_for_the_socket_of_a_daemon_that_starts() {
    let home = Home::new();
    let config = home.project("p", "");
    let usual = home.usual(&config);
    let lock = runtime::lock_path(&usual);
    // A shell has the lock, as a daemon has before it listens, and becomes the daemon later.
    let script = "mkdir -m 700 \"$XDG_RUNTIME_DIR/tmd\"; exec 9>\"$0\"; flock 9; \
                  echo $$ >\"$0\"; echo locked; read line; exec 9>&-; exec tmd >/dev/null 2>&1";
    let mut shell = home.shell_command("p");
    shell.args(["-c", script]).arg(&lock);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.spawn().expect("a shell");
    let mut words = [0; 7];
    let stdout = shell.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(stdout, &mut words).expect("it has the lock");
    let mut client = home.command("tm", "p");
    client
        .arg("status")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut client = client.spawn().expect("a client");
    let began = Instant::now();
    // It waits when it has a descriptor of the process.
    while !system::has_pidfd(client.id()) {
        let waits = client.try_wait().expect("our child").is_none();
        assert!(waits && began.elapsed() < PATIENCE, "it does not wait");
        std::thread::yield_now();
    }
    drop(shell.stdin.take());
    let output = client.wait_with_output().expect("our child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("p:0"), "{output:?}");
    Running::of(shell).end();
}

#[test]
fn a_request_by_signal_ends_no_daemon_that_starts() {
    let home = Home::new();
    let config = home.project("p", "");
    let usual = home.usual(&config);
    home.make("run/tmd");
    fs::set_permissions(home.path("run/tmd"), PermissionsExt::from_mode(0o700)).expect("ours");
    for signal in [Signal::USR1, Signal::HUP, Signal::USR2] {
        let mut watch = system::FolderWatch::new(&home.path("run/tmd"));
        let mut tmd = home.command("tmd", "p");
        tmd.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = tmd.spawn().expect("tmd can be started");
        let began = Instant::now();
        while !runtime::lock_path(&usual).exists() {
            assert!(began.elapsed() < PATIENCE, "it takes no lock");
            watch.wait(Duration::from_millis(5));
        }
        kill(child.id() as i32, signal);
        while support::Control::connect(&usual).is_err() {
            let lives = child.try_wait().expect("our child").is_none();
            assert!(lives && began.elapsed() < PATIENCE, "{signal:?} ended it");
            watch.wait(Duration::from_millis(5));
        }
        Running::of(child).end();
    }
}

#[test]
fn clients_that_start_a_daemon_at_once_share_it() {
    let home = Home::new();
    let config = home.project("p", "");
    let start = || {
        let mut tm = home.command("tm", "p");
        tm.args(["up", "-d"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        tm.spawn().expect("a client")
    };
    let clients: Vec<_> = (0..4).map(|_| start()).collect();
    for client in clients {
        let output = client.wait_with_output().expect("our child");
        assert!(output.status.success(), "{output:?}");
    }
    Running::behind(&home.usual(&config)).end();
}
