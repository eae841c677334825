//! The end of the daemon: the last output is written and the last events are sent.

use crate::reactor::Reactor;
use crate::reactor::control::connection::WriteState;
use crate::reactor::control::log_stream;
use crate::reactor::poller::EventSource;
use crate::supervisor::{ProcessId, Time};
use mio::Events;
use std::time::Duration;

/// How long the last output may take to reach the disk.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// How long clients may take to read the last events.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// The longest wait for the disk thread or a client.
const WAIT_MAX: Duration = Duration::from_millis(100);

impl Reactor {
    /// Every process is down: writes all output to the logs, makes all announcements and sends
    /// everything to the clients, each within a time limit.
    pub(crate) fn flush_before_exit(&mut self) {
        self.drain_logs();
        self.announce_rest();
        self.fan_out_output();
        // They have the last output now.
        log_stream::end_followers(&mut self.clients);
        self.flush_clients_before_exit();
    }

    /// Has the disk threads write everything and end.
    pub(crate) fn stop_disk(&mut self) {
        if !self.log_files.flush_and_stop(LAST_FLUSH) {
            eprintln!("tmd: the disk did not take the last output within {LAST_FLUSH:?}");
        }
    }

    /// Waits until all output is in the logs.
    fn drain_logs(&mut self) {
        let ids: Vec<ProcessId> = self.processes.iter().map(|io| io.id).collect();
        for id in &ids {
            self.finish_logs(*id);
        }
        let limit = self.clock.tick() + LAST_FLUSH;
        let mut events = Events::with_capacity(64);
        loop {
            let open = ids.iter().any(|id| {
                let io = self.processes.io(*id);
                let head = io.map_or(0, |io| io.output.head());
                !self.log_has_reached(*id, head)
            });
            let now = self.clock.tick();
            if !open || now >= limit || !self.wait_for_last(&mut events, wait_until(limit, now)) {
                return;
            }
            self.collect_disk_news();
        }
    }

    /// Announces every change of state that still waits for a log.
    fn announce_rest(&mut self) {
        let ids: Vec<ProcessId> = self.processes.iter().map(|io| io.id).collect();
        for id in ids {
            if let Some(io) = self.processes.io_mut(id) {
                let waiting = io.announcements.iter_mut();
                waiting.for_each(|announcement| {
                    (announcement.offset, announcement.deadline) = (0, Time::default());
                });
            }
            self.flush_announcements(id);
        }
    }

    /// Writes to all clients; one that does not read delays the end for a limited time.
    fn flush_clients_before_exit(&mut self) {
        let limit = self.clock.tick() + LAST_EVENTS;
        let mut events = Events::with_capacity(64);
        self.clients.queue_flush_of_all();
        loop {
            self.flush();
            let more = self.clients.has_unflushed();
            let blocked = self
                .clients
                .iter()
                .any(|client| client.outgoing() > 0 && client.write != WriteState::Failed);
            let now = self.clock.tick();
            if !(blocked || more) || now >= limit {
                return;
            }
            let wait = match more {
                true => Duration::ZERO,
                false => wait_until(limit, now),
            };
            if !self.wait_for_last(&mut events, wait) {
                return;
            }
        }
    }

    /// Waits for the disk thread, and for clients that read again. Returns `false` when polling
    /// fails.
    fn wait_for_last(&mut self, events: &mut Events, wait: Duration) -> bool {
        if self.poller.wait(events, Some(wait)).is_err() {
            return false;
        }
        for event in events.iter() {
            if let Some(EventSource::Connection(slot)) = self.poller.source(event.token()) {
                self.clients.poll_event_before_exit(slot, event);
            }
        }
        true
    }
}

fn wait_until(limit: Time, now: Time) -> Duration {
    limit.since(now).min(WAIT_MAX)
}
