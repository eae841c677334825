//! Real services from Debian's packages, run from `configs/services.yaml` as it is shipped.
//!
//! Run by `.ci/run services`, as root, and not by `cargo test`. Installs missing packages through
//! apt-get, without starting any of them as a service of the system.

#[path = "services/background.rs"]
mod background;
mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Daemon, PATIENCE, is_root, kill, skip, system, wait_gone};

/// Required commands, and the packages that provide them.
const NEEDED: [(&str, &str); 6] = [
    ("nginx", "nginx-light"),
    ("redis-server", "redis-server"),
    ("initdb", "postgresql"),
    ("python3", "python3"),
    ("apache2", "apache2"),
    ("sshd", "openssh-server"),
];

/// Packages run it before they start their own daemons; exit code 101 forbids that.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The page that nginx and Python serve.
const PAGE: &str = "served by a process of tmd\n";

#[test]
#[ignore = "installs packages; .ci/run services runs it"]
fn real_services_live_are_killed_come_back_and_leave_nothing() {
    if !is_root() {
        skip!("needs root to install packages, and to start postgres as its user");
    }
    install();
    let services = Services::start();
    for service in &services.all {
        services.is_up(service);
    }
    for service in &services.all {
        services.survives_sigkill(service);
    }
    services.stop();
}

struct Services {
    daemon: Daemon,
    all: [Service; 4],
}

struct Service {
    process: &'static str,
    port: u16,
    /// Sends a request that only a working service answers.
    ask: fn(&mut TcpStream) -> io::Result<bool>,
}

