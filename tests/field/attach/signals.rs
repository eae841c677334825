//! Signals to an attached client.

use crate::consoles::{Console, ECHO, client_pid};
use crate::support::{Daemon, kill};
use rustix::process::{Pid, Signal, kill_process};

/// `tm attach` as the child of another command, such as `timeout`.
fn under(daemon: &Daemon, command: &str) -> Console {
    let script = format!("read -r go; {command}; echo \"over: $?.\"; read -r rest");
    Console::begin(daemon.terminal(&["sh", "-c", &script], 24, 80))
}

#[test]
fn a_signal_to_end_wins_over_others_that_arrive_with_it() {
    let daemon = Daemon::start(ECHO);
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        for others in [[Signal::CONT; 2], [Signal::TSTP, Signal::CONT]] {
            let mut console = Console::attach(&daemon, "line:0");
            console.terminal.expect("ready");
            let client = client_pid(&daemon, "line:0");
            // A stopped client sees all of them at once.
            kill(client, Signal::STOP);
            kill(client, signal);
            for other in others {
                // The first one may have let it end.
                let _ = kill_process(Pid::from_raw(client).expect("a pid"), other);
            }
            assert_eq!(console.wait_over(), 128 + signal.as_raw(), "{signal:?}");
        }
    }
}

#[test]
fn timeout_ends_a_client_in_the_foreground() {
    let daemon = Daemon::start(ECHO);
    let mut console = under(&daemon, "timeout --foreground 0.5 tm attach line:0");
    console.terminal.expect("ready");
    assert_eq!(console.wait_over(), 124);
}

#[test]
fn timeout_ends_a_client_that_waits_for_the_foreground() {
    let daemon = Daemon::start(ECHO);
    let mut console = under(&daemon, "timeout 0.3 tm attach line:0");
    assert_eq!(console.wait_over(), 124);
}
