//! What is set by strings: title, links, colours.

use crate::terminal::cell::number;
use crate::terminal::state::TerminalState;

/// The longest title, link or colour that is remembered, in bytes.
const TEXT_MAX: usize = 512;

/// The longest colour of the palette that is remembered, in bytes.
const COLOUR_MAX: usize = 32;

/// The longest pointer and progress that are remembered, in bytes.
const NAME_MAX: usize = 32;

/// Titles that can be put aside.
const TITLES_MAX: usize = 10;

impl TerminalState {
    pub(crate) fn push_title(&mut self) {
        if self.titles.len() == TITLES_MAX {
            self.titles.remove(0);
        }
        self.titles.push(self.title.clone());
    }

    pub(crate) fn pop_title(&mut self) {
        if let Some(title) = self.titles.pop() {
            self.title = title;
        }
    }

    /// Colours from this one on; a question mark asks for one instead.
    fn set_colours(&mut self, first: usize, values: &[u8]) {
        let values = values.split(|byte| *byte == b';');
        for (colour, value) in self.colours.iter_mut().skip(first).zip(values) {
            if !value.is_empty() && !value.contains(&b'?') {
                *colour = printable(value);
            }
        }
    }

    /// Pairs of index and colour.
    fn set_palette(&mut self, value: &[u8]) {
        let mut values = value.split(|byte| *byte == b';');
        while let (Some(index), Some(colour)) = (values.next(), values.next()) {
            let (Ok(index), false) = (u8::try_from(number(index)), colour.contains(&b'?')) else {
                continue;
            };
            if let Some(colour) = printable(&colour[..colour.len().min(COLOUR_MAX)]) {
                self.palette.insert(index, colour);
            }
        }
    }

    /// By its name: who puts one aside, brings one back or asks begins otherwise.
    fn set_pointer(&mut self, name: &[u8]) {
        let name = name.strip_prefix(b"=").unwrap_or(name);
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.iter().all(is_part) && name.len() <= NAME_MAX {
            self.pointer = printable(name);
        }
    }

    pub(crate) fn operating_system_command(&mut self, data: &[u8], whole: bool) {
        let cut = data
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(data.len());
        let (code, value) = (&data[..cut], data.get(cut + 1..).unwrap_or(b""));
        match code {
            b"0" | b"2" => self.title = printable(value),
            b"8" => {
                let kept = whole && value.len() <= TEXT_MAX;
                let link = if kept { printable(value) } else { None };
                // A link too long to be remembered has still to be closed.
                self.link = has_target(value).then(|| link.unwrap_or_else(|| b";".to_vec()));
            }
            b"10" | b"11" | b"12" if whole => {
                let first = usize::from(code[1] - b'0');
                self.set_colours(first, value);
            }
            // What is no progress with a state is a notification.
            b"9" if whole && value.starts_with(b"4;") && value.len() <= NAME_MAX => {
                let state = value.get(2).copied().unwrap_or(b'0');
                let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
                if value.iter().all(is_part) {
                    self.progress = if state == b'0' {
                        None
                    } else {
                        printable(value)
                    };
                }
            }
            b"22" if whole => self.set_pointer(value),
            b"4" if whole => self.set_palette(value),
            b"104" if value.is_empty() => self.palette.clear(),
            b"104" => {
                for index in value.split(|byte| *byte == b';') {
                    self.palette
                        .retain(|known, _| u16::from(*known) != number(index));
                }
            }
            b"110" | b"111" | b"112" => self.colours[usize::from(code[2] - b'0')] = None,
            _ => {}
        }
    }
}

/// Whether a link leads anywhere; one that does not ends the one before.
pub(crate) fn has_target(link: &[u8]) -> bool {
    let after = link.iter().position(|byte| *byte == b';');
    after.is_some_and(|at| at + 1 < link.len())
}

/// Text that can be sent to a terminal again: bounded, valid, without controls. None if empty.
fn printable(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control() && *character != '\u{fffd}')
        .collect();
    (!text.is_empty()).then(|| text.into_bytes())
}

pub(crate) fn write_string(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b]");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(0x07);
}
