//! A bounded buffer of the newest bytes of a stream, addressed by absolute offsets.
//!
//! ```text
//!   evicted        kept                 future
//!   ───────────┬───────────────────┬────────────▶  offset
//!              tail                head
//! ```
//!
//! Offsets count from the first byte ever written and never decrease, so a reader is only a
//! number. A reader that falls behind `tail` learns how many bytes it missed, and continues there.
//!
//! The ring starts without memory and doubles up to its capacity as bytes arrive, so that a quiet
//! writer costs nothing. If memory runs out, the ring keeps its size. `base` is the offset of the
//! region's first byte; everything else is arithmetic on offsets, so the region can be any memory.

/// The smallest capacity: the most that one read of a terminal returns.
pub const CAPACITY_MIN: usize = 4096;

/// The size of the first region, which suffices for quiet writers.
const REGION_FIRST: usize = 2048;

/// A larger region grows only if the same amount of memory again is available.
const REGION_LARGE: usize = 1024 * 1024;

/// The newest bytes of a stream.
#[derive(Debug)]
pub struct Ring {
    region: Box<[u8]>,
    capacity: usize,
    base: u64,
    head: u64,
    tail: u64,
}

/// The result of a read: `gap` missed bytes, then two consecutive pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<'a> {
    /// Evicted bytes between the reader's offset and the first piece.
    pub gap: u64,
    /// Offset of the first piece's first byte.
    pub offset: u64,
    /// The bytes in order: all of the first slice, then all of the second.
    pub slices: (&'a [u8], &'a [u8]),
}

