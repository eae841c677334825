//! The signals that end whoever does nothing about them.

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};

/// Those with a name of their own. Not the ones that tell of a fault of ours: after it nothing is
/// certain any more.
const NAMED: [i32; 13] = [
    SIGINT,
    SIGTERM,
    SIGHUP,
    SIGQUIT,
    SIGUSR1,
    SIGUSR2,
    SIGALRM,
    SIGVTALRM,
    SIGPROF,
    SIGIO,
    libc::SIGPWR,
    SIGXCPU,
    SIGXFSZ,
];

/// All of them. Whoever has changed the terminal ends in order at each, the terminal as before;
/// so do a verb of the control shell and an exchange of lines.
pub fn deadly() -> Vec<i32> {
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    NAMED.into_iter().chain(real_time).collect()
}
