//! New events on their way to the clients that follow them: one ring of lines for all, and a
//! position in it for each. A client that reads too slowly receives the number of events that it
//! has missed.

use crate::reactor::control::event_history::lost_events;
use crate::ring::Ring;
use crate::wire::{EventInfo, Message};
use memchr::{memchr, memchr_iter, memrchr};
use serde_json::json;

/// The latest events in bytes. A follower that falls further behind misses some.
const EVENTS_KEPT: usize = 1024 * 1024;

/// The longest event in bytes; a longer one counts as missed.
const EVENT_MAX: usize = 64 * 1024;

/// Bytes of events that are queued at a time.
const EVENTS_AT_ONCE: usize = 16 * 1024;

/// The latest events, a line each.
#[derive(Debug)]
pub(crate) struct EventFeed {
    ring: Ring,
    /// Events since the start, those that are no longer kept included.
    total: u64,
}

/// A client's position in the feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EventCursor {
    offset: u64,
    /// Events before it, as [`EventFeed`] counts them.
    passed: u64,
}

impl EventFeed {
    /// An empty feed.
    pub(crate) fn new() -> EventFeed {
        EventFeed {
            ring: Ring::new(EVENTS_KEPT),
            total: 0,
        }
    }

    /// A position behind all events.
    pub(crate) fn head(&self) -> EventCursor {
        EventCursor {
            offset: self.ring.head(),
            passed: self.total,
        }
    }

    /// Bytes of memory that it takes.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.ring.memory()
    }

    /// Gives the memory back. To be called when there are no followers.
    pub(crate) fn release(&mut self) {
        if self.ring.memory() > 0 {
            self.ring = Ring::new(EVENTS_KEPT);
        }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, event: &EventInfo) {
        self.total += 1;
        let mut line = to_line(event);
        if line.len() > EVENT_MAX {
            line = to_line(&lost_events(1, "too long"));
        }
        self.ring.write(&line);
    }

    /// Returns the next events, at whole lines, and moves behind them. They begin with an event
    /// that counts those that were missed.
    pub(crate) fn next_lines(&self, cursor: &mut EventCursor) -> Vec<u8> {
        let mut lines = Vec::new();
        let read = self.ring.read(cursor.offset);
        let mut from = read.offset;
        if read.gap > 0 {
            // The start of the oldest line is lost, so that event is missed too.
            from += self.find_newline(from).map_or(0, |at| at + 1);
            let missed = self.total - self.lines_from(from) - cursor.passed;
            cursor.passed += missed;
            lines = to_line(&lost_events(missed, "this client reads too slowly"));
        }
        let (first, second) = self.ring.read(from).slices;
        let end = match whole_lines(first, EVENTS_AT_ONCE) {
            // The first line may end in the second piece.
            0 => match self.find_newline(from) {
                Some(at) => at as usize + 1,
                None => 0,
            },
            end => end,
        };
        let start = lines.len();
        lines.extend_from_slice(&first[..end.min(first.len())]);
        lines.extend_from_slice(&second[..end.saturating_sub(first.len())]);
        cursor.passed += memchr_iter(b'\n', &lines[start..]).count() as u64;
        cursor.offset = from + end as u64;
        lines
    }

    /// Returns the distance from `from` to the first newline.
    fn find_newline(&self, from: u64) -> Option<u64> {
        let (first, second) = self.ring.read(from).slices;
        let found = memchr(b'\n', first).or_else(|| Some(first.len() + memchr(b'\n', second)?));
        found.map(|at| at as u64)
    }

    fn lines_from(&self, from: u64) -> u64 {
        let (first, second) = self.ring.read(from).slices;
        (memchr_iter(b'\n', first).count() + memchr_iter(b'\n', second).count()) as u64
    }
}

fn to_line(event: &EventInfo) -> Vec<u8> {
    let message = Message::Request {
        id: None,
        method: "event".to_string(),
        params: json!(event),
    };
    message.to_line()
}

/// Returns the length of the complete lines in about the first `max` bytes.
fn whole_lines(bytes: &[u8], max: usize) -> usize {
    let rest = &bytes[max.min(bytes.len())..];
    let end = match memchr(b'\n', rest) {
        Some(at) => bytes.len() - rest.len() + at + 1,
        None => bytes.len(),
    };
    memrchr(b'\n', &bytes[..end]).map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::control::event_history::daemon_event;

    fn details(lines: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(lines);
        let parse = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
        let params = text.lines().map(|line| parse(line)["params"].clone());
        params
            .map(|event| match event["count"].as_u64() {
                Some(count) => format!("{} {count}", event["event"].as_str().unwrap_or("")),
                None => event["detail"].as_str().unwrap_or("").to_string(),
            })
            .collect()
    }

    fn all(feed: &EventFeed, cursor: &mut EventCursor) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let lines = feed.next_lines(cursor);
            if lines.is_empty() {
                return all;
            }
            all.extend(details(&lines));
        }
    }

    #[test]
    fn every_event_arrives_or_is_counted_once() {
        let mut feed = EventFeed::new();
        let mut cursor = feed.head();
        let mut number = 0;
        let mut next = 0;
        for (round, events) in [3, 200, 60_000, 5, 0, 40_000].into_iter().enumerate() {
            for _ in 0..events {
                feed.push(&daemon_event("test", number.to_string()));
                number += 1;
            }
            let mut found = all(&feed, &mut cursor).into_iter();
            if events > 20_000 {
                let lost = found.next().expect("an event");
                let count = lost.strip_prefix("events_lost ").expect("a gap");
                next += count.parse::<u64>().expect("a number");
            }
            for detail in found {
                assert_eq!(detail, next.to_string(), "round {round}");
                next += 1;
            }
            assert_eq!(next, number, "round {round}");
        }
    }

    #[test]
    fn a_feed_without_followers_keeps_no_memory_and_counts_on() {
        let mut feed = EventFeed::new();
        feed.push(&daemon_event("test", "1".to_string()));
        feed.release();
        assert_eq!(feed.memory(), 0);
        let mut cursor = feed.head();
        feed.push(&daemon_event("test", "2".to_string()));
        assert_eq!(all(&feed, &mut cursor), ["2"]);
    }

    #[test]
    fn an_event_that_is_too_long_is_counted() {
        let mut feed = EventFeed::new();
        let mut cursor = feed.head();
        feed.push(&daemon_event("test", "x".repeat(EVENT_MAX)));
        assert_eq!(all(&feed, &mut cursor), ["events_lost 1"]);
    }
}
