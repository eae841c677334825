//! The record of who asked for what. Many requests of one user other than the owner make few lines:
//! a flood of them would have the earlier lines rotated away.

use crate::reactor::clock::{Timer, Timers};
use crate::supervisor::Time;
use crate::sys::socket::Peer;
use crate::text::plural::plural;
use std::collections::BTreeMap;
use std::time::Duration;

/// The time over which lines are counted.
const SPAN: Duration = Duration::from_secs(1);

/// Refusals of one user that are logged within the span.
const DENIALS: u32 = 1;

/// Changes of one kind by one user that are logged within the span.
const CHANGES: u32 = 10;

/// Kinds of lines that are counted apart; more are counted together.
const TALLIES_MAX: usize = 256;

/// The longest text of one line, in bytes: parameters can have a megabyte.
const TEXT_MAX: usize = 500;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// A request or a connection was refused.
    Denied,
    /// A connection was closed because of the quotas or of what it sent.
    Closed,
    /// A change, by its method.
    Change(&'static str),
}

/// The lines of the latest span.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// By user and kind; what finds no room is counted under `None`.
    tallies: BTreeMap<Option<(u32, Deed)>, Tally>,
    armed: bool,
}

#[derive(Debug)]
struct Tally {
    since: Time,
    logged: u32,
    left_out: usize,
    /// The latest text that was left out.
    last: String,
}

impl Audit {
    /// Logs one line, or counts it if the user has enough of this kind.
    pub(crate) fn note(
        &mut self,
        peer: &Peer,
        deed: Deed,
        text: &str,
        now: Time,
        timers: &mut Timers,
    ) {
        let line = line_of(peer, text);
        match self.count((peer.uid, deed), line, now) {
            Some(line) => log::log!(deed.level(), "{line}"),
            None if !std::mem::replace(&mut self.armed, true) => {
                timers.add(now + SPAN, Timer::Audit);
            }
            None => {}
        }
    }

    /// Logs one line of the owner, who may fill the log.
    pub(crate) fn note_all(peer: &Peer, deed: Deed, text: &str) {
        log::log!(deed.level(), "{}", line_of(peer, text));
    }

    /// Returns the line if it is to be logged.
    fn count(&mut self, of: (u32, Deed), line: String, now: Time) -> Option<String> {
        let is_over = |tally: &Tally| tally.left_out == 0 && now.since(tally.since) >= SPAN;
        if self.tallies.len() >= TALLIES_MAX {
            self.tallies.retain(|_, tally| !is_over(tally));
        }
        let known = self.tallies.contains_key(&Some(of));
        let room = known || self.tallies.len() < TALLIES_MAX;
        let tally = self.tallies.entry(room.then_some(of)).or_insert(Tally {
            since: now,
            logged: 0,
            left_out: 0,
            last: String::new(),
        });
        if is_over(tally) {
            (tally.since, tally.logged) = (now, 0);
        }
        if tally.logged < of.1.lines_max() {
            tally.logged += 1;
            return Some(line);
        }
        tally.left_out += 1;
        tally.last = line;
        None
    }

    /// Logs what was left out of the spans that are over.
    pub(crate) fn expire(&mut self, now: Time, timers: &mut Timers) {
        for line in self.over(now) {
            log::warn!("{line}");
        }
        self.armed = self.tallies.values().any(|tally| tally.left_out > 0);
        if self.armed {
            timers.add(now + SPAN, Timer::Audit);
        }
    }

    fn over(&mut self, now: Time) -> Vec<String> {
        let over = self
            .tallies
            .extract_if(.., |_, tally| now.since(tally.since) >= SPAN);
        let over = over.filter(|(_, tally)| tally.left_out > 0);
        over.map(|(_, Tally { left_out, last, .. })| {
            format!(
                "{} like this within a second: {last}",
                plural(left_out, "more line", "more lines")
            )
        })
        .collect()
    }
}

impl Deed {
    fn lines_max(self) -> u32 {
        match self {
            Deed::Denied | Deed::Closed => DENIALS,
            Deed::Change(_) => CHANGES,
        }
    }

    fn level(self) -> log::Level {
        match self {
            Deed::Denied | Deed::Closed => log::Level::Warn,
            Deed::Change(_) => log::Level::Info,
        }
    }
}

fn line_of(peer: &Peer, text: &str) -> String {
    format!("uid {} pid {}: {}", peer.uid, peer.pid, shortened(text))
}

fn shortened(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_string();
    }
    let end = text.floor_char_boundary(TEXT_MAX);
    format!("{}… ({} bytes)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time(Duration::from_millis(millis))
    }

    fn lines(audit: &mut Audit, uid: u32, deed: Deed, count: usize, now: Time) -> usize {
        let line = |number| audit.count((uid, deed), format!("{uid} {number}"), now);
        (0..count).filter_map(line).count()
    }

    #[test]
    fn a_flood_of_refusals_makes_two_lines_a_second() {
        let mut audit = Audit::default();
        assert_eq!(lines(&mut audit, 1, Deed::Denied, 1000, at(0)), 1);
        assert_eq!(lines(&mut audit, 2, Deed::Denied, 1, at(0)), 1);
        assert_eq!(audit.over(at(999)), Vec::<String>::new());
        let left_out = ["999 more lines like this within a second: 1 999"];
        assert_eq!(audit.over(at(1000)), left_out);
        assert!(audit.tallies.is_empty());
        assert_eq!(lines(&mut audit, 1, Deed::Denied, 1000, at(1001)), 1);
    }

    #[test]
    fn changes_are_counted_by_their_kind() {
        let mut audit = Audit::default();
        assert_eq!(lines(&mut audit, 1, Deed::Change("stop"), 1000, at(0)), 10);
        assert_eq!(lines(&mut audit, 1, Deed::Change("start"), 3, at(0)), 3);
    }

    #[test]
    fn users_without_number_take_no_memory() {
        let mut audit = Audit::default();
        for uid in 0..100_000 {
            lines(&mut audit, uid, Deed::Denied, 1, at(0));
        }
        assert_eq!(audit.tallies.len(), TALLIES_MAX + 1);
        assert_eq!(audit.over(at(1000)).len(), 1);
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(1000));
        assert!(cut.ends_with("… (2000 bytes)"), "{cut}");
        assert!(cut.len() < TEXT_MAX + 30);
    }
}
