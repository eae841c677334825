//! `print_env [--wait]`: prints everything it inherited as one line of JSON: `argv`, `env`, `cwd`,
//! `umask` (octal text), `uid`, `gid` (real, effective, saved, file system), `groups`, `pid`,
//! `ppid`, `pgid`, `sid`, `signals` (`blocked`, `ignored`, `caught`: hex masks of the first
//! instant), `fds` (number to target), `nofile` (soft, hard; null is unlimited), `oom_score_adj`,
//! `nice`, `no_new_privs`, `controlling_tty` and `tty` (name, rows, cols) of descriptor 0. With
//! `--wait` it then stays until it is killed.
#![allow(unsafe_code)]

use serde_json::{Map, Value, json};
use std::fs;
use std::os::fd::BorrowedFd;

/// Rust's runtime opens missing descriptors, ignores SIGPIPE and installs handlers before `main`,
/// so the inherited state is read before it.
mod before_main {
    use std::sync::OnceLock;

    /// `/proc/self/status` and the open descriptors.
    pub type Inherited = (String, Vec<(u32, String)>);

    pub static INHERITED: OnceLock<Inherited> = OnceLock::new();

    extern "C" fn look() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let _ = INHERITED.set((status, descriptors()));
    }

    fn descriptors() -> Vec<(u32, String)> {
        let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
            return Vec::new();
        };
        let numbers = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let numbers: Vec<u32> = numbers.collect();
        // The directory's own descriptor is closed by now, so its link is gone.
        let target = |number: u32| {
            let target = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            Some((number, target.to_string_lossy().into_owned()))
        };
        numbers.into_iter().filter_map(target).collect()
    }

    // SAFETY: the C library calls each pointer of this section once, with one thread, after it
    // has initialised itself.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;
}

fn main() {
    let (status, descriptors) = before_main::INHERITED.get().cloned().unwrap_or_default();
    let hex = |name: &str| field(&status, name).to_string();
    // SAFETY: takes nothing, or this process's own id.
    let (pgid, sid, ppid) = unsafe { (libc::getpgid(0), libc::getsid(0), libc::getppid()) };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let fds: Map<String, Value> = descriptors
        .into_iter()
        .map(|(fd, target)| (fd.to_string(), json!(target)))
        .collect();
    let env: Map<String, Value> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                json!(value.to_string_lossy()),
            )
        })
        .collect();
    let report = json!({
        "argv": std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "env": env,
        "cwd": std::env::current_dir().unwrap_or_default(),
        "umask": field(&status, "Umask"),
        "uid": numbers(field(&status, "Uid")),
        "gid": numbers(field(&status, "Gid")),
        "groups": numbers(field(&status, "Groups")),
        "pid": std::process::id(),
        "ppid": ppid,
        "pgid": pgid,
        "sid": sid,
        "signals": {
            "blocked": hex("SigBlk"), "ignored": hex("SigIgn"), "caught": hex("SigCgt"),
        },
        "fds": fds,
        "nofile": [limit.current, limit.maximum],
        "oom_score_adj": number_in("/proc/self/oom_score_adj"),
        "nice": rustix::process::getpriority_process(None).ok(),
        "no_new_privs": field(&status, "NoNewPrivs") == "1",
        "controlling_tty": fs::File::open("/dev/tty").is_ok(),
        "tty": tty(),
    });
    println!("{report}");
    if std::env::args().any(|argument| argument == "--wait") {
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    }
}

fn tty() -> Value {
    // SAFETY: only used if it is open, and for this call only.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let Ok(name) = rustix::termios::ttyname(stdin, Vec::new()) else {
        return Value::Null;
    };
    let size = rustix::termios::tcgetwinsize(stdin);
    let (rows, cols) = size.map_or((0, 0), |size| (size.ws_row, size.ws_col));
    json!({"name": name.to_string_lossy(), "rows": rows, "cols": cols})
}

/// The value of a line of `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn number_in(path: &str) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
