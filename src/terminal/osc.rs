//! Settings made by OSC strings: title, link, colours, progress and pointer.

use crate::terminal::cell::number;
use std::collections::BTreeMap;

/// Bytes of a title, link or colour that are remembered.
const TEXT_MAX: usize = 512;

/// Bytes of a palette colour that are remembered.
const COLOUR_MAX: usize = 32;

/// Bytes of the longest pointer and progress that are remembered.
const NAME_MAX: usize = 32;

/// The index behind the last special colour, in a palette of 256.
const SPECIAL_END: u16 = 256 + 5;

/// Colours by name that are remembered: the palette and the others.
const NAMED_MAX: usize = 300;

/// The depth of the title stack.
const TITLES_MAX: usize = 10;

/// The settings that differ from a fresh terminal's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OscSettings {
    pub title: Option<Vec<u8>>,
    /// The title stack, as `CSI 22 t` and `CSI 23 t` change it.
    titles: Vec<Option<Vec<u8>>>,
    /// Parameters and target of the link that text belongs to (OSC 8).
    pub link: Option<Vec<u8>>,
    /// Foreground, background, cursor, mouse, selection (OSC 10 to 19).
    colours: [Option<Vec<u8>>; 10],
    palette: BTreeMap<u8, Vec<u8>>,
    /// The colours of bold and other text (OSC 5).
    special: BTreeMap<u8, Vec<u8>>,
    /// kitty's colours by name (OSC 21).
    named: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The progress bar in the terminal's frame (OSC 9;4).
    progress: Option<Vec<u8>>,
    /// The shape of the mouse pointer (OSC 22).
    pointer: Option<Vec<u8>>,
}

impl OscSettings {
    /// Writes all settings but the link.
    pub(crate) fn write_set(&self, out: &mut Vec<u8>) {
        for (number, colour) in (10..).zip(&self.colours) {
            if let Some(colour) = colour {
                write_string(&[format!("{number};").as_bytes(), colour], out);
            }
        }
        for (code, colours) in [(4, &self.palette), (5, &self.special)] {
            for (number, colour) in colours {
                write_string(&[format!("{code};{number};").as_bytes(), colour], out);
            }
        }
        for (name, colour) in &self.named {
            write_string(&[b"21;", name, b"=", colour], out);
        }
        for (code, value) in [(&b"9;"[..], &self.progress), (b"22;", &self.pointer)] {
            if let Some(value) = value {
                write_string(&[code, value], out);
            }
        }
        // The title from before the process stays until one is set. An unset title after others
        // is written too, or the last of those would show.
        let mut set = false;
        let mut write_title = |title: &Option<Vec<u8>>, out: &mut Vec<u8>| {
            set |= title.is_some();
            if set {
                write_string(&[b"2;", title.as_deref().unwrap_or_default()], out);
            }
        };
        for title in &self.titles {
            write_title(title, out);
            out.extend_from_slice(b"\x1b[22;2t");
        }
        write_title(&self.title, out);
    }

    pub(crate) fn write_link(&self, out: &mut Vec<u8>) {
        if let Some(link) = self.link.as_ref().filter(|link| has_target(link)) {
            write_string(&[b"8;", link], out);
        }
    }

    /// Undoes all settings but the link and the titles.
    pub(crate) fn write_undone(&self, out: &mut Vec<u8>) {
        for (number, colour) in (110..).zip(&self.colours) {
            if colour.is_some() {
                write_string(&[format!("{number}").as_bytes()], out);
            }
        }
        for (code, colours) in [(104, &self.palette), (105, &self.special)] {
            for number in colours.keys() {
                write_string(&[format!("{code};{number}").as_bytes()], out);
            }
        }
        for name in self.named.keys() {
            write_string(&[b"21;", name], out);
        }
        if self.progress.is_some() {
            write_string(&[b"9;4;0"], out);
        }
        if self.pointer.is_some() {
            write_string(&[b"22;"], out);
        }
    }

