//! The output of one process: one ring for both streams in their order of arrival, and marks that
//! say which bytes came from which stream and when.
//!
//! A mark opens a run of bytes of one stream. A new one is set when the stream changes, after
//! `MARK_BYTES` or after `MARK_SPAN_NS`, so a quiet process has a handful of them. There are
//! at most `MARKS_MAX`: beyond that the older ones are thinned (times become coarser), and
//! where that does not help because the streams alternate, the oldest output is given up.

use crate::ring::{Read, Ring};
use std::collections::VecDeque;

const MARK_BYTES: u64 = 4096;
const MARK_SPAN_NS: u64 = 10_000_000;
const MARKS_MAX: usize = 4096;

/// Where bytes came from. A terminal has only `Stdout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A run of bytes of one stream that arrived together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Ring offset of the first byte.
    pub offset: u64,
    /// Where they came from.
    pub stream: Stream,
    /// When they arrived, in nanoseconds of Unix time.
    pub time_ns: u64,
    /// The bytes, never empty.
    pub bytes: &'a [u8],
}

/// What a process wrote, as much as is kept.
#[derive(Debug)]
pub struct Output {
    ring: Ring,
    marks: VecDeque<Mark>,
    /// Bytes of each stream that are no longer kept.
    dropped: [u64; 2],
}

/// Offset, and the time shifted by one with the stream in the lowest bit.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: u64,
    stamp: u64,
}

impl Mark {
    fn new(offset: u64, stream: Stream, time_ns: u64) -> Mark {
        let stamp = time_ns << 1 | stream as u64;
        Mark { offset, stamp }
    }

    fn stream(self) -> Stream {
        match self.stamp & 1 {
            0 => Stream::Stdout,
            _ => Stream::Stderr,
        }
    }

    fn time_ns(self) -> u64 {
        self.stamp >> 1
    }
}

impl Output {
    /// Nothing yet, of which up to `capacity` bytes will be kept.
    pub fn new(capacity: usize) -> Output {
        Output {
            ring: Ring::new(capacity),
            marks: VecDeque::new(),
            dropped: [0; 2],
        }
    }

    /// The offset the next byte will get.
    pub fn head(&self) -> u64 {
        self.ring.head()
    }

    /// The offset of the oldest byte that is kept.
    pub fn tail(&self) -> u64 {
        self.ring.tail()
    }

    /// How many bytes can be kept.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Bytes of memory in use, about.
    pub fn memory(&self) -> usize {
        self.ring.memory() + self.marks.capacity() * size_of::<Mark>()
    }

