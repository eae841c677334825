//! What the supervisor decided, done.

use crate::reactor::Reactor;
use crate::reactor::clock::{Timer, unix_ns};
use crate::reactor::control::event_history;
use crate::reactor::process::process_io::Announcement;
use crate::supervisor::{Effect, ProcessId, SignalScope, State, Transition};
use crate::sys;
use crate::wire::EventInfo;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long the news of an end waits for the log to be written.
const BARRIER: Duration = Duration::from_secs(1);

/// Time spent on starts in one turn: then everybody else has their say.
const STARTS_A_TURN: Duration = Duration::from_millis(1);

impl Reactor {
    /// Does everything that is decided, in order; starts as far as the turn's time for them goes.
    pub(crate) fn apply(&mut self) {
        loop {
            self.apply_effects();
            if self.starts_took >= STARTS_A_TURN {
                return;
            }
            let Some(id) = self.starts_due.pop_front() else {
                return;
            };
            let began = self.clock.tick();
            self.spawn(id);
            self.starts_took += self.clock.tick().since(began);
        }
    }

    fn apply_effects(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            match effect {
                Effect::Spawn(id) => self.starts_due.push_back(id),
                Effect::Signal { id, signal, scope } => {
                    self.signal_leader(id, signal, scope);
                    // One that is stopped would not get it before SIGKILL.
                    self.signal_leader(id, libc::SIGCONT, scope);
                }
                Effect::Kill { id, scope } => self.kill(id, scope),
                Effect::Notify(transition) => self.notify(transition),
                Effect::Reconfigured(id) => self.configure_logs(id),
                Effect::Release { id, name } => self.release_child(id, &name),
                Effect::Finished => {
                    self.finished = true;
                    self.end_followers();
                }
            }
        }
    }

    /// Sends a signal to a living leader or its group. A leader that is not reaped yet pins its
    /// pid, so the group is the right one.
    pub(crate) fn signal_leader(&mut self, id: ProcessId, signal: i32, scope: SignalScope) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let Some(leader) = &child.leader else { return };
        let sent = match scope {
            SignalScope::Leader => sys::pidfd::signal(leader.pidfd.as_fd(), signal),
            SignalScope::Group => sys::pidfd::signal_group(leader.pid, signal),
        };
        if let Err(error) = sent
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            let detail = format!("signal {signal} to pid {}: {error}", leader.pid);
            log::error!("{}: {detail}", child.name);
            let name = child.name.clone();
            self.publish(event_history::plain(
                "signal_failed",
                Some(&name),
                detail,
                unix_ns(),
            ));
        }
    }

    fn kill(&mut self, id: ProcessId, scope: SignalScope) {
        self.signal_leader(id, libc::SIGKILL, scope);
        if scope == SignalScope::Group
            && let Some(child) = self.children.get_mut(&id)
        {
            child.killing = true;
            self.remains_due.insert(id);
        }
    }

    /// Announces a change of state as soon as the log holds what was written before it.
    fn notify(&mut self, transition: Transition) {
        let now = self.clock.now();
        let id = transition.id;
        let Some(child) = self.children.get_mut(&id) else {
            return self.announce_now(&transition);
        };
        let offset = match transition.exit {
            Some(_) => child.output.head(),
            None => 0,
        };
        let deadline = now + BARRIER;
        child.announcements.push_back(Announcement {
            transition,
            offset,
            deadline,
        });
        if self.log_reached(id, offset) || self.log_files.is_stuck(now) {
            self.announce(id);
        } else {
            self.mark_dirty(id);
            self.timers.add(deadline, Timer::AnnounceDeadline(id));
        }
    }

    /// Announces what no longer waits for the log.
    pub(crate) fn announce(&mut self, id: ProcessId) {
        let now = self.clock.now();
        let stuck = self.log_files.is_stuck(now);
        while let Some(child) = self.children.get(&id)
            && let Some(first) = child.announcements.front()
            && (first.deadline <= now || stuck || self.log_reached(id, first.offset))
        {
            let child = self.children.get_mut(&id);
            let Some(first) = child.and_then(|child| child.announcements.pop_front()) else {
                return;
            };
            self.announce_now(&first.transition);
        }
    }

    fn announce_now(&mut self, transition: &Transition) {
        let Transition {
            name,
            from,
            to,
            detail,
            ..
        } = transition;
        let pid = transition
            .pid
            .map(|pid| format!(" pid {pid}"))
            .unwrap_or_default();
        let detail = if detail.is_empty() {
            String::new()
        } else {
            format!(" ({detail})")
        };
        match to {
            State::Fatal => log::error!("{name}: {from} -> {to}{pid}{detail}"),
            State::Backoff => log::warn!("{name}: {from} -> {to}{pid}{detail}"),
            State::Stopped
            | State::Waiting
            | State::Starting
            | State::Running
            | State::Stopping
            | State::Exited => log::info!("{name}: {from} -> {to}{pid}{detail}"),
        }
        self.publish(event_history::of_transition(transition, unix_ns()));
        self.console_transition(transition);
        self.waiters_transition(transition);
    }

    /// Keeps an event and sends it to those who follow.
    pub(crate) fn publish(&mut self, event: EventInfo) {
        self.send_event(&event);
        self.history.push(event);
    }

    /// A process is no longer in the config and is down.
    fn release_child(&mut self, id: ProcessId, name: &str) {
        log::info!("{name}: removed");
        if let Some(child) = self.children.get_mut(&id) {
            for announcement in &mut child.announcements {
                announcement.offset = 0;
            }
        }
        self.announce(id);
        self.console_removed(id);
        self.finish_logs(id);
        if let Some(child) = self.children.get_mut(&id) {
            child.released = true;
        }
        self.finish_release(id);
        self.waiters_released(id);
        self.publish(event_history::plain(
            "process_removed",
            Some(name),
            String::new(),
            unix_ns(),
        ));
    }
}