impl Services {
    fn start() -> Services {
        let folder = support::folder();
        prepare(folder.path());
        let [nginx, redis, postgres, http] = free_ports();
        let socket = folder.path().join("tmd.sock");
        let directory = folder.path().to_path_buf();
        let began = Instant::now();
        let daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
            tmd.arg("--socket").arg(socket);
            tmd.env("SERVICES_DIR", directory)
                .env("NGINX_PORT", nginx.to_string())
                .env("REDIS_PORT", redis.to_string())
                .env("POSTGRES_PORT", postgres.to_string())
                .env("HTTP_PORT", http.to_string())
                .env("POSTGRES_BIN", postgres_bin());
        });
        println!("daemon up after {:?}", began.elapsed());
        let service = |process, port, ask| Service { process, port, ask };
        let all = [
            service("nginx:0", nginx, ask_http),
            service("redis:0", redis, ask_redis),
            service("postgres:0", postgres, ask_postgres),
            service("http:0", http, ask_http),
        ];
        Services { daemon, all }
    }

    fn is_up(&self, service: &Service) {
        let began = Instant::now();
        let row = self.daemon.wait_state(service.process, "RUNNING");
        let pid = row["pid"].as_i64().expect("a running process has a pid");
        assert!(system::is_alive(pid as i32), "{row}");
        self.answers(service);
        println!(
            "{}: up, pid {pid}, answers after {:?}",
            service.process,
            began.elapsed()
        );
    }

    fn survives_sigkill(&self, service: &Service) {
        let process = service.process;
        let old = self.daemon.pid_of(process);
        let mut events = self.daemon.events();
        let began = Instant::now();
        kill(old, Signal::KILL);
        wait_gone(old);
        // From here on no client may see it as alive.
        self.tells_the_truth(old);
        let death = events.wait_until("its death", |event| {
            event["process"] == process && event["exit"]["signal"] == 9
        });
        assert_eq!(death["pid"], old, "{death}");
        let dead_for = began.elapsed();
        let back = events.wait_for(process, "RUNNING");
        let running = began.elapsed();
        assert_ne!(back["pid"], old, "{back}");
        self.answers(service);
        let answering = began.elapsed();
        self.tells_the_truth(old);
        let row = self.daemon.status(process);
        assert_eq!(
            row["restarts"], 1,
            "it came back at the first attempt: {row}"
        );
        let why = self.daemon.tm(&["why", process]);
        assert!(why.stdout.contains("killed by SIGKILL"), "{why:?}");
        println!(
            "{process}: killed, known after {dead_for:?}, RUNNING after {running:?}, answers \
             after {answering:?}"
        );
        println!("{}", why.stdout);
    }

    /// No row of `status` shows a process that is dead.
    fn tells_the_truth(&self, dead: i32) {
        for row in self.daemon.all() {
            let Some(pid) = row["pid"].as_i64() else {
                continue;
            };
            assert_ne!(pid, i64::from(dead), "{row}");
            // It may have died since that answer; then the next one shows it.
            let process = row["name"].as_str().expect("a name");
            if !system::is_alive(pid as i32) {
                let again = self.daemon.status(process);
                assert_ne!(again["pid"], json!(pid), "{row}");
            }
        }
    }

    fn answers(&self, service: &Service) {
        let began = Instant::now();
        let mut watch = system::FolderWatch::new(self.daemon.dir());
        loop {
            let answer = ask(service);
            if matches!(answer, Ok(true)) {
                return;
            }
            let process = service.process;
            if began.elapsed() > PATIENCE {
                let logs = self.daemon.tm(&["logs", process]).stdout;
                panic!(
                    "{process} does not answer: {answer:?}\n{logs}\n{}",
                    self.daemon.log()
                );
            }
            // No event reports a listening port: try again soon.
            watch.wait(Duration::from_millis(5));
        }
    }

    fn stop(mut self) {
        // The new process answered, not a remainder of the killed one.
        for row in self.daemon.all() {
            assert_eq!(row["state"], "RUNNING", "{row}");
            assert_eq!(row["restarts"], 1, "{row}");
            assert_eq!(row["detail"], "", "{row}");
        }
        println!("{}", self.daemon.tm(&["status"]).stdout);
        let began = Instant::now();
        let output = self.daemon.tm(&["stop", "all"]);
        assert_eq!(output.code, 0, "{output:?}");
        println!("{}stopped after {:?}", output.stdout, began.elapsed());
        for row in self.daemon.all() {
            assert_eq!(row["state"], "STOPPED", "{row}");
            assert_eq!(row["pid"], Value::Null, "{row}");
        }
        for service in &self.all {
            let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, service.port));
            assert!(bound.is_ok(), "{}: {bound:?}", service.process);
        }
        assert_eq!(living_in(self.daemon.dir()), Vec::<String>::new());
        assert_eq!(self.daemon.tm(&["shutdown"]).code, 0);
        assert_eq!(self.daemon.wait_end(), 0);
    }
}

fn ask(service: &Service) -> io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, service.port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    (service.ask)(&mut stream)
}

fn ask_http(stream: &mut TcpStream) -> io::Result<bool> {
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains(" 200 OK\r\n") && answer.ends_with(PAGE))
}

fn ask_redis(stream: &mut TcpStream) -> io::Result<bool> {
    stream.write_all(b"INCR asked\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with(':') && answer.ends_with("+OK\r\n"))
}

/// Logs in and runs an addition.
fn ask_postgres(stream: &mut TcpStream) -> io::Result<bool> {
    let login = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    stream.write_all(&(login.len() as u32 + 4).to_be_bytes())?;
    stream.write_all(login)?;
    if !read_until_ready(stream)?
        .iter()
        .all(|(kind, _)| *kind != b'E')
    {
        return Ok(false);
    }
    let query = b"select 40 + 2\0";
    stream.write_all(b"Q")?;
    stream.write_all(&(query.len() as u32 + 4).to_be_bytes())?;
    stream.write_all(query)?;
    let answer = read_until_ready(stream)?;
    let mut rows = answer.iter().filter(|(kind, _)| *kind == b'D');
    Ok(rows.any(|(_, row)| row.ends_with(b"42")))
}

/// Postgres' messages up to "ready for query", or to an error.
fn read_until_ready(stream: &mut TcpStream) -> io::Result<Vec<(u8, Vec<u8>)>> {
    let mut messages = Vec::new();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = (u32::from_be_bytes(length) as usize).saturating_sub(4);
        let mut body = vec![0; length.min(1 << 20)];
        stream.read_exact(&mut body)?;
        messages.push((kind, body));
        if kind == b'Z' || kind == b'E' {
            return Ok(messages);
        }
    }
}

