//! The daemon that a command finds.

use super::home::{Home, Running, pid_of};
use super::support::kill;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;

const AT_B: &str = "daemon: {socket: b.sock}";

#[test]
fn an_error_in_the_config_leads_to_no_other_project() {
    let home = Home::new();
    let a = home.project("a", "");
    let b = home.project("b", AT_B);
    let usual = home.usual(&a);
    let _a = home.start("a", &usual);
    let _b = home.start("b", &home.path("b/b.sock"));
    home.write("b", "daemon: {socket: b.sock}\nprogramms: {}\n");
    let pid = pid_of(&usual, "a");
    let config = b.display().to_string();
    for arguments in [&["status"][..], &["-c", &config, "status"]] {
        let output = home.tm("b", arguments);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.contains("b:0"), "{output:?}");
    }
    let output = home.tm("b", &["stop", "all"]);
    assert_eq!(output.stdout, "b:0: stopped by request\n", "{output:?}");
    let output = home.tm("b", &["reload"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("programms"), "{output:?}");
    assert_eq!(pid_of(&usual, "a"), pid);
}

#[test]
fn commands_to_copy_name_the_daemon_of_another_project() {
    let home = Home::new();
    let a = home.project("a", "");
    home.project("b", "");
    let _daemon = home.start("a", &home.usual(&a));
    assert_eq!(home.tm("a", &["stop", "a"]).code, 0);
    let output = home.tm("b", &["why", "a"]);
    let remedy = format!("tm -c {} start a:0", a.display());
    assert!(output.stdout.contains(&remedy), "{output:?}");
    // The control shell does not start a second daemon by the way.
    let mut shell = home.command("tm", "b");
    shell.env("TERM", "dumb");
    let output = super::support::run_with_input(shell, "status\nup -d\n");
    let refusal = "to start that of this folder, name its config: up -c ./taskmaster.yaml";
    assert!(output.stderr.contains(refusal), "{output:?}");
    assert_eq!(output.code, 4, "{output:?}");
}

#[test]
fn up_names_a_config_outside_of_its_folder() {
    let home = Home::new();
    home.project("p", "");
    home.make("p/below");
    home.make(".config");
    let yaml = "programs: {usual: {cmd: sleep 1000, starttime: 0}}\n";
    let usual = home.write(".config/taskmaster", yaml);
    let mut up = home.command("tm", "p/below");
    up.args(["up", "-d"]);
    let output = super::support::run(up);
    assert_eq!(output.code, 0, "{output:?}");
    let named = format!(
        "using the config '{}'; to use '../taskmaster.yaml': tm up -c ../taskmaster.yaml\n",
        usual.display()
    );
    assert!(output.stderr.contains(&named), "{output:?}");
    let output = home.tm("p", &["up", "-d"]);
    assert!(!output.stderr.contains("using the config"), "{output:?}");
    let output = home.tm("", &["status"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(
        output.stderr.contains("; tm up here uses it)"),
        "{output:?}"
    );
    for config in ["p/taskmaster.yaml", ".config/taskmaster/taskmaster.yaml"] {
        let output = home.tm("", &["-c", config, "down"]);
        assert_eq!(output.code, 0, "{output:?}");
    }
}

#[test]
fn a_daemon_that_is_not_the_projects_own_is_named_and_never_ended() {
    let home = Home::new();
    let a = home.project("a", "");
    home.project("b", "");
    let usual = home.usual(&a);
    let daemon = home.start("a", &usual);
    let pid = pid_of(&usual, "a");
    for verb in ["shutdown", "down"] {
        let output = home.tm("b", &[verb]);
        assert_eq!(output.code, 4, "{verb}: {output:?}");
        let refusal = "no daemon runs for ./taskmaster.yaml; start it: tm up";
        assert!(output.stderr.contains(refusal), "{output:?}");
    }
    // In the control shell too.
    let mut shell = home.command("tm", "b");
    shell.env("TERM", "dumb");
    let output = super::support::run_with_input(shell, "status\nshutdown\nstatus\n");
    assert!(output.stdout.contains("a:0"), "{output:?}");
    assert_eq!(pid_of(&usual, "a"), pid);
    let others: [&[&str]; 3] = [&["status"], &["reload", "--dry-run"], &["why", "a"]];
    for verb in others {
        let output = home.tm("b", verb);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stderr.contains("no daemon runs for"), "{output:?}");
    }
    // Outside all projects, the only daemon is meant.
    let output = home.tm("", &["restart", "a"]);
    assert_eq!(output.code, 0, "{output:?}");
    daemon.end();
}

#[test]
fn a_socket_that_came_later_makes_no_second_daemon() {
    let home = Home::new();
    for (before, after) in [("", "daemon: {socket: x.sock}"), (AT_B, "")] {
        let config = home.project("a", before);
        let listens = match before {
            "" => home.usual(&config),
            _ => home.path("a/b.sock"),
        };
        let daemon = home.start("a", &listens);
        home.project("a", after);
        let output = home.tmd("a", &["-d"]);
        assert_eq!(output.code, 1, "{output:?}");
        let running = format!(
            "{}: already running (pid {})",
            config.display(),
            daemon.pid()
        );
        assert!(output.stderr.contains(&running), "{output:?}");
        let config = config.display().to_string();
        for verb in ["reload", "status"] {
            assert_eq!(home.tm("", &["-c", &config, verb]).code, 0, "{verb}");
            assert_eq!(home.tm("a", &[verb]).code, 0, "{verb}");
        }
        let output = home.tm("a", &["up", "-d"]);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stderr.contains("already running"), "{output:?}");
        daemon.end();
    }
}

