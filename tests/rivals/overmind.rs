//! Calls zombies running.

use super::support::{Daemon, kill, system::zombies_of, wait_gone};
use rustix::process::Signal;

#[test]
fn a_zombie_is_not_called_running() {
    let daemon =
        Daemon::start("programs:\n  a: {cmd: sleep 1000, starttime: 0, autorestart: never}\n");
    let pid = daemon.pid_of("a:0");
    // A stopped daemon does not reap, so the child stays a zombie until the daemon continues.
    daemon.signal(Signal::STOP);
    kill(pid, Signal::KILL);
    wait_gone(pid);
    assert_eq!(zombies_of(daemon.pid()), [pid]);
    daemon.signal(Signal::CONT);
    let row = daemon.status("a:0");
    assert_eq!(
        (&row["state"], row["pid"].as_i64()),
        (&"EXITED".into(), None)
    );
    assert_eq!(row["exit"]["signal"], 9);
    assert!(zombies_of(daemon.pid()).is_empty());
}
