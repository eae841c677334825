//! The keys that leave an attached terminal, decoded as key events from what the terminal sends.
//!
//! Pure: bytes in, actions out. A key may come as a legacy byte, as `CSI u` (kitty) or as
//! xterm's `modifyOtherKeys`, spread over any number of reads. All other bytes pass unchanged.

use super::key_events::{Key, Meaning, Token, Tokenizer};
use std::time::Duration;

/// Sections of `tm attach --help` and of its man page.
pub(crate) const HELP: &str = "\
Keys:
  ctrl-a d        Detach; the process continues to run
  ctrl-a ctrl-a   Send ctrl-a to the process, as does ctrl-a a
  ctrl-a ?        Show help about the session
  ctrl-a [        Print the scrolled-off output into your terminal's scrollback
  ctrl-a n, p     Switch to the next or previous process with a terminal
  ctrl-a ctrl-z   Suspend tm

Other --detach-keys work as a prefix in the same way if they are two keys and
the first has ctrl. Keys of another form only detach.

Without a terminal:
  If standard input, standard output or the process has no terminal, input is
  sent line by line. To detach, type the same keys or ctrl-c, or end the piped
  input. If the control shell reads its verbs from a pipe, the lines that
  follow attach in that pipe are the input. With --until-exit, the end of piped
  input does not detach: the process gets it, with stdin: pipe.

Exit codes:
  0    Detached
  255  The connection to the daemon was lost

If the process ends and is not restarted, tm exits with its code, or with 128
plus the signal number if a signal killed it. With --until-exit, it does so at
the end of the current run.";

const ESCAPE: u8 = 0x1b;

/// A paste is over after this time without input, whether its end came or not.
const PASTE_TIMEOUT: Duration = Duration::from_secs(1);

/// An action; several are in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes to the process.
    Forward(Vec<u8>),
    /// Detach.
    Detach,
    /// Show the help.
    Help,
    /// Show the history.
    History,
    /// Go to the next process.
    Next,
    /// Go to the previous process.
    Previous,
    /// Stop the client until it is continued.
    Suspend,
}

/// The keys that detach: a sequence, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<Key>,
    /// GNU screen takes ctrl-a for itself, and passes it on for ctrl-a a.
    in_screen: bool,
}

impl DetachKeys {
    /// Reads docker's syntax: `ctrl-a,d`, each a character, `ctrl-` with one of `a-z@[\]^_`, or
    /// `DEL`; `none` for no keys, nothing for the usual ones. Other spellings of ctrl are known.
    ///
    /// # Errors
    /// In words for the user.
    pub fn parse(text: &str) -> Result<DetachKeys, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(DetachKeys::standard());
        }
        if text == "none" {
            return Ok(DetachKeys::new(Vec::new()));
        }
        let keys = text.split(',').map(|item| parse_key(item.trim()));
        Ok(DetachKeys::new(keys.collect::<Result<_, _>>()?))
    }

    /// `ctrl-a d`.
    pub fn standard() -> DetachKeys {
        DetachKeys::new(vec![Key::ctrl('a'), Key::plain('d')])
    }

    fn new(keys: Vec<Key>) -> DetachKeys {
        DetachKeys {
            keys,
            in_screen: false,
        }
    }

    /// Names the keys as they are typed inside GNU screen.
    #[must_use]
    pub fn inside_screen(mut self) -> DetachKeys {
        self.in_screen = true;
        self
    }

    fn spell(&self, key: Key) -> String {
        match self.in_screen && key == Key::ctrl('a') {
            true => format!("{key} a"),
            false => key.to_string(),
        }
    }

    /// The keys in words; empty for none.
    pub fn shown(&self) -> String {
        self.keys
            .iter()
            .map(|key| self.spell(*key))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The first key, if it is a prefix for commands as well.
    pub fn prefix(&self) -> Option<String> {
        self.has_commands()
            .then(|| self.keys.first().map(|key| self.spell(*key)))
            .flatten()
    }

    /// The control character that the first key sends, unless the terminal itself acts on it.
    pub(crate) fn first_control(&self) -> Option<u8> {
        let first = self.keys.first()?;
        let acted_on = [b'\x03', b'\x04', b'\n', b'\r', b'\x1a', b'\x1c'];
        let sent = (1..b' ').find(|byte| Key::from_byte(*byte) == *first);
        sent.filter(|byte| !acted_on.contains(byte))
    }

    /// Two keys, the first with ctrl: the first is a prefix for commands.
    fn has_commands(&self) -> bool {
        matches!(self.keys.as_slice(), [prefix, _] if prefix.ctrl)
    }
}

fn parse_key(item: &str) -> Result<Key, String> {
    let refused =
        || format!("{item:?} is not a key: use a character, ctrl- with one of a-z@[\\]^_, or DEL");
    if item.eq_ignore_ascii_case("del") {
        return Ok(Key::plain('\u{7f}'));
    }
    let (ctrl, rest) = match without_ctrl(item) {
        Some(rest) => (true, rest),
        None => (false, item),
    };
    let mut chars = rest.chars();
    let (Some(key), None) = (chars.next(), chars.next()) else {
        return Err(refused());
    };
    let key = if ctrl { key.to_ascii_lowercase() } else { key };
    match (ctrl, key) {
        (true, 'a'..='z' | '@' | '[' | '\\' | ']' | '^' | '_') => Ok(Key::ctrl(key)),
        (false, ' '..='~') => Ok(Key::plain(key)),
        _ => Err(refused()),
    }
}

