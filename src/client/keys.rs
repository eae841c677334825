//! Keys in what a terminal sends: single bytes and `CSI` sequences.

use std::fmt;

/// Longest sequence that is waited for; a longer one is not from a keyboard.
const MAX_SEQUENCE: usize = 64;

/// A key with or without ctrl; lock keys do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The character, of a letter with ctrl the small one.
    pub code: char,
    /// Whether ctrl is held.
    pub ctrl: bool,
}

impl Key {
    /// A key alone.
    pub fn plain(code: char) -> Key {
        Key { code, ctrl: false }
    }

    /// A key with ctrl.
    pub fn ctrl(code: char) -> Key {
        Key { code, ctrl: true }
    }

    /// The key that a terminal sends this byte for.
    pub fn from_byte(byte: u8) -> Key {
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

/// A piece of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Exactly what came.
    pub bytes: Vec<u8>,
    /// The key pressed, when it is one that a chord can be made of.
    pub key: Option<Key>,
    /// Whether it is the press of a key at all, and not a report or a release.
    pub is_key: bool,
    /// Whether it is the release of a key, or a modifier alone.
    pub is_release: bool,
}

/// Cuts input into tokens; holds an incomplete sequence.
#[derive(Debug, Default)]
pub struct Tokenizer {
    partial: Vec<u8>,
}

impl Tokenizer {
    /// The tokens that are complete now.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Token> {
        let mut tokens = Vec::new();
        for &byte in bytes {
            self.push(byte, &mut tokens);
        }
        tokens
    }

    /// Whether something is held.
    pub fn is_waiting(&self) -> bool {
        !self.partial.is_empty()
    }

    /// What is held, as single bytes.
    pub fn flush(&mut self) -> Vec<Token> {
        self.partial.drain(..).map(byte_token).collect()
    }

    fn push(&mut self, byte: u8, tokens: &mut Vec<Token>) {
        match (self.partial.len(), byte) {
            (0, 0x1b) => self.partial.push(byte),
            (0, _) => tokens.push(byte_token(byte)),
            (1, b'[') => self.partial.push(byte),
            // Escape, then another key.
            (1, _) => {
                tokens.append(&mut self.flush());
                self.push(byte, tokens);
            }
            (_, 0x20..=0x3f) if self.partial.len() < MAX_SEQUENCE => self.partial.push(byte),
            (_, 0x40..=0x7e) => {
                self.partial.push(byte);
                tokens.push(sequence_token(std::mem::take(&mut self.partial)));
            }
            // No sequence after all.
            _ => {
                tokens.append(&mut self.flush());
                self.push(byte, tokens);
            }
        }
    }
}

fn byte_token(byte: u8) -> Token {
    Token {
        bytes: vec![byte],
        key: Some(Key::from_byte(byte)),
        is_key: true,
        is_release: false,
    }
}

/// Reads `CSI code[:shifted[:base]];1+modifiers[:event];text u` and
/// `CSI 27;1+modifiers;code ~`; other sequences are keys without a character, or reports.
fn sequence_token(bytes: Vec<u8>) -> Token {
    let last = bytes.last().copied().unwrap_or(0);
    let inner = bytes.get(2..bytes.len() - 1).unwrap_or_default();
    let fields: Vec<Vec<u32>> = inner.split(|byte| *byte == b';').map(numbers).collect();
    let field = |index: usize, part: usize, default: u32| {
        let value = fields.get(index).and_then(|field| field.get(part)).copied();
        value.filter(|value| *value != 0).unwrap_or(default)
    };
    let private = inner
        .first()
        .is_some_and(|byte| matches!(byte, b'<'..=b'?'));
    let report = private || !matches!(last, b'u' | b'~' | b'A'..=b'H' | b'P'..=b'S' | b'Z');
    let is_release = !report && field(1, 1, 1) == 3;
    let (code, modifiers) = match last {
        b'u' => (
            character(field(0, 0, 0), field(0, 1, 0), field(0, 2, 0)),
            field(1, 0, 1),
        ),
        b'~' if field(0, 0, 0) == 27 => (field(2, 0, 0), field(1, 0, 1)),
        _ => (0, 1),
    };
    // kitty's numbers of the modifier keys themselves.
    let bare_modifier = last == b'u' && (57_441..=57_454).contains(&code);
    let key = key_of(code, field(0, 1, 0), modifiers);
    Token {
        key: key.filter(|_| !report && !is_release && !bare_modifier),
        is_key: !report && !is_release && !bare_modifier,
        is_release: is_release || bare_modifier,
        bytes,
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
