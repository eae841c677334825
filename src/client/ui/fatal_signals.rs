//! Signals whose default action terminates the process.

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};

/// The signals with a name. Signals that report a fault of the client, such as SIGSEGV, are left
/// out: after them its state cannot be trusted.
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

/// Returns all of them, real-time signals included. The client catches them to restore the
/// terminal and to end a verb of the control shell in order.
pub(crate) fn deadly() -> Vec<i32> {
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    NAMED.into_iter().chain(real_time).collect()
}
