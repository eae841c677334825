//! A block of lines that is drawn over and over, with a keyboard.

use crate::client::context::write_stdout;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::error::ClientError;
use crate::client::ui::fatal_signals::deadly;
use crate::sys::tty;
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::iterator::{Handle, Signals};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
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
    signals: Handle,
    /// What reads keys, and what makes it end.
    reader: Option<(JoinHandle<()>, UnixStream)>,
}

impl Keyboard {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> Result<Keyboard, ClientError> {
        let failed = |error| ClientError::Failed(format!("terminal: {error}"));
        let terminal = tty::open().map_err(failed)?;
        let raw = tty::RawMode::enter(terminal.as_fd()).map_err(failed)?;
        let (sender, receiver) = mpsc::channel();
        let signals = end_at_signals(sender.clone()).map_err(failed)?;
        let mut keyboard = Keyboard {
            terminal,
            raw,
            sender,
            receiver,
            signals,
            reader: None,
        };
        keyboard.read_keys().map_err(failed)?;
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
    pub fn wake_on(&self, mut events: DaemonConnection) -> Result<(), ClientError> {
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
            .map_err(|error| ClientError::Failed(format!("cannot start a thread: {error}")))
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

    /// Reads keys until one that leaves, or until this is dropped, so that none typed later is
    /// taken from the shell.
    fn read_keys(&mut self) -> io::Result<()> {
        let terminal = self.terminal.try_clone()?;
        let sender = self.sender.clone();
        let (stays, woken) = UnixStream::pair()?;
        let reader = thread::Builder::new().spawn(move || {
            let mut byte = [0];
            while is_readable(&terminal, &woken)
                && let Ok(1..) = crate::sys::io::read(terminal.as_fd(), &mut byte)
            {
                let leaves = matches!(byte[0], b'q' | b'Q' | 0x03 | 0x04 | 0x1b);
                if sender.send(Wake::Key(byte[0])).is_err() || leaves {
                    return;
                }
            }
            // Nobody waits any more when this fails.
            let _ = sender.send(Wake::Key(b'q'));
        })?;
        self.reader = Some((reader, stays));
        Ok(())
    }
}

/// Waits for a key; false once `woken` is hung up.
fn is_readable(terminal: &OwnedFd, woken: &UnixStream) -> bool {
    let mut fds = [
        PollFd::new(terminal, PollFlags::IN),
        PollFd::new(woken, PollFlags::IN),
    ];
    let polled = rustix::io::retry_on_intr(|| poll(&mut fds, None));
    polled.is_ok() && fds[1].revents().is_empty()
}

fn end_at_signals(sender: Sender<Wake>) -> io::Result<Handle> {
    let mut signals = Signals::new(deadly())?;
    let handle = signals.handle();
    thread::Builder::new().spawn(move || {
        for _ in signals.forever() {
            if sender.send(Wake::Key(b'q')).is_err() {
                return;
            }
        }
    })?;
    Ok(handle)
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = write_stdout(b"\x1b[?25h\x1b[?1049l");
        let _ = self.raw.restore();
        self.signals.close();
        if let Some((reader, stays)) = self.reader.take() {
            drop(stays);
            let _ = reader.join();
        }
    }
}
