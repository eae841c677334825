//! Changes to output on its way into a log file: a time before each line, escape sequences
//! removed. The state is kept between batches, so a line or a sequence may be cut anywhere.

use crate::text::strip::Strip;
use crate::text::timestamp::rfc3339;

/// The format of one log.
#[derive(Debug, Default)]
pub(crate) struct Format {
    /// Whether each line begins with an RFC 3339 time.
    pub timestamps: bool,
    /// Whether terminal escape sequences are removed.
    pub strip_ansi: bool,
    strip: Strip,
    in_line: bool,
}

impl Format {
    /// A format at the start of a line.
    pub(crate) fn new(timestamps: bool, strip_ansi: bool) -> Format {
        Format {
            timestamps,
            strip_ansi,
            ..Format::default()
        }
    }

    /// Formats bytes that arrived at `time_ns` (Unix time), and appends them to `out`.
    pub(crate) fn apply(&mut self, bytes: &[u8], time_ns: u64, out: &mut Vec<u8>) {
        if self.strip_ansi {
            let mut text = Vec::with_capacity(bytes.len());
            self.strip.feed(bytes, &mut text);
            self.stamp(&text, time_ns, out);
        } else {
            self.stamp(bytes, time_ns, out);
        }
    }

    /// Whether bytes pass through unchanged.
    pub(crate) fn is_plain(&self) -> bool {
        !self.timestamps && !self.strip_ansi && !self.strip.holds_return()
    }

    /// Notes bytes that pass through unchanged.
    pub(crate) fn note(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.in_line = *last != b'\n';
        }
    }

    /// Appends a line of the daemon's own, at the start of a line.
    pub(crate) fn notice(&mut self, line: &str, time_ns: u64, out: &mut Vec<u8>) {
        if self.in_line {
            out.push(b'\n');
            self.in_line = false;
        }
        self.stamp(line.as_bytes(), time_ns, out);
        self.stamp(b"\n", time_ns, out);
    }

    /// Ends the stream: appends a carriage return that was held back, drops an incomplete sequence.
    pub(crate) fn end_of_stream(&mut self, time_ns: u64, out: &mut Vec<u8>) {
        if self.strip.finish() {
            self.stamp(b"\r", time_ns, out);
        }
    }

    fn stamp(&mut self, bytes: &[u8], time_ns: u64, out: &mut Vec<u8>) {
        let Some(last) = bytes.last() else { return };
        if self.timestamps {
            let time = rfc3339(time_ns);
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if !self.in_line {
                    out.extend_from_slice(time.as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(line);
                self.in_line = line.last() != Some(&b'\n');
            }
        } else {
            out.extend_from_slice(bytes);
            self.in_line = *last != b'\n';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_gets_the_time_of_its_start() {
        let mut format = Format {
            timestamps: true,
            ..Format::default()
        };
        let mut out = Vec::new();
        format.apply(b"one\ntw", 1_000_000_000, &mut out);
        format.apply(b"o\nthree", 2_500_000_000, &mut out);
        format.notice("[tmd: 5 bytes lost]", 3_000_000_000, &mut out);
        let expected = "1970-01-01T00:00:01.000Z one\n1970-01-01T00:00:01.000Z two\n\
                        1970-01-01T00:00:02.500Z three\n\
                        1970-01-01T00:00:03.000Z [tmd: 5 bytes lost]\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn a_held_return_comes_out_at_the_end() {
        let mut format = Format {
            strip_ansi: true,
            ..Format::default()
        };
        let mut out = Vec::new();
        format.apply(b"99%\r\x1b[3", 0, &mut out);
        format.end_of_stream(0, &mut out);
        format.apply(b"next", 0, &mut out);
        assert_eq!(out, b"99%\rnext");
    }
}
