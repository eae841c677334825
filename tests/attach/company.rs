//! Several clients on one process.

use crate::consoles::{Console, ECHO, clients, contains, count};
use crate::support::{Daemon, wait_for_line};
use rustix::process::Signal;

#[test]
fn the_client_that_typed_last_drives_and_sets_the_size() {
    let daemon = Daemon::start(ECHO);
    let mut large = Console::sized(&daemon, "line:0", 30, 90);
    large.terminal.expect("size 30 90");
    let mut small = Console::sized(&daemon, "line:0", 12, 40);
    small.terminal.expect("size 30 90");
    small.terminal.send("mine\r");
    large.terminal.expect("echo: mine");
    large.terminal.expect("size 12 40");
    large.terminal.send("back\r");
    small.terminal.expect("echo: back");
    large.terminal.send("\x01d");
    assert_eq!(large.wait_over(), 0);
    // The remaining client gets its size at once.
    small.terminal.send("alone\r");
    small.terminal.expect("echo: alone");
    assert_eq!(clients(&daemon, "line:0")[0]["driver"], true);
    let peek = daemon.rpc("peek", serde_json::json!({"process": "line:0"}));
    assert_eq!((&peek["rows"], &peek["cols"]), (&12.into(), &40.into()));
    small.terminal.send("\x01d");
    assert_eq!(small.wait_over(), 0);
}

#[test]
fn a_thief_drives_at_once() {
    let daemon = Daemon::start(ECHO);
    let mut first = Console::sized(&daemon, "line:0", 30, 90);
    first.terminal.expect("size 30 90");
    let mut thief = Console::sized(&daemon, "--steal line:0", 20, 60);
    thief.terminal.expect("size 20 60");
    let drives = |daemon: &Daemon| -> Vec<bool> {
        let rows = clients(daemon, "line:0");
        rows.iter().map(|row| row["driver"] == true).collect()
    };
    assert_eq!(drives(&daemon), [false, true]);
    for console in [&mut first, &mut thief] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_reader_neither_writes_nor_sizes_nor_answers() {
    let daemon = Daemon::start(ECHO);
    let mut driver = Console::sized(&daemon, "raw:0", 30, 90);
    driver.terminal.expect("size 30 90");
    let mut reader = Console::sized(&daemon, "--read-only raw:0", 10, 40);
    reader.terminal.expect("ready");
    reader.terminal.send("unheard\x1b[?62;22c");
    reader.terminal.resize(11, 41);
    // Both see the driver's next input, and nothing else.
    driver.terminal.send("<heard>");
    reader.expect_bytes(b"<heard>");
    let seen = String::from_utf8_lossy(driver.terminal.raw()).into_owned();
    assert!(
        !seen.contains("unheard") && !seen.contains("size 1"),
        "{seen:?}"
    );
    let rows = clients(&daemon, "raw:0");
    assert_eq!(rows[1]["read_only"], true);
    reader.terminal.send("\x01d");
    assert_eq!(reader.wait_over(), 0);
    driver.terminal.send("\x01d");
    assert_eq!(driver.wait_over(), 0);
}

#[test]
fn a_reader_alone_leaves_the_size_and_the_answers_to_the_daemon() {
    let daemon = Daemon::start(ECHO);
    let mut reader = Console::sized(&daemon, "-r line:0", 10, 40);
    reader.terminal.expect("size 24 80");
    reader.terminal.send("unheard\r\x01d");
    assert_eq!(reader.wait_over(), 0);
    let screen = daemon.tm(&["peek", "line:0"]).stdout;
    assert!(!screen.contains("unheard"), "{screen}");
}

#[test]
fn clients_are_listed_everywhere() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::sized(&daemon, "line:0", 20, 60);
    console.terminal.expect("size 20 60");
    let row = clients(&daemon, "line:0")[0].clone();
    let listed = daemon.tm(&["clients"]).stdout;
    let pid = row["pid"].to_string();
    assert!(
        listed.contains("line:0") && listed.contains(&pid) && listed.contains("60x20"),
        "{listed}"
    );
    assert!(daemon.tm(&["why", "line:0"]).stdout.contains(&pid));
    let none = daemon.tm(&["clients", "raw:0"]).stdout;
    assert!(!none.contains(&pid), "{none}");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(clients(&daemon, "line:0").is_empty());
}

