//! The access of other users, and configs that others can write.

use super::support::system::wait_for_text;
use super::support::{self, Daemon};
use super::*;

#[test]
fn others_may_do_only_what_access_says() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "daemon: {socket_mode: 0666, access: {read: [daemon], control: ['@games']}}\n\
         programs:\n  a: {cmd: sleep 1000, starttime: 0}\n",
    );
    daemon.wait_state("a:0", "RUNNING");
    let nobody = (NOBODY, NOBODY);
    for arguments in [
        &["status"][..],
        &["logs", "a"],
        &["stop", "a"],
        &["shutdown"],
    ] {
        let output = as_user(&daemon, nobody, arguments);
        assert_eq!(output.code, 5, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains("uid 65534"), "{output:?}");
    }
    for arguments in [
        &["status"][..],
        &["why", "a:0"],
        &["logs", "a"],
        &["reload", "--dry-run"],
    ] {
        let output = as_user(&daemon, DAEMON, arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {output:?}");
    }
    let refused: [&[&str]; 6] = [
        &["stop", "a"],
        &["restart", "a"],
        &["signal", "HUP", "a"],
        &["send", "a:0", "x"],
        &["reload"],
        &["shutdown"],
    ];
    for arguments in refused {
        let output = as_user(&daemon, DAEMON, arguments);
        assert_eq!(output.code, 5, "{arguments:?}: {output:?}");
    }
    assert_eq!(daemon.status("a:0")["state"], "RUNNING");
    let output = as_user(&daemon, GAMES, &["stop", "a"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(daemon.status("a:0")["state"], "STOPPED");
    // The log follows the answers, in their order.
    assert_audited(&wait_for_text(&daemon.path("tmd.log"), ": stop {"));
}

/// Fails unless the log names the users, their requests and the refusals.
fn assert_audited(log: &str) {
    let line = |words: &[&str]| {
        let all = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().any(|each| all(&each))
    };
    assert!(line(&["WARN", "uid 65534 pid ", " denied"]), "{log}");
    assert!(line(&["uid 1 pid ", ": stop denied"]), "{log}");
    assert!(line(&["uid 5 pid ", ": stop {", "\"a\""]), "{log}");
    assert!(!line(&["uid 1 pid ", ": stop {"]), "{log}");
}

#[test]
fn without_access_others_do_not_even_reach_the_socket() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start("programs:\n  a: {cmd: sleep 1000, starttime: 0}\n");
    assert_eq!(mode(&daemon.socket()), 0o600);
    let output = as_user(&daemon, (NOBODY, NOBODY), &["status"]);
    assert_eq!(output.code, 5, "{output:?}");
}

#[test]
fn the_socket_gets_the_mode_and_the_group_it_is_given() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "daemon: {socket_mode: 0660, socket_group: games}\nprograms:\n  a: {cmd: sleep 1000}\n",
    );
    let metadata = fs::metadata(daemon.socket()).expect("a socket");
    assert_eq!((metadata.uid(), metadata.gid()), (0, GAMES.1));
    assert_eq!(mode(&daemon.socket()), 0o660);
    // Access to the socket alone is not enough.
    let output = as_user(&daemon, GAMES, &["status"]);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stderr.contains("daemon.access"), "{output:?}");
}

#[test]
fn root_takes_no_config_that_others_can_write() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared_folder();
    let config = support::write_config(folder.path(), "programs:\n  a: {cmd: sleep 1000}\n");
    for mode in [0o664, 0o646] {
        set_mode(&config, mode);
        let mut tmd = support::command("tmd", folder.path());
        tmd.arg("-c").arg(&config);
        let output = support::run(tmd);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(
            output.stderr.contains("others can write this file"),
            "{output:?}"
        );
    }
    set_mode(&config, 0o644);
    let daemon = Daemon::start_in(folder, &[]);
    set_mode(&config, 0o666);
    let error = daemon.rpc_error("reload", json!({}));
    assert!(
        error.to_string().contains("others can write this file"),
        "{error}"
    );
}
