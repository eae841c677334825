//! Any terminal stream: splitting it does not change the modes, the restore sequence recreates
//! them, and the reset sequence switches all of them off.

#![no_main]

use libfuzzer_sys::fuzz_target;
use taskmaster::terminal::Tracker;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (cut, bytes) = (usize::from(input.0) + 1, input.2);
    let whole = tracked(bytes, bytes.len().max(1));
    let mut pieces = tracked(bytes, cut);
    assert_eq!(pieces, whole, "splitting changes the result");
    assert_eq!(pieces.offset(), bytes.len() as u64);
    assert!(pieces.pending() <= bytes.len() as u64);
    assert_eq!(pieces.ground(), pieces.pending() == 0);
    assert!(pieces.take_queries().len() <= bytes.len());
    assert_eq!(pieces.take_queries(), []);

    let restored = tracked(&whole.restore_sequence(), usize::from(input.1) + 1);
    assert!(restored.ground());
    assert_eq!(restored.restore_sequence(), whole.restore_sequence());
    expect_reset(&whole);
});

/// Only a title may remain: the last one, or the one saved before it.
fn expect_reset(tracker: &Tracker) {
    let mut left = tracker.clone();
    left.feed(&tracker.reset_sequence());
    let mut fresh = Tracker::new(0);
    if let Some(title) = left.title() {
        fresh.feed(format!("\x1b]2;{title}\x07").as_bytes());
    }
    assert_eq!(
        String::from_utf8_lossy(&left.restore_sequence()),
        String::from_utf8_lossy(&fresh.restore_sequence()),
        "after {:?}",
        String::from_utf8_lossy(&tracker.reset_sequence())
    );
}

fn tracked(bytes: &[u8], cut: usize) -> Tracker {
    let mut tracker = Tracker::new(0);
    for chunk in bytes.chunks(cut) {
        tracker.feed(chunk);
    }
    tracker
}
