//! A terminal for tests: a pty, and a model of what its screen shows.

use super::PATIENCE;
use super::system::{readable, session_of, wait_exit, wait_gone_until};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command on a pty of its own, as its session's leader.
pub struct Terminal {
    master: OwnedFd,
    child: Child,
    screen: vt100::Parser,
    raw: Vec<u8>,
    ended: bool,
}

impl Terminal {
    /// Starts a command (its program, arguments, folder and environment) on a new terminal.
    pub fn spawn_command(inner: &Command, rows: u16, cols: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pty can be opened");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is new");
        tcsetwinsize(&master, size(rows, cols)).expect("a pty has a size");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).expect("the other side");
        let stdio = || Stdio::from(slave.try_clone().expect("a descriptor is free"));
        let mut outer = Command::new("setsid");
        outer
            .arg("--ctty")
            .arg(inner.get_program())
            .args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        if let Some(folder) = inner.get_current_dir() {
            outer.current_dir(folder);
        }
        outer.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let child = outer.spawn().expect("setsid is installed");
        let screen = vt100::Parser::new(modelled(rows), modelled(cols), 1000);
        Terminal {
            master,
            child,
            screen,
            raw: Vec::new(),
            ended: false,
        }
    }

    /// The pid of the command.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Types text.
    pub fn send(&mut self, keys: &str) {
        let mut rest = keys.as_bytes();
        while !rest.is_empty() {
            let written = rustix::io::write(&self.master, rest).expect("the terminal is open");
            rest = &rest[written..];
        }
    }

    /// Waits until the screen shows a text.
    pub fn expect(&mut self, text: &str) {
        self.expect_screen(&format!("{text:?}"), |screen| screen.contains(text));
    }

    /// Waits until the screen meets a condition.
    pub fn expect_screen(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&self.contents()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read_some(left) {
                panic!(
                    "waited in vain for {what} on this screen:\n{}",
                    self.contents()
                );
            }
        }
    }

    /// Returns the screen's text without trailing blanks.
    pub fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    /// The model of the screen.
    pub fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// Every byte that came to the terminal.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Reads more output. Returns false when none came in time, or at the end.
    pub fn read_until(&mut self, deadline: Instant) -> bool {
        self.read_some(deadline.saturating_duration_since(Instant::now()))
    }

    /// The keyboard, to type from another thread.
    pub fn keyboard(&self) -> File {
        File::from(self.master.try_clone().expect("a descriptor is free"))
    }

    /// Waits until the command has stopped itself.
    pub fn wait_stopped(&self) {
        let status = waitpid(Pid::from_raw(self.pid()), WaitOptions::UNTRACED);
        let status = status.expect("it is our child").expect("it has changed");
        assert!(status.1.stopped(), "it ended instead: {status:?}");
    }

    /// Gives the terminal another size; the foreground process gets SIGWINCH.
    pub fn resize(&mut self, rows: u16, cols: u16) {
        tcsetwinsize(&self.master, size(rows, cols)).expect("a pty has a size");
        self.screen
            .screen_mut()
            .set_size(modelled(rows), modelled(cols));
    }

    /// The terminal's settings, to compare before and after.
    pub fn termios(&self) -> Termios {
        tcgetattr(&self.master).expect("a pty has settings")
    }

    /// Waits for the command without reading its output. Returns its exit code.
    pub fn wait_unread(mut self) -> i32 {
        let code = wait_exit(&mut self.child, PATIENCE);
        self.ended = code.is_some();
        code.expect("the command does not wait for its reader")
    }

    /// Closes the terminal. Returns the exit code of its command.
    pub fn hang_up(mut self) -> i32 {
        let nowhere = File::open("/dev/null").expect("it exists");
        drop(std::mem::replace(&mut self.master, nowhere.into()));
        self.ended = true;
        wait_exit(&mut self.child, PATIENCE).expect("a hangup ends the command")
    }

    /// Reads to the end of the output and waits for the command. Returns its exit code.
    pub fn wait_end(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        while self.read_some(deadline.saturating_duration_since(Instant::now())) {}
        let code = wait_exit(&mut self.child, PATIENCE);
        self.ended = code.is_some();
        code.unwrap_or_else(|| panic!("the command does not end:\n{}", self.contents()))
    }

    /// Reads more output. Returns false at the end, or when none came in time.
    fn read_some(&mut self, patience: Duration) -> bool {
        if !readable(self.master.as_fd(), patience) {
            return false;
        }
        let mut bytes = [0; 8192];
        // A hung-up pty answers with an error.
        let len = rustix::io::read(&self.master, &mut bytes).unwrap_or(0);
        self.screen.process(&bytes[..len]);
        self.raw.extend_from_slice(&bytes[..len]);
        len > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.ended {
            let session = session_of(self.pid());
            let _ = self.child.kill();
            let _ = self.child.wait();
            // The end of its leader hangs the session up. A client in it needs a moment to end.
            let until = Instant::now() + Duration::from_secs(2);
            for pid in session {
                wait_gone_until(pid, until);
            }
        }
    }
}

fn size(rows: u16, cols: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Returns a size that the model accepts: at least 2, and not larger than needed.
fn modelled(length: u16) -> NonZero<u16> {
    NonZero::new(length.clamp(2, 1000)).expect("a screen has rows and columns")
}
