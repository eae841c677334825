//! Signals to a client that waits: for the daemon, or for a reader that takes nothing.

use super::home::Home;
use super::support::system::wait_for_size;
use super::support::{self, Daemon, PATIENCE, kill, wait_exit};
use rustix::process::Signal;
use std::process::Stdio;

#[test]
fn ctrl_c_at_a_wait_says_that_the_operation_continues() {
    let daemon = Daemon::start(
        "programs:\n  slow: {cmd: [sh, -c, 'trap \"exit 0\" USR1; trap \"\" TERM; \
         echo up >@DIR@/up; while :; do sleep 0.05; done'], starttime: 0, stoptime: 1h}\n",
    );
    support::wait_for_line(&daemon.path("up"));
    for verb in [&["tm", "stop", "slow"][..], &["tm", "down"]] {
        let mut terminal = daemon.terminal(verb, 24, 80);
        terminal.expect("waiting for 1: slow:0");
        terminal.send("\x03");
        terminal.expect("\ntm: cancelled; the operation continues in the background");
        assert_eq!(terminal.wait_end(), 130);
        assert_eq!(daemon.status("slow")["state"], "STOPPING");
    }
    kill(daemon.pid_of("slow:0"), Signal::USR1);
}

const FLOOD: &str = "cmd: [sh, -c, 'while :; do seq 1 20000; sleep 0.1; done'], starttime: 0";

#[test]
fn a_signal_to_up_stops_everything_though_nobody_reads_its_output() {
    let home = Home::new();
    home.write(
        "p",
        &format!("programs: {{flood: {{{FLOOD}, stdout: out}}}}\n"),
    );
    let mut up = home.command("tm", "p");
    let up = up.arg("up").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut up = up.spawn().expect("a client");
    // More output than the pipe and the client hold.
    wait_for_size(&home.path("p/out"), 500_000);
    kill(up.id() as i32, Signal::TERM);
    assert_eq!(wait_exit(&mut up, PATIENCE), Some(0));
    assert_eq!(home.tm("p", &["status"]).code, 4);
}

#[test]
fn a_signal_ends_up_and_attach_on_a_terminal_that_takes_nothing() {
    let mut daemon = Daemon::start(&format!("programs: {{flood: {{{FLOOD}, stdout: out}}}}\n"));
    daemon.wait_state("flood:0", "RUNNING");
    for (client, code) in [(&["tm", "attach", "flood"][..], 143), (&["tm", "up"], 0)] {
        let mut terminal = daemon.terminal(client, 24, 80);
        terminal.expect("1999");
        // From now on, the terminal is not read.
        let printed = std::fs::metadata(daemon.path("out")).map_or(0, |file| file.len());
        wait_for_size(&daemon.path("out"), printed + 500_000);
        let signal = if code == 0 { Signal::INT } else { Signal::TERM };
        kill(terminal.pid(), signal);
        assert_eq!(terminal.wait_unread(), code);
    }
    assert_eq!(daemon.wait_end(), 0);
}
