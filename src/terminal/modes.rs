//! The modes of a terminal, as small values: DEC and ANSI modes, keyboard flags, character sets.

/// A known DEC private mode.
struct Known {
    mode: u16,
    /// Whether the mode is on in a fresh terminal.
    default: bool,
    group: Group,
}

/// Modes that replace each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Alone,
    Mouse,
    Encoding,
}

const fn known(mode: u16, default: bool, group: Group) -> Known {
    Known {
        mode,
        default,
        group,
    }
}

/// The known modes, in the order in which they are undone. Omitted: alternate screens (47, 1047,
/// 1049), keypad (66), column mode (3), synchronised output (2026), and modes whose default
/// differs between terminals (1007, 1034, 1036).
const KNOWN: [Known; 26] = [
    known(9, false, Group::Mouse),
    known(1000, false, Group::Mouse),
    known(1001, false, Group::Mouse),
    known(1002, false, Group::Mouse),
    known(1003, false, Group::Mouse),
    known(1005, false, Group::Encoding),
    known(1006, false, Group::Encoding),
    known(1015, false, Group::Encoding),
    known(1016, false, Group::Encoding),
    known(1004, false, Group::Alone),
    known(1039, false, Group::Alone),
    known(1042, false, Group::Alone),
    known(2004, false, Group::Alone),
    known(2027, false, Group::Alone),
    known(2031, false, Group::Alone),
    known(2048, false, Group::Alone),
    known(1, false, Group::Alone),
    known(8, true, Group::Alone),
    known(67, false, Group::Alone),
    known(69, false, Group::Alone),
    known(6, false, Group::Alone),
    known(5, false, Group::Alone),
    known(45, false, Group::Alone),
    known(7, true, Group::Alone),
    known(12, false, Group::Alone),
    known(25, true, Group::Alone),
];

/// The DEC private modes that differ from a fresh terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PrivateModes {
    differ: u32,
    /// The mouse mode and the encoding set last, which take effect if several are set.
    mouse: u16,
    encoding: u16,
}

impl PrivateModes {
    pub(crate) fn set(&mut self, mode: u16, on: bool) {
        let Some(index) = KNOWN.iter().position(|known| known.mode == mode) else {
            return;
        };
        let known = &KNOWN[index];
        match on == known.default {
            true => self.differ &= !(1 << index),
            false => self.differ |= 1 << index,
        }
        match known.group {
            Group::Mouse if on => self.mouse = mode,
            Group::Encoding if on => self.encoding = mode,
            Group::Alone | Group::Mouse | Group::Encoding => {}
        }
    }

    pub(crate) fn is_set(&self, mode: u16) -> bool {
        let index = KNOWN.iter().position(|known| known.mode == mode);
        index.is_some_and(|index| (self.differ & 1 << index != 0) != KNOWN[index].default)
    }

    /// Writes the output that sets these modes on a fresh terminal, except for those in `except`.
    pub(crate) fn write_set(&self, except: &[u16], out: &mut Vec<u8>) {
        let differing = self
            .differing()
            .filter(|known| !except.contains(&known.mode));
        for known in differing {
            write_mode(known.mode, !known.default, out);
        }
        // The mode that was set last replaces the others, so write it last.
        for mode in [self.mouse, self.encoding] {
            if self.is_set(mode) && self.others_follow(mode) {
                write_mode(mode, true, out);
            }
        }
    }

    /// Writes the output that resets the `wanted` modes.
    pub(crate) fn write_undone(&self, wanted: impl Fn(u16) -> bool, out: &mut Vec<u8>) {
        for known in self.differing().filter(|known| wanted(known.mode)) {
            write_mode(known.mode, known.default, out);
        }
    }

    fn differing(&self) -> impl Iterator<Item = &'static Known> {
        let differ = self.differ;
        let all = KNOWN.iter().enumerate();
        all.filter(move |(index, _)| differ & 1 << index != 0)
            .map(|(_, known)| known)
    }

    /// Whether another mode of the same group is written after this one.
    fn others_follow(&self, mode: u16) -> bool {
        let mut following = self.differing().skip_while(|known| known.mode != mode);
        let group = following.next().map(|known| known.group);
        following.any(|known| Some(known.group) == group)
    }
}

/// Whether a mode affects the input that the terminal sends.
pub(crate) fn is_input(mode: u16) -> bool {
    matches!(mode, 1 | 8 | 9 | 67) || mode >= 1000
}

/// The modes without a private prefix, each true where it differs from a fresh terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AnsiModes {
    /// KAM, 2: the keyboard is locked.
    locked: bool,
    /// IRM, 4.
    pub insert: bool,
    /// SRM, 12: the terminal echoes keys.
    echo: bool,
    /// LNM, 20.
    pub newline: bool,
}