    /// Empties the title stack.
    pub(crate) fn write_titles_popped(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&b"\x1b[23;2t".repeat(self.titles.len()));
    }

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

    /// Sets colours from index `first` on. A question mark queries a colour instead.
    fn set_colours(&mut self, first: usize, values: &[u8]) {
        let values = values.split(|byte| *byte == b';');
        for (colour, value) in self.colours.iter_mut().skip(first).zip(values) {
            if !value.is_empty() && !value.contains(&b'?') {
                *colour = printable(value);
            }
        }
    }

    /// Sets pairs of index and colour. The special colours follow the palette: they count from
    /// `first`, 256 for the former.
    fn set_palette(&mut self, value: &[u8], first: u16) {
        let mut values = value.split(|byte| *byte == b';');
        while let (Some(index), Some(colour)) = (values.next(), values.next()) {
            let Some(colour) = colour_value(colour) else {
                continue;
            };
            match number(index).saturating_add(first) {
                index @ 0..256 => self.palette.insert(index as u8, colour),
                index @ 256..SPECIAL_END => self.special.insert((index - 256) as u8, colour),
                _ => None,
            };
        }
    }

    /// Sets colours by name. A name alone resets one.
    fn set_named(&mut self, value: &[u8]) {
        for part in value.split(|byte| *byte == b';') {
            let cut = part.iter().position(|byte| *byte == b'=');
            let (name, colour) = part.split_at(cut.unwrap_or(part.len()));
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            if !name.iter().all(is_part) || !(1..=NAME_MAX).contains(&name.len()) {
                continue;
            }
            match colour.split_first() {
                None => drop(self.named.remove(name)),
                // No value: the terminal chooses the colour.
                Some((_, b"")) if self.named.len() < NAMED_MAX => {
                    self.named.insert(name.to_vec(), Vec::new());
                }
                Some((_, colour)) if self.named.len() < NAMED_MAX => {
                    if let Some(colour) = colour_value(colour) {
                        self.named.insert(name.to_vec(), colour);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Sets the pointer by name. Values that push, pop or query a pointer have other prefixes.
    fn set_pointer(&mut self, name: &[u8]) {
        let name = name.strip_prefix(b"=").unwrap_or(name);
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.iter().all(is_part) && name.len() <= NAME_MAX {
            self.pointer = printable(name);
        }
    }

    /// Applies an OSC string; `whole` unless it was cut.
    pub(crate) fn command(&mut self, data: &[u8], whole: bool) {
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
                // A link too long to remember must still be closed.
                self.link = has_target(value).then(|| link.unwrap_or_else(|| b";".to_vec()));
            }
            &[b'1', digit @ b'0'..=b'9'] if whole => {
                self.set_colours(usize::from(digit - b'0'), value);
            }
            // OSC 9 without `4;` is a notification.
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
            b"4" if whole => self.set_palette(value, 0),
            b"5" if whole => self.set_palette(value, 256),
            b"21" if whole => self.set_named(value),
            b"104" if value.is_empty() => self.palette.clear(),
            b"104" => {
                for index in value.split(|byte| *byte == b';') {
                    self.palette
                        .retain(|known, _| u16::from(*known) != number(index));
                }
            }
            b"105" if value.is_empty() => self.special.clear(),
            b"105" => {
                for index in value.split(|byte| *byte == b';') {
                    self.special
                        .retain(|known, _| u16::from(*known) != number(index));
                }
            }
            &[b'1', b'1', digit @ b'0'..=b'9'] => self.colours[usize::from(digit - b'0')] = None,
            _ => {}
        }
    }
}

/// Whether a link has a target; one without ends the link before.
fn has_target(link: &[u8]) -> bool {
    let after = link.iter().position(|byte| *byte == b';');
    after.is_some_and(|at| at + 1 < link.len())
}

/// A colour; none if it is absent or a query.
fn colour_value(colour: &[u8]) -> Option<Vec<u8>> {
    let set = !colour.contains(&b'?');
    printable(&colour[..colour.len().min(COLOUR_MAX)]).filter(|_| set)
}

/// Text that is safe to send to a terminal: bounded, valid, without controls. None if empty.
fn printable(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control() && *character != '\u{fffd}')
        .collect();
    (!text.is_empty()).then(|| text.into_bytes())
}

fn write_string(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b]");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(0x07);
}