/// The rest after ctrl in its usual spellings: `ctrl-a`, `Ctrl+A`, `control-a`, `C-a`, `^a`.
fn without_ctrl(item: &str) -> Option<&str> {
    if let Some(rest) = item.strip_prefix('^').filter(|rest| !rest.is_empty()) {
        return Some(rest);
    }
    let (name, rest) = item.split_at_checked(item.find(['-', '+'])?)?;
    let names = ["ctrl", "control", "c"];
    let known = names.iter().any(|known| name.eq_ignore_ascii_case(known));
    known.then_some(&rest[1..])
}

/// Finds the detach keys in input.
#[derive(Debug)]
pub struct ChordDecoder {
    keys: DetachKeys,
    tokens: Tokenizer,
    /// How many of the keys have been matched.
    matched: usize,
    /// The byte that the first key sends in legacy mode.
    begins: Option<u8>,
    /// The bytes of the matched keys.
    held: Vec<u8>,
    brackets: Brackets,
    pasting: bool,
    watching: bool,
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
            brackets: Brackets::default(),
            pasting: false,
            watching: false,
            out: Vec::new(),
        }
    }

    /// Sets whether another client drives. Then only keys are forwarded, and the first one takes
    /// over: mouse and focus reports and answers of this terminal are dropped.
    pub fn set_watching(&mut self, watching: bool) {
        self.watching = watching;
    }

    /// Decodes input. The brackets of a paste count only if the process has switched
    /// `bracketed_paste` on.
    pub fn feed(&mut self, bytes: &[u8], bracketed_paste: bool) -> Vec<Action> {
        if self.keys.keys.is_empty() && !self.watching && !self.is_waiting() {
            return vec![Action::Forward(bytes.to_vec())];
        }
        self.pasting &= bracketed_paste;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (plain, others) = rest.split_at(self.plain_run(rest));
            self.forward(plain);
            // One byte at a time: it may end the sequence that delays the others.
            let (next, later) = others.split_at(others.len().min(1));
            for &byte in next {
                self.feed_byte(byte, bracketed_paste);
            }
            rest = later;
        }
        std::mem::take(&mut self.out)
    }

    fn feed_byte(&mut self, byte: u8, bracketed_paste: bool) {
        for token in self.tokens.feed(byte) {
            self.take(token);
        }
        match self.brackets.feed(byte) {
            Some(true) if bracketed_paste => {
                self.pasting = true;
                self.give_up();
            }
            Some(false) => self.pasting = false,
            _ => {}
        }
    }

    /// How many bytes at the start cannot belong to the detach keys. Long text passes through
    /// without decoding.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        if self.matched > 0 || self.tokens.is_waiting() || self.brackets.is_begun() {
            return 0;
        }
        let begins = self.begins.unwrap_or(ESCAPE);
        memchr::memchr2(ESCAPE, begins, bytes).unwrap_or(bytes.len())
    }

    /// Whether some of the keys have come, and the others may follow.
    pub(crate) fn has_begun(&self) -> bool {
        self.matched > 0
    }

    /// Whether an incomplete sequence is held back.
    pub fn is_waiting(&self) -> bool {
        self.tokens.is_waiting()
    }

    /// How long to hold it before [`ChordDecoder::flush`].
    pub fn patience(&self) -> Duration {
        self.tokens.patience()
    }

    /// How long to wait for more input before [`ChordDecoder::no_more`].
    pub fn waits(&self) -> Option<Duration> {
        match self.is_waiting() {
            true => Some(self.patience()),
            false => self.pasting.then_some(PASTE_TIMEOUT),
        }
    }

    /// No more input came in time: the incomplete sequence counts as single keys, and a paste is
    /// over.
    pub fn no_more(&mut self) -> Vec<Action> {
        if self.is_waiting() {
            return self.flush();
        }
        self.pasting = false;
        Vec::new()
    }

    /// No more input came: treats the incomplete sequence as single keys.
    pub fn flush(&mut self) -> Vec<Action> {
        for token in self.tokens.flush() {
            self.take(token);
        }
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, token: Token) {
        if self.pasting {
            return self.forward(&token.bytes);
        }
        match token.meaning {
            Meaning::Key(key) => self.take_key(key, &token.bytes),
            Meaning::OtherKey => {
                self.give_up();
                self.forward(&token.bytes);
            }
            // The release of a matched key.
            Meaning::Release if self.matched > 0 => self.held.extend(&token.bytes),
            Meaning::Release | Meaning::Report if self.watching => {}
            Meaning::Release => self.forward(&token.bytes),
            // A report does not interrupt the detach keys.
            Meaning::Report => self.forward(&token.bytes),
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
        // The key may be the first one again.
        if self.keys.keys.first() == Some(&key) {
            self.matched = 1;
            self.held.extend(bytes);
        } else {
            self.forward(bytes);
        }
    }

    /// Handles the key after the prefix; false when it is no command.
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
            // Send the prefix in the encoding in which it was typed.
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
            (false, '[') => Action::History,
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

    /// Forwards the held bytes: they are not the detach keys.
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

/// Recognises the brackets around a paste, however slowly they arrive.
#[derive(Debug, Default)]
struct Brackets {
    /// The last six bytes, the newest lowest.
    last: u64,
}

impl Brackets {
    const BEGIN: u64 = u64::from_be_bytes(*b"\0\0\x1b[200~");
    const END: u64 = u64::from_be_bytes(*b"\0\0\x1b[201~");

    /// Whether the last bytes may be the start of a bracket.
    fn is_begun(&self) -> bool {
        self.last.to_be_bytes()[3..].contains(&ESCAPE)
    }

    /// True after the opening bracket, false after the closing one.
    fn feed(&mut self, byte: u8) -> Option<bool> {
        self.last = (self.last << 8 | u64::from(byte)) & 0xffff_ffff_ffff;
        match self.last {
            Brackets::BEGIN => Some(true),
            Brackets::END => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "detach_keys_tests.rs"]
mod tests;
