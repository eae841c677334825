//! The daemon's signals, as they come out of the signalfd.

use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::control::event_history;
use crate::supervisor::Event;
use crate::sys;
use libc::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};

/// What is blocked and read from the signalfd. SIGXFSZ never comes, but blocked it makes a log
/// at the limit of file sizes an error to be told rather than the daemon's end.
pub const HANDLED: [i32; 8] = [
    SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGXFSZ,
];

impl Reactor {
    /// Reads to the end: a signalfd with a second record says nothing again.
    pub(crate) fn read_signals(&mut self) {
        loop {
            match self.signals.read() {
                Ok(Some(info)) => self.signal(info.signal),
                Ok(None) => return,
                Err(error) => return log::error!("cannot read signals: {error}"),
            }
        }
    }

    fn signal(&mut self, signal: i32) {
        match signal {
            SIGHUP => {
                self.restore_socket();
                self.reload_by_signal();
            }
            SIGTERM | SIGINT | SIGQUIT => {
                let again = self.supervisor.is_shutting_down();
                log::info!(
                    "{}",
                    if again {
                        "asked to stop now"
                    } else {
                        "asked to stop"
                    }
                );
                let event = if again {
                    Event::ShutdownNow
                } else {
                    Event::Shutdown
                };
                self.supervisor.handle_event(event, self.clock.now());
                let by = match signal {
                    SIGTERM => "by SIGTERM",
                    SIGINT => "by SIGINT",
                    _ => "by SIGQUIT",
                };
                let event = event_history::plain("shutdown", None, by.to_string(), unix_ns());
                self.publish(event);
            }
            SIGUSR1 => {
                // First: it changes the umask for a moment, and reopening makes files.
                self.restore_socket();
                log::info!("reopening log files");
                self.log_files.reopen_all();
            }
            SIGUSR2 => log::warn!("SIGUSR2: an upgrade in place is not supported yet"),
            SIGCHLD => self.reap_orphans(),
            other => log::warn!("signal {other} is ignored"),
        }
    }

    /// Reaps what was adopted: the daemon is the subreaper of everything below it. A leader is
    /// left to its pidfd, which is read at once so that it does not hide those behind it.
    fn reap_orphans(&mut self) {
        while let Ok(Some(pid)) = sys::pidfd::peek_any_zombie() {
            let leader = self.leaders.get(&pid).copied();
            match leader {
                Some(id) => {
                    if !self.reap_leader(id) {
                        return;
                    }
                }
                None => {
                    if !matches!(sys::pidfd::reap(pid), Ok(Some(_))) {
                        return;
                    }
                }
            }
        }
    }
}
