//! The modes of a terminal, as small values: DEC and ANSI modes, keyboard flags, character sets.

/// A known DEC private mode.
struct Known {
    mode: u32,
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
    /// Function keys: setting or resetting one of them resets the others.
    Keys,
}

const fn known(mode: u32, default: bool, group: Group) -> Known {
    Known {
        mode,
        default,
        group,
    }
}

const fn off(mode: u32) -> Known {
    known(mode, false, Group::Alone)
}

const fn on(mode: u32) -> Known {
    known(mode, true, Group::Alone)
}

/// The known modes, in the order in which they are undone: those of xterm, kitty, mintty, foot,
/// contour, iTerm2, VTE and Windows Terminal that affect input or display. Omitted:
///
/// - alternate screens (47, 1047, 1049), keypad (66), synchronised output (2026);
/// - modes whose default differs between terminals (30, 1007, 1010, 1011, 1034, 1036, 1070, 1243,
///   2501, 7766) or is a choice of many users (10, 13, 1040, 1041, 1044);
/// - printing (18, 19).
const KNOWN: [Known; 77] = [
    known(9, false, Group::Mouse),
    known(1000, false, Group::Mouse),
    known(1001, false, Group::Mouse),
    known(1002, false, Group::Mouse),
    known(1003, false, Group::Mouse),
    known(1005, false, Group::Encoding),
    known(1006, false, Group::Encoding),
    known(1015, false, Group::Encoding),
    known(1016, false, Group::Encoding),
    off(1004),
    off(1014),
    on(1035),
    off(1037),
    off(1039),
    off(1042),
    off(1043),
    off(1045),
    // Before the alternate screen is left: without it, xterm would stay there.
    on(1046),
    known(1050, false, Group::Keys),
    known(1051, false, Group::Keys),
    known(1052, false, Group::Keys),
    known(1053, false, Group::Keys),
    known(1060, false, Group::Keys),
    known(1061, false, Group::Keys),
    off(1337),
    off(2001),
    off(2002),
    off(2003),
    off(2004),
    off(2005),
    off(2006),
    off(2017),
    off(2027),
    on(2028),
    off(2029),
    off(2030),
    off(2031),
    off(2048),
    off(2500),
    off(2521),
    off(5522),
    off(7700),
    on(7723),
    off(7727),
    off(7728),
    off(7765),
    off(7767),
    off(7769),
    off(7783),
    on(7786),
    off(7787),
    off(8452),
    off(9001),
    off(19997),
    off(77096),
    on(737_769),
    off(1),
    on(8),
    on(35),
    off(67),
    on(VT52),
    off(TEKTRONIX),
    off(WIDE),
    off(69),
    off(6),
    off(4),
    off(5),
    off(20),
    off(40),
    off(41),
    off(42),
    off(44),
    off(45),
    off(46),
    on(7),
    off(12),
    on(25),
];

/// DECANM. While it is off, the terminal is a VT52 and knows no control sequences.
pub(crate) const VT52: u32 = 2;

/// xterm shows a drawing terminal, which knows no control sequences.
pub(crate) const TEKTRONIX: u32 = 38;

/// DECCOLM, 132 columns. Clears the screen.
pub(crate) const WIDE: u32 = 3;

/// Modes that [`PrivateModes::write_set`] leaves out. A VT52 could not read what follows, nor a
/// drawing terminal. The columns are the user's choice. 46 writes a file on the user's machine.
const NOT_RESTORED: [u32; 4] = [VT52, TEKTRONIX, WIDE, 46];

/// The first of the 32 modes of mintty that give a control key a sequence of its own.
const CONTROL_KEYS: u32 = 77_000;

/// The DEC private modes that differ from a fresh terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PrivateModes {
    differ: u128,
    /// The modes from [`CONTROL_KEYS`] on.
    control_keys: u32,
    /// The mouse mode and the encoding set last, which take effect if several are set.
    mouse: u32,
    encoding: u32,
}

impl PrivateModes {
    pub(crate) fn set(&mut self, mode: u32, on: bool) {
        if let key @ 0..32 = mode.wrapping_sub(CONTROL_KEYS) {
            self.control_keys &= !(1 << key);
            self.control_keys |= u32::from(on) << key;
        }
        let Some(index) = KNOWN.iter().position(|known| known.mode == mode) else {
            return;
        };
        let known = &KNOWN[index];
        match known.group {
            Group::Mouse if on => self.mouse = mode,
            Group::Encoding if on => self.encoding = mode,
            Group::Keys => {
                let keys = KNOWN.iter().enumerate();
                for (other, _) in keys.filter(|(_, known)| known.group == Group::Keys) {
                    self.differ &= !(1 << other);
                }
            }
            Group::Alone | Group::Mouse | Group::Encoding => {}
        }
        match on == known.default {
            true => self.differ &= !(1 << index),
            false => self.differ |= 1 << index,
        }
    }

    pub(crate) fn is_set(&self, mode: u32) -> bool {
        let index = KNOWN.iter().position(|known| known.mode == mode);
        index.is_some_and(|index| (self.differ & 1 << index != 0) != KNOWN[index].default)
    }

