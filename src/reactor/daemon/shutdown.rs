//! The daemon ends: the last output, the last news and the last clients are served.

use crate::reactor::Reactor;
use crate::reactor::poller::Source;
use crate::supervisor::{ProcessId, Time};
use mio::Events;
use std::time::Duration;

/// How long the last output may take to reach the disk.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// How long the last news waits for clients that do not read.
const LAST_NEWS: Duration = Duration::from_millis(500);

impl Reactor {
    /// Everything is down: all output is in the logs, all news announced and with the clients.
    /// Each within a bound.
    pub(crate) fn last_words(&mut self) {
        self.drain_logs();
        self.announce_rest();
        self.hand_on_output();
        self.flush_last();
    }

    /// Has the disk thread write what it was given last, and end.
    pub(crate) fn stop_disk(&self) {
        if !self.log_files.flush_and_stop(LAST_FLUSH) {
            eprintln!("tmd: the disk did not take the last output within {LAST_FLUSH:?}");
        }
    }

    /// Waits until all output is in the logs.
    fn drain_logs(&mut self) {
        let ids: Vec<ProcessId> = self.children.keys().copied().collect();
        for id in &ids {
            self.finish_logs(*id);
        }
        let limit = self.clock.tick() + LAST_FLUSH;
        let mut events = Events::with_capacity(64);
        loop {
            let open = ids.iter().any(|id| {
                let head = self.children.get(id).map_or(0, |child| child.output.head());
                !self.log_reached(*id, head)
            });
            let now = self.clock.tick();
            if !open || now >= limit || !self.poll_for(&mut events, until(limit, now)) {
                return;
            }
            self.collect_disk();
        }
    }

    /// What still waits for a log waits no longer.
    fn announce_rest(&mut self) {
        let ids: Vec<ProcessId> = self.children.keys().copied().collect();
        for id in ids {
            if let Some(child) = self.children.get_mut(&id) {
                let waiting = child.announcements.iter_mut();
                waiting.for_each(|announcement| announcement.deadline = Time::default());
            }
            self.announce(id);
        }
    }

    /// Writes to all clients what waits for them; one that does not read holds it up only so long.
    fn flush_last(&mut self) {
        let limit = self.clock.tick() + LAST_NEWS;
        let mut events = Events::with_capacity(64);
        let all = self.connections.iter().map(|(slot, _)| slot);
        self.unflushed.extend(all);
        loop {
            self.flush();
            let mut all = self.connections.iter();
            let waits = all.any(|(_, client)| client.outgoing() > 0 && !client.broken);
            let now = self.clock.tick();
            if !(waits || self.flush_again) || now >= limit {
                return;
            }
            let wait = match self.flush_again {
                true => Duration::ZERO,
                false => until(limit, now),
            };
            if !self.poll_for(&mut events, wait) {
                return;
            }
        }
    }

    /// Polls for no more than the disk thread and clients that read again. `false` when that
    /// fails.
    fn poll_for(&mut self, events: &mut Events, wait: Duration) -> bool {
        if self.poller.wait(events, Some(wait)).is_err() {
            return false;
        }
        for event in events.iter() {
            if let Some(Source::Connection(slot)) = self.poller.source(event.token())
                && let Some(connection) = self.connections.get_mut(slot)
            {
                connection.broken |= event.is_write_closed() || event.is_error();
                if event.is_writable() {
                    connection.set_writable();
                }
                self.unflushed.insert(slot);
            }
        }
        true
    }
}

fn until(limit: Time, now: Time) -> Duration {
    limit.since(now).min(Duration::from_millis(100))
}
