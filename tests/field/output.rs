//! Logs, rotation and merged output.

use super::support::{
    self, Daemon, PATIENCE, folder, is_root, skip, system::FolderWatch, write_config,
};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Waits until the text of a file meets a condition. Returns the text.
fn wait_for_text(daemon: &Daemon, path: &Path, wanted: impl Fn(&str) -> bool) -> String {
    let folder = path.parent().expect("a file lies in a folder");
    let mut watch = FolderWatch::new(folder);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        if wanted(&text) {
            return text;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{text:?}\n{}", daemon.log());
        watch.wait(left);
    }
}

/// A program that writes numbered lines into `logs/log` without end.
fn steady_writer(settings: &str) -> Daemon {
    let folder = folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    let yaml = format!(
        "programs:\n  a:\n\
         \x20   cmd: 'i=0; while :; do i=$((i+1)); echo \"line $i\"; sleep 0.02; done'\n\
         \x20   shell: true\n    starttime: 0\n    stdout: {{file: '@DIR@/logs/log'{settings}}}\n"
    );
    write_config(folder.path(), &yaml);
    let daemon = Daemon::start_in(folder, &[]);
    daemon.wait_state("a:0", "RUNNING");
    daemon
}

/// Asserts that these are the lines `line 1`, `line 2` and so on.
fn assert_counts(text: &str) {
    let (whole, _) = text.rsplit_once('\n').expect("a line");
    for (index, line) in whole.lines().enumerate() {
        assert_eq!(line, format!("line {}", index + 1), "{text}");
    }
}

#[test]
fn a_log_that_was_removed_moved_or_replaced_is_created_again() {
    let daemon = steady_writer(", max_size: 100KB, keep: 2");
    let log = daemon.path("logs/log");
    let old = |turn: usize| daemon.path(&format!("old.{turn}"));
    for turn in 0..3 {
        wait_for_text(&daemon, &log, |text| text.lines().count() > 2);
        match turn {
            0 => {
                fs::hard_link(&log, old(turn)).expect("a second name");
                fs::remove_file(&log).expect("the log is there");
            }
            1 => fs::rename(&log, old(turn)).expect("the log is there"),
            _ => {
                fs::hard_link(&log, old(turn)).expect("a second name");
                fs::write(daemon.path("new"), "").expect("a file");
                fs::rename(daemon.path("new"), &log).expect("the log is replaced");
            }
        }
    }
    let last = wait_for_text(&daemon, &log, |text| text.lines().count() > 2);
    let before: String = (0..3)
        .map(|turn| fs::read_to_string(old(turn)).expect("a log"))
        .collect();
    assert_counts(&(before + &last));
}

#[test]
fn a_truncated_log_continues_at_its_new_end_and_counts_from_there() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: cat, stdin: pipe, starttime: 0,\n\
         \x20   stdout: {file: '@DIR@/log', max_size: 1000, keep: 2}}\n",
    );
    daemon.wait_state("a:0", "RUNNING");
    let log = daemon.path("log");
    let long = "x".repeat(899) + "\n";
    for _ in 0..3 {
        daemon.rpc("send", json!({"process": "a:0", "text": long}));
        wait_for_text(&daemon, &log, |text| text == long);
        fs::File::options()
            .write(true)
            .open(&log)
            .and_then(|file| file.set_len(0))
            .expect("the log is truncated");
    }
    assert!(!daemon.path("log.1").exists(), "an empty log was rotated");
}

/// Runs a flood of output into a log with these settings. Returns the most bytes that the files of
/// the log took together while it ran.
fn most_space_of_a_flood(settings: &str) -> (Daemon, u64) {
    let folder = folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    let yaml = format!(
        "programs:\n  a: {{cmd: '@BIN@/flood 300000000 100', starttime: 0, autorestart: never,\n\
         \x20   autostart: false, stdout: {{file: '@DIR@/logs/log', {settings}}}}}\n"
    );
    write_config(folder.path(), &yaml);
    let daemon = Daemon::start_in(folder, &[]);
    let logs = daemon.path("logs");
    let mut watch = FolderWatch::new(&logs);
    daemon.rpc("start", json!({"targets": ["a"], "wait": false}));
    let mut most = 0;
    while daemon.status("a:0")["state"] != "EXITED" {
        watch.wait(PATIENCE);
        let files = fs::read_dir(&logs).expect("a folder").flatten();
        // A file may be gone by now.
        let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        most = most.max(sizes.sum());
    }
    (daemon, most)
}

