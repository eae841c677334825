//! Keys that stop a process or its output: ctrl-z and ctrl-s.
//!
//! ```text
//!   ctrl-s   the kernel holds the output back, for every client, until ctrl-q
//!   ctrl-z   a program without a shell that continues it would stay stopped
//! ```

use crate::reactor::clock::Timer;
use crate::reactor::console::Consoles;
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::ProcessId;
use crate::sys::descendants::{Stat, children, stat};
use crate::sys::{self, pty::ControlKeys};
use std::os::fd::AsFd;
use std::time::Duration;

/// Ctrl-z as a byte.
const CTRL_Z: u8 = 0x1a;

/// Children of a leader that are looked at, the newest first: ctrl-z stops what runs now.
const LOOKED_AT_MAX: usize = 64;

/// When to look whether the program has stopped, after ctrl-z and after each look.
const LOOK_AFTER: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

impl Consoles<'_> {
    /// Notes typed keys that stop the output, or may stop the process.
    pub(crate) fn note_keys(&mut self, id: ProcessId, bytes: &[u8]) {
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        if !io.output_stopped && !bytes.iter().any(u8::is_ascii_control) {
            return;
        }
        let Some(keys) = control_keys(io) else {
            return;
        };
        for byte in bytes {
            if keys.stop == Some(*byte) {
                io.output_stopped = true;
            } else if keys.start == *byte || keys.any_starts || keys.stop.is_none() {
                io.output_stopped = false;
            }
        }
        if bytes.contains(&CTRL_Z) {
            let timer = Timer::StopCheck(id, 0);
            self.timers.add(self.now + LOOK_AFTER[0], timer);
        }
    }

    /// Continues a program that ctrl-z has stopped, unless a shell waits for that: then the shell
    /// has the terminal.
    pub(crate) fn check_stop(&mut self, id: ProcessId, looks: usize) {
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let Some(leader) = io.live_leader() else {
            return;
        };
        let terminal = io.newest_terminal().map(|fd| fd.as_fd());
        let foreground = terminal.and_then(|fd| sys::pty::foreground_group(fd).ok());
        if foreground != Some(leader.pid) {
            return;
        }
        if is_stopped(leader.pid) {
            log::info!("{}: continued after ctrl-z", io.name);
            let _ = sys::pidfd::signal_group(leader.pid, libc::SIGCONT);
        } else if let Some(delay) = LOOK_AFTER.get(looks + 1) {
            let timer = Timer::StopCheck(id, looks + 1);
            self.timers.add(self.now + *delay, timer);
        }
    }

    /// The last client is gone: output that it left stopped flows again.
    pub(super) fn free_output(&mut self, id: ProcessId) {
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        if !io.clients.is_empty() || !is_output_stopped(io) {
            return;
        }
        io.output_stopped = false;
        if let Some(keys) = control_keys(io) {
            io.write_input(&[keys.start], self.poller);
        }
    }
}

/// Whether a leader or a child in its group is stopped.
fn is_stopped(leader: i32) -> bool {
    let stops = |stat: &Stat| stat.pgid == leader && stat.state == 'T';
    let newest = children(leader).into_iter().rev().take(LOOKED_AT_MAX);
    let mut looked_at = [leader].into_iter().chain(newest).filter_map(stat);
    looked_at.any(|stat| stops(&stat))
}

/// Whether ctrl-s holds the output back.
pub(crate) fn is_output_stopped(io: &ProcessIo) -> bool {
    // A program that takes the keys itself has ended the stop.
    io.output_stopped && control_keys(io).is_some_and(|keys| keys.stop.is_some())
}

fn control_keys(io: &ProcessIo) -> Option<ControlKeys> {
    sys::pty::control_keys(io.newest_terminal()?.as_fd()).ok()
}
