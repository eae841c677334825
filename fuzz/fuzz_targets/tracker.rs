//! A terminal's bytes: however they are cut, the modes are the same, what restores them leads
//! back to them, and a snapshot can always be made.

#![no_main]

use libfuzzer_sys::fuzz_target;
use taskmaster::terminal::{Tracker, plain_text, snapshot};

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (cut, rows, cols, bytes) = (usize::from(input.0) + 1, input.1, input.2, input.3);
    let whole = tracked(bytes, bytes.len().max(1));
    let mut pieces = tracked(bytes, cut);
    assert_eq!(pieces.offset(), bytes.len() as u64);
    assert_eq!(pieces.restore_sequence(), whole.restore_sequence());
    assert_eq!(pieces.reset_sequence(), whole.reset_sequence());
    assert_eq!(pieces.title(), whole.title());
    pieces.take_queries();

    let restored = tracked(&whole.restore_sequence(), cut);
    assert_eq!(restored.restore_sequence(), whole.restore_sequence());

    let (rows, cols) = (u16::from(rows), u16::from(cols));
    snapshot((bytes, &[]), &whole, rows, cols, 100);
    plain_text((bytes, &[]), &whole, rows, cols);
});

fn tracked(bytes: &[u8], cut: usize) -> Tracker {
    let mut tracker = Tracker::new(0);
    for chunk in bytes.chunks(cut) {
        tracker.feed(chunk);
    }
    tracker
}