#[test]
fn a_flood_takes_no_more_space_than_its_log_may() {
    for settings in ["compress: false", "compress: true"] {
        let settings = format!("max_size: 1MB, keep: 3, {settings}");
        let (daemon, most) = most_space_of_a_flood(&settings);
        assert!(most <= 5 << 20, "{settings}: {most} bytes");
        assert!(most > 1 << 20, "{settings}: {most} bytes");
        drop(daemon);
    }
}

#[test]
fn output_without_newlines_is_split_between_files() {
    let mut daemon = Daemon::start(
        "programs:\n  a: {cmd: 'yes \"50%\" | tr \"\\n\" \"\\r\" | head -c 4000000', shell: true,\n\
         \x20   starttime: 0, autorestart: never, buffer: 64KiB,\n\
         \x20   stdout: {file: '@DIR@/log', max_size: 100KB, keep: 100}}\n",
    );
    daemon.wait_ended("a:0");
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
    let parts = (1..).map(|n| fs::read_to_string(daemon.path(&format!("log.{n}"))));
    let mut parts: Vec<String> = parts.map_while(Result::ok).collect();
    parts.reverse();
    parts.push(daemon.read("log"));
    let sizes: Vec<usize> = parts.iter().map(String::len).collect();
    assert!(sizes.iter().all(|size| *size <= 100 * 1024), "{sizes:?}");
    assert_eq!(parts.concat(), "50%\r".repeat(1_000_000));
}

#[test]
fn why_shows_the_tabs_of_the_last_output() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'printf \"\\tat com.example.Main\\n\"; exit 3', shell: true,\n\
         \x20   starttime: 0, autorestart: never}\n",
    );
    daemon.wait_state("a:0", "EXITED");
    let why = daemon.tm(&["why", "a"]);
    assert!(
        why.stdout.contains("\tat com.example.Main"),
        "{}",
        why.stdout
    );
}

#[test]
fn events_that_a_slow_reader_misses_are_counted() {
    let daemon = Daemon::start("programs:\n  a: {cmd: sleep 1000, starttime: 0}\n");
    daemon.wait_state("a:0", "RUNNING");
    let mut slow = daemon.control();
    slow.call("events", json!({"follow": true}))
        .expect("it follows");
    let mut control = daemon.control();
    // Each failure is an event with the error, which names the long key.
    let mut sent = 0;
    while sent < 3000 {
        let key = "x".repeat(900);
        let yaml = format!("programs: {{a: {{cmd: sleep 1000, {key}: {sent}}}}}");
        write_config(daemon.dir(), &yaml);
        control
            .call("reload", json!({}))
            .expect_err("a wrong config");
        sent += 1;
    }
    let (mut found, mut gaps) = (0, 0);
    while found < sent {
        let line = slow.read_line().expect("an event");
        let event = &line["params"];
        match event["event"].as_str() {
            Some("events_lost") => {
                found += event["count"].as_u64().expect("a count");
                gaps += 1;
            }
            _ => found += 1,
        }
    }
    assert_eq!(found, sent);
    assert!(gaps > 0, "the reader was fast enough");
}

/// A disk that can be frozen: then each write to it hangs.
struct FreezableDisk(PathBuf);