#[test]
fn detach_removes_the_driver_or_all_clients() {
    let daemon = Daemon::start(ECHO);
    let mut consoles: Vec<Console> = Vec::new();
    for _ in 0..3 {
        let mut console = Console::attach(&daemon, "line:0");
        console.terminal.expect("ready");
        consoles.push(console);
    }
    let output = daemon.tm(&["detach", "line:0"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(consoles.remove(0).wait_over(), 0);
    assert_eq!(clients(&daemon, "line:0").len(), 2);
    daemon.tm(&["detach", "--all", "line:0"]);
    for mut console in consoles {
        assert_eq!(console.wait_over(), 0);
    }
    assert!(clients(&daemon, "line:0").is_empty());
}

#[test]
fn a_peek_shows_the_screen_and_disturbs_no_client() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("ready");
    console.terminal.send("\x1b[31mred\x1b[m\r");
    console.terminal.expect("echo: ");
    let plain = daemon.tm(&["peek", "line:0"]);
    assert!(plain.stdout.starts_with("ready\nsize 24 80\n"), "{plain:?}");
    assert!(!plain.stdout.contains('\x1b'), "{plain:?}");
    let coloured = daemon.tm(&["peek", "--ansi", "line:0"]).stdout;
    assert!(coloured.contains("31mred"), "{coloured:?}");
    let json = daemon.tm(&["peek", "--json", "line:0"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("peek --json is JSON");
    assert_eq!(json["lines"][0], "ready");
    assert_eq!(clients(&daemon, "line:0").len(), 1);
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_processs_own_terminal_is_refused() {
    let daemon = Daemon::start(
        "programs:\n  shell: {cmd: sh, tty: true, starttime: 0, stopsignal: HUP}\n  \
         other: {cmd: '@BIN@/echo_tty line', tty: true, starttime: 0}\n",
    );
    let mut console = Console::attach(&daemon, "shell:0");
    console
        .terminal
        .send("tm attach shell:0; echo \"code $?\"\r");
    console.terminal.expect("shell:0's own");
    console.terminal.expect("code 1");
    // Output of a pipe does not go round in circles.
    console
        .terminal
        .send("tm attach shell:0 < /dev/null; echo \"and $?\"\r");
    console.terminal.expect("and 1");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(clients(&daemon, "shell:0").is_empty());
}

#[test]
fn the_size_policy_of_the_program_decides() {
    let program = |policy: &str| {
        format!(
            "  {policy}: {{cmd: '@BIN@/echo_tty line', starttime: 0, \
             tty: {{rows: 20, cols: 70, size: {policy}}}}}\n"
        )
    };
    let policies = ["smallest", "largest", "fixed"];
    let yaml = format!("programs:\n{}", policies.map(program).concat());
    let daemon = Daemon::start(&yaml);
    for (policy, size) in [
        ("smallest", (10, 50)),
        ("largest", (30, 90)),
        ("fixed", (20, 70)),
    ] {
        let name = format!("{policy}:0");
        let mut one = Console::sized(&daemon, &name, 30, 50);
        one.terminal.expect("ready");
        let mut other = Console::sized(&daemon, &name, 10, 90);
        other.terminal.expect("ready");
        other.terminal.send("typed\r");
        other.terminal.expect("echo: typed");
        let peek = daemon.rpc("peek", serde_json::json!({"process": name}));
        let now = (peek["rows"].as_i64(), peek["cols"].as_i64());
        assert_eq!(now, (Some(size.0), Some(size.1)), "{policy}");
        one.terminal.send("\x01d");
        assert_eq!(one.wait_over(), 0);
        // The remaining client is both the smallest and the largest.
        let alone = match policy {
            "fixed" => (Some(20), Some(70)),
            _ => (Some(10), Some(90)),
        };
        let peek = daemon.rpc("peek", serde_json::json!({"process": name}));
        let now = (peek["rows"].as_i64(), peek["cols"].as_i64());
        assert_eq!(now, alone, "{policy}, alone");
        other.terminal.send("\x01d");
        assert_eq!(other.wait_over(), 0);
    }
    daemon.signal(Signal::TERM);
}

#[test]
fn only_keys_take_over_and_only_the_drivers_terminal_answers() {
    let daemon = Daemon::start(ECHO);
    let mut driver = Console::attach(&daemon, "raw:0");
    driver.terminal.expect("ready");
    let mut watcher = Console::attach(&daemon, "raw:0");
    watcher.terminal.expect("ready");
    // Answers to questions of the process, and a mouse report. Both terminals send them.
    let told = "\x1b[?62;22c\x1b[24;80R\x1b]11;rgb:11/22/33\x1b\\\x1b]52;c;ZGQ=\x07\
        \x1bP>|term\x1b\\\x1b[I\x1b[<35;1;1M\x1b[0n";
    watcher.terminal.send(told);
    driver.terminal.send(&format!("{told}<driver>"));
    driver.expect_bytes(b"<driver>");
    let raw = driver.terminal.raw();
    assert_eq!(
        count(raw, b"\x1b[?62;22c"),
        1,
        "{}",
        String::from_utf8_lossy(raw)
    );
    assert_eq!(clients(&daemon, "raw:0")[0]["driver"], true);
    watcher.terminal.send("<watcher>");
    driver.expect_bytes(b"<watcher>");
    // Its driver notice came before this echo. Until then the client holds answers back.
    watcher.expect_bytes(b"<watcher>");
    let raw = driver.terminal.raw();
    assert_eq!(
        count(raw, b"rgb:11/22/33"),
        1,
        "{}",
        String::from_utf8_lossy(raw)
    );
    assert_eq!(clients(&daemon, "raw:0")[1]["driver"], true);
    // Now the watcher drives.
    watcher.terminal.send("\x1b[?64c<");
    driver.expect_bytes(b"\x1b[?64c<");
    driver.terminal.send("\x1b[?65c");
    watcher.terminal.send("last>");
    watcher.expect_bytes(b"last>");
    assert!(!contains(watcher.terminal.raw(), b"?65c"));
    for console in [&mut driver, &mut watcher] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_reader_left_alone_forwards_no_answer() {
    let daemon = Daemon::start(
        "programs:\n  asks:\n    cmd: [sh, -c, 'stty raw -echo; echo ready; read x; \
         printf \"\\033[c\\033[5n\"; dd bs=1 count=13 2>/dev/null > @DIR@/answer; \
         echo done > @DIR@/done; exec cat']\n    tty: true\n    starttime: 0\n",
    );
    let mut driver = Console::attach(&daemon, "asks:0");
    driver.terminal.expect("ready");
    let mut reader = Console::attach(&daemon, "-r asks:0");
    reader.terminal.expect("ready");
    driver.terminal.send("\x01d");
    assert_eq!(driver.wait_over(), 0);
    reader
        .terminal
        .send("\x1b[?1c\x1b[I\x1b[<0;1;1M\x1b]52;c;ZGQ=\x07");
    assert_eq!(daemon.tm(&["send", "asks:0", "go"]).code, 0);
    reader.expect_bytes(b"\x1b[c\x1b[5n");
    reader.terminal.send("\x1b[?1c\x1b[3n");
    wait_for_line(&daemon.path("done"));
    // The daemon has answered instead.
    assert_eq!(daemon.read("answer"), "\x1b[?62;22c\x1b[0n");
    reader.terminal.send("\x01d");
    assert_eq!(reader.wait_over(), 0);
}

#[test]
fn a_client_without_a_terminal_leaves_the_answers_to_the_daemon() {
    let daemon = Daemon::start(
        "programs:\n  asks:\n    cmd: [sh, -c, 'stty raw -echo; read x; printf \"\\033[5n\"; \
         dd bs=1 count=4 2>/dev/null > @DIR@/answer; echo done > @DIR@/done; exec cat']\n    \
         tty: true\n    starttime: 0\n",
    );
    let output = daemon.tm_with_input(&["attach", "asks:0"], "go\n");
    assert_eq!(output.code, 0, "{output:?}");
    wait_for_line(&daemon.path("done"));
    assert_eq!(daemon.read("answer"), "\x1b[0n");
}

#[test]
fn a_terminal_in_between_or_a_stale_variable_is_not_the_processs_own() {
    let daemon = Daemon::start(
        "programs:\n  shell: {cmd: sh, tty: true, starttime: 0, stopsignal: HUP}\n  \
         other: {cmd: '@BIN@/echo_tty line', tty: true, starttime: 0}\n",
    );
    // The process's own terminal is refused.
    let mut console = Console::attach(&daemon, "shell:0");
    console
        .terminal
        .send("tm attach shell:0; echo \"code $?\"\r");
    console.terminal.expect("shell:0's own");
    console.terminal.expect("code 1");
    // script creates its own terminal, whose output reaches this one like any other output.
    console.terminal.send(
        "clear; SHELL=/bin/sh script -qc 'tm attach --detach-keys ctrl-x other:0' /dev/null\r",
    );
    console.terminal.expect("ctrl-x detaches");
    console.terminal.send("through\r");
    console.terminal.expect("echo: through");
    console.terminal.send("\x18");
    console.terminal.expect("[detached from other:0]");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    // An inherited variable alone proves nothing.
    let mut console = Console::attach(&daemon, "other:0");
    console.terminal.expect("ready");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    let script = "TM_PROCESS=other:0 tm attach other:0; echo over: $?.";
    let mut terminal = daemon.terminal(&["sh", "-c", script], 24, 80);
    terminal.expect("ready");
    terminal.send("\x01d");
    terminal.expect("over: 0.");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn a_reader_cannot_steal() {
    let daemon = Daemon::start(ECHO);
    let output = daemon.tm(&["attach", "-r", "--steal", "raw:0"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("--steal"), "{output:?}");
}
