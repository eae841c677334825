//! The daemon's signals, read from the signalfd.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::control::event_history::{daemon_event, process_event};
use crate::supervisor::{Event, sig};
use crate::sys;
use crate::sys::pidfd::Pause;
use crate::text::plural::plural;
use libc::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};

/// The blocked signals. SIGXFSZ is blocked so that exceeding RLIMIT_FSIZE returns EFBIG instead of
/// killing the daemon.
pub(crate) const HANDLED: [i32; 8] = [
    SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGXFSZ,
];

/// The blocked signals that a daemon gets as requests. Until it is ready they wait: their default
/// action would end it.
pub(crate) const REQUESTS: [i32; 3] = [SIGHUP, SIGUSR1, SIGUSR2];

/// Signals that are read in one turn.
const SIGNALS_A_TURN: usize = 64;

/// Ended processes that are reaped in one turn.
const REAPED_A_TURN: usize = 64;

impl Reactor {
    /// Reads the signalfd until it is empty: a record that stays raises no other event. Processes
    /// can fork and exit as fast as the daemon reads and reaps, so the rest waits for the next
    /// turn. `ended` says that this is the rest.
    pub(crate) fn read_signals(&mut self, mut ended: bool) {
        let mut more = true;
        for _ in 0..SIGNALS_A_TURN {
            match self.signals.read() {
                Ok(Some(info)) if info.signal == SIGCHLD => ended = true,
                Ok(Some(info)) => self.handle_signal(info.signal),
                Ok(None) => {
                    more = false;
                    break;
                }
                Err(error) => {
                    log::error!("cannot read signals: {error}");
                    more = false;
                    break;
                }
            }
        }
        if ended {
            more |= self.note_pauses();
            more |= self.reap_children();
        }
        if more {
            self.timers.add(self.clock.now(), Timer::Reap);
        }
    }

    fn handle_signal(&mut self, signal: i32) {
        match signal {
            SIGHUP => {
                self.restore_instance();
                let path = self.settings.config().path.display();
                log::info!("SIGHUP: reloading {path}");
                self.reload_on_signal();
            }
            SIGTERM => self.shut_down_by("SIGTERM"),
            SIGINT => self.shut_down_by("SIGINT"),
            SIGQUIT => self.shut_down_by("SIGQUIT"),
            SIGUSR1 => {
                // Restoring changes the umask for a moment, so it precedes reopening, which
                // creates files on another thread.
                self.restore_instance();
                log::info!("reopening log files");
                self.log_files.reopen_all();
            }
            SIGUSR2 => log::warn!("SIGUSR2: an upgrade in place is not supported yet"),
            other => log::warn!("signal {other} is ignored"),
        }
    }

    fn restore_instance(&mut self) {
        self.instance
            .restore(self.settings.boot(), &mut self.poller);
    }

    /// Shuts down; a second signal shuts down at once.
    fn shut_down_by(&mut self, signal: &str) {
        let again = self.supervisor.is_shutting_down();
        let (event, how) = match again {
            true => (Event::ShutdownNow, " at once"),
            false => (Event::Shutdown, ""),
        };
        log::info!("{signal}: shutting down{how}");
        self.supervisor.handle_event(event, self.clock.now());
        self.publish(daemon_event("shutdown", format!("by {signal}")));
    }

    /// Notes which leaders were stopped by a signal, and which run again. Returns whether there may
    /// be more.
    fn note_pauses(&mut self) -> bool {
        for _ in 0..REAPED_A_TURN {
            let Ok(Some(Pause { pid, signal })) = sys::pidfd::next_pause() else {
                return false;
            };
            let Some(id) = self.processes.by_leader(pid) else {
                continue;
            };
            let Some(io) = self.processes.io_mut(id) else {
                continue;
            };
            io.paused = signal;
            let name = io.name.clone();
            let (event, mut detail) = match signal {
                Some(signal) => ("process_paused", sig(signal)),
                None => ("process_continued", String::new()),
            };
            match io.pauses_announced.take(self.clock.now()) {
                None => continue,
                Some(0) => {}
                Some(left_out) => {
                    let counted = plural(left_out as usize, "earlier change", "earlier changes");
                    detail.push_str(&format!(" ({counted} not shown)"));
                }
            }
            let detail = detail.trim_start().to_string();
            log::info!("{name}: {} {detail}", event.replace("process_", ""));
            self.publish(process_event(event, &name, detail));
        }
        true
    }

    /// Reaps adopted processes: the daemon is the subreaper of everything below it. A leader is
    /// reaped through its pidfd, at once, since it would hide the zombies behind it. Returns
    /// whether there may be more.
    fn reap_children(&mut self) -> bool {
        for _ in 0..REAPED_A_TURN {
            let Ok(Some(pid)) = sys::pidfd::peek_any_zombie() else {
                return false;
            };
            let reaped = match self.processes.by_leader(pid) {
                Some(id) => self.reap_leader(id),
                None => self.reap_child(pid),
            };
            if !reaped {
                return false;
            }
        }
        true
    }
}
