//! Removes control sequences from output that is shown among other output.

/// Maximum length of the parameters of a colour sequence, in bytes. Longer ones are removed.
const MAX_PARAMETERS: usize = 64;

/// Removes every control sequence except colours (SGR), and every control character except newline,
/// carriage return and tab. Input may be split anywhere. C1 controls are removed both as single
/// bytes and coded as UTF-8. Inside a character such a byte stays.
#[derive(Debug)]
pub(crate) struct Sanitiser {
    keep_colours: bool,
    state: State,
    sequence: Vec<u8>,
    /// A C1 control started the removed text, so that a C1 control may end it.
    eight_bit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After the first byte of a possible C1 control in UTF-8.
    C2,
    /// Inside a longer character. `sequence` holds its first bytes.
    Character,
    Escape,
    /// After `ESC` and intermediates. One more byte ends the sequence.
    Intermediate,
    Csi,
    /// Inside OSC, DCS, SOS, PM or APC, until BEL or ST.
    Text,
    TextEscape,
}

impl Sanitiser {
    /// Creates a sanitiser that keeps or removes colours.
    pub(crate) fn new(keep_colours: bool) -> Sanitiser {
        Sanitiser {
            keep_colours,
            state: State::Ground,
            sequence: Vec::new(),
            eight_bit: false,
        }
    }

    /// Appends the clean text of `bytes` to `out`.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = self.step(byte, out);
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        // A newline ends every unfinished sequence. Otherwise all later output would be lost.
        if byte == b'\n' {
            self.break_character(out);
            out.push(byte);
            return State::Ground;
        }
        match self.state {
            State::Ground => self.ground(byte, out),
            State::C2 => match byte {
                0x80..=0x9f => self.c1(byte),
                _ => {
                    out.push(0xc2);
                    self.ground(byte, out)
                }
            },
            State::Character => self.character(byte, out),
            State::Escape => match byte {
                b'[' => self.begin_csi(),
                b']' | b'P' | b'X' | b'^' | b'_' => {
                    self.eight_bit = false;
                    State::Text
                }
                0x20..=0x2f => State::Intermediate,
                0x1b => State::Escape,
                _ => State::Ground,
            },
            State::Intermediate => match byte {
                0x20..=0x2f => State::Intermediate,
                _ => State::Ground,
            },
            State::Csi => self.csi(byte, out),
            State::Text => match byte {
                0x07 | 0x18 | 0x1a => State::Ground,
                0x9c if self.eight_bit => State::Ground,
                0x1b => State::TextEscape,
                _ => State::Text,
            },
            State::TextEscape => match byte {
                b'\\' => State::Ground,
                b'[' => self.begin_csi(),
                _ => State::Text,
            },
        }
    }

    fn ground(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            0x1b => return State::Escape,
            0xc2 => return State::C2,
            0xc3..=0xf4 => {
                self.sequence.clear();
                self.sequence.push(byte);
                return State::Character;
            }
            0x80..=0x9f => return self.c1(byte),
            b'\t' | b'\r' | 0x20..=0x7e | 0xa0..=0xff => out.push(byte),
            _ => {}
        }
        State::Ground
    }

    fn c1(&mut self, byte: u8) -> State {
        match byte {
            0x9b => self.begin_csi(),
            0x90 | 0x98 | 0x9d..=0x9f => {
                self.eight_bit = true;
                State::Text
            }
            _ => State::Ground,
        }
    }

    fn character(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        self.sequence.push(byte);
        match std::str::from_utf8(&self.sequence) {
            Ok(_) => {
                out.append(&mut self.sequence);
                State::Ground
            }
            Err(error) if error.error_len().is_none() => State::Character,
            Err(_) => {
                self.sequence.pop();
                self.break_character(out);
                self.step(byte, out)
            }
        }
    }

    /// Handles each byte of an unfinished character on its own.
    fn break_character(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Character {
            return;
        }
        self.state = State::Ground;
        let mut bytes = std::mem::take(&mut self.sequence).into_iter();
        out.extend(bytes.next());
        for byte in bytes {
            self.state = self.step(byte, out);
        }
    }

    fn begin_csi(&mut self) -> State {
        self.sequence.clear();
        State::Csi
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            0x20..=0x3f => {
                if self.sequence.len() <= MAX_PARAMETERS {
                    self.sequence.push(byte);
                }
                State::Csi
            }
            0x1b => State::Escape,
            0x18 | 0x1a => State::Ground,
            0x40..=0x7e => {
                let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
                let colour = byte == b'm' && self.sequence.iter().all(plain);
                if colour && self.keep_colours && self.sequence.len() <= MAX_PARAMETERS {
                    out.extend_from_slice(b"\x1b[");
                    out.extend_from_slice(&self.sequence);
                    out.push(b'm');
                }
                State::Ground
            }
            _ => State::Csi,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(keep_colours: bool, text: &[u8]) -> String {
        let mut whole = Vec::new();
        Sanitiser::new(keep_colours).feed(text, &mut whole);
        for at in 0..=text.len() {
            let mut sanitiser = Sanitiser::new(keep_colours);
            let mut cut = Vec::new();
            sanitiser.feed(&text[..at], &mut cut);
            sanitiser.feed(&text[at..], &mut cut);
            assert_eq!(cut, whole, "cut at {at}");
        }
        String::from_utf8_lossy(&whole).into_owned()
    }

    #[test]
    fn only_colours_stay() {
        let text = b"\x1b[2J\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[6n\x1b(Bx\x07\x08\x1b[38:2:1m";
        assert_eq!(clean(true, text), "\x1b[31mred\x1b[0m x\x1b[38:2:1m");
        assert_eq!(clean(false, text), "red x");
    }

    #[test]
    fn text_in_any_script_stays_and_c1_goes() {
        assert_eq!(
            clean(true, "Grüße 日本 ¢\u{9b}31mx\u{85}".as_bytes()),
            "Grüße 日本 ¢\x1b[31mx"
        );
    }

    #[test]
    fn controls_of_one_byte_go_and_text_around_them_stays() {
        let text = b"a\x9b2Jb\x9d0;title\x9cc\x90q\x1b\\d\x85\x9b31me\xc2\x9d0;x\xc2\x9cf";
        assert_eq!(clean(true, text), "abcd\x1b[31mef");
        // Inside a character such a byte is text, but not after an unfinished one.
        assert_eq!(clean(true, "⛛Ý𝛛Ž".as_bytes()), "⛛Ý𝛛Ž");
        assert_eq!(clean(true, b"\xe2\x9b2J"), "\u{fffd}");
        assert_eq!(clean(true, b"\xf0\x9d\x9b\nx"), "\u{fffd}\nx");
        assert_eq!(clean(true, b"\xe0\x9b2Jx"), "\u{fffd}x");
        assert_eq!(clean(true, "\x1b]0;Ŝ⛛\x07x".as_bytes()), "x");
    }

    #[test]
    fn an_unfinished_sequence_ends_with_its_line() {
        assert_eq!(clean(true, b"a\x1b]0;never\nb\x1b[12\nc"), "a\nb\nc");
    }

    #[test]
    fn queries_disguised_as_colours_go() {
        assert_eq!(clean(true, b"\x1b[>4;1m\x1b[?4m\x1b[ 1mx"), "x");
    }
}