    /// The raw bytes from `from` on, both streams as they arrived.
    pub fn read(&self, from: u64) -> Read<'_> {
        self.ring.read(from)
    }

    /// Where the next bytes go; see [`Ring::spare`].
    pub fn spare(&mut self, max: usize) -> &mut [u8] {
        self.ring.spare(max)
    }

    /// Takes in the first `n` bytes of what [`spare`](Self::spare) returned.
    pub fn commit(&mut self, stream: Stream, n: usize, time_ns: u64) {
        if n == 0 {
            return;
        }
        let offset = self.ring.head();
        self.ring.commit(n);
        let covered = self.marks.back().is_some_and(|last| {
            last.stream() == stream
                && offset - last.offset < MARK_BYTES
                && last.time_ns().abs_diff(time_ns) < MARK_SPAN_NS
        });
        if !covered {
            if self.marks.len() >= MARKS_MAX {
                self.thin();
            }
            self.marks.push_back(Mark::new(offset, stream, time_ns));
        }
        self.trim();
    }

    /// Appends bytes, as if they had been read from the process.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], time_ns: u64) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = self.ring.spare(rest.len());
            let (now, later) = rest.split_at(spare.len());
            spare.copy_from_slice(now);
            self.commit(stream, now.len(), time_ns);
            rest = later;
        }
    }

    /// Changes how many bytes can be kept; the newest stay.
    pub fn resize(&mut self, capacity: usize) {
        self.ring.resize(capacity);
        self.trim();
    }

    /// How many bytes of a stream (or of both) have been written and are no longer kept.
    pub fn dropped(&self, filter: Option<Stream>) -> u64 {
        match filter {
            None => self.ring.tail(),
            Some(stream) => self.dropped[stream as usize],
        }
    }

    /// The kept bytes of a stream (or of both) from `from` on, in order of arrival.
    pub fn segments(&self, from: u64, filter: Option<Stream>) -> Segments<'_> {
        let read = self.ring.read(from);
        Segments {
            output: self,
            filter,
            offset: read.offset,
            mark: self.mark_at(read.offset),
        }
    }

    /// The offset of the first byte of a stream at or after `from`, else the head.
    pub fn next_of(&self, from: u64, filter: Option<Stream>) -> u64 {
        let first = self.segments(from, filter).next();
        first.map_or(self.head(), |segment| segment.offset)
    }

    /// Whether a stream has begun a line and not ended it, as far as that is kept.
    pub fn is_in_line(&self, stream: Stream) -> bool {
        let run = self.marks.iter().rposition(|mark| mark.stream() == stream);
        run.is_some_and(|run| {
            let last = self.ring.read(self.run_end(run).saturating_sub(1));
            last.slices.0.first().is_some_and(|byte| *byte != b'\n')
        })
    }

    /// From where to read so as to see the last `lines` lines of a stream (or of both). A last
    /// line without a newline counts.
    pub fn line_start_back(&self, lines: usize, filter: Option<Stream>) -> u64 {
        if lines == 0 {
            return self.head();
        }
        let segments: Vec<Segment<'_>> = self.segments(self.tail(), filter).collect();
        let mut newlines = 0;
        let mut after = None;
        for segment in segments.iter().rev() {
            for at in memchr::memrchr_iter(b'\n', segment.bytes) {
                let next = segment.offset + at as u64 + 1;
                let ends_all = after.is_none() && at + 1 == segment.bytes.len();
                if !ends_all {
                    newlines += 1;
                }
                if newlines == lines {
                    return next;
                }
            }
            after = Some(segment.offset);
        }
        self.tail()
    }

    /// From where to read so as to see what arrived at `time_ns` (Unix time) or later.
    pub fn offset_since(&self, time_ns: u64) -> u64 {
        let older = self.marks.iter().rposition(|mark| mark.time_ns() < time_ns);
        let first = older.map_or(0, |index| index + 1);
        let offset = self.marks.get(first).map(|mark| mark.offset);
        offset.map_or(self.head(), |offset| offset.max(self.tail()))
    }

    /// Index of the mark that covers `offset`, or the number of marks.
    fn mark_at(&self, offset: u64) -> usize {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        after.saturating_sub(1)
    }

    /// Where the run of the mark at `index` ends.
    fn run_end(&self, index: usize) -> u64 {
        let next = self.marks.get(index + 1);
        next.map_or(self.ring.head(), |mark| mark.offset)
    }

    /// Makes room for marks: coarser times in the older half, else the oldest output goes.
    fn thin(&mut self) {
        let before = self.marks.len();
        let mut index = 0;
        let mut previous: Option<Stream> = None;
        self.marks.retain(|mark| {
            let same = previous == Some(mark.stream());
            let old = index < MARKS_MAX / 2;
            index += 1;
            let merged = same && old && index % 2 == 0;
            previous = Some(mark.stream());
            !merged
        });
        if before - self.marks.len() < MARKS_MAX / 16
            && let Some(mark) = self.marks.get(MARKS_MAX / 4)
        {
            self.ring.forget(mark.offset);
            self.trim();
        }
    }

    /// Drops marks whose runs have left the ring, and counts what left.
    fn trim(&mut self) {
        let tail = self.ring.tail();
        while let Some(&mark) = self.marks.front()
            && mark.offset < tail
        {
            let end = self.run_end(0);
            let gone = end.min(tail) - mark.offset;
            self.dropped[mark.stream() as usize] += gone;
            if end > tail {
                self.marks[0].offset = tail;
            } else {
                self.marks.pop_front();
            }
        }
    }
}

