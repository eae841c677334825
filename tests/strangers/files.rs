//! The owners of the files that the daemon reads and writes.

use super::support::{self, Daemon, Output, is_root, skip};
use super::users::{ALICE, BOB, owned, shared, write_as};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const PROGRAM: &str = "programs:\n  a: {cmd: sleep 1000, starttime: 0}\n";

/// Root's `tmd --check` of a folder's config.
fn check(folder: &Path) -> Output {
    let mut tmd = support::command("tmd", folder);
    tmd.args(["--check", "-c"])
        .arg(folder.join("taskmaster.yaml"));
    support::run(tmd)
}

fn refused(folder: &Path, words: &[&str]) {
    checked(folder, 1, words);
}

/// The config is valid, with a warning.
fn faulty(folder: &Path, words: &[&str]) {
    checked(folder, 0, words);
}

fn checked(folder: &Path, code: i32, words: &[&str]) {
    let output = check(folder);
    assert_eq!(output.code, code, "{output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word:?} in {output:?}");
    }
}

#[test]
fn root_runs_no_config_of_another_user() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let config = write_as(ALICE, &folder.path().join("taskmaster.yaml"), PROGRAM);
    refused(folder.path(), &["belongs to user 54001", "chown"]);
    owned(&config, 0);
    assert_eq!(check(folder.path()).code, 0);
    // The owner of a directory can put another file there.
    owned(folder.path(), ALICE);
    let name = folder.path().display().to_string();
    refused(folder.path(), &[&name, "belongs to user 54001"]);
    owned(folder.path(), 0);
    for mode in [0o777, 0o775] {
        support_mode(folder.path(), mode);
        refused(folder.path(), &["can write the directory", "chmod go-w"]);
    }
    // In a sticky directory only the owner of a file can replace it.
    support_mode(folder.path(), 0o1777);
    assert_eq!(check(folder.path()).code, 0);
}

fn support_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("we are root");
}

#[test]
fn the_daemon_refuses_what_the_check_refuses() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let yaml = format!("include: [conf.d/*.yaml]\n{PROGRAM}");
    support::write_config(folder.path(), &yaml);
    fs::create_dir(folder.path().join("conf.d")).expect("a new folder");
    let daemon = Daemon::start_in(folder, &[]);
    support_mode(&daemon.path("conf.d"), 0o777);
    let evil = daemon.path("conf.d/evil.yaml");
    write_as(ALICE, &evil, "programs:\n  b: {cmd: id}\n");
    let error = daemon.rpc_error("reload", json!({}));
    assert!(error.to_string().contains("conf.d"), "{error}");
    assert_eq!(daemon.all().len(), 1);
    let output = support::run({
        let mut tmd = support::command("tmd", daemon.dir());
        tmd.arg("-c")
            .arg(daemon.path("taskmaster.yaml"))
            .args(["--socket", "other.sock"]);
        tmd
    });
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("conf.d"), "{output:?}");
}

#[test]
fn includes_and_links_on_the_way_are_checked() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let path = |name: &str| folder.path().join(name);
    for name in ["mine", "theirs", "open"] {
        fs::create_dir(path(name)).expect("a new folder");
        fs::write(path(name).join("x.yaml"), "programs:\n  b: {cmd: id}\n").expect("written");
    }
    owned(&path("theirs"), ALICE);
    support_mode(&path("open"), 0o1777);
    let include = |item: &str| {
        support::write_config(folder.path(), &format!("include: ['{item}']\n{PROGRAM}"));
    };
    for item in [
        "theirs/x.yaml",
        "theirs/*.yaml",
        "*/x.yaml",
        "mine/../theirs/x.yaml",
    ] {
        include(item);
        refused(folder.path(), &["theirs", "54001"]);
    }
    // A file of hers within a directory of root, and a pattern that only her directory could match.
    let hers = write_as(ALICE, &path("mine/y.yaml"), "programs:\n  c: {cmd: id}\n");
    include("mine/*.yaml");
    refused(folder.path(), &["mine/y.yaml", "54001"]);
    fs::remove_file(hers).expect("we are root");
    include("theirs/*.none");
    refused(folder.path(), &["theirs", "54001"]);
    // Links: into her directory, and one of hers in a sticky directory.
    symlink(path("theirs/x.yaml"), path("mine/link.yaml")).expect("a link");
    include("mine/link.yaml");
    refused(folder.path(), &["theirs", "54001"]);
    symlink(path("mine/x.yaml"), path("open/hers.yaml")).expect("a link");
    std::os::unix::fs::lchown(path("open/hers.yaml"), Some(ALICE), None).expect("we are root");
    include("open/hers.yaml");
    refused(folder.path(), &["hers.yaml", "54001"]);
    include("open/x.yaml");
    assert_eq!(check(folder.path()).code, 0);
    include("mine/x.yaml");
    assert_eq!(check(folder.path()).code, 0);
    // The config itself, by a link in her directory.
    symlink(path("taskmaster.yaml"), path("theirs/taskmaster.yaml")).expect("a link");
    refused(&path("theirs"), &["theirs", "54001"]);
}

