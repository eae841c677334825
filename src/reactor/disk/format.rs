//! Changes to output on its way into a log file: a time before each line, escape sequences
//! removed. The state is kept between batches, so a line or a sequence may be cut anywhere.

use memchr::{memchr, memchr2};

const ESC: u8 = 0x1b;

/// The format of one log.
#[derive(Debug, Default)]
pub struct Format {
    /// Whether each line begins with an RFC 3339 time.
    pub timestamps: bool,
    /// Whether terminal escape sequences are removed.
    pub strip_ansi: bool,
    strip: Strip,
    in_line: bool,
}

impl Format {
    /// A format at the start of a line.
    pub fn new(timestamps: bool, strip_ansi: bool) -> Format {
        Format {
            timestamps,
            strip_ansi,
            ..Format::default()
        }
    }

    /// Formats bytes that arrived at `time_ns` (Unix time), and appends them to `out`.
    pub fn apply(&mut self, bytes: &[u8], time_ns: u64, out: &mut Vec<u8>) {
        if self.strip_ansi {
            let mut text = Vec::with_capacity(bytes.len());
            self.strip.apply(bytes, &mut text);
            self.stamp(&text, time_ns, out);
        } else {
            self.stamp(bytes, time_ns, out);
        }
    }

    /// Whether bytes pass through unchanged.
    pub fn is_plain(&self) -> bool {
        !self.timestamps && !self.strip_ansi && !self.strip.held_cr
    }

    /// Notes bytes that pass through unchanged.
    pub fn note(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.in_line = *last != b'\n';
        }
    }

    /// Appends a line of the daemon's own, at the start of a line.
    pub fn notice(&mut self, line: &str, time_ns: u64, out: &mut Vec<u8>) {
        if self.in_line {
            out.push(b'\n');
            self.in_line = false;
        }
        self.stamp(line.as_bytes(), time_ns, out);
        self.stamp(b"\n", time_ns, out);
    }

    /// Ends the stream: appends a carriage return that was held back, drops an incomplete sequence.
    pub fn end_of_stream(&mut self, time_ns: u64, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.strip).held_cr;
        if held {
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

/// A time in UTC with milliseconds, such as `2026-11-20T12:00:00.123Z`.
pub fn rfc3339(time_ns: u64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time_ns)) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => String::new(),
    }
}

/// Takes escape sequences, and carriage returns before a newline, out of text.
#[derive(Debug, Default)]
pub struct Strip {
    state: State,
    held_cr: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC, and after its intermediate bytes.
    Escape,
    /// In a control sequence: until a byte of 0x40 to 0x7e.
    Csi,
    /// In an OSC, DCS, APC, PM or SOS string: until BEL or ESC \.
    String,
    /// After an ESC in a string.
    StringEscape,
}

impl Strip {
    /// Appends what is left of `bytes` to `out`.
    pub fn apply(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if self.state == State::Text {
                rest = self.text(rest, out);
                continue;
            }
            rest = &rest[1..];
            self.state = match (self.state, byte) {
                // CAN and SUB end any sequence; ESC begins another one.
                (_, 0x18 | 0x1a) => State::Text,
                (State::String, ESC) => State::StringEscape,
                (State::StringEscape, b'\\') => State::Text,
                (_, ESC) => State::Escape,
                (State::Escape | State::StringEscape, b'[') => State::Csi,
                (State::Escape | State::StringEscape, b']' | b'P' | b'X' | b'^' | b'_') => {
                    State::String
                }
                (State::Escape | State::StringEscape, 0x20..=0x2f) => State::Escape,
                (State::Csi, 0x40..=0x7e) => State::Text,
                // A newline is never swallowed: a broken sequence must not join lines.
                (_, b'\n') => {
                    self.newline(out);
                    State::Text
                }
                (State::Csi, _) => State::Csi,
                (State::String, 0x07) => State::Text,
                (State::String, _) => State::String,
                (State::Escape | State::StringEscape | State::Text, _) => State::Text,
            };
        }
    }

    /// Copies text up to the next escape; carriage returns wait to see what follows.
    fn text<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = memchr(ESC, bytes).unwrap_or(bytes.len());
        let mut run = &bytes[..end];
        while !run.is_empty() {
            if run[0] == b'\n' {
                self.newline(out);
                run = &run[1..];
                continue;
            }
            if std::mem::take(&mut self.held_cr) && run[0] != b'\r' {
                out.push(b'\r');
            }
            let stop = memchr2(b'\r', b'\n', run).unwrap_or(run.len());
            out.extend_from_slice(&run[..stop]);
            run = &run[stop..];
            if run.first() == Some(&b'\r') {
                self.held_cr = true;
                run = &run[1..];
            }
        }
        if end == bytes.len() {
            return &[];
        }
        self.state = State::Escape;
        &bytes[end + 1..]
    }

    fn newline(&mut self, out: &mut Vec<u8>) {
        self.held_cr = false;
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> String {
        let mut out = Vec::new();
        Strip::default().apply(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("text stays text")
    }

    #[test]
    fn sequences_are_taken_out() {
        assert_eq!(stripped("\x1b[1;31mred\x1b[0m plain"), "red plain");
        assert_eq!(stripped("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b"), "ab");
        assert_eq!(stripped("\x1bPq#0;1\x1b\\x\x1b(By\x1b=z\x1b7"), "xyz");
        assert_eq!(stripped("a\r\nb\r\r\nc"), "a\nb\nc");
        assert_eq!(stripped("10%\r20%\r\n"), "10%\r20%\n");
        assert_eq!(stripped("\x1b[38;2;1;2;3mé✓\x1b[K"), "é✓");
        assert_eq!(stripped("a\x1b[12\nb"), "a\nb");
        assert_eq!(stripped("a\x1b]never ends\nb"), "a\nb");
        assert_eq!(stripped("a\x1b[3\x18b"), "ab");
    }

    #[test]
    fn cuts_anywhere_change_nothing() {
        let text = "\x1b[1mA\x1b]2;t\x1b\\\r\n\x1b(0q\x1b[?25l10%\r20%\r\nend\x1bP1$r\x07\n";
        let whole = stripped(text);
        for cut in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(cut);
            let mut strip = Strip::default();
            let mut out = Vec::new();
            strip.apply(first, &mut out);
            strip.apply(second, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), whole, "cut at {cut}");
        }
    }

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
