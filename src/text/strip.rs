//! Removes terminal escape sequences from a stream of output. State survives between calls, so
//! sequences and characters may be split across them.

use memchr::{memchr, memchr2};

const ESC: u8 = 0x1b;

/// Longest parameters of a colour sequence that is kept, in bytes.
const PARAMETERS_MAX: usize = 64;

/// Which control characters and sequences stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Keep {
    /// For files: control characters stay, sequences go. A carriage return before a newline
    /// goes too.
    #[default]
    Controls,
    /// For terminals: newline, carriage return, tab and colour sequences (SGR) stay.
    Colours,
    /// For terminals without colours: newline, carriage return and tab stay.
    Text,
}

/// Removes sequences, and with [`Keep::Colours`] and [`Keep::Text`] every control that could act
/// on a terminal: of one byte (C1) too, coded as UTF-8 or not. Within a character such a byte
/// stays.
///
/// A newline ends any sequence, so that an unfinished one cannot swallow what follows.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    keep: Keep,
    state: StripState,
    /// Parameters of a control sequence, or part of a character.
    sequence: Vec<u8>,
    /// The string was begun by a C1 control and may end with one.
    eight_bit: bool,
    /// A carriage return waits for the next byte.
    held_return: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum StripState {
    #[default]
    Ground,
    /// After the first byte of what may be a C1 control in UTF-8.
    C2,
    /// Within a longer character, of which `sequence` holds a part.
    Character,
    Escape,
    /// After `ESC` and intermediate bytes: one more byte ends it.
    Intermediate,
    /// In a control sequence, until a byte of 0x40 to 0x7e.
    Csi,
    /// In an OSC, DCS, SOS, PM or APC string, until BEL or ST.
    String,
    /// After an `ESC` in a string.
    StringEscape,
}

impl Strip {
    /// Starts in plain text.
    pub(crate) fn new(keep: Keep) -> Strip {
        Strip {
            keep,
            ..Strip::default()
        }
    }