impl FreezableDisk {
    /// Makes one at `at`; `None` where the system cannot.
    fn mount(at: &Path) -> Option<FreezableDisk> {
        fs::create_dir(at).expect("a new folder");
        let image = at.with_extension("img");
        let file = fs::File::create(&image).expect("a file");
        file.set_len(16 << 20).expect("a size");
        let done = |command: &mut Command| command.output().is_ok_and(|out| out.status.success());
        let made = done(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let mounted = made
            && done(
                Command::new("mount")
                    .args(["-o", "loop"])
                    .arg(&image)
                    .arg(at),
            );
        mounted.then(|| FreezableDisk(at.to_path_buf()))
    }

    fn freeze(&self, on: bool) -> bool {
        let flag = if on { "--freeze" } else { "--unfreeze" };
        let status = Command::new("fsfreeze").arg(flag).arg(&self.0).output();
        status.is_ok_and(|out| out.status.success())
    }
}

impl Drop for FreezableDisk {
    fn drop(&mut self) {
        self.freeze(false);
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_stalled_disk_delays_the_logs_on_it_and_no_others() {
    if !is_root() {
        skip!("needs root to freeze a file system");
    }
    let folder = folder();
    let Some(disk) = FreezableDisk::mount(&folder.path().join("disk")) else {
        skip!("needs loop devices and mkfs.ext4");
    };
    write_config(
        folder.path(),
        "defaults: {cmd: cat, stdin: pipe, starttime: 0}\n\
         programs:\n\
         \x20 stalled: {stdout: '@DIR@/disk/log', pidfile: '@DIR@/disk/pid'}\n\
         \x20 healthy: {stdout: '@DIR@/log', pidfile: '@DIR@/pid'}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    let say = |name: &str, text: &str| {
        daemon.rpc("send", json!({"process": name, "text": text}));
    };
    for (name, log) in [("stalled:0", "disk/log"), ("healthy:0", "log")] {
        daemon.wait_state(name, "RUNNING");
        say(name, "before\n");
        wait_for_text(&daemon, &daemon.path(log), |text| text == "before\n");
    }
    assert!(disk.freeze(true), "it is frozen");
    say("stalled:0", "during\n");
    let mut expected = "before\n".to_string();
    for turn in 0..20 {
        let line = format!("line {turn}\n");
        say("healthy:0", &line);
        expected += &line;
        wait_for_text(&daemon, &daemon.path("log"), |text| text == expected);
    }
    // A stop and a start write to the healthy disk, too.
    let answer = daemon.rpc("restart", json!({"targets": ["healthy"]}));
    assert_eq!(daemon.status("healthy:0")["state"], "RUNNING", "{answer}");
    assert!(disk.freeze(false), "it is thawed");
    let log = daemon.path("disk/log");
    wait_for_text(&daemon, &log, |text| text == "before\nduring\n");
    drop(daemon);
    drop(disk);
}

#[test]
fn followers_get_the_last_output_before_the_daemon_ends() {
    // The shell ends right after its last words.
    let program = "{cmd: [sh, -c, 'trap \"echo bye; exit 0\" TERM; echo tick; \
        while :; do sleep 1 & wait; done'], starttime: 0}";
    for round in 0..10 {
        let mut daemon = Daemon::start(&format!("programs:\n  a: {program}\n"));
        let told = fs::File::create(daemon.path("told")).expect("a new file");
        let mut follower = support::command("tm", daemon.dir());
        follower.args(["logs", "-f"]).stdout(told);
        follower.env("TM_SOCKET", daemon.socket());
        let mut follower = follower.spawn().expect("tm can be started");
        wait_for_text(&daemon, &daemon.path("told"), |text| text.contains("tick"));
        assert_eq!(daemon.tm(&["down"]).code, 0);
        assert_eq!(support::wait_exit(&mut follower, PATIENCE), Some(0));
        daemon.wait_end();
        let told = daemon.read("told");
        assert!(told.ends_with("bye\n"), "round {round}: {told}");
    }
}

#[test]
fn a_start_says_that_it_is_not_logged_and_why_names_the_remedy() {
    let folder = folder();
    fs::create_dir(folder.path().join("logs")).expect("a new folder");
    write_config(
        folder.path(),
        "programs: {lg: {cmd: \"sh -c 'echo up; exec sleep 1000'\", starttime: 0, \
         stdout: '@DIR@/logs/log'}}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    wait_for_text(&daemon, &daemon.path("logs/log"), |text| text == "up\n");
    fs::remove_dir_all(daemon.path("logs")).expect("it is ours");
    daemon.signal(Signal::USR1);
    let logs = daemon.path("logs").display().to_string();
    let said = format!("), not logged: {logs}/log: log directory {logs} does not exist\n");
    for verb in ["restart", "start"] {
        let output = daemon.tm(&[verb, "lg"]);
        assert!(output.stdout.ends_with(&said), "{verb}: {output:?}");
    }
    let events = daemon.tm(&["events"]).stdout;
    assert!(events.contains("started  pid"), "{events}");
    assert!(events.contains(&said[3..]), "{events}");
    let output = daemon.tm(&["up", "-d"]);
    assert!(output.stdout.contains(&said[3..]), "{output:?}");
    let why = daemon.tm(&["why", "lg"]).stdout;
    assert!(why.contains(&format!("remedy   create {logs}\n")), "{why}");
    fs::create_dir(daemon.path("logs")).expect("a new folder");
    wait_for_text(&daemon, &daemon.path("logs/log"), |text| {
        text.contains("up")
    });
    let output = daemon.tm(&["restart", "lg"]);
    assert!(output.stdout.ends_with(")\n"), "{output:?}");
}
