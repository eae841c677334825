//! The words of verbs, their exit codes, and the control shell.

use super::support::{self, Daemon, Terminal, is_root, skip};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PROGRAMS: &str = "programs:
  web: {cmd: sleep 1000, starttime: 0, numprocs: 2}
  job: {cmd: 'true', starttime: 0, autorestart: never}
  off: {cmd: sleep 1000, autostart: false}
";

fn daemon() -> Daemon {
    let daemon = Daemon::start(PROGRAMS);
    daemon.wait_ended("job:0");
    daemon
}

#[test]
fn status_fails_only_for_what_is_wanted_up_unless_it_is_named() {
    let daemon = daemon();
    assert_eq!(daemon.tm(&["wait", "web"]).code, 0);
    for (arguments, code) in [
        (&["status"][..], 0),
        (&["status", "web"], 0),
        (&["status", "job"], 3),
        (&["status", "off"], 3),
        (&["status", "all"], 3),
        (&["status", "--json"], 0),
    ] {
        let output = daemon.tm(arguments);
        assert_eq!(output.code, code, "{arguments:?}: {output:?}");
    }
    assert_eq!(daemon.status("job")["expected"], true);
    daemon.reload_with("programs: {bad: {cmd: 'false', startretries: 0}}\n");
    daemon.wait_state("bad:0", "FATAL");
    assert_eq!(daemon.tm(&["status"]).code, 3);
}

#[test]
fn a_start_or_restart_names_a_config_that_is_not_loaded() {
    let daemon = daemon();
    let hint = "the config file differs from what runs; apply it with: tm reload";
    let output = daemon.tm(&["restart", "web"]);
    assert!(!output.stderr.contains(hint), "{output:?}");
    support::write_config(daemon.dir(), &PROGRAMS.replace("sleep 1000", "sleep 999"));
    for verb in ["restart", "start"] {
        let output = daemon.tm(&[verb, "web"]);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stderr.contains(hint), "{verb}: {output:?}");
    }
    assert!(!daemon.tm(&["-q", "restart", "web"]).stderr.contains(hint));
}