impl AnsiModes {
    pub(crate) fn set(&mut self, mode: u16, on: bool) {
        match mode {
            2 => self.locked = on,
            4 => self.insert = on,
            12 => self.echo = !on,
            20 => self.newline = on,
            _ => {}
        }
    }

    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        // KAM is never restored: a client could not detach from a locked terminal.
        self.write(out, [b"", b"\x1b[4h", b"\x1b[12l", b"\x1b[20h"]);
    }

    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        self.write(out, [b"\x1b[2l", b"\x1b[4l", b"\x1b[12h", b"\x1b[20l"]);
    }

    fn write(&self, out: &mut Vec<u8>, sequences: [&[u8]; 4]) {
        let differ = [self.locked, self.insert, self.echo, self.newline];
        let differing = sequences
            .into_iter()
            .zip(differ)
            .filter(|(_, differs)| *differs);
        differing.for_each(|(sequence, _)| out.extend_from_slice(sequence));
    }
}

fn write_mode(mode: u16, on: bool, out: &mut Vec<u8>) {
    let letter = if on { 'h' } else { 'l' };
    out.extend_from_slice(format!("\x1b[?{mode}{letter}").as_bytes());
}

/// The kitty keyboard protocol's flags and stack of one screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyboardFlags {
    flags: u8,
    stack: Vec<u8>,
}

/// The depth of the stack, as in terminals.
const KEYBOARD_DEPTH_MAX: usize = 16;

impl KeyboardFlags {
    pub(crate) fn push(&mut self, flags: u16) {
        if self.stack.len() == KEYBOARD_DEPTH_MAX {
            self.stack.remove(0);
        }
        self.stack.push(self.flags);
        self.flags = (flags & 0x1f) as u8;
    }

    pub(crate) fn pop(&mut self, count: u16) {
        for _ in 0..count.max(1).min(KEYBOARD_DEPTH_MAX as u16 + 1) {
            self.flags = self.stack.pop().unwrap_or(0);
        }
    }

    pub(crate) fn assign(&mut self, flags: u16, how: u16) {
        let flags = (flags & 0x1f) as u8;
        match how {
            2 => self.flags |= flags,
            3 => self.flags &= !flags,
            _ => self.flags = flags,
        }
    }

    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        let mut levels = self.stack.iter().chain([&self.flags]);
        let base = levels.next().copied().unwrap_or(0);
        if base != 0 {
            out.extend_from_slice(format!("\x1b[={base};1u").as_bytes());
        }
        for flags in levels {
            out.extend_from_slice(format!("\x1b[>{flags}u").as_bytes());
        }
    }

    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        if !self.stack.is_empty() {
            out.extend_from_slice(format!("\x1b[<{}u", self.stack.len()).as_bytes());
        }
        if self.stack.first().unwrap_or(&self.flags) != &0 {
            out.extend_from_slice(b"\x1b[=0;1u");
        }
    }
}

/// The character sets G0 and G1; `shifted` selects G1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charsets {
    pub g: [u8; 2],
    pub shifted: bool,
}

impl Default for Charsets {
    fn default() -> Self {
        Charsets {
            g: [b'B', b'B'],
            shifted: false,
        }
    }
}

impl Charsets {
    /// Applies `ESC ( x` and `ESC ) x`; whether the sequence was one of them.
    pub(crate) fn designate(&mut self, intermediates: &[u8], last: u8) -> bool {
        match intermediates {
            b"(" => self.g[0] = last,
            b")" => self.g[1] = last,
            _ => return false,
        }
        true
    }

    /// Whether letters show as line drawings.
    pub(crate) fn draws_lines(&self) -> bool {
        self.g[usize::from(self.shifted)] == b'0'
    }

    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        for (slot, set) in [b'(', b')'].into_iter().zip(self.g) {
            if set != b'B' {
                out.extend_from_slice(&[0x1b, slot, set]);
            }
        }
        if self.shifted {
            out.push(0x0e);
        }
    }

    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        for (slot, set) in [b'(', b')'].into_iter().zip(self.g) {
            if set != b'B' {
                out.extend_from_slice(&[0x1b, slot, b'B']);
            }
        }
        if self.shifted {
            out.push(0x0f);
        }
    }
}

/// The DEC special graphics character for a letter.
pub(crate) fn line_drawing(byte: u8) -> Option<char> {
    const DRAWN: &str = " ◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    let index = byte.checked_sub(0x5f)?;
    DRAWN.chars().nth(usize::from(index))
}
