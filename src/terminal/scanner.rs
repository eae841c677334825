//! Cuts a terminal's byte stream into text, controls and sequences, in chunks of any size.
//!
//! The grammar is ECMA-48 as terminals implement it with UTF-8:
//!
//! - Sequences start with ESC, never with a C1 byte.
//! - CAN and SUB end a sequence, ESC starts another.
//! - Other control characters take effect in the middle of a sequence.
//! - Strings end at ESC or, for OSC, at BEL.

use memchr::{memchr2, memchr3};

const ESC: u8 = 0x1b;
const SO: u8 = 0x0e;
const SI: u8 = 0x0f;

/// Bytes of the longest control sequence; longer ones are skipped.
const CSI_BYTES_MAX: usize = 256;

/// Bytes of a string that are reported; the rest is skipped.
const STRING_BYTES_MAX: usize = 1024;

/// Receives the scanner's reports. Sequences are complete, however the chunks were cut.
pub trait Handler {
    /// Text, including all control characters except ESC, SO and SI. May be cut anywhere.
    fn text(&mut self, _bytes: &[u8]) {}

    /// SO, SI, or a control character in the middle of a sequence.
    fn control(&mut self, _byte: u8) {}

    /// ESC, intermediate bytes, a final byte.
    fn escape(&mut self, _intermediates: &[u8], _last: u8) {}

    /// A control sequence: the bytes between `ESC [` and the final byte, and the latter.
    fn csi(&mut self, _body: &[u8], _last: u8) {}

    /// A string of a kind (`]` OSC, `P` DCS, `_` APC, `^` PM, `X` SOS); `whole` unless its end
    /// was skipped.
    fn string(&mut self, _kind: u8, _data: &[u8], _whole: bool) {}

    /// The offset in the current chunk at which the next report ends; precedes each report.
    fn at(&mut self, _end: usize) {}
}

/// The position of a stream in the grammar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanner {
    state: ScanState,
    /// The kept bytes of the incomplete sequence.
    buffer: Vec<u8>,
    /// Whether bytes of the incomplete sequence were skipped.
    skipped: bool,
    /// The length of the incomplete sequence in bytes.
    begun: u64,
    /// The last bytes of the text: an incomplete character has at most three.
    recent: [u8; 3],
    recent_len: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ScanState {
    #[default]
    Ground,
    Escape,
    Csi,
    String(u8),
}

impl Scanner {
    /// Whether the stream is between sequences and characters.
    pub(crate) fn is_ground(&self) -> bool {
        self.pending() == 0
    }

    /// The number of trailing bytes that belong to an incomplete sequence or character.
    pub(crate) fn pending(&self) -> u64 {
        match self.state {
            ScanState::Ground => {
                let recent = &self.recent[..usize::from(self.recent_len)];
                incomplete_character(recent) as u64
            }
            ScanState::Escape | ScanState::Csi | ScanState::String(_) => self.begun,
        }
    }

    /// Whether the stream is inside a sequence.
    pub(crate) fn in_sequence(&self) -> bool {
        self.state != ScanState::Ground
    }

    /// Whether the stream is inside a string.
    pub(crate) fn in_string(&self) -> bool {
        matches!(self.state, ScanState::String(_))
    }

