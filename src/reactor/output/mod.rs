//! The output of one process: one ring for both streams in order of arrival, and marks that record
//! the stream and the time of the bytes.
//!
//! A mark starts a run of bytes of one stream. A new mark is set when the stream changes, after
//! `MARK_BYTES` and after `MARK_SPAN_NS`, so a quiet process has only a few. There are at most
//! `MARKS_MAX`. Beyond that the older marks are thinned, which makes times coarser. If that does
//! not help because the streams alternate, the oldest output is dropped.

pub(super) mod log_feed;
pub(crate) mod log_files;
pub(crate) mod reader;

use crate::ring::{Read, Ring};
use std::collections::VecDeque;

const MARK_BYTES: u64 = 4096;
const MARK_SPAN_NS: u64 = 10_000_000;
const MARKS_MAX: usize = 4096;

/// The origin of output. A terminal has only `Stdout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A run of bytes of one stream that arrived together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// Ring offset of the first byte.
    pub offset: u64,
    /// Their stream.
    pub stream: Stream,
    /// When they arrived, in nanoseconds of Unix time.
    pub time_ns: u64,
    /// The bytes, never empty.
    pub bytes: &'a [u8],
}

/// The place of bytes of one stream that arrived together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Ring offset of the first byte.
    pub offset: u64,
    /// Ring offset behind the last byte.
    pub end: u64,
    /// Their stream.
    pub stream: Stream,
    /// When they arrived, in nanoseconds of Unix time.
    pub time_ns: u64,
}

/// The output of a process, as far as it is kept.
#[derive(Debug)]
pub(crate) struct Output {
    ring: Ring,
    marks: VecDeque<Mark>,
    /// Bytes of each stream that are no longer kept.
    dropped: [u64; 2],
}

