//! Splits the input of a terminal into keys (single bytes and `CSI` sequences) and reports.

use std::fmt;
use std::time::Duration;

/// The longest sequence. A longer one is not from a keyboard.
const MAX_SEQUENCE: usize = 64;

/// How long an incomplete sequence is held if it may be a key by itself.
const KEY_TIMEOUT: Duration = Duration::from_millis(25);

/// How long any other incomplete sequence is held.
const SEQUENCE_TIMEOUT: Duration = Duration::from_millis(500);

/// A key with or without ctrl; lock keys do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The character, of a letter with ctrl the small one.
    pub(crate) code: char,
    /// Whether ctrl is held.
    pub(crate) ctrl: bool,
}

impl Key {
    /// A key alone.
    pub(crate) fn plain(code: char) -> Key {
        Key { code, ctrl: false }
    }

    /// A key with ctrl.
    pub(crate) fn ctrl(code: char) -> Key {
        Key { code, ctrl: true }
    }

    /// The key that a terminal sends this byte for.
    pub(crate) fn from_byte(byte: u8) -> Key {
        match byte {
            0 => Key::ctrl('@'),
            1..=26 => Key::ctrl(char::from(byte + b'a' - 1)),
            27..=31 => Key::ctrl(char::from(byte + b'@')),
            _ => Key::plain(char::from(byte)),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ctrl, self.code) {
            (true, code) => write!(f, "ctrl-{code}"),
            (false, '\u{7f}') => f.write_str("DEL"),
            (false, code) => write!(f, "{code}"),
        }
    }
}

/// The meaning of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The press of a key that can be a detach key.
    Key(Key),
    /// The press of any other key.
    OtherKey,
    /// The release of a key, or a modifier alone.
    Release,
    /// A report of mouse or focus, or the answer to a query.
    Report,
}

/// A key or a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its bytes, unchanged.
    pub(crate) bytes: Vec<u8>,
    pub(crate) meaning: Meaning,
}

/// Splits input into tokens. It holds an incomplete sequence.
#[derive(Debug, Default)]
pub(crate) struct Tokenizer {
    partial: Vec<u8>,
    /// Inside an answer in the form of a string.
    in_string: bool,
}

impl Tokenizer {
    /// The tokens that this byte completes.
    pub(crate) fn feed(&mut self, byte: u8) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.push(byte, &mut tokens);
        tokens
    }

    /// Whether an incomplete sequence is held.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.partial.is_empty() || self.in_string
    }

    /// How long to hold it. Up to two bytes may be escape, or alt with a bracket; a longer sequence
    /// comes from the terminal, perhaps in several packets.
    pub(crate) fn patience(&self) -> Duration {
        match (self.in_string, self.partial.len()) {
            (false, ..=2) => KEY_TIMEOUT,
            _ => SEQUENCE_TIMEOUT,
        }
    }

    /// Takes the held bytes as single keys.
    pub(crate) fn flush(&mut self) -> Vec<Token> {
        self.in_string = false;
        self.partial.drain(..).map(byte_token).collect()
    }

    fn push(&mut self, byte: u8, tokens: &mut Vec<Token>) {
        if self.in_string && self.push_in_string(byte, tokens) {
            return;
        }
        match (self.partial.as_slice(), byte) {
            ([], 0x1b) => self.partial.push(byte),
            ([], _) => tokens.push(byte_token(byte)),
            ([_], b'[' | b']' | b'P' | b'_') => self.partial.push(byte),
            ([_, kind @ (b']' | b'P' | b'_')], _) if begins_answer(*kind, byte) => {
                self.partial.push(byte);
                self.in_string = true;
                tokens.push(self.take(Meaning::Report));
            }
            ([_, b'[', b'M', more @ ..], 0x20..) => {
                let last = more.len() == 2;
                self.partial.push(byte);
                if last {
                    tokens.push(self.take(Meaning::Report));
                }
            }
            // The Linux console's function keys.
            ([_, b'[', b'['], 0x40..=0x7e) => {
                self.partial.push(byte);
                tokens.push(self.take(Meaning::OtherKey));
            }
            ([_, b'['], b'M' | b'[') => self.partial.push(byte),
            ([_, b'[', ..], 0x20..=0x3f) if self.partial.len() < MAX_SEQUENCE => {
                self.partial.push(byte);
            }
            ([_, b'[', ..], 0x40..=0x7e) => {
                self.partial.push(byte);
                let meaning = meaning(&self.partial);
                tokens.push(self.take(meaning));
            }
            // Escape and another key, or an invalid sequence.
            _ => {
                tokens.append(&mut self.flush());
                self.push(byte, tokens);
            }
        }
    }

    /// Takes the next byte of an answer; false when it is not part of it.
    fn push_in_string(&mut self, byte: u8, tokens: &mut Vec<Token>) -> bool {
        match (self.partial.as_slice(), byte) {
            ([], 0x1b) => {
                self.partial.push(byte);
                return true;
            }
            ([], 0x07) | ([_], b'\\') => self.in_string = false,
            ([], 0x20..) => {}
            _ => {
                self.in_string = false;
                return false;
            }
        }
        self.partial.push(byte);
        tokens.push(self.take(Meaning::Report));
        true
    }

    fn take(&mut self, meaning: Meaning) -> Token {
        Token {
            bytes: std::mem::take(&mut self.partial),
            meaning,
        }
    }
}