/// Finds every process whose working directory is in a folder. Some services overwrite their
/// environment, so it does not identify them.
fn living_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let inside = |path: &PathBuf| {
        let cwd = fs::read_link(path.join("cwd"));
        cwd.is_ok_and(|cwd| cwd.starts_with(folder))
    };
    let own = format!("/proc/{}", std::process::id());
    let found = entries.map(|entry| entry.path()).filter(inside);
    let found = found.filter(|path| path != Path::new(&own) && !is_tmd(path));
    found
        .map(|path| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ")
        })
        .collect()
}

fn is_tmd(process: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim_end() == "tmd"
}

/// Returns ports that no process listens on.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [0; COUNT].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    listeners.map(|listener| {
        let address = listener.and_then(|listener| listener.local_addr());
        address.expect("a free port").port()
    })
}

/// Does the preparations that the head of `configs/services.yaml` lists.
fn prepare(folder: &Path) {
    let shipped = system::repository().join("configs/services.yaml");
    let text = fs::read_to_string(shipped).expect("configs/services.yaml is shipped");
    support::write_config(folder, &text);
    prepare_folders(folder);
}

/// Makes the folders of the services, and the database.
fn prepare_folders(folder: &Path) {
    // The services' own users need access.
    fs::set_permissions(folder, Permissions::from_mode(0o711)).expect("it is ours");
    for name in ["www", "logs", "redis", "nginx", "run", "postgres"] {
        fs::create_dir(folder.join(name)).expect("a new folder");
    }
    fs::write(folder.join("www/index.html"), PAGE).expect("a page");
    let data = folder.join("postgres");
    let (uid, gid) = (id_of("-u"), id_of("-g"));
    chown(&data, Some(uid), Some(gid)).expect("we are root");
    fs::set_permissions(&data, Permissions::from_mode(0o700)).expect("we are root");
    let mut initdb = Command::new("runuser");
    initdb.args(["-u", "postgres", "--"]);
    initdb.arg(postgres_bin().join("initdb"));
    initdb
        .args(["--auth", "trust", "--no-sync", "-D"])
        .arg(&data);
    initdb.current_dir("/");
    let began = Instant::now();
    done(initdb);
    println!("initdb took {:?}", began.elapsed());
}

fn id_of(option: &str) -> u32 {
    let output = Command::new("id").args([option, "postgres"]).output();
    let output = output.expect("id is installed").stdout;
    let text = String::from_utf8_lossy(&output);
    text.trim().parse().expect("postgres is a user")
}

/// The newest version's programs, which Debian keeps out of the path.
fn postgres_bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = versions.flatten().map(|entry| entry.path().join("bin"));
    let newest = found.filter(|bin| bin.join("initdb").is_file()).max();
    newest.unwrap_or_default()
}

fn is_there(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend([PathBuf::from("/usr/sbin"), postgres_bin()]);
    folders.iter().any(|folder| folder.join(command).is_file())
}

fn install() {
    let missing = NEEDED.iter().filter(|(command, _)| !is_there(command));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return;
    }
    let _quiet = NoServicesOfTheSystem::new();
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    done(update);
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    done(install);
}

/// Keeps packages from starting daemons until it is dropped, unless a policy existed before.
struct NoServicesOfTheSystem {
    ours: bool,
}

impl NoServicesOfTheSystem {
    fn new() -> NoServicesOfTheSystem {
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").expect("we are root");
            let executable = Permissions::from_mode(0o755);
            fs::set_permissions(POLICY, executable).expect("it is ours");
        }
        NoServicesOfTheSystem { ours }
    }
}

impl Drop for NoServicesOfTheSystem {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// Runs a command that must succeed.
fn done(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