    /// Appends the rest of `bytes` to `out`, sequences removed.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if self.state == StripState::Ground && self.keep == Keep::Controls {
                rest = self.plain_run(rest, out);
            } else {
                self.state = self.step(byte, out);
                rest = &rest[1..];
            }
        }
    }

    /// Whether a carriage return waits for the next byte.
    pub(crate) fn holds_return(&self) -> bool {
        self.held_return
    }

    /// Ends the stream: drops an unfinished sequence and starts again in plain text. Returns
    /// whether a carriage return was held back.
    pub(crate) fn finish(&mut self) -> bool {
        let held = self.held_return;
        *self = Strip::new(self.keep);
        held
    }

    /// Copies text up to the next escape; carriage returns wait for what follows.
    fn plain_run<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = memchr(ESC, bytes).unwrap_or(bytes.len());
        let mut run = &bytes[..end];
        while !run.is_empty() {
            if run[0] == b'\n' {
                self.newline(out);
                run = &run[1..];
                continue;
            }
            if std::mem::take(&mut self.held_return) && run[0] != b'\r' {
                out.push(b'\r');
            }
            let stop = memchr2(b'\r', b'\n', run).unwrap_or(run.len());
            out.extend_from_slice(&run[..stop]);
            run = &run[stop..];
            if run.first() == Some(&b'\r') {
                self.held_return = true;
                run = &run[1..];
            }
        }
        if end == bytes.len() {
            return &[];
        }
        self.state = StripState::Escape;
        &bytes[end + 1..]
    }

    fn newline(&mut self, out: &mut Vec<u8>) {
        self.held_return = false;
        out.push(b'\n');
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> StripState {
        if byte == b'\n' {
            self.break_character(out);
            self.newline(out);
            return StripState::Ground;
        }
        match (self.state, byte) {
            (StripState::Ground, _) => self.ground(byte, out),
            (StripState::C2, 0x80..=0x9f) => self.c1(byte),
            (StripState::C2, _) => {
                out.push(0xc2);
                self.ground(byte, out)
            }
            (StripState::Character, _) => self.character(byte, out),
            // CAN and SUB cancel any sequence; ESC begins another one.
            (_, 0x18 | 0x1a) => StripState::Ground,
            (StripState::String, ESC) => StripState::StringEscape,
            (_, ESC) => StripState::Escape,
            (StripState::Escape | StripState::StringEscape, b'[') => self.begin_csi(),
            (StripState::Escape | StripState::StringEscape, b']' | b'P' | b'X' | b'^' | b'_') => {
                self.eight_bit = false;
                StripState::String
            }
            (
                StripState::Escape | StripState::StringEscape | StripState::Intermediate,
                0x20..=0x2f,
            ) => StripState::Intermediate,
            (StripState::Escape | StripState::StringEscape | StripState::Intermediate, _) => {
                StripState::Ground
            }
            (StripState::Csi, _) => self.csi(byte, out),
            (StripState::String, 0x07) => StripState::Ground,
            (StripState::String, 0x9c) if self.eight_bit => StripState::Ground,
            (StripState::String, _) => StripState::String,
        }
    }

    fn ground(&mut self, byte: u8, out: &mut Vec<u8>) -> StripState {
        match byte {
            ESC => return StripState::Escape,
            0xc2 => return StripState::C2,
            0xc3..=0xf4 => {
                self.sequence.clear();
                self.sequence.push(byte);
                return StripState::Character;
            }
            0x80..=0x9f => return self.c1(byte),
            b'\t' | b'\r' | 0x20..=0x7e | 0xa0..=0xff => out.push(byte),
            _ => {}
        }
        StripState::Ground
    }

    fn c1(&mut self, byte: u8) -> StripState {
        match byte {
            0x9b => self.begin_csi(),
            0x90 | 0x98 | 0x9d..=0x9f => {
                self.eight_bit = true;
                StripState::String
            }
            _ => StripState::Ground,
        }
    }

    fn character(&mut self, byte: u8, out: &mut Vec<u8>) -> StripState {
        self.sequence.push(byte);
        match std::str::from_utf8(&self.sequence) {
            Ok(_) => {
                out.append(&mut self.sequence);
                StripState::Ground
            }
            Err(error) if error.error_len().is_none() => StripState::Character,
            Err(_) => {
                self.sequence.pop();
                self.break_character(out);
                self.step(byte, out)
            }
        }
    }

    /// Handles each byte of an incomplete character separately.
    fn break_character(&mut self, out: &mut Vec<u8>) {
        if self.state != StripState::Character {
            return;
        }
        self.state = StripState::Ground;
        let mut bytes = std::mem::take(&mut self.sequence).into_iter();
        out.extend(bytes.next());
        for byte in bytes {
            self.state = self.step(byte, out);
        }
    }

    fn begin_csi(&mut self) -> StripState {
        self.sequence.clear();
        StripState::Csi
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<u8>) -> StripState {
        match byte {
            0x20..=0x3f => {
                if self.sequence.len() <= PARAMETERS_MAX {
                    self.sequence.push(byte);
                }
                StripState::Csi
            }
            0x40..=0x7e => {
                if byte == b'm' && self.keep == Keep::Colours && self.is_colour() {
                    out.extend_from_slice(b"\x1b[");
                    out.extend_from_slice(&self.sequence);
                    out.push(b'm');
                }
                StripState::Ground
            }
            _ => StripState::Csi,
        }
    }

    /// Whether the parameters are those of a colour, not of a query disguised as one.
    fn is_colour(&self) -> bool {
        let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
        self.sequence.len() <= PARAMETERS_MAX && self.sequence.iter().all(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strips a text, and checks that cuts make no difference.
    fn strip(keep: Keep, text: &[u8]) -> String {
        let mut uncut = Vec::new();
        Strip::new(keep).feed(text, &mut uncut);
        for at in 0..=text.len() {
            let mut strip = Strip::new(keep);
            let mut out = Vec::new();
            strip.feed(&text[..at], &mut out);
            strip.feed(&text[at..], &mut out);
            assert_eq!(out, uncut, "cut at {at}");
        }
        String::from_utf8_lossy(&uncut).into_owned()
    }

    fn in_files(text: &str) -> String {
        strip(Keep::Controls, text.as_bytes())
    }

    #[test]
    fn files_lose_sequences_and_keep_controls() {
        assert_eq!(in_files("\x1b[1;31mred\x1b[0m plain"), "red plain");
        assert_eq!(in_files("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b"), "ab");
        assert_eq!(in_files("\x1bPq#0;1\x1b\\x\x1b(By\x1b=z\x1b7"), "xyz");
        assert_eq!(in_files("a\r\nb\r\r\nc"), "a\nb\nc");
        assert_eq!(in_files("10%\r20%\r\n"), "10%\r20%\n");
        assert_eq!(in_files("\x1b[38;2;1;2;3mé✓\x1b[K"), "é✓");
        assert_eq!(in_files("a\x1b[12\nb"), "a\nb");
        assert_eq!(in_files("a\x1b]never ends\nb"), "a\nb");
        assert_eq!(in_files("a\x1b[3\x18b"), "ab");
        assert_eq!(in_files("a\x07\x08\u{9b}b"), "a\x07\x08\u{9b}b");
        let long = "\x1b[1mA\x1b]2;t\x1b\\\r\n\x1b(0q\x1b[?25l10%\r20%\r\nend\x1bP1$r\x07\n";
        assert_eq!(in_files(long), "A\nq10%\r20%\nend\n");
    }

    #[test]
    fn a_held_return_is_reported_at_the_end() {
        let mut out = Vec::new();
        let mut strip = Strip::default();
        strip.feed(b"99%\r\x1b[3", &mut out);
        assert!(strip.holds_return());
        assert!(strip.finish());
        strip.feed(b"next", &mut out);
        assert_eq!(out, b"99%next");
        assert!(!strip.finish());
    }

    #[test]
    fn only_colours_stay() {
        let text = b"\x1b[2J\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[6n\x1b(Bx\x07\x08\x1b[38:2:1m";
        let kept = "\x1b[31mred\x1b[0m x\x1b[38:2:1m";
        assert_eq!(strip(Keep::Colours, text), kept);
        assert_eq!(strip(Keep::Text, text), "red x");
    }

    #[test]
    fn text_in_any_script_stays_and_c1_goes() {
        assert_eq!(
            strip(Keep::Colours, "Grüße 日本 ¢\u{9b}31mx\u{85}".as_bytes()),
            "Grüße 日本 ¢\x1b[31mx"
        );
    }

    #[test]
    fn controls_of_one_byte_go_and_text_around_them_stays() {
        let clean = |text| strip(Keep::Colours, text);
        let text = b"a\x9b2Jb\x9d0;title\x9cc\x90q\x1b\\d\x85\x9b31me\xc2\x9d0;x\xc2\x9cf";
        assert_eq!(clean(text), "abcd\x1b[31mef");
        // Within a character such a byte is text, but not after half a character.
        assert_eq!(clean("⛛Ý𝛛Ž".as_bytes()), "⛛Ý𝛛Ž");
        assert_eq!(clean(b"\xe2\x9b2J"), "\u{fffd}");
        assert_eq!(clean(b"\xf0\x9d\x9b\nx"), "\u{fffd}\nx");
        assert_eq!(clean(b"\xe0\x9b2Jx"), "\u{fffd}x");
        assert_eq!(clean("\x1b]0;Ŝ⛛\x07x".as_bytes()), "x");
    }

    #[test]
    fn an_unfinished_sequence_ends_with_its_line() {
        let text = b"a\x1b]0;never\nb\x1b[12\nc";
        assert_eq!(strip(Keep::Colours, text), "a\nb\nc");
    }

    #[test]
    fn queries_disguised_as_colours_go() {
        let text = b"\x1b[>4;1m\x1b[?4m\x1b[ 1mx";
        assert_eq!(strip(Keep::Colours, text), "x");
    }
}