/// Whether this byte continues an answer after ESC and `kind`. Otherwise it was alt with a key.
fn begins_answer(kind: u8, byte: u8) -> bool {
    match kind {
        b']' => byte.is_ascii_digit() || matches!(byte, b'l' | b'L'),
        b'P' => byte.is_ascii_digit() || matches!(byte, b'>' | b'!'),
        _ => byte == b'G',
    }
}

fn byte_token(byte: u8) -> Token {
    Token {
        bytes: vec![byte],
        meaning: Meaning::Key(Key::from_byte(byte)),
    }
}

/// Reads `CSI code[:shifted[:base]];1+modifiers[:event];text u` and
/// `CSI 27;1+modifiers;code ~`; other sequences are keys without a character, or reports.
fn meaning(bytes: &[u8]) -> Meaning {
    let last = bytes.last().copied().unwrap_or(0);
    let inner = bytes.get(2..bytes.len() - 1).unwrap_or_default();
    let fields: Vec<Vec<u32>> = inner.split(|byte| *byte == b';').map(numbers).collect();
    let field = |index: usize, part: usize, default: u32| {
        let value = fields.get(index).and_then(|field| field.get(part)).copied();
        value.filter(|value| *value != 0).unwrap_or(default)
    };
    let is_report = match (inner.first(), last) {
        (Some(b'<'..=b'?'), _) => true,
        (None, b'I' | b'O') => true,
        (Some(_), b'M' | b'm' | b'n' | b't' | b'x' | b'y') => true,
        // The position of the cursor. F3 with modifiers looks like one in the first row.
        (Some(_), b'R') => field(0, 0, 1) != 1 || !(2..=16).contains(&field(1, 0, 1)),
        _ => false,
    };
    if is_report {
        return Meaning::Report;
    }
    let (code, modifiers) = match last {
        b'u' => (
            character(field(0, 0, 0), field(0, 1, 0), field(0, 2, 0)),
            field(1, 0, 1),
        ),
        b'~' if field(0, 0, 0) == 27 => (field(2, 0, 0), field(1, 0, 1)),
        _ => (0, 1),
    };
    // The modifier keys themselves, in kitty's numbering.
    let bare_modifier = last == b'u' && (57_441..=57_454).contains(&code);
    if field(1, 1, 1) == 3 || bare_modifier {
        return Meaning::Release;
    }
    match key_of(code, field(0, 1, 0), modifiers) {
        Some(key) => Meaning::Key(key),
        None => Meaning::OtherKey,
    }
}

/// The key as it would be on a Latin keyboard.
fn character(code: u32, _shifted: u32, base: u32) -> u32 {
    if code > 127 && code < 57_344 && base != 0 {
        base
    } else {
        code
    }
}

fn key_of(code: u32, shifted: u32, modifiers: u32) -> Option<Key> {
    const SHIFT: u32 = 1;
    const CTRL: u32 = 4;
    const LOCKS: u32 = 64 | 128;
    let held = modifiers.saturating_sub(1) & !LOCKS;
    let code = match (held & SHIFT != 0, code) {
        (true, _) if shifted != 0 && shifted < 128 => shifted,
        (true, 0x2f) => 0x3f,
        (true, 0x61..=0x7a) => code - 0x20,
        _ => code,
    };
    let code = char::from_u32(code).filter(|c| c.is_ascii() && *c != '\0')?;
    match held & !SHIFT {
        0 => Some(match code {
            // Keys that kitty names by number and that are control bytes otherwise.
            '\t' | '\r' | '\x1b' => Key::from_byte(code as u8),
            _ => Key::plain(code),
        }),
        CTRL if code == ' ' => Some(Key::ctrl('@')),
        // Ctrl with shift is another key, except where shift only reaches the character.
        CTRL if code.is_ascii_uppercase() => None,
        CTRL => Some(Key::ctrl(code)),
        _ => None,
    }
}

fn numbers(field: &[u8]) -> Vec<u32> {
    let parts = field.split(|byte| *byte == b':');
    let number = |part: &[u8]| std::str::from_utf8(part).ok()?.parse().ok();
    parts.map(|part| number(part).unwrap_or(0)).collect()
}
