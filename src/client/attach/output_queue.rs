//! Output that waits for a terminal, and for how long it has been waiting.
//!
//! Pure: the caller passes the time.

use std::time::Instant;

/// Bytes on their way to a terminal that may be slow.
///
/// Offsets count all bytes that were ever queued:
/// ```text
///   0 ........ written ........ total
///   in the terminal   in the queue
/// ```
#[derive(Debug, Default)]
pub(crate) struct OutputQueue {
    bytes: Vec<u8>,
    /// The first bytes of `bytes`, which the terminal has taken.
    taken: usize,
    total: u64,
    /// A mark to measure the delay with: this offset has been waiting since this time.
    mark: Option<(u64, Instant)>,
    /// Up to this offset output is shown however long that takes.
    patient_until: u64,
    /// Up to this offset output is never dropped.
    fixed_until: u64,
}

impl OutputQueue {
    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], now: Instant) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
        if self.mark.is_none() && !bytes.is_empty() {
            self.mark = Some((self.total, now));
        }
    }

    /// The bytes that wait.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.pending().len()
    }

    /// The terminal took `count` of the pending bytes.
    pub(crate) fn advance(&mut self, count: usize, now: Instant) {
        self.taken += count;
        let written = self.written();
        let reached = self.mark.is_some_and(|(end, _)| end <= written);
        if reached || written <= self.patient_until {
            self.mark = (self.len() > 0).then_some((self.total, now));
        }
    }

    /// Since when output waits that the terminal should have taken. `None` while the output is
    /// one that may take its time.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let patient = self.patient_until > self.written();
        self.mark.filter(|_| !patient).map(|(_, since)| since)
    }

    /// Everything that is queued now may take its time.
    pub(crate) fn be_patient(&mut self) {
        self.patient_until = self.total;
    }

    /// Nothing that is queued now is dropped by [`OutputQueue::discard`].
    pub(crate) fn fix(&mut self) {
        self.fixed_until = self.total;
    }

    /// Drops the pending bytes.
    pub(crate) fn discard(&mut self) {
        let all = self.bytes.len();
        let first = self.total - all as u64;
        let fixed = self.fixed_until.saturating_sub(first) as usize;
        self.bytes.truncate(self.taken.max(fixed));
        self.total -= (all - self.bytes.len()) as u64;
        self.mark = None;
    }

    fn written(&self) -> u64 {
        self.total - self.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn bytes_leave_in_order() {
        let now = Instant::now();
        let mut queue = OutputQueue::default();
        queue.push(b"one", now);
        queue.advance(2, now);
        queue.push(b"two", now);
        assert_eq!((queue.pending(), queue.len()), (&b"etwo"[..], 4));
        queue.advance(4, now);
        assert_eq!((queue.len(), queue.waiting_since()), (0, None));
    }

    #[test]
    fn the_delay_is_that_of_the_oldest_output() {
        let start = Instant::now();
        let mut queue = OutputQueue::default();
        queue.push(b"old", start);
        queue.push(b"new", after(start, 1));
        assert_eq!(queue.waiting_since(), Some(start));
        queue.advance(2, after(start, 2));
        assert_eq!(queue.waiting_since(), Some(start), "not all of it is out");
        queue.advance(1, after(start, 3));
        assert_eq!(queue.waiting_since(), Some(after(start, 3)));
    }

    #[test]
    fn patient_output_has_no_delay() {
        let start = Instant::now();
        let mut queue = OutputQueue::default();
        queue.push(b"snapshot", start);
        queue.be_patient();
        queue.push(b"live", start);
        assert_eq!(queue.waiting_since(), None);
        queue.advance(8, after(start, 9));
        assert_eq!(queue.waiting_since(), Some(after(start, 9)));
    }

    #[test]
    fn only_fixed_output_survives_a_discard() {
        let now = Instant::now();
        let mut queue = OutputQueue::default();
        queue.push(b"title", now);
        queue.fix();
        queue.push(b"drawn", now);
        queue.advance(2, now);
        queue.discard();
        assert_eq!(
            (queue.pending(), queue.waiting_since()),
            (&b"tle"[..], None)
        );
        queue.advance(3, now);
        queue.push(b"more", now);
        queue.advance(1, now);
        queue.discard();
        assert_eq!(queue.len(), 0);
        queue.push(b"end", now);
        assert_eq!(queue.pending(), b"end");
    }
}
