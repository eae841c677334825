//! The position of a log in one stream of a process's output.

use crate::reactor::output::{Output, Stream};

/// Output that arrived further apart than this is not put into one batch, in nanoseconds.
const BATCH_SPAN_NS: u64 = 100_000_000;

/// A position in a stream that moves forward as the stream is read, or overwritten.
#[derive(Debug)]
pub(super) struct StreamCursor {
    /// `None` is both streams.
    stream: Option<Stream>,
    /// The ring offset of the next byte.
    offset: u64,
    /// Bytes of the stream before the offset, read or lost.
    consumed: u64,
}

/// The output that one batch carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// When its first byte arrived; `None` if there is no output.
    pub time_ns: Option<u64>,
    /// It contains all output of the stream.
    pub reaches_head: bool,
}

impl StreamCursor {
    /// A cursor at the head of the output.
    pub(super) fn at_head(output: &Output, stream: Option<Stream>) -> StreamCursor {
        let mut cursor = StreamCursor {
            stream,
            offset: 0,
            consumed: 0,
        };
        cursor.skip_to_head(output);
        cursor
    }

    /// Moves to the head. The skipped output does not count as lost.
    pub(super) fn skip_to_head(&mut self, output: &Output) {
        self.offset = output.head();
        let kept: usize = output
            .segments(output.tail(), self.stream)
            .map(|segment| segment.bytes.len())
            .sum();
        self.consumed = output.dropped(self.stream) + kept as u64;
    }

    /// The bytes of all streams from the cursor to the head.
    pub(super) fn behind(&self, output: &Output) -> u64 {
        output.head().saturating_sub(self.offset)
    }

    /// Whether the ring has overwritten bytes at the cursor.
    pub(super) fn is_overrun(&self, output: &Output) -> bool {
        self.offset < output.tail()
    }

    /// The ring offset of the next byte of the stream: bytes of the other stream are skipped.
    pub(super) fn next(&self, output: &Output) -> u64 {
        match self.is_overrun(output) {
            true => self.offset,
            false => output.next_of(self.offset, self.stream),
        }
    }

    /// Whether the stream has nothing more to read.
    pub(super) fn is_at_head(&self, output: &Output) -> bool {
        output.next_of(self.offset, self.stream) == output.head()
    }

    /// Appends up to `max` bytes to `bytes` without moving. A batch has one time, so lines that
    /// arrived much later than its first are left for the next batch.
    pub(super) fn read(&self, output: &Output, max: usize, bytes: &mut Vec<u8>) -> Span {
        let mut time_ns = None;
        let mut end = self.offset;
        for segment in output.segments(self.offset, self.stream) {
            let first = *time_ns.get_or_insert(segment.time_ns);
            let later = segment.time_ns.abs_diff(first) > BATCH_SPAN_NS;
            let room = max - bytes.len();
            if room == 0 || later && bytes.last() == Some(&b'\n') {
                break;
            }
            let n = segment.bytes.len().min(room);
            bytes.extend_from_slice(&segment.bytes[..n]);
            end = segment.offset + n as u64;
        }
        Span {
            time_ns,
            reaches_head: output.next_of(end, self.stream) == output.head(),
        }
    }

    /// Moves behind the next `len` bytes of the stream.
    pub(super) fn advance(&mut self, output: &Output, len: usize) {
        let mut left = len;
        let mut end = self.offset;
        for segment in output.segments(self.offset, self.stream) {
            if left == 0 {
                break;
            }
            let n = segment.bytes.len().min(left);
            left -= n;
            end = segment.offset + n as u64;
        }
        self.offset = end;
        self.consumed += (len - left) as u64;
    }

    /// Moves behind overwritten bytes, and behind the rest of a line that lost its start. Returns
    /// how many bytes of the stream are lost by that.
    pub(super) fn skip_lost(&mut self, output: &Output) -> u64 {
        if !self.is_overrun(output) {
            return 0;
        }
        let dropped = output.dropped(self.stream);
        let mut lost = dropped.saturating_sub(self.consumed);
        self.consumed = dropped;
        self.offset = output.tail();
        if lost > 0
            && let Some((next, rest)) = output.next_line(self.offset, self.stream)
        {
            self.offset = next;
            self.consumed += rest;
            lost += rest;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::output::Stream::{Stderr, Stdout};

    const CAPACITY: usize = 4096;

    fn read(cursor: &StreamCursor, output: &Output, max: usize) -> (String, Span) {
        let mut bytes = Vec::new();
        let span = cursor.read(output, max, &mut bytes);
        (String::from_utf8_lossy(&bytes).into_owned(), span)
    }

    #[test]
    fn reading_does_not_move_and_advancing_skips_the_other_stream() {
        let mut output = Output::new(CAPACITY);
        output.write(Stdout, b"before\n", 1);
        let mut cursor = StreamCursor::at_head(&output, Some(Stdout));
        assert!(cursor.is_at_head(&output));
        output.write(Stdout, b"one", 2);
        output.write(Stderr, b"other", 3);
        output.write(Stdout, b"two", 4);
        let span = |reaches_head| Span {
            time_ns: Some(1),
            reaches_head,
        };
        for _ in 0..2 {
            assert_eq!(read(&cursor, &output, 99), ("onetwo".into(), span(true)));
        }
        assert_eq!(read(&cursor, &output, 4), ("onet".into(), span(false)));
        cursor.advance(&output, 3);
        assert_eq!(cursor.next(&output), output.head() - 3);
        cursor.advance(&output, 3);
        assert!(cursor.is_at_head(&output));
    }

    #[test]
    fn lines_that_arrived_much_later_are_left_for_the_next_batch() {
        let mut output = Output::new(CAPACITY);
        let cursor = StreamCursor::at_head(&output, None);
        output.write(Stdout, b"one\n", 0);
        output.write(Stdout, b"two\n", BATCH_SPAN_NS + 1);
        assert_eq!(read(&cursor, &output, 99).0, "one\n");
        let mut output = Output::new(CAPACITY);
        output.write(Stdout, b"one", 0);
        output.write(Stdout, b" line\n", BATCH_SPAN_NS + 1);
        assert_eq!(read(&cursor, &output, 99).0, "one line\n");
    }

    #[test]
    fn only_overwritten_bytes_of_its_stream_and_their_line_are_lost() {
        let mut output = Output::new(CAPACITY);
        let mut cursor = StreamCursor::at_head(&output, Some(Stdout));
        assert_eq!(cursor.skip_lost(&output), 0);
        output.write(Stdout, b"0123456789\n", 0);
        output.write(Stderr, &[b'x'; CAPACITY - 6], 0);
        assert!(cursor.is_overrun(&output));
        assert_eq!(cursor.skip_lost(&output), 11);
        assert!(cursor.is_at_head(&output));
        output.write(Stderr, &[b'y'; 2 * CAPACITY], 0);
        assert_eq!(cursor.skip_lost(&output), 0, "of the other stream");
    }

    #[test]
    fn skipped_output_is_not_lost() {
        let mut output = Output::new(CAPACITY);
        let mut cursor = StreamCursor::at_head(&output, Some(Stdout));
        output.write(Stdout, &[b'x'; 100], 0);
        cursor.skip_to_head(&output);
        output.write(Stdout, &[b'y'; CAPACITY], 0);
        assert_eq!(cursor.skip_lost(&output), 0);
        assert_eq!(cursor.behind(&output), CAPACITY as u64);
    }
}
