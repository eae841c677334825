//! A block of lines that is drawn over and over, with a keyboard.

use super::connection::Connection;
use super::context::{Context, write_stdout};
use super::error::ClientError;
use crate::sys::tty;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often the block is drawn without any reason but the time, and how often at most.
const TICK: Duration = Duration::from_secs(1);
const LEAST_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Changed,
    Key(u8),
    Lost,
}

/// Draws on the alternate screen and reads keys; dropping it restores the terminal.
#[derive(Debug)]
pub struct Keyboard {
    terminal: OwnedFd,
    raw: tty::RawMode,
    sender: Sender<Wake>,
    receiver: Receiver<Wake>,
    in_shell: bool,
}

impl Keyboard {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(context: &Context) -> Result<Keyboard, ClientError> {
        let failed = |error| ClientError::Failed(format!("the terminal: {error}"));
        let terminal = tty::open().map_err(failed)?;
        let raw = tty::RawMode::enter(terminal.as_fd()).map_err(failed)?;
        let (sender, receiver) = mpsc::channel();
        let keyboard = Keyboard {
            terminal,
            raw,
            sender,
            receiver,
            in_shell: context.in_shell,
        };
        keyboard.read_keys().map_err(failed)?;
        keyboard.end_at_signals().map_err(failed)?;
        write_stdout(b"\x1b[?1049h\x1b[?25l")?;
        Ok(keyboard)
    }

    /// Rows and columns.
    pub fn size(&self) -> (usize, usize) {
        match tty::window_size(self.terminal.as_fd()) {
            Ok((rows, cols)) if rows > 0 && cols > 0 => (usize::from(rows), usize::from(cols)),
            _ => (24, 80),
        }
    }

    /// Every notification of this connection wakes [`Keyboard::wait`].
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn wake_on(&self, mut events: Connection) -> Result<(), ClientError> {
        let sender = self.sender.clone();
        let read = move || {
            while let Ok(Some(_)) = events.next_notification() {
                if sender.send(Wake::Changed).is_err() {
                    return;
                }
            }
            // Nobody waits any more when this fails.
            let _ = sender.send(Wake::Lost);
        };
        thread::Builder::new()
            .spawn(read)
            .map(drop)
            .map_err(|error| ClientError::Failed(format!("a thread: {error}")))
    }

    /// Draws the lines from the top.
    ///
    /// # Errors
    /// When the output is closed.
    pub fn draw(&self, lines: &[String]) -> Result<(), ClientError> {
        let mut text = "\x1b[H".to_string();
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        write_stdout(text.as_bytes())
    }

    /// Waits for a reason to draw again; false when the user wants to leave.
    ///
    /// # Errors
    /// `Lost` when the daemon is gone.
    pub fn wait(&self) -> Result<bool, ClientError> {
        let begin = Instant::now();
        let mut changed = false;
        loop {
            let until = if changed { LEAST_PAUSE } else { TICK };
            match self
                .receiver
                .recv_timeout(until.saturating_sub(begin.elapsed()))
            {
                Ok(Wake::Changed) => changed = true,
                Ok(Wake::Key(b'q' | b'Q' | 0x03 | 0x04 | 0x1b)) => return Ok(false),
                Ok(Wake::Key(_)) => return Ok(true),
                Ok(Wake::Lost) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(ClientError::Lost);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(true),
            }
        }
    }

    /// Reads keys until one that leaves, so that none typed later is taken from the shell.
    fn read_keys(&self) -> std::io::Result<()> {
        let terminal = self.terminal.try_clone()?;
        let sender = self.sender.clone();
        thread::Builder::new().spawn(move || {
            let mut byte = [0];
            while let Ok(1..) = crate::sys::io::read(terminal.as_fd(), &mut byte) {
                let leaves = matches!(byte[0], b'q' | b'Q' | 0x03 | 0x04 | 0x1b);
                if sender.send(Wake::Key(byte[0])).is_err() || leaves {
                    return;
                }
            }
            let _ = sender.send(Wake::Key(b'q'));
        })?;
        Ok(())
    }

    fn end_at_signals(&self) -> std::io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        if self.in_shell {
            return Ok(());
        }
        let sender = self.sender.clone();
        let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        thread::Builder::new().spawn(move || {
            for _ in signals.forever() {
                if sender.send(Wake::Key(b'q')).is_err() {
                    return;
                }
            }
        })?;
        Ok(())
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = write_stdout(b"\x1b[?25h\x1b[?1049l");
        let _ = self.raw.restore();
    }
}