#[test]
fn a_start_after_a_scale_advises_no_reload() {
    let daemon = daemon();
    assert_eq!(daemon.tm(&["scale", "web=3"]).code, 0);
    let output = daemon.tm(&["restart", "web"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    support::write_config(daemon.dir(), &PROGRAMS.replace("sleep 1000", "sleep 999"));
    let hint = "apply it with: tm reload; that undoes the scale of web\n";
    let output = daemon.tm(&["start", "web"]);
    assert!(output.stderr.contains(hint), "{output:?}");
    assert_eq!(daemon.tm(&["reload"]).code, 0);
    let output = daemon.tm(&["start", "web"]);
    assert!(!output.stderr.contains("reload"), "{output:?}");
}

#[test]
fn a_process_that_has_closed_its_input_is_named_as_such() {
    let daemon = Daemon::start(
        "programs:\n  deaf: {cmd: [sh, -c, 'exec <&-; echo up >@DIR@/up; exec sleep 1000'], \
         starttime: 0, stdin: pipe}\n  null: {cmd: sleep 1000, starttime: 0}\n",
    );
    support::wait_for_line(&daemon.path("up"));
    let said = "deaf:0 has closed its input";
    let mut output = daemon.tm(&["send", "deaf", "x"]);
    // The first bytes may reach the pipe before it is known to be closed.
    while output.code == 0 {
        output = daemon.tm(&["send", "deaf", "x"]);
    }
    assert!(output.stderr.contains(said), "{output:?}");
    let output = daemon.tm(&["send", "null", "x"]);
    assert!(
        output.stderr.contains("set tty: true or stdin: pipe"),
        "{output:?}"
    );
}

#[test]
fn a_mistake_in_one_scale_changes_nothing() {
    let daemon = daemon();
    let output = daemon.tm(&["scale", "web=3", "nope=3"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(output.stdout, "");
    assert!(
        output.stderr.contains("no such program: nope"),
        "{output:?}"
    );
    assert_eq!(
        daemon.rpc("status", json!({"targets": ["web"]}))["processes"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[test]
fn options_of_send_may_follow_the_text() {
    let daemon = Daemon::start(
        "programs: {cat: {cmd: cat, stdin: pipe, starttime: 0, stdout: '@DIR@/out'}}\n",
    );
    let config = daemon.path("taskmaster.yaml").display().to_string();
    let output = daemon.tm(&["send", "cat", "a", "b", "-c", &config]);
    assert_eq!(output.code, 0, "{output:?}");
    let output = daemon.tm(&["send", "cat", "-n", "--", "-x", "-n"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(daemon.tm(&["send", "cat", "end"]).code, 0);
    let text = support::system::wait_for_text(&daemon.path("out"), "end");
    assert_eq!(text, "a b\n-x -nend\n");
}

#[test]
fn mistakes_get_a_clear_answer() {
    let daemon = daemon();
    let file = daemon.path("taskmaster.yaml").display().to_string();
    for (arguments, code, wanted) in [
        (
            &["stop", "nope"][..],
            1,
            "no such process: nope; tm status lists them",
        ),
        (
            &["stop", "web:7"],
            1,
            "no such process: web:7; web has web:0 to web:1",
        ),
        (
            &["signal", "web", "HUP"],
            2,
            "the signal comes first: tm signal HUP web",
        ),
        (&["logs", "web", "-5"], 2, "for the last N lines write -n N"),
        (
            &["logs", "--tail", "3"],
            2,
            "for the last N lines write -n N",
        ),
        (
            &["up", "nope.yaml"],
            1,
            "there is no config file 'nope.yaml'; check its path",
        ),
        (&["why", "web:0", "console"], 2, "why takes one process"),
        (&["help", "foo"], 2, "there is no verb 'foo'"),
        (
            &["completions", "ksh"],
            2,
            "there are no completions for 'ksh'",
        ),
        (
            &["--socket", &file, "status"],
            4,
            "not a socket; to name the config of a daemon: -c",
        ),
    ] {
        let output = daemon.tm(arguments);
        assert_eq!(output.code, code, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(wanted), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_start_of_a_program_that_is_removed_says_so() {
    let daemon = Daemon::start(
        "programs:\n  slow: {cmd: sleep 1000, starttime: 1h, autostart: false}\n  \
         a: {cmd: sleep 1000}\n",
    );
    let mut waiting = daemon.control();
    let mut events = daemon.events();
    let start = std::thread::spawn(move || waiting.call("start", json!({"targets": ["slow"]})));
    events.wait_for("slow:0", "STARTING");
    daemon.reload_with("programs: {a: {cmd: sleep 1000}}\n");
    let reply = start.join().expect("it ends").expect("an answer");
    assert_eq!(reply["processes"][0]["message"], "removed from the config");
    assert_eq!(reply["processes"][0]["ok"], false);
}

#[test]
fn the_shell_runs_each_line_of_a_paste() {
    let _alone = alone();
    let daemon = daemon();
    let mut terminal = daemon.terminal(&["tm"], 24, 80);
    terminal.expect("tm> ");
    terminal.send("\x1b[200~stop web:0\rstop web:1\rstatus off\x1b[201~\r");
    terminal.expect("web:0: stopped by request");
    terminal.expect("web:1: stopped by request");
    terminal.expect("off:0");
    terminal.send("quit now\r");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn the_shell_takes_tm_and_names_operators() {
    let daemon = daemon();
    let output = daemon.tm_with_input(&[], "tm status off\nstatus; stop all\nlogs | cat\nstop\n");
    assert!(output.stdout.contains("off:0"), "{output:?}");
    let refused = |c: char| format!("tm: '{c}' is not supported here; type one verb on each line");
    for operator in [';', '|'] {
        assert!(output.stderr.contains(&refused(operator)), "{output:?}");
    }
    assert!(output.stderr.contains("Usage: stop "), "{output:?}");
    assert_eq!(daemon.status("web:0")["state"], "RUNNING");
}

#[test]
fn a_shell_that_ends_the_daemon_reports_no_lost_connection() {
    let _alone = alone();
    let mut daemon = daemon();
    let mut terminal = daemon.terminal(&["tm"], 24, 80);
    terminal.expect("tm> ");
    terminal.send("down\r");
    terminal.expect("the daemon has ended");
    assert_eq!(terminal.wait_end(), 0);
    assert!(
        !raw(&terminal).contains("lost the connection"),
        "{}",
        raw(&terminal)
    );
    daemon.wait_end();
}

#[test]
fn a_watch_ends_with_its_reader() {
    let daemon = daemon();
    let line = "tm --json status --watch | head -n 1 >first; echo ended >>first";
    let mut shell = support::command("bash", daemon.dir());
    shell.args(["-c", line]).env("TM_SOCKET", daemon.socket());
    let output = support::run(shell);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(daemon.read("first").ends_with("ended\n"));
}

#[test]
fn lines_fit_a_narrow_terminal() {
    let name = "a-program-with-a-very-long-name-that-does-not-fit";
    let daemon = Daemon::start(&format!(
        "programs:\n  {name}: {{cmd: \"sh -c 'exit 3'\", startretries: 0}}\n"
    ));
    daemon.wait_state(&format!("{name}:0"), "FATAL");
    for arguments in [
        &["tm", "status"][..],
        &["tm", "events"],
        &["tm", "start", "all"],
    ] {
        let mut terminal = daemon.terminal(arguments, 24, 40);
        let code = terminal.wait_end();
        assert!([0, 1, 3].contains(&code), "{arguments:?}: {code}");
        let text = raw(&terminal);
        assert!(text.contains("gave up"), "{arguments:?}: {text}");
        // A name is not broken.
        let most = if arguments[1] == "status" {
            40
        } else {
            name.len() + 4
        };
        let wide = text.lines().find(|line| width(line) > most);
        assert_eq!(wide, None, "{arguments:?}");
    }
}

/// As root, all shells on a terminal share one history.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn raw(terminal: &Terminal) -> String {
    String::from_utf8_lossy(terminal.raw()).into_owned()
}

/// The columns of a line, colours left out.
fn width(line: &str) -> usize {
    let mut rest = line.trim_end();
    let mut width = 0;
    while let Some((before, after)) = rest.split_once('\x1b') {
        width += before.chars().count();
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    width + rest.chars().count()
}

#[test]
fn the_detach_keys_leave_a_console_without_a_terminal() {
    let daemon = Daemon::start(
        "programs: {cat: {cmd: cat, stdin: pipe, starttime: 0, stdout: '@DIR@/out'}}\n",
    );
    daemon.wait_state("cat:0", "RUNNING");
    for keys in [
        &["\x01d"][..],
        &["\x01", "d"],
        &["one\r\x01x two\r\x01", "d"],
    ] {
        let mut terminal = daemon.terminal(&["tm", "attach", "cat"], 24, 80);
        terminal.expect("ctrl-c detaches");
        for key in keys {
            terminal.send(key);
            terminal.expect("^A");
        }
        terminal.expect("[detached from cat:0");
        assert_eq!(terminal.wait_end(), 0);
    }
    let text = support::system::wait_for_text(&daemon.path("out"), "two");
    assert!(text.starts_with("one\n"), "{text:?}");
}

#[test]
fn a_start_on_a_terminal_names_what_it_waits_for() {
    let daemon = Daemon::start(
        "programs: {slow: {cmd: sleep 1000, starttime: 1h, autostart: false, numprocs: 2}}\n",
    );
    let mut terminal = daemon.terminal(&["tm", "start", "all"], 24, 80);
    terminal.expect("waiting for 2: slow:0 slow:1");
    assert_eq!(daemon.tm(&["stop", "slow:0"]).code, 0);
    terminal.expect("waiting for 1: slow:1");
    assert_eq!(daemon.tm(&["stop", "slow:1"]).code, 0);
    assert_eq!(terminal.wait_end(), 1);
    assert!(
        !terminal.contents().contains("waiting for"),
        "{}",
        terminal.contents()
    );
}

#[test]
fn a_directory_of_path_that_cannot_be_searched_is_named() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = support::folder();
    fs::create_dir(folder.path().join("secret")).expect("a new folder");
    support::write_config(
        folder.path(),
        "programs:\n  a: {cmd: tool, user: games, workingdir: /, startretries: 0, \
         env: {PATH: '@DIR@/secret:/usr/bin'}}\n",
    );
    let secret = folder.path().join("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let daemon = Daemon::start_in(folder, &[]);
    daemon.wait_state("a:0", "FATAL");
    let why = daemon.tm(&["why", "a"]).stdout;
    let said = format!(
        "exec tool: Permission denied: {}, which is in PATH",
        secret.display()
    );
    assert!(why.contains(&said), "{why}");
    assert!(
        why.contains("take it out of PATH, then: tm start a:0"),
        "{why}"
    );
}

#[test]
fn a_follower_says_that_the_daemon_was_shut_down() {
    for verb in [&["status", "-w"][..], &["logs", "-f"]] {
        let mut daemon = daemon();
        let mut terminal = daemon.terminal(&[&["tm"], verb].concat(), 24, 80);
        match verb[0] {
            "status" => terminal.expect("q quits"),
            // It follows once it shows output that came later.
            _ => {
                daemon.reload_with("programs: {new: {cmd: sh -c 'echo new; sleep 1000'}}\n");
                terminal.expect("new");
            }
        }
        assert_eq!(daemon.tm(&["down"]).code, 0);
        terminal.expect("the daemon was shut down");
        assert_eq!(terminal.wait_end(), 0, "{verb:?}");
        daemon.wait_end();
    }
}

#[test]
fn a_detach_says_that_another_client_is_left() {
    let daemon = Daemon::start("programs: {edit: {cmd: cat, tty: true, starttime: 0}}\n");
    daemon.wait_state("edit:0", "RUNNING");
    let mut consoles = [0, 1].map(|_| daemon.terminal(&["tm", "attach", "edit"], 24, 80));
    consoles.iter_mut().for_each(|one| one.expect("detaches"));
    let output = daemon.tm(&["detach", "edit"]);
    let said = "1 client was detached from edit:0\n1 more is attached; --all detaches it too\n";
    assert_eq!(output.stdout, said);
    let output = daemon.tm(&["detach", "--all", "edit"]);
    assert_eq!(output.stdout, "1 client was detached from edit:0\n");
    consoles.iter_mut().for_each(|one| _ = one.wait_end());
}

#[test]
fn messages_break_at_words_on_a_narrow_terminal() {
    let daemon = Daemon::start(
        "programs: {edit: {cmd: cat, tty: {rows: 40, cols: 120, size: fixed}, starttime: 0}}\n",
    );
    daemon.wait_state("edit:0", "RUNNING");
    let faulty = "programs: {a: {cmd: cd /srv}, b: {cmd: echo a | cat}}\n";
    fs::write(daemon.path("faulty.yaml"), faulty).expect("a config");
    for arguments in [&["tm", "doctor"][..], &["tm", "check", "faulty.yaml"]] {
        let mut terminal = daemon.terminal(arguments, 24, 60);
        terminal.wait_end();
        let text = raw(&terminal);
        // A path has no place to break at.
        let breaks = |line: &&str| line.split(' ').all(|word| width(word) < 40);
        let wide = text.lines().filter(breaks).find(|line| width(line) > 60);
        assert!(wide.is_none() && !text.is_empty(), "{text}");
    }
    let mut console = daemon.terminal(&["tm", "attach", "edit"], 24, 60);
    console.expect("[120x40, larger than yours — ctrl-a d detaches]");
    console.send("\x01?");
    console.expect("press space to continue");
    let shown = console.contents();
    assert!(shown.contains("its terminal is 120x40"), "{shown}");
    // A row that continues in the next one is one line here.
    let broken = shown.lines().find(|line| line.chars().count() > 60);
    assert_eq!(broken, None, "{shown}");
    console.send(" ");
    console.send("\x01d");
    console.wait_end();
}

#[test]
fn a_dry_run_of_an_invalid_config_says_nothing_of_changes() {
    let daemon = daemon();
    support::write_config(daemon.dir(), "programs: {a: {}}\n");
    let output = daemon.tm(&["reload", "--dry-run"]);
    assert!(
        output.stderr.contains("the config has 1 error\n"),
        "{output:?}"
    );
    let output = daemon.tm(&["reload"]);
    let said = "the config has 1 error; nothing was changed\n";
    assert!(output.stderr.contains(said), "{output:?}");
}

#[test]
fn a_config_of_programs_without_processes_is_not_called_empty() {
    let daemon = Daemon::start("programs:\n  a: {cmd: sleep 1000, numprocs: 0}\n");
    let output = daemon.tm(&["status"]);
    assert!(
        output.stderr.contains("or only with numprocs: 0"),
        "{output:?}"
    );
}

#[test]
fn logs_ends_when_a_reload_removes_what_it_follows() {
    let slow = "  slow: {cmd: [sh, -c, 'trap \"echo bye; exit\" TERM; echo up; \
                while :; do sleep 0.1; done'], starttime: 0}\n";
    let kept = "programs:\n  kept: {cmd: sleep 1000, starttime: 0}\n";
    let daemon = Daemon::start(&format!("{kept}{slow}"));
    let mut ends = daemon.terminal(&["tm", "logs", "-f", "slow"], 24, 80);
    let mut stays = daemon.terminal(&["tm", "logs", "-f", "slow", "kep*"], 24, 80);
    for terminal in [&mut ends, &mut stays] {
        terminal.expect("up");
    }
    daemon.reload_with(kept);
    for terminal in [&mut ends, &mut stays] {
        terminal.expect("bye");
        terminal.expect("[slow:0 was removed]");
    }
    assert_eq!(ends.wait_end(), 0);
    assert!(
        !ends.contents().contains("shut down"),
        "{}",
        ends.contents()
    );
    // A pattern may match what a later reload adds.
    daemon.reload_with(&format!(
        "{kept}  kept2: {{cmd: [sh, -c, 'echo new; exec sleep 1000']}}\n"
    ));
    stays.expect("new");
    stays.send("\x03");
    assert_eq!(stays.wait_end(), 0);
}
