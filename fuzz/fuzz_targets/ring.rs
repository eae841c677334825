//! The ring against a model that keeps everything: whatever is written, forgotten and resized,
//! a cursor reads the newest bytes in order, or is told exactly how many it missed.

#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use taskmaster::ring::Ring;

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    Write(u16, u8),
    Commit { max: u16, used: u16 },
    Read,
    ReadFrom(u32),
    Forget(u32),
    Resize(u16),
}

fuzz_target!(|input: (u16, Vec<Step>)| {
    let (capacity, steps) = input;
    let mut ring = Ring::new(usize::from(capacity));
    let mut written: Vec<u8> = Vec::new();
    let mut cursor = 0;
    for step in steps.into_iter().take(256) {
        match step {
            Step::Write(len, seed) => {
                let bytes = pattern(usize::from(len), seed);
                ring.write(&bytes);
                written.extend_from_slice(&bytes);
            }
            Step::Commit { max, used } => {
                let spare = ring.spare(usize::from(max));
                let used = usize::from(used).min(spare.len());
                let bytes = pattern(used, written.len() as u8);
                spare[..used].copy_from_slice(&bytes);
                ring.commit(used);
                written.extend_from_slice(&bytes);
            }
            Step::Read => cursor = check_read(&ring, &written, cursor),
            Step::ReadFrom(offset) => {
                check_read(&ring, &written, u64::from(offset));
            }
            Step::Forget(offset) => ring.forget(u64::from(offset)),
            Step::Resize(capacity) => ring.resize(usize::from(capacity)),
        }
        assert_eq!(ring.head(), written.len() as u64);
        assert!(ring.len() <= ring.capacity() && ring.memory() <= ring.capacity());
    }
});

/// Reads from a cursor, compares with the model, and returns where the cursor is then.
fn check_read(ring: &Ring, written: &[u8], from: u64) -> u64 {
    let read = ring.read(from);
    if from <= ring.head() {
        assert_eq!(read.offset, from + read.gap, "a gap is exact");
    }
    let bytes = [read.slices.0, read.slices.1].concat();
    let expected = &written[read.offset as usize..];
    assert_eq!(bytes, expected, "from {from}");
    read.offset + bytes.len() as u64
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}
