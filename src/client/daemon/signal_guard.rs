//! Signals that close a connection instead of ending the client.

use signal_hook::iterator::{Handle, Signals};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A thread that shuts a connection down when a signal arrives. A blocking read of that
/// connection then returns its end. Dropping the guard ends the thread.
#[derive(Debug)]
pub(crate) struct SignalGuard {
    handle: Handle,
    fired: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SignalGuard {
    /// Guards this connection; `None` when the signals cannot be caught.
    pub(crate) fn new(stream: &UnixStream, signals: &[i32]) -> Option<SignalGuard> {
        let stream = stream.try_clone().ok()?;
        let mut signals = Signals::new(signals).ok()?;
        let handle = signals.handle();
        let fired = Arc::new(AtomicBool::new(false));
        let fires = Arc::clone(&fired);
        let wait = move || {
            for _ in signals.forever() {
                fires.store(true, Ordering::SeqCst);
                // Fails only on a connection that is closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        };
        let thread = thread::Builder::new().spawn(wait).ok()?;
        Some(SignalGuard {
            handle,
            fired,
            thread: Some(thread),
        })
    }

    /// Whether a signal closed the connection.
    pub(crate) fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.handle.close();
        // The thread holds a duplicate of the connection: wait until it is closed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