    /// Writes the output that sets these modes on a fresh terminal, except for those in `except`.
    pub(crate) fn write_set(&self, except: &[u32], out: &mut Vec<u8>) {
        let differing = self
            .differing()
            .filter(|known| !except.contains(&known.mode) && !NOT_RESTORED.contains(&known.mode));
        for known in differing {
            write_mode(known.mode, !known.default, out);
        }
        // The mode that was set last replaces the others, so write it last.
        for mode in [self.mouse, self.encoding] {
            if self.is_set(mode) && self.others_follow(mode) {
                write_mode(mode, true, out);
            }
        }
        self.write_control_keys(true, out);
    }

    /// Writes the output that resets the `wanted` modes.
    pub(crate) fn write_undone(&self, wanted: impl Fn(u32) -> bool, out: &mut Vec<u8>) {
        for known in self.differing().filter(|known| wanted(known.mode)) {
            write_mode(known.mode, known.default, out);
        }
        if wanted(CONTROL_KEYS) {
            self.write_control_keys(false, out);
        }
    }

    fn write_control_keys(&self, on: bool, out: &mut Vec<u8>) {
        for key in (0..32).filter(|key| self.control_keys & 1 << key != 0) {
            write_mode(CONTROL_KEYS + key, on, out);
        }
    }

    fn differing(&self) -> impl Iterator<Item = &'static Known> {
        let differ = self.differ;
        let all = KNOWN.iter().enumerate();
        all.filter(move |(index, _)| differ & 1 << index != 0)
            .map(|(_, known)| known)
    }

    /// Whether another mode of the same group is written after this one.
    fn others_follow(&self, mode: u32) -> bool {
        let mut following = self.differing().skip_while(|known| known.mode != mode);
        let group = following.next().map(|known| known.group);
        following.any(|known| Some(known.group) == group)
    }
}

/// Whether a mode affects the input that the terminal sends, or works alike on both screens.
pub(crate) fn is_input(mode: u32) -> bool {
    matches!(mode, 1 | 8 | 9 | 35 | 67) || mode >= 1000
}

/// The modes without a private prefix, each true where it differs from a fresh terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AnsiModes {
    /// KAM, 2: the keyboard is locked.
    locked: bool,
    /// CRM, 3: control characters are shown.
    shown: bool,
    /// IRM, 4.
    pub insert: bool,
    /// BDSM, 8: text is not reordered by its direction.
    explicit: bool,
    /// SRM, 12: the terminal echoes keys.
    echo: bool,
    /// LNM, 20.
    pub newline: bool,
}

impl AnsiModes {
    pub(crate) fn set(&mut self, mode: u16, on: bool) {
        match mode {
            2 => self.locked = on,
            3 => self.shown = on,
            8 => self.explicit = !on,
            4 => self.insert = on,
            12 => self.echo = !on,
            20 => self.newline = on,
            _ => {}
        }
    }

    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        // KAM is never restored: a client could not detach from a locked terminal.
        let on: [&[u8]; 6] = [
            b"",
            b"\x1b[3h",
            b"\x1b[4h",
            b"\x1b[8l",
            b"\x1b[12l",
            b"\x1b[20h",
        ];
        self.write(out, on);
    }

    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        let off: [&[u8]; 6] = [
            b"\x1b[2l",
            b"\x1b[3l",
            b"\x1b[4l",
            b"\x1b[8h",
            b"\x1b[12h",
            b"\x1b[20l",
        ];
        self.write(out, off);
    }

    fn write(&self, out: &mut Vec<u8>, sequences: [&[u8]; 6]) {
        let differ = [
            self.locked,
            self.shown,
            self.insert,
            self.explicit,
            self.echo,
            self.newline,
        ];
        let differing = sequences
            .into_iter()
            .zip(differ)
            .filter(|(_, differs)| *differs);
        differing.for_each(|(sequence, _)| out.extend_from_slice(sequence));
    }
}

fn write_mode(mode: u32, on: bool, out: &mut Vec<u8>) {
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

/// The character sets G0 to G3; `shift` is the one in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charsets {
    pub g: [u8; 4],
    pub shift: u8,
}

impl Default for Charsets {
    fn default() -> Self {
        Charsets {
            g: [b'B'; 4],
            shift: 0,
        }
    }
}

impl Charsets {
    /// Applies `ESC ( x` to `ESC + x`, LS2 and LS3; whether the sequence was one of them.
    pub(crate) fn designate(&mut self, intermediates: &[u8], last: u8) -> bool {
        match (intermediates, last) {
            (&[slot @ b'('..=b'+'], _) => self.g[usize::from(slot - b'(')] = last,
            (b"", b'n' | b'o') => self.shift = last - b'n' + 2,
            _ => return false,
        }
        true
    }

    /// Whether letters show as line drawings.
    pub(crate) fn draws_lines(&self) -> bool {
        self.g.get(usize::from(self.shift)) == Some(&b'0')
    }

    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        for (slot, set) in (b'('..).zip(self.g) {
            if set != b'B' {
                out.extend_from_slice(&[0x1b, slot, set]);
            }
        }
        let shift: &[u8] = match self.shift {
            0 => b"",
            1 => b"\x0e",
            2 => b"\x1bn",
            _ => b"\x1bo",
        };
        out.extend_from_slice(shift);
    }

    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        for (slot, set) in (b'('..).zip(self.g) {
            if set != b'B' {
                out.extend_from_slice(&[0x1b, slot, b'B']);
            }
        }
        if self.shift != 0 {
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
