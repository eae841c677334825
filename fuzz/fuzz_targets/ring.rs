//! The ring and its cursors against a model that keeps everything. After any writes, forgets and
//! resizes, the ring holds exactly the newest bytes that fit. A cursor reads them in order, or gets
//! the exact number of bytes it missed.

#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use taskmaster::ring::{CAPACITY_MIN, Ring};

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    Write(u16, u8),
    Commit { max: u16, used: u16 },
    Read { cursor: u8, budget: u16 },
    ReadFrom(u32),
    Forget(u32),
    Resize(u16),
}

/// Keeps all bytes, and computes which of them the ring must have dropped.
struct Model {
    written: Vec<u8>,
    capacity: usize,
    tail: usize,
}

fuzz_target!(|input: (u16, Vec<Step>)| {
    let (capacity, steps) = input;
    let mut ring = Ring::new(usize::from(capacity));
    let mut model = Model {
        written: Vec::new(),
        capacity: usize::from(capacity).max(CAPACITY_MIN),
        tail: 0,
    };
    let mut cursors = [0; 4];
    for step in steps.into_iter().take(256) {
        match step {
            Step::Write(len, seed) => {
                let bytes = pattern(usize::from(len), seed);
                ring.write(&bytes);
                model.written.extend_from_slice(&bytes);
            }
            Step::Commit { max, used } => {
                let spare = ring.spare(usize::from(max));
                assert_eq!(spare.is_empty(), max == 0, "there must be room for a byte");
                assert!(spare.len() <= usize::from(max));
                let used = usize::from(used).min(spare.len());
                let bytes = pattern(used, model.written.len() as u8);
                spare[..used].copy_from_slice(&bytes);
                ring.commit(used);
                model.written.extend_from_slice(&bytes);
            }
            Step::Read { cursor, budget } => {
                let cursor = &mut cursors[usize::from(cursor) % 4];
                let len = model.check_read(&ring, *cursor);
                // Advance as far as the reader got.
                let from = (*cursor).max(ring.tail());
                *cursor = from + len.min(u64::from(budget));
            }
            Step::ReadFrom(offset) => {
                model.check_read(&ring, u64::from(offset));
            }
            Step::Forget(offset) => {
                ring.forget(u64::from(offset));
                let offset = (offset as usize).min(model.written.len());
                model.tail = model.tail.max(offset);
            }
            Step::Resize(capacity) => {
                ring.resize(usize::from(capacity));
                model.capacity = usize::from(capacity).max(CAPACITY_MIN);
            }
        }
        model.check(&ring);
    }
});

impl Model {
    fn check(&mut self, ring: &Ring) {
        let head = self.written.len();
        self.tail = self.tail.max(head.saturating_sub(self.capacity));
        assert_eq!(ring.capacity(), self.capacity);
        assert_eq!(ring.head(), head as u64);
        assert_eq!(
            ring.tail(),
            self.tail as u64,
            "dropped too early or too late"
        );
        assert_eq!(ring.len(), head - self.tail);
        assert_eq!(ring.is_empty(), head == self.tail);
        assert!(ring.memory() <= self.capacity);
    }

    /// Reads from an offset, compares, and returns the number of bytes.
    fn check_read(&self, ring: &Ring, from: u64) -> u64 {
        let read = ring.read(from);
        let (tail, head) = (self.tail as u64, self.written.len() as u64);
        let offset = from.clamp(tail, head);
        assert_eq!((read.gap, read.offset), (tail.saturating_sub(from), offset));
        let bytes = [read.slices.0, read.slices.1].concat();
        assert_eq!(bytes, &self.written[offset as usize..], "from {from}");
        assert_eq!(
            (read.len(), read.is_empty()),
            (bytes.len(), bytes.is_empty())
        );
        read.len() as u64
    }
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}
