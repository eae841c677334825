//! Draws choices from the fuzzer's bytes, with the interface of a random generator.

use std::time::Duration;

pub struct Random<'a>(&'a [u8]);

impl Random<'_> {
    pub fn new(bytes: &[u8]) -> Random<'_> {
        Random(bytes)
    }

    /// Returns a number below `bound`, or 0 when no bytes are left.
    pub fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first) % bound.max(1)
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    #[allow(dead_code)]
    pub fn millis(&mut self, max_ms: usize) -> Duration {
        Duration::from_millis(self.below(max_ms + 1) as u64)
    }
}
