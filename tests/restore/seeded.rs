//! Exact re-attach over random streams. A failure names its seed.

use super::oracle::{Cuts, check, spread};
use super::random::{Random, stream};

/// `TM_RESTORE_SEED=n` runs one seed alone, with a cut at every byte.
const SEED: &str = "TM_RESTORE_SEED";

#[test]
fn any_stream_is_restored_at_any_cut() {
    if let Some(seed) = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()) {
        let stream = stream(seed, 9000);
        let at = (1..stream.bytes.len()).collect();
        run(seed, &stream.bytes, stream.size, 4096, at);
        return;
    }
    let mut total = 0;
    for seed in 1..=120 {
        let mut random = Random::new(seed + 1000);
        // A few are long enough to wrap a ring of 64 KiB.
        let (len, kept) = match seed % 12 {
            0 => (150_000, 64 * 1024),
            _ => (3000 + random.below(9000), 4096),
        };
        let stream = stream(seed, len);
        let at = spread(stream.bytes.len(), 24);
        total += run(seed, &stream.bytes, stream.size, kept, at);
    }
    eprintln!("{total} cuts of streams by chance");
}

fn run(seed: u64, bytes: &[u8], size: (u16, u16), kept: usize, at: Vec<usize>) -> usize {
    let what = format!("{SEED}={seed}");
    check(&Cuts {
        what: &what,
        stream: bytes,
        size,
        kept,
        at,
    })
}
