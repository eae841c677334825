//! Clients in a pipe: every byte, and the exit code.

use crate::support::{Daemon, PATIENCE, command, wait_exit, wait_for_line};
use std::fmt::Write as _;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A client whose output is not read yet.
fn client(daemon: &Daemon, arguments: &[&str]) -> Child {
    let mut client = command("timeout", daemon.dir());
    client.args(["60", "tm", "attach"]).args(arguments);
    client.env("TM_SOCKET", daemon.socket());
    client.stdout(Stdio::piped()).stderr(Stdio::piped());
    client.spawn().expect("tm runs")
}

/// Reads everything; returns output, notices and exit code.
fn read(mut client: Child) -> (String, String, i32) {
    let (mut out, mut err) = (String::new(), String::new());
    let mut stdout = client.stdout.take().expect("it is piped");
    let mut stderr = client.stderr.take().expect("it is piped");
    stdout.read_to_string(&mut out).expect("text");
    stderr.read_to_string(&mut err).expect("text");
    let code = wait_exit(&mut client, PATIENCE).expect("the client ends");
    (out, err, code)
}

/// Waits until a client is attached, or was: the process ends once it has the client's input.
fn attached(daemon: &Daemon, process: &str) {
    let deadline = Instant::now() + PATIENCE;
    while crate::consoles::clients(daemon, process).is_empty()
        && daemon.status(process)["state"] != "EXITED"
    {
        assert!(Instant::now() < deadline, "no client at {process}");
    }
}

/// Lines that a process writes before it exits, from a few more than all buffers hold.
const COUNTS: [usize; 8] = [
    30_000, 36_000, 42_000, 48_000, 54_000, 60_000, 80_000, 100_000,
];

#[test]
fn a_lossless_reader_that_pauses_gets_every_byte_up_to_the_end() {
    let mut yaml = "programs:\n".to_string();
    for count in COUNTS {
        writeln!(
            yaml,
            "  j{count}: {{cmd: [sh, -c, 'read x; seq {count}'], stdin: pipe, starttime: 0, \
             autorestart: never, buffer: 16KiB}}"
        )
        .expect("text");
    }
    let daemon = Daemon::start(&yaml);
    let mut clients = Vec::new();
    // The end of a client's input is the line that each process waits for.
    for count in COUNTS {
        let name = format!("j{count}:0");
        daemon.wait_state(&name, "RUNNING");
        clients.push((
            count,
            client(&daemon, &["--lossless", "--until-exit", &name]),
        ));
        attached(&daemon, &name);
    }
    // Some have exited by now, with output in their pipe; others still have output to write.
    let until = Instant::now() + Duration::from_secs(2);
    while daemon.all().iter().any(|row| row["state"] != "EXITED") && Instant::now() < until {
        std::thread::yield_now();
    }
    for (count, client) in clients {
        let (out, err, code) = read(client);
        let wanted: String = (1..=count).map(|number| format!("{number}\n")).collect();
        assert_eq!(code, 0, "{err}");
        assert!(
            out == wanted,
            "{count}: {} of {} bytes, {err}",
            out.len(),
            wanted.len()
        );
    }
}

#[test]
fn a_lossless_reader_that_never_reads_is_told_what_it_missed() {
    let daemon = Daemon::start(
        "programs:\n  flood: {cmd: [sh, -c, 'read x; seq 500000; echo done > done; exit 3'], \
         stdin: pipe, starttime: 0, autorestart: never, workingdir: '@DIR@'}\n",
    );
    daemon.wait_state("flood:0", "RUNNING");
    let client = client(&daemon, &["--lossless", "--until-exit", "flood:0"]);
    attached(&daemon, "flood:0");
    // Nothing is read from the client until the process has written everything.
    wait_for_line(&daemon.path("done"));
    let (out, err, code) = read(client);
    assert_eq!(code, 3, "{err}");
    let skipped = err.split("bytes skipped").next().unwrap_or_default();
    let skipped = skipped.rsplit('[').next().unwrap_or_default().trim();
    let skipped: usize = skipped.parse().unwrap_or_else(|_| panic!("{err:?}"));
    let all: usize = (1..=500_000).map(|n: usize| n.to_string().len() + 1).sum();
    assert_eq!(out.len() + skipped, all);
    assert!(out.ends_with("\n500000\n"));
}

#[test]
fn until_exit_shows_the_last_run_of_a_process_that_has_ended() {
    let daemon = Daemon::start(
        "programs:\n\
         \x20 job: {cmd: [sh, -c, 'echo run >> runs; echo $(wc -l < runs); exit 7'],\n\
         \x20   starttime: 0, autorestart: never, autostart: false, workingdir: '@DIR@'}\n\
         \x20 never: {cmd: /nonexistent/x, starttime: 0, startretries: 0, autostart: false}\n\
         \x20 screen: {cmd: [sh, -c, 'echo drawn; exit 4'], tty: true, starttime: 0,\n\
         \x20   autorestart: never}\n",
    );
    for run in ["1\n", "2\n"] {
        daemon.tm(&["start", "job"]);
        daemon.wait_ended("job:0");
        let output = daemon.tm(&["attach", "--until-exit", "job"]);
        assert_eq!((output.code, output.stdout.as_str()), (7, run));
        assert_eq!(output.stderr, "");
    }
    daemon.tm(&["start", "never"]);
    assert_eq!(daemon.tm(&["attach", "--until-exit", "never"]).code, 1);
    daemon.wait_ended("screen:0");
    let output = daemon.tm(&["attach", "--until-exit", "screen"]);
    assert_eq!((output.code, output.stdout.as_str()), (4, "drawn\r\n"));
    let mut console = crate::consoles::Console::attach(&daemon, "--until-exit screen");
    assert_eq!(console.wait_over(), 4);
    let shown = console.terminal.contents();
    assert!(shown.contains("drawn"), "{shown}");
    assert!(shown.contains("[screen:0 exited with code 4]"), "{shown}");
}
