//! Users of processes, access to the daemon, and inherited attributes. Most tests need root and
//! are skipped without it.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod daemon;
mod inherited;
mod user;

use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use support::{Daemon, Output, bin_dir, is_root, program, skip, wait_for_line};

const NOBODY: u32 = 65534;

/// An ordinary user whose gid differs from its uid.
const GAMES: (u32, u32) = (5, 60);

/// The user `daemon`.
const DAEMON: (u32, u32) = (1, 1);

/// Creates a folder that every user may enter. It holds the programs, and `logs`, which the user
/// `nobody` owns.
fn shared_folder() -> tempfile::TempDir {
    let folder = support::folder();
    set_mode(folder.path(), 0o755);
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).expect("a new folder");
    set_mode(&logs, 0o755);
    chown(&logs, Some(NOBODY), Some(NOBODY)).expect("we are root");
    for name in ["tm", "tmd"] {
        place(&bin_dir().join(name), folder.path());
    }
    place(&program("print_env"), folder.path());
    folder
}

fn place(file: &Path, folder: &Path) {
    let copy = folder.join(file.file_name().expect("a file"));
    support::copy_executable(file, &copy, 0o755);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

fn start(yaml: &str) -> Daemon {
    let folder = shared_folder();
    support::write_config(folder.path(), yaml);
    Daemon::start_in(folder, &[])
}

/// Waits for the report of `print_env`.
fn report(daemon: &Daemon, file: &str) -> Value {
    let line = wait_for_line(&daemon.path(file));
    serde_json::from_str(&line).expect("print_env prints JSON")
}

/// Real, effective, saved and file-system id, all equal.
fn four(id: u32) -> Value {
    json!([id, id, id, id])
}

/// Runs a command as another user.
fn as_user(daemon: &Daemon, (uid, gid): (u32, u32), arguments: &[&str]) -> Output {
    let mut command = support::command("tm", Path::new("/"));
    let mut ours = Command::new(daemon.path("tm"));
    ours.args(arguments).current_dir("/").uid(uid).gid(gid);
    for (name, value) in command.args(arguments).get_envs() {
        match value {
            Some(value) => ours.env(name, value),
            None => ours.env_remove(name),
        };
    }
    ours.env("TM_SOCKET", daemon.socket());
    support::run(ours)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}
