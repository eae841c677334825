//! Verbs, the control shell and the checks of a config.

use super::home::{Home, Running, pid_of};
use crate::support::PATIENCE;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

#[test]
fn a_verb_that_changes_something_acts_on_no_other_projects_daemon() {
    let home = Home::new();
    let a = home.project("a", "");
    home.project("b", "");
    home.make("b/below");
    let usual = home.usual(&a);
    let _daemon = home.start("a", &usual);
    let pid = pid_of(&usual, "a");
    let changing: [&[&str]; 9] = [
        &["stop", "all"],
        &["restart", "a"],
        &["start", "a"],
        &["signal", "HUP", "a"],
        &["send", "a", "x"],
        &["reload"],
        &["scale", "a=2"],
        &["down"],
        &["attach", "a"],
    ];
    for (folder, refusal) in [
        (
            "b",
            "no daemon runs for ./taskmaster.yaml; start it: tm up\n",
        ),
        (
            "b/below",
            "no daemon runs for ../taskmaster.yaml; start it: tm up -c ../taskmaster.yaml\n",
        ),
    ] {
        for verb in changing {
            let output = home.tm(folder, verb);
            assert_eq!(output.code, 4, "{verb:?}: {output:?}");
            assert_eq!(output.stderr, format!("tm: {refusal}"), "{verb:?}");
        }
    }
    assert_eq!(pid_of(&usual, "a"), pid);
    let looking: [&[&str]; 5] = [
        &["status"],
        &["why", "a"],
        &["logs"],
        &["events"],
        &["reload", "--dry-run"],
    ];
    for verb in looking {
        let output = home.tm("b/below", verb);
        assert_eq!(output.code, 0, "{verb:?}: {output:?}");
        let said = format!(
            "tm: no daemon runs for ../taskmaster.yaml; using the daemon of '{}'\n",
            a.display()
        );
        assert_eq!(output.stderr, said, "{verb:?}");
    }
    // Outside all projects the only daemon is meant.
    assert_eq!(home.tm("", &["restart", "a"]).code, 0);
}

#[test]
fn a_project_without_any_daemon_is_named() {
    let home = Home::new();
    home.project("b", "");
    for verb in ["status", "down"] {
        let output = home.tm("b", &[verb]);
        assert_eq!(output.code, 4, "{output:?}");
        let wanted = "tm: no daemon runs for ./taskmaster.yaml; start it: tm up\n";
        assert_eq!(output.stderr, wanted);
    }
}

#[test]
fn a_switched_link_keeps_its_daemon_and_a_reload_reads_the_new_release() {
    let home = Home::new();
    home.make("releases");
    for release in ["releases/1", "releases/2"] {
        home.write(
            release,
            &format!(
                "programs: {{r{}: {{cmd: sleep 1000, starttime: 0}}}}\n",
                &release[9..]
            ),
        );
    }
    let current = home.path("current");
    symlink("releases/1", &current).expect("a link");
    let config = current.join("taskmaster.yaml");
    let usual = home.usual(&config);
    let named = ["-c", "current/taskmaster.yaml"];
    let up = home.tm("", &[&named[..], &["up", "-d"]].concat());
    assert_eq!(up.code, 0, "{up:?}");
    let daemon = Running::behind(&usual);
    fs::remove_file(&current).expect("it was there");
    symlink("releases/2", &current).expect("a link");
    let status = home.tm("", &[&named[..], &["status"]].concat());
    assert!(status.stdout.contains("r1:0"), "{status:?}");
    let up = home.tm("", &[&named[..], &["up", "-d"]].concat());
    let running = format!("already running (pid {})", daemon.pid());
    assert!(up.stderr.contains(&running), "{up:?}");
    let reload = home.tm("", &[&named[..], &["reload"]].concat());
    assert_eq!(reload.code, 0, "{reload:?}");
    // A reload does not wait until the old release has stopped.
    let began = Instant::now();
    loop {
        let status = home.tm("", &[&named[..], &["status"]].concat());
        assert!(status.stdout.contains("r2:0"), "{status:?}");
        if !status.stdout.contains("r1:0") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{status:?}");
    }
    // `cd current` keeps the link in $PWD.
    let inside = home.shell("", "cd current && exec tm status");
    assert!(inside.stdout.contains("r2:0"), "{inside:?}");
    // Another path to the same file leads to the same daemon.
    for line in [
        "exec tm up -d -c releases/2/taskmaster.yaml",
        "exec tmd -d -c releases/2/taskmaster.yaml",
        "exec tmd -d -c releases/2/taskmaster.yaml --socket other.sock",
    ] {
        let second = home.shell("", line);
        assert!(second.stderr.contains(&running), "{line}: {second:?}");
    }
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn a_daemon_with_an_explicit_socket_is_listed_and_alone_for_its_config() {
    let home = Home::new();
    let config = home.project("a", "");
    let socket = home.path("own.sock");
    let path = socket.display().to_string();
    assert_eq!(home.tmd("a", &["-d", "--socket", &path]).code, 0);
    let daemon = Running::behind(&socket);
    let listed = home.tm("", &["daemons"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(
        listed.stdout.contains(&config.display().to_string()),
        "{listed:?}"
    );
    assert!(home.tm("", &["status"]).stdout.contains("a:0"));
    let again = home.tmd("a", &["-d"]);
    assert_eq!(again.code, 1, "{again:?}");
    let running = format!("already running (pid {})", daemon.pid());
    assert!(again.stderr.contains(&running), "{again:?}");
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}