/// The start of a run.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: u64,
    /// The time, shifted left by one, and the stream in the lowest bit.
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
    /// No output yet. Up to `capacity` bytes are kept.
    pub(crate) fn new(capacity: usize) -> Output {
        Output {
            ring: Ring::new(capacity),
            marks: VecDeque::new(),
            dropped: [0; 2],
        }
    }

    /// The offset of the next byte.
    pub(crate) fn head(&self) -> u64 {
        self.ring.head()
    }

    /// The offset of the oldest kept byte.
    pub(crate) fn tail(&self) -> u64 {
        self.ring.tail()
    }

    /// The most bytes that are kept.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// The approximate memory use, in bytes.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.ring.memory() + self.marks.capacity() * size_of::<Mark>()
    }

    /// The bytes from `from` on, both streams in order of arrival.
    pub(crate) fn read(&self, from: u64) -> Read<'_> {
        self.ring.read(from)
    }

    /// The memory for the next bytes; see [`Ring::spare`].
    pub(crate) fn spare(&mut self, max: usize) -> &mut [u8] {
        self.ring.spare(max)
    }

    /// Adds the first `n` bytes of the memory that [`spare`](Self::spare) returned.
    pub(crate) fn commit(&mut self, stream: Stream, n: usize, time_ns: u64) {
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

    /// Appends bytes as if the process had written them.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8], time_ns: u64) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = self.ring.spare(rest.len());
            let (now, later) = rest.split_at(spare.len());
            spare.copy_from_slice(now);
            self.commit(stream, now.len(), time_ns);
            rest = later;
        }
    }

    /// Changes how many bytes are kept. The newest stay.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.ring.resize(capacity);
        self.trim();
    }

    /// Returns how many bytes of a stream (or of both) are no longer kept.
    pub(crate) fn dropped(&self, filter: Option<Stream>) -> u64 {
        match filter {
            None => self.ring.tail(),
            Some(stream) => self.dropped[stream as usize],
        }
    }

    /// The kept bytes of a stream (or of both) from `from` on, in order of arrival.
    pub(crate) fn segments(&self, from: u64, filter: Option<Stream>) -> Segments<'_> {
        let read = self.ring.read(from);
        Segments {
            output: self,
            filter,
            offset: read.offset,
            mark: self.mark_at(read.offset),
        }
    }

    /// Returns the offset of the first byte of a stream at or after `from`, else the head.
    pub(crate) fn next_of(&self, from: u64, filter: Option<Stream>) -> u64 {
        let first = self.segments(from, filter).next();
        first.map_or(self.head(), |segment| segment.offset)
    }

    /// Whether the last kept line of a stream is incomplete.
    pub(crate) fn is_in_line(&self, stream: Stream) -> bool {
        let run = self.marks.iter().rposition(|mark| mark.stream() == stream);
        run.is_some_and(|run| {
            let last = self.ring.read(self.run_end(run).saturating_sub(1));
            last.slices.0.first().is_some_and(|byte| *byte != b'\n')
        })
    }

    /// Returns the offset from which the last `lines` lines of a stream (or of both) are read. A
    /// last line without a newline counts.
    pub(crate) fn line_start_back(&self, lines: usize, filter: Option<Stream>) -> u64 {
        if lines == 0 {
            return self.head();
        }
        let mut newlines = 0;
        let mut is_last = true;
        for run in self.runs_back(self.tail()) {
            if filter.is_some_and(|stream| stream != run.stream) {
                continue;
            }
            let [first, second] = self.parts(&run);
            let behind = run.offset + first.len() as u64;
            for (offset, bytes) in [(behind, second), (run.offset, first)] {
                for at in memchr::memrchr_iter(b'\n', bytes) {
                    let ends_all = is_last && at + 1 == bytes.len();
                    newlines += usize::from(!ends_all);
                    if newlines == lines {
                        return offset + at as u64 + 1;
                    }
                }
                is_last &= bytes.is_empty();
            }
        }
        self.first_line(filter)
    }

    /// The runs of both streams that are kept behind `from`, the newest first.
    pub(crate) fn runs_back(&self, from: u64) -> impl Iterator<Item = Run> + '_ {
        let from = from.max(self.tail());
        let runs = (0..self.marks.len()).rev().map(move |index| {
            let mark = self.marks[index];
            Run {
                offset: mark.offset.max(from),
                end: self.run_end(index),
                stream: mark.stream(),
                time_ns: mark.time_ns(),
            }
        });
        runs.take_while(|run| run.offset < run.end)
    }

    /// Number of lines that end in a run.
    pub(crate) fn lines_in(&self, run: &Run) -> u64 {
        let parts = self.parts(run).into_iter();
        parts
            .map(|part| memchr::memchr_iter(b'\n', part).count() as u64)
            .sum()
    }

    /// The bytes of a run, which may lie in two places.
    fn parts(&self, run: &Run) -> [&[u8]; 2] {
        let (first, second) = self.ring.read(run.offset).slices;
        let len = (run.end - run.offset) as usize;
        let first = &first[..first.len().min(len)];
        [first, &second[..second.len().min(len - first.len())]]
    }

    /// Returns the offset of the first whole line of a stream (or of both). The oldest kept line
    /// may have lost its start.
    fn first_line(&self, filter: Option<Stream>) -> u64 {
        let tail = self.tail();
        match self.next_line(tail, filter) {
            Some((next, _)) if tail > 0 && next < self.head() => next,
            _ => tail,
        }
    }

    /// Returns the offset behind the line that continues at `from`, and how many bytes of the
    /// stream (or of the one that comes first) are left of it. `None` for a line that is too long
    /// to be skipped.
    pub(crate) fn next_line(&self, from: u64, filter: Option<Stream>) -> Option<(u64, u64)> {
        let first = self.segments(from, filter).next()?;
        let mut rest = 0;
        for segment in self.segments(from, Some(first.stream)) {
            if let Some(at) = memchr::memchr(b'\n', segment.bytes) {
                let left = at as u64 + 1;
                return Some((segment.offset + left, rest + left));
            }
            rest += segment.bytes.len() as u64;
            if rest > self.capacity() as u64 / 4 {
                break;
            }
        }
        None
    }

    /// Returns the offset from which output is read that arrived at `time_ns` (Unix time) or later.
    pub(crate) fn offset_since(&self, time_ns: u64) -> u64 {
        let older = self.marks.iter().rposition(|mark| mark.time_ns() < time_ns);
        let first = older.map_or(0, |index| index + 1);
        let offset = self.marks.get(first).map(|mark| mark.offset);
        match offset {
            Some(offset) if offset > self.tail() => offset,
            Some(_) => self.first_line(None),
            None => self.head(),
        }
    }

    /// Returns the index of the mark that covers `offset`, or the number of marks.
    fn mark_at(&self, offset: u64) -> usize {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        after.saturating_sub(1)
    }

    /// Returns the end of the run of the mark at `index`.
    fn run_end(&self, index: usize) -> u64 {
        let next = self.marks.get(index + 1);
        next.map_or(self.ring.head(), |mark| mark.offset)
    }

    /// Makes room for marks: merges marks of the older half, else drops the oldest output.
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

    /// Drops the marks of overwritten runs, and counts the overwritten bytes.
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

/// The iterator of [`Output::segments`].
#[derive(Debug)]
pub(crate) struct Segments<'a> {
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
mod tests;