#[test]
fn the_user_of_the_daemon_may_own_its_files() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let settings = |user: u32| format!("daemon: {{user: {user}}}\n{PROGRAM}");
    // A uid without an entry in the database cannot be a `daemon.user`.
    let config = write_as(1, &folder.path().join("taskmaster.yaml"), &settings(1));
    assert_eq!(check(folder.path()).code, 0);
    owned(&config, BOB);
    refused(folder.path(), &["belongs to user 54002"]);
    owned(&config, 1);
    owned(folder.path(), BOB);
    refused(folder.path(), &["belongs to user 54002"]);
}

#[test]
fn an_ordinary_user_may_use_files_of_others() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let config = folder.path().join("taskmaster.yaml");
    write_as(BOB, &config, PROGRAM);
    support_mode(folder.path(), 0o777);
    let output = support::tmd_as_user(folder.path(), &["--check", "-c", "taskmaster.yaml"]);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn an_env_file_is_read_with_the_rights_of_its_program() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("secret")).expect("a new folder");
    fs::write(path("secret/env"), "TOKEN=roots-secret\n").expect("written");
    support_mode(&path("secret/env"), 0o600);
    fs::create_dir(path("hers")).expect("a new folder");
    owned(&path("hers"), 1);
    symlink(path("secret/env"), path("hers/env")).expect("a link");
    let with = |user: &str, file: &str| {
        let program = format!("{{cmd: 'true', {user} env_file: '{file}'}}");
        support::write_config(folder.path(), &format!("programs:\n  a: {program}\n"));
    };
    with("user: 1,", "hers/env");
    faulty(folder.path(), &["hers/env", "Permission denied"]);
    // Her own file is hers to use, but not for a program of root.
    fs::remove_file(path("hers/env")).expect("we are root");
    write_as(1, &path("hers/env"), "A=1\n");
    assert_eq!(check(folder.path()).code, 0);
    with("", "hers/env");
    refused(folder.path(), &["hers", "belongs to user 1"]);
    // The usual secret: root's file in root's directory, for a program of another user.
    with("user: 1,", "secret/env");
    assert_eq!(check(folder.path()).code, 0);
    // A FIFO does not make the daemon wait.
    fs::remove_file(path("hers/env")).expect("we are root");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("hers/env"),
        rustix::fs::FileType::Fifo,
        0o666.into(),
        0,
    )
    .expect("a FIFO");
    with("user: 1,", "hers/env");
    faulty(folder.path(), &["not a regular file"]);
}

#[test]
fn a_users_env_file_fails_the_starts_of_its_program_only() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let hers = folder.path().join("hers");
    fs::create_dir(&hers).expect("a new folder");
    owned(&hers, 1);
    let env = hers.join("env");
    write_as(1, &env, "A=1\n");
    let yaml = "programs:\n  ok: {cmd: sleep 1000, starttime: 0}\n  hers: {cmd: 'sleep 1000', \
                user: 1, env_file: '@DIR@/hers/env', starttime: 0, startretries: 0}\n";
    support::write_config(folder.path(), yaml);
    let daemon = Daemon::start_in(folder, &[]);
    let pid = daemon.pid_of("hers:0");
    for text in ["not a line\n", &"a=\n".repeat(300_000), ""] {
        fs::write(&env, text).expect("we are root");
        if text.is_empty() {
            fs::remove_file(&env).expect("we are root");
        }
        let reload = daemon.tm(&["reload"]);
        assert_eq!(reload.code, 0, "{text:?}: {reload:?}");
        assert_eq!(daemon.pid_of("hers:0"), pid, "it is not restarted");
    }
    assert_eq!(daemon.tm(&["restart", "hers"]).code, 1);
    let row = daemon.status("hers:0");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(
        detail.starts_with("env_file: ") && detail.contains("hers/env: "),
        "{row}"
    );
    assert_eq!(daemon.status("ok:0")["state"], "RUNNING");
    // Once the file is right, a reload starts it again.
    write_as(1, &env, "A=2\n");
    assert_eq!(daemon.tm(&["reload"]).code, 0);
    daemon.wait_state("hers:0", "RUNNING");
}

#[test]
fn a_users_fifo_in_place_of_a_rotated_log_delays_nothing() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared();
    let hers = folder.path().join("hers");
    fs::create_dir(&hers).expect("a new folder");
    owned(&hers, 1);
    let attack = "for n in $(seq 100); do rm -f log.1 log.1.gz log.gz.tmp; \
                  mkfifo log.1 log.gz.tmp 2>/dev/null; seq 2000; done";
    fs::write(folder.path().join("attack"), attack).expect("a script");
    support_mode(&folder.path().join("attack"), 0o644);
    support::write_config(
        folder.path(),
        "programs:\n\
         \x20 hers: {cmd: 'sh @DIR@/attack', user: 1, workingdir: '@DIR@/hers', starttime: 0,\n\
         \x20   autorestart: never,\n\
         \x20   stdout: {file: '@DIR@/hers/log', max_size: 4096, keep: 2, compress: true}}\n\
         \x20 roots: {cmd: cat, stdin: pipe, starttime: 0, stdout: '@DIR@/log'}\n",
    );
    let mut daemon = Daemon::start_in(folder, &[]);
    daemon.wait_ended("hers:0");
    daemon.rpc("send", json!({"process": "roots:0", "text": "written\n"}));
    support::system::wait_for_text(&daemon.path("log"), "written\n");
    let size = fs::metadata(daemon.path("hers/log")).expect("a log").len();
    assert!(size <= 4 * 4096, "rotation is off: {size} bytes");
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
}