#[test]
fn a_daemon_with_its_own_socket_is_listed_and_may_be_the_only_one() {
    let home = Home::new();
    let config = home.project("b", AT_B);
    let socket = home.path("b/b.sock");
    let daemon = home.start("b", &socket);
    let output = home.tm("", &["daemons", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let listed = answer["daemons"].as_array().expect("a list");
    assert_eq!(listed.len(), 1, "{answer}");
    assert_eq!(listed[0]["config"], config.display().to_string());
    assert_eq!(listed[0]["socket"], socket.display().to_string());
    let output = home.tm("", &["status"]);
    assert_eq!(output.code, 0, "{output:?}");
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn leftovers_of_a_killed_daemon_mislead_no_client() {
    let home = Home::new();
    let config = home.project("b", AT_B);
    let socket = home.path("b/b.sock");
    let daemon = home.start("b", &socket);
    let program = pid_of(&socket, "b").as_i64().expect("it runs") as i32;
    kill(daemon.pid(), Signal::KILL);
    daemon.end();
    let output = home.tm("b", &["status"]);
    assert_eq!(output.code, 4, "{output:?}");
    kill(program, Signal::KILL);
    // Another one takes the socket that the link still leads to.
    home.write(
        "a",
        "daemon: {socket: ../b/b.sock}\nprograms: {a: {cmd: sleep 1000, starttime: 0}}\n",
    );
    let other = home.start("a", &socket);
    let output = home.tm("b", &["stop", "all"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("not to"), "{output:?}");
    other.end();
    // The usual place is free for the next daemon, with or without its own socket.
    home.project("b", "");
    home.start("b", &home.usual(&config)).end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn a_removed_link_is_back_after_a_signal() {
    let home = Home::new();
    let config = home.project("b", AT_B);
    let socket = home.path("b/b.sock");
    let daemon = home.start("b", &socket);
    let usual = home.usual(&config);
    for signal in [Signal::USR1, Signal::HUP] {
        fs::remove_file(&usual).expect("it was there");
        fs::remove_file(&socket).expect("it was there");
        let output = home.tm("b", &["status"]);
        assert_eq!(output.code, 4, "{output:?}");
        let advice = format!("recreate it: kill -USR1 {}", daemon.pid());
        assert!(output.stderr.contains(&advice), "{output:?}");
        let mut watch = super::support::system::FolderWatch::new(&home.path("run/tmd"));
        kill(daemon.pid(), signal);
        while !usual.exists() {
            watch.wait(super::support::PATIENCE);
        }
        assert_eq!(fs::read_link(&usual).expect("a link"), socket);
    }
    // The daemon is found at its usual place again.
    assert_eq!(home.tm("b", &["status"]).code, 0);
}

#[test]
fn a_socket_belongs_to_one_config() {
    let home = Home::new();
    let socket = home.path("both.sock");
    let settings = format!("daemon: {{socket: '{}'}}", socket.display());
    let m1 = home.project("m1", &settings);
    let m2 = home.project("m2", &settings);
    let daemon = home.start("m1", &socket);
    let pid = pid_of(&socket, "m1");
    let output = home.tmd("m2", &["-d"]);
    assert_eq!(output.code, 1, "{output:?}");
    let expected = format!(
        "{}: used by another daemon (pid {}); choose another daemon.socket",
        socket.display(),
        daemon.pid()
    );
    assert!(output.stderr.contains(&expected), "{output:?}");
    let refusal = format!(
        "the daemon at '{}' belongs to '{}', not to '{}'",
        socket.display(),
        m1.display(),
        m2.display()
    );
    let config = m2.display().to_string();
    let at_socket = socket.display().to_string();
    let misled: [&[&str]; 5] = [
        &["up", "-d"],
        &["-c", &config, "up", "-d"],
        &["-c", &config, "down"],
        &["--socket", &at_socket, "up", "-d"],
        &["stop", "all"],
    ];
    for arguments in misled {
        let output = home.tm("m2", arguments);
        assert_eq!(output.code, 1, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(&refusal), "{output:?}");
        assert_eq!(pid_of(&socket, "m1"), pid, "{arguments:?}");
    }
    // The lock does not show which config's daemon has the socket.
    let output = home.tmd("m2", &["-d", "--socket", &at_socket]);
    let expected = format!(
        "--socket {at_socket}: already running (pid {})",
        daemon.pid()
    );
    assert!(output.stderr.contains(&expected), "{output:?}");
    let output = home.tmd("m1", &["-d"]);
    let expected = format!("{}: already running (pid {})", m1.display(), daemon.pid());
    assert!(output.stderr.contains(&expected), "{output:?}");
    // Only the right daemon left its name.
    assert_eq!(home.registered().len(), 2, "{:?}", home.registered());
}

#[test]
fn a_socket_that_is_the_usual_one_is_no_trouble() {
    let home = Home::new();
    let config = home.project("a", "");
    let usual = home.usual(&config);
    home.project("a", &format!("daemon: {{socket: '{}'}}", usual.display()));
    let daemon = home.start("a", &usual);
    assert_eq!(home.tm("a", &["status"]).code, 0);
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn up_starts_and_down_ends_a_daemon_with_its_own_socket() {
    let home = Home::new();
    home.project("b", AT_B);
    let output = home.tm("b", &["up", "-d"]);
    assert_eq!(output.code, 0, "{output:?}");
    let daemon = Running::behind(&home.path("b/b.sock"));
    let output = home.tm("b", &["down"]);
    assert_eq!(output.code, 0, "{output:?}");
    daemon.end();
    assert_eq!(home.registered(), Vec::<String>::new());
}

#[test]
fn a_daemon_with_an_explicit_socket_is_found_by_its_config() {
    let home = Home::new();
    let config = home.project("a", "");
    let other = home.project("b", "");
    let _other = home.start("b", &home.usual(&other));
    let socket = home.path("run/tmd/own-name.sock");
    let path = socket.display().to_string();
    assert_eq!(home.tmd("a", &["-d", "--socket", &path]).code, 0);
    let _daemon = Running::behind(&socket);
    let output = home.tm("", &["-c", &config.display().to_string(), "status"]);
    assert!(output.stdout.contains("a:0"), "{output:?}");
    assert!(home.tm("a", &["status"]).stdout.contains("a:0"));
}

#[test]
fn the_variable_goes_before_the_config_and_changes_nothing_where_they_disagree() {
    let home = Home::new();
    let a = home.project("a", "");
    let b = home.project("b", "");
    let (at_a, at_b) = (home.usual(&a), home.usual(&b));
    let _a = home.start("a", &at_a);
    let _b = home.start("b", &at_b);
    let pids = (pid_of(&at_a, "a"), pid_of(&at_b, "b"));
    let inside_a = |arguments: &[&str]| {
        let mut tm = home.command("tm", "b");
        tm.args(arguments).env("TM_SOCKET", &at_a);
        super::support::run(tm)
    };
    let (config, socket) = (b.display().to_string(), at_b.display().to_string());
    let output = inside_a(&["-c", &config, "status"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("a:0"), "{output:?}");
    let told = format!(
        "points to the daemon of '{}', but -c names '{config}'",
        a.display()
    );
    assert!(output.stderr.contains(&told), "{output:?}");
    let changing: [&[&str]; 4] = [
        &["stop", "all"],
        &["reload"],
        &["signal", "0", "all"],
        &["down"],
    ];
    for verb in changing {
        let output = inside_a(&[&["-c", &config], verb].concat());
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains(&told), "{output:?}");
    }
    assert_eq!((pid_of(&at_a, "a"), pid_of(&at_b, "b")), pids);
    let own: [&[&str]; 2] = [&[], &["-c", &a.display().to_string()]];
    for named in own {
        let output = inside_a(&[named, &["stop", "all"]].concat());
        assert_eq!(output.stdout, "a:0: stopped by request\n", "{output:?}");
        assert_eq!(inside_a(&[named, &["start", "all"]].concat()).code, 0);
        assert_eq!(output.stderr, "");
    }
    let output = inside_a(&["--socket", &socket, "status"]);
    assert!(output.stdout.contains("b:0"), "{output:?}");
    assert_eq!(output.stderr, "");
}
