//! The parameters of a control sequence, and the settings that sequences make by number.

use crate::terminal::cell::number;

/// Numeric parameters: 0 if absent or not a number, the maximum if too large.
pub(crate) struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Splits a control sequence into its private prefix, its parameters and its intermediates.
    pub(crate) fn parse(body: &'a [u8]) -> (Option<u8>, Params<'a>, &'a [u8]) {
        let prefix = body.first().filter(|first| (b'<'..=b'?').contains(first));
        let body = &body[usize::from(prefix.is_some())..];
        let end = body.iter().position(|byte| *byte < 0x30);
        let (params, intermediates) = body.split_at(end.unwrap_or(body.len()));
        (prefix.copied(), Params(params), intermediates)
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.split(|byte| *byte == b';').map(number)
    }

    /// The numbers of modes, some of which are larger than other parameters. 0 is no mode.
    pub(crate) fn modes(&self) -> impl Iterator<Item = u32> {
        let digits = self.0.split(|byte| *byte == b';').map(std::str::from_utf8);
        digits.map(|digits| {
            digits
                .ok()
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> u16 {
        self.iter().nth(index).unwrap_or(0)
    }

    pub(crate) fn first(&self) -> u16 {
        self.get(0)
    }
}

/// A setting with one number: `CSI prefix NUMBER tail`.
struct Numbered {
    prefix: &'static str,
    /// The intermediates and the final byte.
    tail: &'static str,
    /// The number that undoes it.
    default: u16,
    /// Whether it is restored for a client that attaches.
    restored: bool,
}

const fn numbered(prefix: &'static str, tail: &'static str, default: u16) -> Numbered {
    Numbered {
        prefix,
        tail,
        default,
        restored: true,
    }
}

/// The known settings, in the order in which they are undone.
const NUMBERED: [Numbered; 8] = [
    // DECSASD, DECSSDT: output goes to the status line; there is one.
    numbered("", "$}", 0),
    numbered("", "$~", 0),
    // DECELR: the locator reports.
    numbered("", "'z", 0),
    // XTSMPOINTER: when the pointer is hidden.
    numbered(">", "p", 1),
    // The input method of mintty.
    numbered("<", "t", 0),
    // SCP: the direction of lines.
    numbered("", " k", 0),
    LEVEL,
    // DECSCA: text is protected. A higher level is needed to undo it.
    numbered("", "\"q", 0),
];

/// DECSCL: the terminal that is emulated. At a low level, sequences that shells use are unknown.
/// It is undone although a soft reset follows: the modes that this resets are undone anyway, it
/// moves no cursor, and only a terminal that a program has lowered gets it. 64 is the level of
/// xterm; terminals with less ignore it. It is not restored: the reset would end the modes, and a
/// program for a low level works at a higher one.
const LEVEL: Numbered = Numbered {
    prefix: "",
    tail: "\"p",
    default: 64,
    restored: false,
};

/// The settings from this one on are undone once the alternate screen is left: restoring the
/// cursor restores protection, and a soft reset forgets the saved cursor.
const LATE: usize = 6;

/// The setting of [`NUMBERED`] that a soft reset ends.
const PROTECTION: usize = 7;

/// Settings that differ from a fresh terminal's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CsiSettings {
    numbers: [Option<u16>; NUMBERED.len()],
    /// Protection of the saved cursors.
    saved: [Option<u16>; 2],
    /// The resources of xterm's keyboard, by number: XTMODKEYS and XTFMTKEYS.
    keys: [[Option<KeySetting>; 8]; 2],
    /// XTSMTITLE, a bit each. In hexadecimal, for example, a shell's title is unreadable.
    titles: u8,
}

/// The final bytes of XTMODKEYS and XTFMTKEYS.
const KEYS: [u8; 2] = [b'm', b'f'];

/// A resource of xterm's keyboard that a program has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeySetting {
    /// XTMODKEYS or XTFMTKEYS: `CSI > Pp ; Pv m` or `f`.
    Value(u16),
    /// Modifiers are ignored: `CSI > Pp n`.
    Disabled,
}

