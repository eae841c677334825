//! Signals whose default action terminates the process.

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};
use signal_hook::flag::register_conditional_shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

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

/// Whether SIGQUIT ends the client at once.
static QUITS: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on SIGQUIT (ctrl-\) ends the client without a core file.
pub(crate) fn end_at_quit() {
    let quits = QUITS.get_or_init(|| Arc::new(AtomicBool::new(true)));
    // If it cannot be caught, the default action ends the client as well.
    let _ = register_conditional_shutdown(SIGQUIT, 128 + SIGQUIT, Arc::clone(quits));
}

/// From now on the caller handles SIGQUIT.
pub(crate) fn handle_quit() {
    if let Some(quits) = QUITS.get() {
        quits.store(false, Ordering::SeqCst);
    }
}

/// Returns all of them, real-time signals included. The client catches them to restore the
/// terminal and to end a verb of the control shell in order.
pub(crate) fn deadly() -> Vec<i32> {
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    NAMED.into_iter().chain(real_time).collect()
}