/// Iterator of [`Output::segments`].
#[derive(Debug)]
pub struct Segments<'a> {
    output: &'a Output,
    filter: Option<Stream>,
    offset: u64,
    mark: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let output = self.output;
        while let Some(&mark) = output.marks.get(self.mark) {
            let end = output.run_end(self.mark);
            if self.filter.is_some_and(|stream| stream != mark.stream()) || self.offset >= end {
                self.offset = self.offset.max(end);
                self.mark += 1;
                continue;
            }
            let read = output.ring.read(self.offset);
            let len = read.slices.0.len().min((end - self.offset) as usize);
            let segment = Segment {
                offset: self.offset,
                stream: mark.stream(),
                time_ns: mark.time_ns(),
                bytes: &read.slices.0[..len],
            };
            self.offset += len as u64;
            return Some(segment);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Stream::{Stderr, Stdout};
    use super::*;

    const MS: u64 = 1_000_000;

    fn text(output: &Output, from: u64, filter: Option<Stream>) -> String {
        let bytes: Vec<u8> = output
            .segments(from, filter)
            .flat_map(|segment| segment.bytes.to_vec())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_new_output_costs_nothing() {
        assert_eq!(Output::new(256 * 1024).memory(), 0);
        assert_eq!(Output::new(1).segments(0, None).count(), 0);
        assert_eq!(Output::new(1).line_start_back(3, None), 0);
        assert_eq!(Output::new(1).offset_since(5), 0);
    }

    #[test]
    fn streams_are_told_apart_and_merged_in_order() {
        let mut output = Output::new(4096);
        output.write(Stdout, b"one\n", 100 * MS);
        output.write(Stderr, b"bad\n", 101 * MS);
        output.write(Stdout, b"two\n", 102 * MS);
        output.write(Stdout, b"three\n", 103 * MS);
        assert_eq!(text(&output, 0, None), "one\nbad\ntwo\nthree\n");
        assert_eq!(text(&output, 0, Some(Stdout)), "one\ntwo\nthree\n");
        assert_eq!(text(&output, 0, Some(Stderr)), "bad\n");
        assert_eq!(text(&output, 2, Some(Stdout)), "e\ntwo\nthree\n");
        let times: Vec<u64> = output.segments(0, None).map(|s| s.time_ns / MS).collect();
        assert_eq!(times, [100, 101, 102]);
        assert_eq!(output.next_of(4, Some(Stdout)), 8);
        assert_eq!(output.next_of(8, Some(Stderr)), output.head());
    }

    #[test]
    fn a_line_that_is_begun_is_known_per_stream() {
        let mut output = Output::new(4096);
        let begun = |output: &Output| (output.is_in_line(Stdout), output.is_in_line(Stderr));
        assert_eq!(begun(&output), (false, false));
        output.write(Stdout, b"one\n", 0);
        output.write(Stderr, b"ba", 1);
        assert_eq!(begun(&output), (false, true));
        output.write(Stdout, b"two", 2);
        output.write(Stderr, b"d\n", 3);
        assert_eq!(begun(&output), (true, false));
        output.write(Stdout, b"\n", 4);
        assert_eq!(begun(&output), (false, false));
    }

    #[test]
    fn last_lines_are_found_per_stream() {
        let mut output = Output::new(4096);
        output.write(Stdout, b"one\ntwo\n", 0);
        output.write(Stderr, b"bad\nworse", 1);
        output.write(Stdout, b"thr", 2);
        output.write(Stdout, b"ee\n", 30 * MS);
        let last = |lines, filter| text(&output, output.line_start_back(lines, filter), filter);
        assert_eq!(last(0, None), "");
        assert_eq!(last(1, Some(Stdout)), "three\n");
        assert_eq!(last(2, Some(Stdout)), "two\nthree\n");
        assert_eq!(last(1, Some(Stderr)), "worse");
        assert_eq!(last(2, Some(Stderr)), "bad\nworse");
        assert_eq!(last(9, Some(Stderr)), "bad\nworse");
        assert_eq!(last(1, None), "worsethree\n");
        assert_eq!(last(2, None), "bad\nworsethree\n");
    }

    #[test]
    fn since_finds_the_first_run_that_is_young_enough() {
        let mut output = Output::new(4096);
        for n in 0..10u64 {
            output.write(Stdout, format!("{n}\n").as_bytes(), n * 1000 * MS);
        }
        assert_eq!(
            text(&output, output.offset_since(7000 * MS), None),
            "7\n8\n9\n"
        );
        assert_eq!(output.offset_since(0), 0);
        assert_eq!(output.offset_since(9001 * MS), output.head());
    }

    #[test]
    fn a_steady_slow_writer_keeps_its_ring_with_coarser_times() {
        let mut output = Output::new(256 * 1024);
        for n in 0..8000u64 {
            output.write(Stdout, b"0123456789\n", n * 1000 * MS);
        }
        assert!(output.marks.len() <= MARKS_MAX);
        assert_eq!(output.tail(), 0, "nothing had to go");
        assert_eq!(text(&output, 0, None).lines().count(), 8000);
        let since = output.offset_since(7990 * 1000 * MS);
        assert_eq!(text(&output, since, None).lines().count(), 10);
    }

    #[test]
    fn alternating_streams_are_bounded_and_counted() {
        let mut output = Output::new(1 << 20);
        for n in 0..20_000u64 {
            let stream = if n % 2 == 0 { Stdout } else { Stderr };
            output.write(stream, b"x\n", n);
        }
        assert!(output.marks.len() <= MARKS_MAX);
        let gone = output.dropped(Some(Stdout)) + output.dropped(Some(Stderr));
        assert_eq!(gone, output.tail());
        assert_eq!(gone, output.dropped(None));
        let kept = text(&output, 0, Some(Stdout)).len() as u64;
        assert_eq!(kept + output.dropped(Some(Stdout)), 20_000);
    }

    #[test]
    fn it_agrees_with_a_plain_list_of_bytes() {
        for seed in 1..120u64 {
            let mut state = seed;
            let mut next = move |n: u64| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(99991);
                (state >> 33) % n
            };
            let mut output = Output::new(4096 + next(3000) as usize);
            let mut model: Vec<(Stream, u8)> = Vec::new();
            let mut time = 0;
            for _ in 0..300 {
                let stream = if next(3) == 0 { Stderr } else { Stdout };
                let bytes: Vec<u8> = (0..next(90)).map(|_| next(256) as u8).collect();
                time += next(9) * MS;
                output.write(stream, &bytes, time);
                model.extend(bytes.iter().map(|byte| (stream, *byte)));
            }
            let tail = output.tail() as usize;
            for filter in [None, Some(Stdout), Some(Stderr)] {
                let wanted = |(stream, _): &&(Stream, u8)| filter.is_none_or(|f| f == *stream);
                let from = next(model.len() as u64 + 1);
                let start = tail.max(from as usize);
                let expected: Vec<u8> = model[start..].iter().filter(wanted).map(|m| m.1).collect();
                let found: Vec<u8> = output
                    .segments(from, filter)
                    .flat_map(|segment| segment.bytes.to_vec())
                    .collect();
                assert_eq!(found, expected, "seed {seed}");
                let gone = model[..tail].iter().filter(wanted).count() as u64;
                assert_eq!(output.dropped(filter), gone, "seed {seed}");
            }
        }
    }
}