impl CsiSettings {
    /// Applies a control sequence, if it is one of these.
    pub(crate) fn apply(&mut self, prefix: &str, params: &Params, tail: &[u8]) {
        let value = params.first();
        let known = |known: &Numbered| known.prefix == prefix && known.tail.as_bytes() == tail;
        if let Some(index) = NUMBERED.iter().position(known) {
            let changed = match NUMBERED[index].tail {
                // 65 is the level of a fresh VT525.
                "\"p" => matches!(value, 61..=63),
                // 2 is as 0.
                "\"q" => value == 1,
                _ if params.is_empty() => false,
                _ => value != NUMBERED[index].default,
            };
            self.numbers[index] = changed.then_some(value);
        }
        match (prefix, tail) {
            (">", [last @ (b'm' | b'f')]) => self.set_key(usize::from(*last == b'f'), params),
            (">", b"n") => {
                // Without a parameter it is about function keys.
                let key = if params.is_empty() { 2 } else { value };
                if let Some(slot) = self.keys[0].get_mut(usize::from(key)) {
                    *slot = (key != 4).then_some(KeySetting::Disabled);
                }
            }
            (">", [last @ (b't' | b'T')]) => {
                for bit in params.iter().filter(|bit| *bit < 4 && !params.is_empty()) {
                    self.titles &= !(1 << bit);
                    self.titles |= u8::from(*last == b't') << bit;
                }
                if *last == b'T' && params.is_empty() {
                    self.titles = 0;
                }
            }
            _ => {}
        }
    }

    fn set_key(&mut self, kind: usize, params: &Params) {
        if params.is_empty() {
            self.keys[kind] = [None; 8];
        }
        let given = params.bytes().split(|byte| *byte == b';').nth(1);
        let given = given.is_some_and(|digits| !digits.is_empty());
        // Programs turn modifyOtherKeys off by 0, its default.
        let off = (kind, params.first(), params.get(1)) == (0, 4, 0);
        if let Some(slot) = self.keys[kind].get_mut(usize::from(params.first())) {
            *slot = (given && !off).then_some(KeySetting::Value(params.get(1)));
        }
    }

    /// A soft reset.
    pub(crate) fn unprotect(&mut self) {
        self.numbers[PROTECTION] = None;
    }

    pub(crate) fn save_cursor(&mut self, screen: usize) {
        self.saved[screen] = self.numbers[PROTECTION];
    }

    pub(crate) fn restore_cursor(&mut self, screen: usize) {
        self.numbers[PROTECTION] = self.saved[screen];
    }

    /// Whether output goes elsewhere than to the screen.
    pub(crate) fn diverts(&self) -> bool {
        self.numbers[0].is_some()
    }

    /// Writes all settings but the one that diverts what follows.
    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        for (known, value) in NUMBERED.iter().zip(self.numbers).skip(1) {
            if let Some(value) = value.filter(|_| known.restored) {
                write_number(known, value, out);
            }
        }
        for (kind, last) in self.keys.iter().zip(KEYS) {
            for (key, value) in kind.iter().enumerate() {
                match value {
                    // A terminal that ignores the prefix would answer.
                    Some(KeySetting::Disabled) if matches!(key, 5 | 6) => {}
                    Some(KeySetting::Disabled) => {
                        out.extend_from_slice(format!("\x1b[>{key}n").as_bytes());
                    }
                    Some(KeySetting::Value(value)) => {
                        out.extend_from_slice(format!("\x1b[>{key};{value}").as_bytes());
                        out.push(last);
                    }
                    None => {}
                }
            }
        }
        self.write_titles(b't', out);
    }

    /// Writes the setting that diverts what follows.
    pub(crate) fn write_diverted(&self, out: &mut Vec<u8>) {
        if let Some(value) = self.numbers[0] {
            write_number(&NUMBERED[0], value, out);
        }
    }

    /// Undoes the settings that do not depend on the cursor.
    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        for (kind, last) in self.keys.iter().zip(KEYS) {
            for (key, _) in kind.iter().enumerate().filter(|(_, value)| value.is_some()) {
                out.extend_from_slice(format!("\x1b[>{key}").as_bytes());
                out.push(last);
            }
        }
        self.write_titles(b'T', out);
        for (known, value) in NUMBERED.iter().zip(self.numbers).take(LATE) {
            if value.is_some() {
                write_number(known, known.default, out);
            }
        }
    }

    /// Undoes the other settings; `restored` if the cursor of the main screen has been restored.
    pub(crate) fn write_undone_late(&self, restored: bool, out: &mut Vec<u8>) {
        if self.numbers[LATE].is_some() {
            // With 7-bit controls.
            out.extend_from_slice(b"\x1b[64;1\"p");
        }
        let again = restored && self.saved[0].is_some();
        if again || self.numbers[PROTECTION].is_some() {
            write_number(&NUMBERED[PROTECTION], 0, out);
        }
    }

    fn write_titles(&self, last: u8, out: &mut Vec<u8>) {
        for bit in (0..4).filter(|bit| self.titles & 1 << bit != 0) {
            out.extend_from_slice(format!("\x1b[>{bit}").as_bytes());
            out.push(last);
        }
    }
}

fn write_number(known: &Numbered, value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\x1b[{}{value}{}", known.prefix, known.tail).as_bytes());
}
