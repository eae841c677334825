//! A user that owns only the daemons of one test. As root this is another user, since all tests of
//! root share `/run/tmd`.

use super::support::{self, Control, Output, PATIENCE, bin_dir, kill, system};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use taskmaster::sys::runtime;

/// The first of the uids that no user has.
const FIRST_UID: u32 = 200_000;

/// The home of such a user, which holds its projects.
pub struct Home {
    folder: tempfile::TempDir,
    uid: Option<u32>,
}

impl Home {
    /// Creates a home.
    pub fn new() -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = support::folder();
        let root = rustix::process::geteuid().is_root();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let uid = root.then(|| FIRST_UID + std::process::id() * 64 % 100_000_000 + number);
        let home = Home { folder, uid };
        home.make("run");
        home.make("bin");
        // Another process copies the files. If this one wrote them, a child of a test on another
        // thread could still have them open, and they could not be executed.
        let mut install = Command::new("install");
        install.args(["-m", "755"]);
        install.args(["tm", "tmd"].map(|name| bin_dir().join(name)));
        let installed = install.arg(home.path("bin")).status();
        assert!(installed.expect("install is installed").success());
        home.owned(home.folder.path());
        home
    }

    /// Returns the path of a file in this home.
    pub fn path(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().canonicalize().expect("it exists");
        folder.join(name)
    }

    /// Returns the user.
    pub fn uid(&self) -> u32 {
        let own = || rustix::process::geteuid().as_raw();
        self.uid.unwrap_or_else(own)
    }

    /// Creates a folder.
    pub fn make(&self, name: &str) {
        let folder = self.path(name);
        fs::create_dir(&folder).expect("a new folder");
        self.owned(&folder);
    }

    /// Writes the `taskmaster.yaml` of a project, made if it is new, with one program of the
    /// project's name; returns the config's path.
    pub fn project(&self, name: &str, settings: &str) -> PathBuf {
        let program = format!("programs:\n  {name}: {{cmd: sleep 1000, starttime: 0}}\n");
        self.write(name, &format!("{settings}\n{program}"))
    }

    /// Writes a project's config with this text.
    pub fn write(&self, project: &str, yaml: &str) -> PathBuf {
        if !self.path(project).exists() {
            self.make(project);
        }
        let config = support::write_config(&self.path(project), yaml);
        self.owned(&config);
        config
    }

    fn owned(&self, path: &Path) {
        if let Some(uid) = self.uid {
            chown(path, Some(uid), Some(uid)).expect("we are root");
        }
    }

    /// Returns a command that runs one of our binaries in a folder of this home.
    pub fn command(&self, name: &str, folder: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(name));
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(self.path(folder))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.path(""))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("TM_SOCKET")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Runs a shell's command line as this user.
    pub fn shell(&self, folder: &str, line: &str) -> Output {
        let mut shell = self.shell_command(folder);
        shell.args(["-c", line]);
        support::run(shell)
    }

    /// Returns a command that runs a shell as this user.
    pub fn shell_command(&self, folder: &str) -> Command {
        let named = self.command("sh", folder);
        let mut shell = Command::new("sh");
        shell.current_dir(self.path(folder));
        for (name, value) in named.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(uid) = self.uid {
            shell.uid(uid).gid(uid);
        }
        shell
    }

    /// Runs `tm` in one of the folders.
    pub fn tm(&self, folder: &str, arguments: &[&str]) -> Output {
        let mut command = self.command("tm", folder);
        command.args(arguments);
        support::run(command)
    }

    /// Runs `tmd` in one of the folders, which has to end.
    pub fn tmd(&self, folder: &str, arguments: &[&str]) -> Output {
        let mut command = self.command("tmd", folder);
        command.args(arguments);
        support::run(command)
    }

    /// Starts the daemon of a project, and waits until it answers on a socket and each child has
    /// exec'd or failed.
    pub fn start(&self, project: &str, socket: &Path) -> Running {
        let mut command = self.command("tmd", project);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("tmd can be started");
        let pid = child.id() as i32;
        let running = Running {
            child: Some(child),
            pid,
        };
        let began = Instant::now();
        let mut watch = system::FolderWatch::new(&self.path(project));
        let mut control = loop {
            match Control::connect(socket) {
                Ok(control) => break control,
                Err(error) => {
                    let alive = system::is_alive(pid) && began.elapsed() < PATIENCE;
                    assert!(alive, "tmd does not answer: {error}");
                    // Its socket may be outside the watched folder.
                    watch.wait(Duration::from_millis(5));
                }
            }
        };
        assert!(support::await_starts(&mut control), "a start is stuck");
        running
    }

    /// The usual socket of a config.
    pub fn usual(&self, config: &Path) -> PathBuf {
        runtime::socket_path(&self.path("run/tmd"), config)
    }

    /// Lists the runtime directory.
    pub fn registered(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("run/tmd")).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.into_string().ok()).collect()
    }
}

impl Drop for Home {
    /// Ends the daemons that a failed test left running.
    fn drop(&mut self) {
        for name in self.registered() {
            let socket = self.path("run/tmd").join(name);
            if Control::connect(&socket).is_ok() {
                Running::behind(&socket).end();
            }
        }
    }
}

/// A daemon that does not outlive its test.
pub struct Running {
    child: Option<Child>,
    pid: i32,
}

impl Running {
    /// Finds a background daemon that answers on a socket.
    pub fn behind(socket: &Path) -> Running {
        let pid = pid_at(socket);
        Running { child: None, pid }
    }

    /// Takes charge of a daemon that is our child.
    pub fn of(child: Child) -> Running {
        let pid = child.id() as i32;
        let child = Some(child);
        Running { child, pid }
    }

    /// Returns its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Ends it with SIGTERM.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if system::is_alive(self.pid) {
            kill(self.pid, Signal::TERM);
        }
        match &mut self.child {
            None => system::wait_gone(self.pid),
            Some(child) => {
                if support::wait_exit(child, PATIENCE).is_none() {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
    }
}

/// Asks the daemon at a socket for its pid.
pub fn pid_at(socket: &Path) -> i32 {
    let mut control = Control::connect(socket).expect("a daemon listens");
    let hello = control.call("hello", json!({"protocol": 1, "client": "test"}));
    hello.expect("it greets")["pid"].as_i64().expect("a pid") as i32
}

/// The pid of a process of the daemon at a socket.
pub fn pid_of(socket: &Path, process: &str) -> Value {
    let mut control = Control::connect(socket).expect("a daemon listens");
    let wait = json!({"targets": [process], "for": "running"});
    control.call("wait", wait).expect("it runs");
    let reply = control.call("status", json!({"targets": [process]}));
    reply.expect("it is known")["processes"][0]["pid"].clone()
}
