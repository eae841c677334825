//! The keys that leave an attached terminal, decoded as key events from what the terminal sends.
//!
//! Pure: bytes in, actions out. A key may come as a legacy byte, as `CSI u` (kitty) or as
//! xterm's `modifyOtherKeys`, cut anywhere. What is no chord leaves exactly as it came.

use super::keys::{Key, Token, Tokenizer};

const ESCAPE: u8 = 0x1b;

/// What to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// These bytes are for the process.
    Forward(Vec<u8>),
    /// Leave.
    Detach,
    /// Explain the keys.
    Help,
    /// Go to the next process.
    Next,
    /// Go to the previous process.
    Previous,
    /// Stop the client until it is continued.
    Suspend,
}

/// The keys that leave: one or more, or none at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<Key>,
}

impl DetachKeys {
    /// Reads docker's syntax: `ctrl-a,d`, each a character, `ctrl-` with one of `a-z@[\]^_`, or
    /// `DEL`; `none` (or nothing) for no keys.
    ///
    /// # Errors
    /// In words for the user.
    pub fn parse(text: &str) -> Result<DetachKeys, String> {
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(DetachKeys { keys: Vec::new() });
        }
        let keys = text.split(',').map(|item| parse_key(item.trim()));
        Ok(DetachKeys {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// `ctrl-a d`.
    pub fn standard() -> DetachKeys {
        DetachKeys {
            keys: vec![Key::ctrl('a'), Key::plain('d')],
        }
    }

    /// As shown to people; empty for none.
    pub fn shown(&self) -> String {
        self.keys
            .iter()
            .map(|key| key.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The prefix that also leads to help, next, previous and suspend.
    pub fn prefix(&self) -> Option<String> {
        self.has_commands()
            .then(|| self.keys.first().map(Key::to_string))
            .flatten()
    }

    /// Two keys, the first with ctrl, make a prefix with further commands.
    fn has_commands(&self) -> bool {
        matches!(self.keys.as_slice(), [prefix, _] if prefix.ctrl)
    }
}

fn parse_key(item: &str) -> Result<Key, String> {
    let refused =
        || format!("{item:?} is no key: write a character, ctrl- with one of a-z@[\\]^_, or DEL");
    if item == "DEL" {
        return Ok(Key::plain('\u{7f}'));
    }
    let (ctrl, rest) = match item.strip_prefix("ctrl-") {
        Some(rest) => (true, rest),
        None => (false, item),
    };
    let mut chars = rest.chars();
    let (Some(key), None) = (chars.next(), chars.next()) else {
        return Err(refused());
    };
    match (ctrl, key) {
        (true, 'a'..='z' | '@' | '[' | '\\' | ']' | '^' | '_') => Ok(Key::ctrl(key)),
        (false, ' '..='~') => Ok(Key::plain(key)),
        _ => Err(refused()),
    }
}

/// Finds the chord in what is typed.
#[derive(Debug)]
pub struct ChordDecoder {
    keys: DetachKeys,
    tokens: Tokenizer,
    /// How many of the keys have been typed.
    matched: usize,
    /// The first key as a byte of its own.
    begins: Option<u8>,
    /// The bytes of those keys.
    held: Vec<u8>,
    pasting: bool,
    out: Vec<Action>,
}

impl ChordDecoder {
    /// With these keys.
    pub fn new(keys: DetachKeys) -> ChordDecoder {
        let is_first = |byte: &u8| keys.keys.first() == Some(&Key::from_byte(*byte));
        ChordDecoder {
            begins: (0..=u8::MAX).find(is_first),
            keys,
            tokens: Tokenizer::default(),
            matched: 0,
            held: Vec::new(),
            pasting: false,
            out: Vec::new(),
        }
    }

    /// Takes in what was typed. `bracketed_paste` tells whether the process has switched that
    /// mode on: only then are the brackets believed.
    pub fn feed(&mut self, bytes: &[u8], bracketed_paste: bool) -> Vec<Action> {
        if self.keys.keys.is_empty() {
            return vec![Action::Forward(bytes.to_vec())];
        }
        self.pasting &= bracketed_paste;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (plain, others) = rest.split_at(self.plain_run(rest));
            self.forward(plain);
            // One byte may end what held the next ones up.
            let (next, later) = others.split_at(others.len().min(1));
            for token in self.tokens.feed(next) {
                self.take(token, bracketed_paste);
            }
            rest = later;
        }
        std::mem::take(&mut self.out)
    }

    /// How many of the bytes neither belong to a chord nor begin one: pasted text goes through at
    /// once.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        if self.matched > 0 || self.tokens.is_waiting() {
            return 0;
        }
        let begins = self.begins.unwrap_or(ESCAPE);
        memchr::memchr2(ESCAPE, begins, bytes).unwrap_or(bytes.len())
    }

    /// Whether an incomplete sequence is held back; [`ChordDecoder::flush`] it after 25 ms.
    pub fn is_waiting(&self) -> bool {
        self.tokens.is_waiting()
    }

    /// Nothing more came: what looked like the begin of a sequence was keys.
    pub fn flush(&mut self) -> Vec<Action> {
        for token in self.tokens.flush() {
            self.take(token, false);
        }
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, token: Token, bracketed_paste: bool) {
        if self.pasting {
            self.pasting = token.bytes != b"\x1b[201~";
            return self.forward(&token.bytes);
        }
        if bracketed_paste && token.bytes == b"\x1b[200~" {
            self.pasting = true;
            self.give_up();
            return self.forward(&token.bytes);
        }
        match token.key {
            Some(key) => self.take_key(key, &token.bytes),
            None if token.is_key && self.matched > 0 => {
                self.give_up();
                self.forward(&token.bytes);
            }
            // A release of the prefix belongs to it; reports of mouse and focus pass by.
            None if token.is_release && self.matched > 0 => self.held.extend(&token.bytes),
            None => self.forward(&token.bytes),
        }
    }

    fn take_key(&mut self, key: Key, bytes: &[u8]) {
        if self.keys.keys.get(self.matched) == Some(&key) {
            self.matched += 1;
            self.held.extend(bytes);
            if self.matched == self.keys.keys.len() {
                self.finish(Action::Detach);
            }
            return;
        }
        if self.matched == 0 {
            return self.forward(bytes);
        }
        if self.keys.has_commands() && self.take_command(key, bytes) {
            return;
        }
        self.give_up();
        // The key may begin the chord anew, unless it would be its own prefix.
        if self.keys.keys.first() == Some(&key) {
            self.matched = 1;
            self.held.extend(bytes);
        } else {
            self.forward(bytes);
        }
    }

    /// The key after the prefix, when it is a command.
    fn take_command(&mut self, key: Key, bytes: &[u8]) -> bool {
        let Some(prefix) = self.keys.keys.first().copied() else {
            return false;
        };
        let literal = key == prefix
            || key
                == (Key {
                    ctrl: false,
                    ..prefix
                });
        if literal {
            // The prefix as it was typed, not what confirmed it.
            let typed = if key == prefix {
                bytes.to_vec()
            } else {
                std::mem::take(&mut self.held)
            };
            self.matched = 0;
            self.held.clear();
            self.forward(&typed);
            return true;
        }
        let command = match (key.ctrl, key.code) {
            (false, '?') => Action::Help,
            (false, 'n') => Action::Next,
            (false, 'p') => Action::Previous,
            (true, 'z') => Action::Suspend,
            _ => return false,
        };
        self.finish(command);
        true
    }

    fn finish(&mut self, action: Action) {
        self.matched = 0;
        self.held.clear();
        self.out.push(action);
    }

    /// What was held was no chord.
    fn give_up(&mut self) {
        self.matched = 0;
        let held = std::mem::take(&mut self.held);
        self.forward(&held);
    }

    fn forward(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.out.last_mut() {
            Some(Action::Forward(last)) => last.extend(bytes),
            _ => self.out.push(Action::Forward(bytes.to_vec())),
        }
    }
}

#[cfg(test)]
#[path = "chord_tests.rs"]
mod tests;
