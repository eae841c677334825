//! The signals that end the control shell, or only the verb that it runs.

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

/// Switches off bracketed paste and synchronized output, which the editor may have set, and leaves
/// its line.
const END_OF_EDITOR: &[u8] = b"\x1b[?2026l\x1b[?2004l\r\n";

/// The signals that the shell has received. Each of them closes the connection of the running verb
/// (`DaemonConnection::guard`); these flags record which one it was and whether the shell ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    /// The last signal since the current line was read, or 0.
    last: Arc<AtomicUsize>,
    /// The last signal that ends the shell, or 0.
    ending: Arc<AtomicUsize>,
    /// The shell is reading a line, so no verb checks the other two flags.
    reading: Arc<AtomicBool>,
}

impl Interrupts {
    /// Records signals from now on. Ctrl-C ends a script, but not a shell on a terminal.
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
        // Registered after the flags, so a signal that wakes this thread is already recorded.
        let signals = Signals::new(ending)?;
        let reading = Arc::clone(&self.reading);
        thread::Builder::new().spawn(move || exit_while_reading(signals, &reading, restorer))?;
        Ok(())
    }

    /// Reads the next line; `None` after a signal that ends the shell. During the read such a
    /// signal ends the process at once.
    pub(crate) fn reading<T>(&self, read: impl FnOnce() -> T) -> Option<T> {
        // Set before the flag is checked, so a signal in between ends the process.
        self.reading.store(true, Ordering::SeqCst);
        // Cleared before the read: a Ctrl-C at the end of the line is meant for its verb.
        self.last.store(0, Ordering::SeqCst);
        let line = self.ending().is_none().then(read);
        self.reading.store(false, Ordering::SeqCst);
        line.filter(|_| self.ending().is_none())
    }

    /// The last signal since the current line was read.
    pub(crate) fn last(&self) -> Option<i32> {
        recorded(&self.last)
    }

    /// The signal that ends the shell.
    pub(crate) fn ending(&self) -> Option<i32> {
        recorded(&self.ending)
    }
}

fn recorded(flag: &AtomicUsize) -> Option<i32> {
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
                // Fails only when the terminal is gone.
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
