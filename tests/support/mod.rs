//! Harness for tests of the real binaries: a daemon in a folder of its own, its client, its
//! events, and terminals. Everything waits for events with a generous limit, nothing sleeps,
//! and a daemon that is dropped must have left no process behind.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test binary uses a part of it"
)]

pub mod control;
pub mod skip;
pub mod system;
pub mod terminal;

pub use control::{Control, Events};
pub(crate) use skip::skip;
pub use system::{
    bin_dir, is_root, program, repository, wait_exit, wait_for_line, wait_gone, wait_until_alive,
};
pub use terminal::Terminal;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running `tmd` with its own folder, config and socket.
pub struct Daemon {
    folder: tempfile::TempDir,
    socket: PathBuf,
    child: Child,
    checked: bool,
}

/// The output and the exit code of a command.
#[derive(Debug)]
pub struct Output {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// As text, broken bytes replaced.
    pub stdout: String,
    /// As text, broken bytes replaced.
    pub stderr: String,
}

/// Waits until no process of a daemon is between the beginning of its start and its exec. Returns
/// whether that took less than [`PATIENCE`].
pub fn await_starts(control: &mut Control) -> bool {
    let until = Instant::now() + PATIENCE;
    let mut is_starting = || {
        let reply = control.call("status", json!({})).expect("rows");
        let rows = reply["processes"].as_array().expect("rows").iter();
        let mut rows = rows.filter(|row| row["state"] == "STARTING");
        rows.any(|row| row["pid"].is_null())
    };
    // No event reports the exec of a process that is STARTING for some time.
    while is_starting() {
        if Instant::now() > until {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

impl Daemon {
    /// Starts `tmd` with this config, and waits until it answers and each child has exec'd or
    /// failed. In the text, `@DIR@` is the daemon's folder and `@BIN@` the folder of the test
    /// programs.
    pub fn start(yaml: &str) -> Daemon {
        let folder = folder();
        write_config(folder.path(), yaml);
        Daemon::start_in(folder, &[])
    }

    /// Waits until no process is between the beginning of its start and its exec.
    fn await_starts(&self) {
        let began = await_starts(&mut self.control());
        assert!(began, "a start is stuck\n{}", self.log());
    }

    /// Starts `tmd` on the `taskmaster.yaml` that the folder already holds.
    pub fn start_in(folder: tempfile::TempDir, more_arguments: &[&str]) -> Daemon {
        let socket = folder.path().join("tmd.sock");
        Daemon::start_prepared(folder, socket.clone(), |tmd| {
            tmd.arg("--socket").arg(socket).args(more_arguments);
        })
    }

    /// Starts `tmd` with further changes to the command. It must answer on `socket`.
    pub fn start_prepared(
        folder: tempfile::TempDir,
        socket: PathBuf,
        prepare: impl FnOnce(&mut Command),
    ) -> Daemon {
        let daemon = Daemon::launch(folder, socket, prepare);
        daemon.await_starts();
        daemon
    }

    /// Starts `tmd` on the `taskmaster.yaml` that the folder already holds, and does not wait for
    /// the starts of its programs.
    pub fn start_held_up(folder: tempfile::TempDir) -> Daemon {
        let socket = folder.path().join("tmd.sock");
        Daemon::launch(folder, socket.clone(), |tmd| {
            tmd.arg("--socket").arg(socket);
        })
    }

    fn launch(
        folder: tempfile::TempDir,
        socket: PathBuf,
        prepare: impl FnOnce(&mut Command),
    ) -> Daemon {
        let config = folder.path().join("taskmaster.yaml");
        let log = File::create(folder.path().join("tmd.log")).expect("a log file");
        let mut tmd = command("tmd", folder.path());
        tmd.arg("-c").arg(&config).env_remove("TM_SOCKET");
        prepare(&mut tmd);
        tmd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = tmd.spawn().expect("tmd can be started");
        let mut daemon = Daemon {
            folder,
            socket,
            child,
            checked: false,
        };
        daemon.await_answer();
        daemon
    }

    fn await_answer(&mut self) {
        let pid = self.child.id() as i32;
        let began = Instant::now();
        let mut watch = system::FolderWatch::new(self.dir());
        while let Err(error) = Control::connect(&self.socket()) {
            if began.elapsed() > PATIENCE || !system::is_alive(pid) {
                panic!("tmd does not answer: {error}\n{}", self.log());
            }
            // The socket may exist before it listens, so try again soon even without a change.
            watch.wait(Duration::from_millis(5));
        }
    }

    /// The folder of config, socket, log and the files of programs.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the daemon's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The text of a file in the daemon's folder, empty when there is none.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The daemon's process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Returns the daemon's standard error so far.
    pub fn log(&self) -> String {
        self.read("tmd.log")
    }

    /// Waits for a text in the log, which the daemon may write after its answer. Returns the log.
    pub fn wait_for_log(&self, text: &str) -> String {
        system::wait_for_text(&self.path("tmd.log"), text)
    }

    /// Runs `tm` and waits for its end.
    pub fn tm(&self, arguments: &[&str]) -> Output {
        self.tm_with_input(arguments, "")
    }

    /// Runs a command to its end with this standard input.
    pub fn tm_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut client = command("tm", self.dir());
        client.args(arguments).env("TM_SOCKET", self.socket());
        run_with_input(client, input)
    }

    /// Runs `tm` on a terminal of its own.
    pub fn terminal(&self, arguments: &[&str], rows: u16, cols: u16) -> Terminal {
        let mut inner = command(arguments[0], self.dir());
        inner.args(&arguments[1..]).env("TM_SOCKET", self.socket());
        Terminal::spawn_command(&inner, rows, cols)
    }

    /// A new connection to the control socket.
    pub fn control(&self) -> Control {
        Control::connect(&self.socket()).unwrap_or_else(|e| panic!("{e}\n{}", self.log()))
    }

    /// Calls a method; an error answer fails the test.
    pub fn rpc(&self, method: &str, params: Value) -> Value {
        let outcome = self.control().call(method, params);
        outcome.unwrap_or_else(|error| panic!("{method}: {error}\n{}", self.log()))
    }

    /// Calls a method that must fail, and returns the error object.
    pub fn rpc_error(&self, method: &str, params: Value) -> Value {
        let outcome = self.control().call(method, params);
        outcome.expect_err("the request should have been refused")
    }

    /// The row of one process in `status`.
    pub fn status(&self, process: &str) -> Value {
        let reply = self.rpc("status", json!({"targets": [process]}));
        reply["processes"][0].clone()
    }

    /// Every row of `status`.
    pub fn all(&self) -> Vec<Value> {
        let reply = self.rpc("status", json!({}));
        reply["processes"].as_array().cloned().unwrap_or_default()
    }

    /// The pid of a process that lives, or is being started.
    pub fn pid_of(&self, process: &str) -> i32 {
        let began = Instant::now();
        loop {
            let row = self.status(process);
            if let Some(pid) = row["pid"].as_i64() {
                return pid as i32;
            }
            // No event reports the exec of a process that is STARTING for some time.
            let starting = row["state"] == "STARTING" && began.elapsed() < PATIENCE;
            assert!(starting, "{process} has no pid: {row}\n{}", self.log());
            std::thread::yield_now();
        }
    }

    /// Events from now on.
    pub fn events(&self) -> Events {
        Events::follow(self.control(), self.path("tmd.log"))
    }

    /// Waits until a process is in a state. Returns its row at once if it already is.
    pub fn wait_state(&self, process: &str, state: &str) -> Value {
        let mut events = self.events();
        loop {
            let row = self.status(process);
            if row["state"] == state {
                return row;
            }
            events.wait_for(process, state);
        }
    }

    /// Waits until a process's end is announced, so that its log is complete.
    pub fn wait_ended(&self, process: &str) {
        self.rpc("wait", json!({"targets": [process], "for": "exited"}));
    }

    /// Writes another config and sends SIGHUP; returns when the reload is over.
    pub fn reload_with(&self, yaml: &str) -> Value {
        let mut events = self.events();
        write_config(self.dir(), yaml);
        self.signal(Signal::HUP);
        let is_reload = |event: &Value| event["event"].as_str().map(|e| e.starts_with("reload"));
        events.wait_until("the reload", |event| is_reload(event) == Some(true))
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).expect("a child has a pid");
        kill_process(pid, signal).expect("the daemon is our child");
    }

    /// Waits for the daemon's end and checks that it left no process. Returns its exit code.
    pub fn wait_end(&mut self) -> i32 {
        let code = wait_exit(&mut self.child, PATIENCE);
        let Some(code) = code else {
            panic!("the daemon does not end\n{}", self.log());
        };
        self.assert_nothing_left();
        code
    }

    /// Returns the daemon's exit code. Fails unless exactly these processes outlive it.
    pub fn wait_end_leaving(&mut self, pids: &[i32]) -> i32 {
        let code = wait_exit(&mut self.child, PATIENCE).expect("the daemon ends");
        self.checked = true;
        let left = system::processes_of(&self.socket());
        let others = left.iter().filter(|(pid, _)| !pids.contains(pid));
        assert_eq!(others.count(), 0, "left behind: {left:?}\n{}", self.log());
        code
    }

    fn assert_nothing_left(&mut self) {
        self.checked = true;
        let left = system::processes_of(&self.socket());
        for (pid, _) in &left {
            let _ = Pid::from_raw(*pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:?}\n{}", self.log());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.checked {
            return;
        }
        // The first signal asks the processes to end, the second kills the rest.
        for patience in [Duration::from_secs(3), PATIENCE] {
            if system::is_alive(self.pid()) {
                self.signal(Signal::TERM);
            }
            if wait_exit(&mut self.child, patience).is_some() {
                return self.assert_nothing_left();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.assert_nothing_left();
        if !std::thread::panicking() {
            panic!("the daemon did not end within {PATIENCE:?}\n{}", self.log());
        }
    }
}

/// Sends a signal to a process that a test knows to be its own.
pub fn kill(pid: i32, signal: Signal) {
    let target = Pid::from_raw(pid).expect("a pid is not 0");
    kill_process(target, signal).unwrap_or_else(|error| panic!("kill {pid}: {error}"));
}

/// A new folder for a daemon, removed with its owner.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("tm-test-")
        .tempdir()
        .expect("a temporary folder")
}

/// Copies an executable. `cp` does it: a file that this process writes cannot be executed while a
/// child that another test starts still has it open (ETXTBSY).
pub fn copy_executable(from: &Path, to: &Path, mode: u32) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp is installed").success(), "{from:?}");
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Writes a folder's `taskmaster.yaml`, `@DIR@` and `@BIN@` replaced.
pub fn write_config(folder: &Path, yaml: &str) -> PathBuf {
    if yaml.contains("@BIN@") {
        program("echo_tty");
    }
    let text = yaml
        .replace("@DIR@", &folder.display().to_string())
        .replace("@BIN@", &bin_dir().display().to_string());
    let path = folder.join("taskmaster.yaml");
    fs::write(&path, text).expect("the config can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    path
}

/// Returns a command (one of our binaries or another) with a folder as its home. Its environment
/// does not depend on the user who runs the tests.
pub fn command(name: &str, home: &Path) -> Command {
    let ours = bin_dir().join(name);
    let mut command = Command::new(if ours.is_file() { ours } else { name.into() });
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .current_dir(home)
        .env("PATH", format!("{}:{path}", bin_dir().display()))
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env_remove("TM_DETACH_KEYS")
        .stdin(Stdio::null());
    command
}

/// `tmd` as an ordinary user, who becomes the owner of the folder and its entries.
pub fn tmd_as_user(folder: &Path, arguments: &[&str]) -> Output {
    if !is_root() {
        let mut command = command("tmd", folder);
        command.args(arguments);
        return run(command);
    }
    const USER: u32 = 54_323;
    // The user may not be able to reach the folder of the build. Copied by another process: a
    // file that this one has written may still be open in the child of another test.
    let mut install = command("install", folder);
    install.arg(bin_dir().join("tmd")).arg("as-user");
    assert_eq!(run(install).code, 0);
    chown(folder, Some(USER), Some(USER)).expect("we are root");
    for entry in fs::read_dir(folder).expect("it is ours").flatten() {
        lchown(entry.path(), Some(USER), Some(USER)).expect("we are root");
    }
    let mut command = command("setpriv", folder);
    let user = [format!("--reuid={USER}"), format!("--regid={USER}")];
    command.args(user).args(["--clear-groups", "./as-user"]);
    command.args(arguments);
    run(command)
}

/// Runs a command to its end, killed when it takes too long.
pub fn run(command: Command) -> Output {
    run_with_input(command, "")
}

/// The same with something on standard input.
pub fn run_with_input(mut command: Command, input: &str) -> Output {
    let outputs = tempfile::tempdir().expect("a temporary folder");
    let (out, err) = (outputs.path().join("out"), outputs.path().join("err"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(File::create(&out).expect("a file for the output"))
        .stderr(File::create(&err).expect("a file for the errors"))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command may end without reading its input.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let code = wait_exit(&mut child, PATIENCE);
    if code.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let (stdout, stderr) = (read(&out), read(&err));
    let Some(code) = code else {
        panic!("{command:?} does not end\n{stdout}\n{stderr}");
    };
    Output {
        code,
        stdout,
        stderr,
    }
}
