//! Ctrl-C while a verb waits.

use super::support::{self, Daemon};
use rustix::process::Signal;

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
        terminal.expect("tm: cancelled; the operation continues in the background");
        assert_eq!(terminal.wait_end(), 130);
        assert_eq!(daemon.status("slow")["state"], "STOPPING");
    }
    support::kill(daemon.pid_of("slow:0"), Signal::USR1);
}
