//! `up -d` watches each start until it has its outcome, and starts again only what failed.

use super::home::Home;
use super::up::{begin_up, down, next_line, outcome_of};
use std::fs;

#[test]
fn up_d_watches_failing_starts_for_ten_seconds() {
    let home = Home::new();
    home.write(
        "p",
        "programs: {flaky: {cmd: 'false', startretries: 100}}\n",
    );
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.ends_with("0 up, 1 retrying\n"), "{output:?}");
    assert!(output.stderr.contains("tm why flaky:0"), "{output:?}");
    down(&home);
}

#[test]
fn up_d_returns_when_every_process_has_its_outcome() {
    let home = Home::new();
    home.write(
        "p",
        "programs:
  bad: {cmd: 'false', startretries: 0}
  slow: {cmd: sleep 1000, starttime: 1500ms}
  job: {cmd: 'true', starttime: 0, autorestart: never}
",
    );
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("✓ slow:0  RUNNING"), "{output:?}");
    assert!(output.stdout.contains("✗ bad:0   FATAL"), "{output:?}");
    assert!(output.stdout.contains("1 failed"), "{output:?}");
    down(&home);
}

#[test]
fn up_d_starts_what_failed_but_nothing_that_was_stopped_or_is_done() {
    let home = Home::new();
    home.write(
        "p",
        "programs:
  web: {cmd: sleep 1000, starttime: 0}
  job: {cmd: \"sh -c 'echo x >>job.runs'\", starttime: 0, autorestart: never}
  bad: {cmd: \"sh -c 'echo x >>bad.runs; exit 1'\", startretries: 0}
  off: {cmd: sleep 1000, autostart: false}
",
    );
    let runs = |name: &str| {
        let text = fs::read_to_string(home.path("p").join(name)).unwrap_or_default();
        text.lines().count()
    };
    assert_eq!(home.tm("p", &["up", "-d"]).code, 1);
    assert_eq!(home.tm("p", &["wait", "job", "--for", "exited"]).code, 0);
    assert_eq!(home.tm("p", &["stop", "web"]).code, 0);
    let output = home.tm("p", &["up", "-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    let said = "not started, since they were stopped or are done: web:0, job:0; to start them: \
                tm up -d --all";
    assert!(output.stderr.contains(said), "{output:?}");
    assert_eq!((runs("job.runs"), runs("bad.runs")), (1, 2));
    assert!(
        output.stdout.ends_with("0 up, 1 done, 1 failed\n"),
        "{output:?}"
    );
    let output = home.tm("p", &["up", "-d", "--all"]);
    assert!(output.stdout.contains("✓ web:0  RUNNING"), "{output:?}");
    home.tm("p", &["wait", "job", "--for", "exited"]);
    assert_eq!((runs("job.runs"), runs("bad.runs")), (2, 3));
    let status = home.tm("p", &["status", "off"]);
    assert!(status.stdout.contains("STOPPED"), "{status:?}");
    down(&home);
}

#[test]
fn up_d_fails_when_others_stop_what_it_starts() {
    let home = Home::new();
    let config = home.write(
        "p",
        "programs:\n  quick: {cmd: sleep 1000, starttime: 0}\n  \
         slow: {cmd: sleep 1000, starttime: 1h}\n",
    );
    let usual = home.usual(&config);
    let daemon = home.start("p", &usual);
    for (verb, said) in [
        (
            &["stop", "slow"][..],
            "slow:0   STOPPED  stopped by request",
        ),
        (&["down"][..], "the daemon was shut down"),
    ] {
        assert_eq!(home.tm("p", &["start", "--no-wait", "slow"]).code, 0);
        let mut client = begin_up(&home);
        // It follows the events by now.
        let line = next_line(client.stdout.as_mut().expect("it is piped"));
        assert!(line.contains("quick:0"), "{line}");
        assert_eq!(home.tm("p", verb).code, 0);
        let (code, text) = outcome_of(client);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(said), "{text}");
    }
    daemon.end();
}