    /// Scans the next chunk.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Handler) {
        let mut at = 0;
        while at < bytes.len() {
            at = match self.state {
                ScanState::Ground => self.ground(bytes, at, sink),
                ScanState::String(kind) => self.string(kind, bytes, at, sink),
                ScanState::Escape | ScanState::Csi => {
                    self.step(bytes[at], at + 1, sink);
                    at + 1
                }
            };
        }
    }

    fn ground(&mut self, bytes: &[u8], at: usize, sink: &mut impl Handler) -> usize {
        let rest = &bytes[at..];
        let end = memchr3(ESC, SO, SI, rest).unwrap_or(rest.len());
        if end > 0 {
            sink.at(at + end);
            sink.text(&rest[..end]);
        }
        let Some(&byte) = rest.get(end) else {
            self.remember(rest);
            return bytes.len();
        };
        self.forget_recent();
        let next = at + end + 1;
        if byte != ESC {
            sink.at(next);
            sink.control(byte);
            return next;
        }
        if let Some(end) = whole_csi(bytes, next) {
            sink.at(end);
            sink.csi(&bytes[next + 1..end - 1], bytes[end - 1]);
            return end;
        }
        self.begin(ScanState::Escape, 1);
        next
    }

    /// Scans one byte of an escape or control sequence that is not complete in this chunk.
    fn step(&mut self, byte: u8, next: usize, sink: &mut impl Handler) {
        self.begun += 1;
        sink.at(next);
        match (self.state, byte) {
            (_, 0x18 | 0x1a) => self.end(),
            (_, ESC) => self.begin(ScanState::Escape, 1),
            (_, 0x00..=0x1f) => sink.control(byte),
            (_, 0x7f) => {}
            (ScanState::Escape, b'[') if self.buffer.is_empty() => self.begin(ScanState::Csi, 2),
            (ScanState::Escape, b']' | b'P' | b'_' | b'^' | b'X') if self.buffer.is_empty() => {
                self.begin(ScanState::String(byte), 2);
            }
            (_, 0x20..=0x2f) | (ScanState::Csi, 0x30..=0x3f) => self.keep(&[byte], CSI_BYTES_MAX),
            (ScanState::Csi, 0x40..=0x7e) => {
                if !self.skipped {
                    sink.csi(&self.buffer, byte);
                }
                self.end();
            }
            (ScanState::Escape, _) => {
                if !self.skipped {
                    sink.escape(&self.buffer, byte);
                }
                self.end();
            }
            (ScanState::Ground | ScanState::Csi | ScanState::String(_), _) => self.end(),
        }
    }

    fn string(&mut self, kind: u8, bytes: &[u8], at: usize, sink: &mut impl Handler) -> usize {
        let rest = &bytes[at..];
        let bell = if kind == b']' { 0x07 } else { ESC };
        let found = memchr3(ESC, bell, 0x18, rest).unwrap_or(rest.len());
        let end = memchr2(0x1a, ESC, &rest[..found]).unwrap_or(found);
        self.keep(&rest[..end], STRING_BYTES_MAX);
        self.begun += end as u64;
        let Some(&byte) = rest.get(end) else {
            return bytes.len();
        };
        sink.at(at + end + 1);
        if byte == ESC || byte == bell {
            sink.string(kind, &self.buffer, !self.skipped);
        }
        self.end();
        if byte == ESC {
            self.begin(ScanState::Escape, 1);
        }
        at + end + 1
    }

    fn begin(&mut self, state: ScanState, begun: u64) {
        self.state = state;
        self.begun = begun;
        self.buffer.clear();
        self.skipped = false;
    }

    fn end(&mut self) {
        self.begin(ScanState::Ground, 0);
        self.forget_recent();
        // Long strings are rare: free their memory.
        if self.buffer.capacity() > CSI_BYTES_MAX {
            self.buffer = Vec::new();
        }
    }

    fn keep(&mut self, bytes: &[u8], max: usize) {
        let room = max - self.buffer.len().min(max);
        self.buffer
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.skipped |= bytes.len() > room;
    }

    fn forget_recent(&mut self) {
        self.recent = [0; 3];
        self.recent_len = 0;
    }

    /// Remembers the last bytes of a run of text.
    fn remember(&mut self, run: &[u8]) {
        for &byte in &run[run.len().saturating_sub(3)..] {
            let len = usize::from(self.recent_len);
            if len == self.recent.len() {
                self.recent.rotate_left(1);
                self.recent[2] = byte;
            } else {
                self.recent[len] = byte;
                self.recent_len += 1;
            }
        }
    }
}

/// The end of a control sequence whose `ESC` is just before `at`, if the sequence is complete and
/// contains no control characters.
fn whole_csi(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    let body = bytes.get(at + 1..)?;
    let body = &body[..body.len().min(CSI_BYTES_MAX)];
    let len = body.iter().position(|byte| !(0x20..=0x3f).contains(byte))?;
    (0x40..=0x7e)
        .contains(&body[len])
        .then_some(at + 1 + len + 1)
}

