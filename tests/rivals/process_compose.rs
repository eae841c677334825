//! Loses processes that ignore TERM.

use super::support::{Daemon, kill, wait_gone, wait_until_alive};
use rustix::process::Signal;

#[test]
fn a_process_that_ignores_term_does_not_outlive_the_daemon() {
    let mut daemon = Daemon::start(
        "programs:\n  a: {cmd: '@BIN@/fork_tree 2 --ignore-term', starttime: 0, stoptime: 300ms,\n\
         \x20   stdout: '@DIR@/log'}\n",
    );
    let text = super::support::system::wait_for_text(&daemon.path("log"), "ready");
    let pid = |line: &str| line.strip_prefix("pid ")?.split(' ').next()?.parse().ok();
    let pids: Vec<i32> = text.lines().filter_map(pid).collect();
    assert!(pids.len() >= 7, "{text}");
    pids.iter().for_each(|pid| wait_until_alive(*pid));
    for pid in &pids {
        kill(*pid, Signal::TERM);
    }
    pids.iter().for_each(|pid| wait_until_alive(*pid));
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
    pids.into_iter().for_each(wait_gone);
}
