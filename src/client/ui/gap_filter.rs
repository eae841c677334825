//! Lost output: the first line shown behind it is a whole one.
//!
//! Pure.

/// The longest line that is held until it is complete, in bytes. A longer one is printed in parts.
pub(crate) const LINE_MAX: usize = 64 * 1024;

/// Holds data behind a gap until a line begins.
#[derive(Debug, Default)]
pub(crate) struct GapFilter {
    gaps: Vec<Gap>,
}

/// Lost output of a process, not yet reported.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) process: String,
    skipped: u64,
    /// The data behind the gap, probably the rest of a line that began in it.
    pub(crate) torn: Vec<u8>,
    /// The source of that data.
    source: Option<usize>,
}

/// A gap that is ready to be reported.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndedGap {
    pub(crate) process: String,
    pub(crate) skipped: u64,
    /// Data behind the gap that is shown after all, and its source.
    pub(crate) torn: Vec<u8>,
    pub(crate) source: Option<usize>,
}

/// The verdict on data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filtered<'a> {
    /// There is no gap before it.
    Passed,
    /// It is kept back.
    Held,
    /// The gap before it has ended; show the rest.
    Ended { gap: EndedGap, rest: &'a [u8] },
}

impl GapFilter {
    /// Notes lost output. False when it extends a gap that is not reported yet.
    pub(crate) fn begin(&mut self, process: &str, bytes: u64) -> bool {
        if let Some(gap) = self.gaps.iter_mut().find(|gap| gap.process == process) {
            gap.skipped += bytes + gap.torn.len() as u64;
            gap.torn.clear();
            gap.source = None;
            return false;
        }
        self.gaps.push(Gap {
            process: process.to_string(),
            skipped: bytes,
            torn: Vec::new(),
            source: None,
        });
        true
    }

    /// Bytes that are kept back.
    pub(crate) fn held(&self) -> usize {
        self.gaps.iter().map(|gap| gap.torn.len()).sum()
    }

    /// Drops the rest of a line that began in a gap, unless it is too long.
    pub(crate) fn filter<'a>(
        &mut self,
        source: usize,
        process: &str,
        bytes: &'a [u8],
    ) -> Filtered<'a> {
        let Some(at) = self.gaps.iter().position(|gap| gap.process == process) else {
            return Filtered::Passed;
        };
        let gap = &mut self.gaps[at];
        if *gap.source.get_or_insert(source) != source {
            // The process writes to its other stream: do not wait for a line end in the first.
            let gap = self.end(at);
            return Filtered::Ended { gap, rest: bytes };
        }
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        let rest = match line_end.filter(|end| gap.torn.len() + end < LINE_MAX) {
            Some(end) => {
                gap.skipped += (gap.torn.len() + end + 1) as u64;
                gap.torn.clear();
                &bytes[end + 1..]
            }
            None => {
                gap.torn.extend_from_slice(bytes);
                if gap.torn.len() < LINE_MAX {
                    return Filtered::Held;
                }
                &[]
            }
        };
        let gap = self.end(at);
        Filtered::Ended { gap, rest }
    }

    /// Ends these gaps, although no line has begun behind them.
    pub(crate) fn end_all(&mut self, wanted: impl Fn(&Gap) -> bool) -> Vec<EndedGap> {
        let mut ended = Vec::new();
        while let Some(at) = self.gaps.iter().position(&wanted) {
            ended.push(self.end(at));
        }
        ended
    }

    /// Whether data is held.
    pub(crate) fn has_torn(&self) -> bool {
        self.gaps.iter().any(|gap| !gap.torn.is_empty())
    }

    fn end(&mut self, at: usize) -> EndedGap {
        let gap = self.gaps.remove(at);
        EndedGap {
            process: gap.process,
            skipped: gap.skipped,
            torn: gap.torn,
            source: gap.source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_lost_line_counts_as_lost() {
        let mut filter = GapFilter::default();
        assert_eq!(filter.filter(0, "a:0", b"x\n"), Filtered::Passed);
        assert!(filter.begin("a:0", 100));
        assert_eq!(filter.filter(0, "a:0", b"rest"), Filtered::Held);
        assert_eq!(filter.filter(1, "b:0", b"x"), Filtered::Passed);
        let Filtered::Ended { gap, rest } = filter.filter(0, "a:0", b" of it\nnext") else {
            panic!("a line begins");
        };
        assert_eq!((gap.skipped, gap.torn.len(), rest), (111, 0, &b"next"[..]));
        assert_eq!(filter.filter(0, "a:0", b"x"), Filtered::Passed);
    }

    #[test]
    fn two_gaps_become_one() {
        let mut filter = GapFilter::default();
        assert!(filter.begin("a:0", 1));
        assert_eq!(filter.filter(0, "a:0", b"torn"), Filtered::Held);
        assert!(filter.has_torn() && !filter.begin("a:0", 10));
        let ended = filter.end_all(|_| true);
        assert_eq!((ended.len(), ended[0].skipped), (1, 15));
        assert!(!filter.has_torn());
    }
}