/// The number of trailing bytes that start an incomplete UTF-8 character.
fn incomplete_character(recent: &[u8]) -> usize {
    for (back, byte) in recent.iter().rev().enumerate() {
        let len = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 0,
        };
        return if back + 1 < len { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Transcript(String);

    impl Handler for Transcript {
        fn text(&mut self, bytes: &[u8]) {
            self.0.push_str(&String::from_utf8_lossy(bytes));
        }
        fn control(&mut self, byte: u8) {
            self.0.push_str(&format!("<{byte}>"));
        }
        fn escape(&mut self, intermediates: &[u8], last: u8) {
            self.0
                .push_str(&format!("{{{}{}}}", ascii(intermediates), last as char));
        }
        fn csi(&mut self, body: &[u8], last: u8) {
            self.0
                .push_str(&format!("[{}{}]", ascii(body), last as char));
        }
        fn string(&mut self, kind: u8, data: &[u8], whole: bool) {
            self.0
                .push_str(&format!("({}{} {whole})", kind as char, ascii(data)));
        }
    }

    fn ascii(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn scanned(bytes: &[u8]) -> String {
        let mut log = Transcript::default();
        Scanner::default().feed(bytes, &mut log);
        log.0
    }

    #[test]
    fn sequences_are_recognised() {
        assert_eq!(scanned(b"a\x1b[1;31mb\x0ec"), "a[1;31m]b<14>c");
        assert_eq!(scanned(b"\x1b(0\x1b=\x1b7x"), "{(0}{=}{7}x");
        assert_eq!(
            scanned(b"\x1b]0;t\x07\x1b]2;u\x1b\\v"),
            "(]0;t true)(]2;u true){\\}v"
        );
        assert_eq!(scanned(b"\x1bPa\x07b\x1b\\"), "(Pa\x07b true){\\}");
        assert_eq!(scanned(b"\x1b[1\n2mx"), "<10>[12m]x");
        assert_eq!(scanned(b"\x1b[1\x18x\x1b[3\x1b[4my"), "x[4m]y");
        assert_eq!(scanned(b"\x1b]0;gone\x18x\x1b_a\x1ay"), "xy");
        assert_eq!(scanned(b"\x1b[?2026$p\x1b[ q"), "[?2026$p][ q]");
    }

    #[test]
    fn long_sequences_are_bounded() {
        let long = [b"\x1b[", &[b'1'; 5000][..], b"mx"].concat();
        assert_eq!(scanned(&long), "x");
        let long = [b"\x1b]2;", &[b'1'; 5000][..], b"\x07x"].concat();
        assert!(scanned(&long).ends_with("1 false)x"));
        let mut scanner = Scanner::default();
        scanner.feed(&long[..3000], &mut Transcript::default());
        assert_eq!(scanner.pending(), 3000);
        assert!(scanner.buffer.len() <= STRING_BYTES_MAX);
    }

    #[test]
    fn cuts_anywhere_change_nothing() {
        let stream = "é\x1b[1;31mü\x1b]2;títle\x07\x1bPq\x1b\\x\x1b(0\x0eq\x0f✓\x1b[?1049h🎉z";
        let bytes = stream.as_bytes();
        let mut whole = (Scanner::default(), Transcript::default());
        whole.0.feed(bytes, &mut whole.1);
        for cut in 0..=bytes.len() {
            let mut log = Bytes::default();
            let mut scanner = Scanner::default();
            scanner.feed(&bytes[..cut], &mut log);
            let before = scanner.pending() as usize;
            let clean = std::str::from_utf8(&bytes[..cut - before]).is_ok();
            assert!(clean && before <= cut, "cut at {cut}");
            scanner.feed(&bytes[cut..], &mut log);
            assert_eq!(scanner, whole.0, "cut at {cut}");
            assert_eq!(String::from_utf8_lossy(&log.0), whole.1.0, "cut at {cut}");
        }
    }

    /// As [`Transcript`], but joins text before it is decoded.
    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl Bytes {
        fn log(&mut self, report: impl FnOnce(&mut Transcript)) {
            let mut log = Transcript::default();
            report(&mut log);
            self.0.extend_from_slice(log.0.as_bytes());
        }
    }

    impl Handler for Bytes {
        fn text(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn control(&mut self, byte: u8) {
            self.log(|log| log.control(byte));
        }
        fn escape(&mut self, intermediates: &[u8], last: u8) {
            self.log(|log| log.escape(intermediates, last));
        }
        fn csi(&mut self, body: &[u8], last: u8) {
            self.log(|log| log.csi(body, last));
        }
        fn string(&mut self, kind: u8, data: &[u8], whole: bool) {
            self.log(|log| log.string(kind, data, whole));
        }
    }

    #[test]
    fn ground_knows_characters() {
        let pending = |bytes: &[u8]| {
            let mut scanner = Scanner::default();
            for byte in bytes {
                scanner.feed(&[*byte], &mut Transcript::default());
            }
            scanner.pending()
        };
        assert_eq!(pending("aé".as_bytes()), 0);
        assert_eq!(pending(b"a\xc3"), 1);
        assert_eq!(pending(b"\xf0\x9f\x8e"), 3);
        assert_eq!(pending("🎉".as_bytes()), 0);
        assert_eq!(pending(b"\x80\x80\x80\x80"), 0);
        assert_eq!(pending(b"\xe2\x9c\x1b[m"), 0);
        assert_eq!(pending(b"abc\x1b[3"), 3);
    }
}
