//! The signals that end the control shell, or only what it does.

use crate::client::error::ClientError;
use crate::client::ui::fatal_signals::deadly;
use crate::sys::tty::{self, Restorer};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// What the editor has switched on goes off: bracketed paste. Its line is left, too.
const END_OF_EDITOR: &[u8] = b"\x1b[?2004l\r\n";

/// What came for the shell. A verb that waits ends at each of these signals, since its connection
/// closes (`DaemonConnection::guard`); here it is kept which one it was and whether the shell goes on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    /// The last signal since a line began, or 0.
    last: Arc<AtomicUsize>,
    /// The last signal that ends the shell, or 0.
    ending: Arc<AtomicUsize>,
    /// The next line is being read: nobody else looks at the two.
    reading: Arc<AtomicBool>,
}

impl Interrupts {
    /// From now on these signals are noted. Ctrl-C ends a script, but no shell at a terminal.
    ///
    /// # Errors
    /// When they cannot be caught.
    pub(crate) fn watch(on_terminal: bool) -> Result<Interrupts, ClientError> {
        let interrupts = Interrupts::default();
        interrupts.register(on_terminal).map_err(|error| {
            let text = format!("signals: {error}");
            ClientError::Failed(text)
        })?;
        Ok(interrupts)
    }

    fn register(&self, on_terminal: bool) -> io::Result<()> {
        let mut ending = deadly();
        ending.retain(|signal| !on_terminal || *signal != SIGINT);
        for signal in deadly() {
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, Arc::clone(&self.last), number)?;
            if ending.contains(&signal) {
                flag::register_usize(signal, Arc::clone(&self.ending), number)?;
            }
        }
        let restorer = match on_terminal {
            true => Some(tty::restorer(io::stdin().as_fd())?),
            false => None,
        };
        // After the flags: what wakes this thread has been noted.
        let signals = Signals::new(ending)?;
        let reading = Arc::clone(&self.reading);
        thread::Builder::new().spawn(move || exit_while_reading(signals, &reading, restorer))?;
        Ok(())
    }

    /// Reads the next line; none once a signal has come that ends the shell. While it is read such
    /// a signal ends the shell at once.
    pub(crate) fn reading<T>(&self, read: impl FnOnce() -> T) -> Option<T> {
        // Before the look: one that comes after it finds us reading.
        self.reading.store(true, Ordering::SeqCst);
        // Not after it: a Ctrl-C that comes as the line ends is meant for its verb.
        self.last.store(0, Ordering::SeqCst);
        let line = self.ending().is_none().then(read);
        self.reading.store(false, Ordering::SeqCst);
        line.filter(|_| self.ending().is_none())
    }

    /// Which signal came since the line began to be read.
    pub(crate) fn last(&self) -> Option<i32> {
        noted(&self.last)
    }

    /// Which signal ends the shell.
    pub(crate) fn ending(&self) -> Option<i32> {
        noted(&self.ending)
    }
}

fn noted(flag: &AtomicUsize) -> Option<i32> {
    let signal = i32::try_from(flag.load(Ordering::SeqCst)).ok()?;
    (signal != 0).then_some(signal)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the editor waits for a key and returns for nothing else"
)]
fn exit_while_reading(mut signals: Signals, reading: &AtomicBool, restorer: Option<Restorer>) {
    for signal in signals.forever() {
        if reading.load(Ordering::SeqCst) {
            if let Some(restorer) = &restorer {
                // A terminal that is gone needs no restoring.
                let _ = restorer.restore();
                let stdout = io::stdout();
                if stdout.is_terminal() {
                    let _ = crate::sys::io::write(stdout.as_fd(), END_OF_EDITOR);
                }
            }
            std::process::exit(128 + signal);
        }
    }
}