impl Read<'_> {
    /// The number of bytes to read.
    pub fn len(&self) -> usize {
        self.slices.0.len() + self.slices.1.len()
    }

    /// Whether there are no bytes to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ring {
    /// An empty ring that keeps up to `capacity` bytes (at least [`CAPACITY_MIN`]).
    pub fn new(capacity: usize) -> Ring {
        Ring {
            region: Box::default(),
            capacity: capacity.max(CAPACITY_MIN),
            base: 0,
            head: 0,
            tail: 0,
        }
    }

    /// The offset of the next byte.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The offset of the oldest byte.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// The number of bytes that are kept.
    pub fn len(&self) -> usize {
        (self.head - self.tail) as usize
    }

    /// Whether no bytes are kept.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// The most bytes that can be kept.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Memory in bytes.
    pub fn memory(&self) -> usize {
        self.region.len()
    }

    /// Appends bytes; evicts the oldest ones.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = self.spare(rest.len());
            let (now, later) = rest.split_at(spare.len());
            spare.copy_from_slice(now);
            self.commit(now.len());
            rest = later;
        }
    }

    /// The place for the next bytes: one contiguous piece of 1 to `max` bytes (none if `max` is
    /// 0). At full capacity it still holds the oldest bytes. So write from the front, and
    /// [commit](Self::commit) all bytes that were written.
    pub fn spare(&mut self, max: usize) -> &mut [u8] {
        self.grow(max);
        let at = self.index(self.head);
        let max = match self.region.len() < self.capacity {
            // More bytes go into a larger region and evict none.
            true => max.min(self.region.len() - self.len()),
            false => max,
        };
        let end = self.region.len().min(at.saturating_add(max));
        &mut self.region[at..end]
    }

    /// Appends the first `n` bytes of the piece that [`spare`](Self::spare) returned.
    pub fn commit(&mut self, n: usize) {
        debug_assert!(n <= self.region.len(), "more committed than was spare");
        let n = n.min(self.region.len());
        self.head += n as u64;
        let oldest = self.head.saturating_sub(self.region.len() as u64);
        self.tail = self.tail.max(oldest);
    }

    /// Reads from an offset on. An offset in the future reads as empty at the head.
    pub fn read(&self, from: u64) -> Read<'_> {
        let offset = from.clamp(self.tail, self.head);
        let gap = self.tail.saturating_sub(from);
        let len = (self.head - offset) as usize;
        if len == 0 {
            return Read {
                gap,
                offset,
                slices: (&[], &[]),
            };
        }
        let at = self.index(offset);
        let first = len.min(self.region.len() - at);
        let slices = (&self.region[at..at + first], &self.region[..len - first]);
        Read {
            gap,
            offset,
            slices,
        }
    }

    /// Evicts all bytes before `offset`.
    pub fn forget(&mut self, offset: u64) {
        self.tail = offset.clamp(self.tail, self.head);
    }

    /// Changes the capacity (at least [`CAPACITY_MIN`]); the newest bytes stay.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity.max(CAPACITY_MIN);
        if self.region.len() > self.capacity {
            self.forget(self.head.saturating_sub(self.capacity as u64));
            self.rehouse(self.capacity);
        }
    }

    fn index(&self, offset: u64) -> usize {
        match self.region.len() as u64 {
            0 => 0,
            len => ((offset - self.base) % len) as usize,
        }
    }

    /// Doubles the region while it is more than half full and below capacity.
    fn grow(&mut self, max: usize) {
        if self.region.len() >= self.capacity || max == 0 {
            return;
        }
        let used = self.len();
        let wanted = max.min(used.max(REGION_FIRST / 2));
        let mut len = self.region.len();
        while len < self.capacity && len - used < wanted {
            len = (len * 2).max(REGION_FIRST).min(self.capacity);
        }
        if len == self.region.len() {
            return;
        }
        // Try the allocation first: a failed one in `rehouse` would abort the process.
        let large = len > REGION_LARGE;
        if large && Vec::<u8>::new().try_reserve_exact(len + len).is_err() {
            self.capacity = self.region.len().max(CAPACITY_MIN);
        } else {
            self.rehouse(len);
        }
    }

    /// Moves the kept bytes to the front of a new region of `len` bytes.
    fn rehouse(&mut self, len: usize) {
        let mut region = vec![0; len].into_boxed_slice();
        let (first, second) = self.read(self.tail).slices;
        region[..first.len()].copy_from_slice(first);
        region[first.len()..first.len() + second.len()].copy_from_slice(second);
        self.region = region;
        self.base = self.tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ring: &Ring, from: u64) -> (u64, Vec<u8>) {
        let read = ring.read(from);
        (read.gap, [read.slices.0, read.slices.1].concat())
    }

    #[test]
    fn a_new_ring_has_no_memory_and_a_quiet_one_little() {
        let mut ring = Ring::new(256 * 1024);
        assert_eq!(ring.memory(), 0);
        assert_eq!(all(&ring, 0), (0, vec![]));
        assert_eq!(all(&ring, 99), (0, vec![]));
        ring.write(b"hello");
        assert_eq!(ring.memory(), REGION_FIRST);
        assert_eq!(all(&ring, 1), (0, b"ello".to_vec()));
    }

    #[test]
    fn the_oldest_are_evicted_and_the_gap_is_exact() {
        let mut ring = Ring::new(CAPACITY_MIN);
        ring.write(&[1; CAPACITY_MIN]);
        ring.write(&[2; 100]);
        assert_eq!((ring.tail(), ring.head()), (100, 4196));
        let (gap, bytes) = all(&ring, 30);
        assert_eq!((gap, bytes.len()), (70, CAPACITY_MIN));
        assert_eq!(&bytes[CAPACITY_MIN - 100..], &[2; 100]);
        assert_eq!(all(&ring, 4196), (0, vec![]));
    }

    #[test]
    fn a_write_larger_than_the_ring_keeps_its_end() {
        let mut ring = Ring::new(CAPACITY_MIN);
        let bytes: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        ring.write(&bytes);
        assert_eq!(ring.head(), 20_000);
        assert_eq!(all(&ring, 0).1, bytes[20_000 - CAPACITY_MIN..]);
    }

    #[test]
    fn spare_without_commit_changes_nothing() {
        let mut ring = Ring::new(CAPACITY_MIN);
        ring.write(&[7; CAPACITY_MIN + 9]);
        let before = all(&ring, 0);
        assert!(!ring.spare(64).is_empty());
        ring.commit(0);
        assert_eq!(all(&ring, 0), before);
        assert!(ring.spare(0).is_empty());
    }

    #[test]
    fn forgetting_never_goes_back() {
        let mut ring = Ring::new(CAPACITY_MIN);
        ring.write(b"abcdef");
        ring.forget(4);
        ring.forget(1);
        assert_eq!(all(&ring, 0), (4, b"ef".to_vec()));
        ring.forget(1000);
        assert!(ring.is_empty());
        assert_eq!(ring.tail(), 6);
    }

    #[test]
    fn no_byte_is_evicted_while_there_is_room() {
        let mut ring = Ring::new(64 * 1024);
        ring.write(&[1; 8000]);
        // The kept bytes are now at the end of the region; new bytes start at its front.
        ring.forget(7000);
        ring.write(&[2; 1000]);
        let spare = ring.spare(usize::MAX).len();
        ring.commit(spare);
        assert_eq!((ring.tail(), ring.len() > 2000), (7000, true));
    }

    #[test]
    fn it_behaves_as_a_plain_vector_would() {
        for seed in 1..200u64 {
            let mut random = Random(seed);
            let mut capacity = CAPACITY_MIN + random.below(6000);
            let mut ring = Ring::new(capacity);
            let mut written: Vec<u8> = Vec::new();
            let mut tail = 0usize;
            for _ in 0..60 {
                match random.below(10) {
                    0 => {
                        capacity = CAPACITY_MIN + random.below(9000);
                        ring.resize(capacity);
                    }
                    1 => {
                        let to = tail + random.below(500);
                        ring.forget(to as u64);
                        tail = tail.max(to.min(written.len()));
                    }
                    _ => {
                        let max = 1 + random.below(3000);
                        let spare = ring.spare(max);
                        assert!(!spare.is_empty() && spare.len() <= max, "seed {seed}");
                        let n = random.below(spare.len() + 1);
                        for byte in &mut spare[..n] {
                            *byte = random.next() as u8;
                            written.push(*byte);
                        }
                        ring.commit(n);
                    }
                }
                tail = tail.max(written.len().saturating_sub(capacity));
                assert_eq!(ring.head(), written.len() as u64, "seed {seed}");
                assert_eq!(ring.tail(), tail as u64, "seed {seed}");
                let from = random.below(written.len() + 2);
                let (gap, bytes) = all(&ring, from as u64);
                assert_eq!(gap, tail.saturating_sub(from) as u64, "seed {seed}");
                let start = from.clamp(tail, written.len());
                assert_eq!(bytes, written[start..], "seed {seed}");
                assert!(ring.memory() <= capacity, "seed {seed}");
            }
        }
    }

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            self.0 >> 33
        }

        fn below(&mut self, n: usize) -> usize {
            (self.next() as usize) % n.max(1)
        }
    }
}
