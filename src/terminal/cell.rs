//! One cell of a screen: a character and its style.

use std::fmt::Write;
use std::sync::Arc;

/// The character of a cell that was never written, or was erased.
const NOTHING: char = '\0';

/// Combining characters of one cell.
const MARKS_MAX: usize = 16;

/// A colour as the program named it: the default, one of 16, one of 256, or red-green-blue.
// Packed, a cell takes 24 bytes instead of 32; screens have tens of thousands of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(Rust, packed(2))]
pub(crate) struct Colour(u32);

const _: () = assert!(size_of::<ScreenCell>() <= 24);

impl Colour {
    const NAMED: u32 = 1 << 24;
    const INDEXED: u32 = 2 << 24;
    const RGB: u32 = 3 << 24;

    pub(crate) fn is_default(self) -> bool {
        self.0 == 0
    }

    /// Writes the SGR parameters that set this colour: base 30 for the foreground, 40 for the
    /// background, 50 for the underline.
    fn write(self, base: u16, out: &mut String) {
        let [_, red, green, blue] = self.0.to_be_bytes();
        // Writing to a string does not fail.
        let _ = match self.0 & 0xff00_0000 {
            0 => Ok(()),
            Colour::NAMED if blue < 8 => write!(out, ";{}", base + u16::from(blue)),
            Colour::NAMED => write!(out, ";{}", base + 60 + u16::from(blue) - 8),
            Colour::INDEXED => write!(out, ";{};5;{blue}", base + 8),
            _ => write!(out, ";{};2;{red};{green};{blue}", base + 8),
        };
    }

    /// The colour after 38, 48 or 58.
    fn extended(params: &mut dyn Iterator<Item = u16>) -> Option<Colour> {
        let mut byte = || u8::try_from(params.next()?).ok().map(u32::from);
        match byte()? {
            2 => {
                let (red, green, blue) = (byte()?, byte()?, byte()?);
                Some(Colour(Colour::RGB | red << 16 | green << 8 | blue))
            }
            5 => byte().map(|index| Colour(Colour::INDEXED | index)),
            _ => None,
        }
    }

    fn named(index: u16) -> Colour {
        Colour(Colour::NAMED | u32::from(index))
    }
}

/// The colours and attributes that every cell has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CellStyle {
    pub fg: Colour,
    pub bg: Colour,
    attributes: u16,
}

/// Attributes that are on or off: the bit, and the parameters that turn it on and off.
const SWITCHES: [(u16, u16, u16); 9] = [
    (1, 1, 22),
    (2, 2, 22),
    (4, 3, 23),
    (8, 5, 25),
    (16, 6, 25),
    (32, 7, 27),
    (64, 8, 28),
    (128, 9, 29),
    (256, 53, 55),
];

/// The kind of underline, 0 to 5, is stored above the switches.
const UNDERLINE_SHIFT: u32 = 12;

impl CellStyle {
    fn underline(self) -> u16 {
        self.attributes >> UNDERLINE_SHIFT
    }

    fn set_underline(&mut self, kind: u16) {
        self.attributes &= (1 << UNDERLINE_SHIFT) - 1;
        self.attributes |= kind.min(5) << UNDERLINE_SHIFT;
    }

    fn switch(&mut self, param: u16) {
        for (bit, on, off) in SWITCHES {
            if param == on {
                self.attributes |= bit;
            } else if param == off {
                self.attributes &= !bit;
            }
        }
    }
}

/// Attributes that few cells have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extra {
    marks: Vec<char>,
    underline: Colour,
    /// Parameters and target, as in OSC 8.
    link: Option<Arc<[u8]>>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.underline.is_default() && self.link.is_none()
    }
}

/// The style of the text written next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pen {
    pub style: CellStyle,
    extra: Option<Arc<Extra>>,
}

impl Pen {
    /// A pen that has only a background.
    pub(crate) fn background(bg: Colour) -> Pen {
        ScreenCell::blank(bg).pen()
    }

    pub(crate) fn is_default(&self) -> bool {
        self.style == CellStyle::default() && self.extra.is_none()
    }

    fn change_extra(&mut self, change: impl FnOnce(&mut Extra)) {
        let mut extra = self.extra.as_deref().cloned().unwrap_or_default();
        change(&mut extra);
        self.extra = (!extra.is_empty()).then(|| Arc::new(extra));
    }

    fn set_underline_colour(&mut self, colour: Colour) {
        let now = self
            .extra
            .as_ref()
            .map_or(Colour::default(), |e| e.underline);
        if now != colour {
            self.change_extra(|extra| extra.underline = colour);
        }
    }

    pub(crate) fn set_link(&mut self, link: Option<&[u8]>) {
        self.change_extra(|extra| extra.link = link.map(Arc::from));
    }

    /// Applies SGR; `body` is the text between `ESC [` and `m`.
    pub(crate) fn select(&mut self, body: &[u8]) {
        if let [] | [b'0'] = body
            && self.is_default()
        {
            return;
        }
        if body.len() <= 2 && body.iter().all(u8::is_ascii_digit) {
            return self.select_one(
                number(body),
                &mut std::iter::empty(),
                &mut std::iter::empty(),
            );
        }
        let mut params = body.split(|byte| *byte == b';');
        while let Some(param) = params.next() {
            let mut parts = param.split(|byte| *byte == b':').map(number);
            let first = parts.next().unwrap_or(0);
            self.select_one(first, &mut parts, &mut params.by_ref().map(number));
        }
    }

    /// Applies one parameter: its first part, its other parts, and the parameters after it.
    fn select_one(
        &mut self,
        first: u16,
        parts: &mut dyn Iterator<Item = u16>,
        params: &mut dyn Iterator<Item = u16>,
    ) {
        match first {
            0 => {
                self.style = CellStyle::default();
                self.set_underline_colour(Colour::default());
            }
            4 => self.style.set_underline(parts.next().unwrap_or(1)),
            21 => self.style.set_underline(2),
            24 => self.style.set_underline(0),
            30..=37 => self.style.fg = Colour::named(first - 30),
            90..=97 => self.style.fg = Colour::named(first - 90 + 8),
            39 => self.style.fg = Colour::default(),
            40..=47 => self.style.bg = Colour::named(first - 40),
            100..=107 => self.style.bg = Colour::named(first - 100 + 8),
            49 => self.style.bg = Colour::default(),
            59 => self.set_underline_colour(Colour::default()),
            38 | 48 | 58 => {
                let rest: Vec<u16> = parts.collect();
                let colour = match rest.as_slice() {
                    [] => Colour::extended(params),
                    // The second part is a colour space, which terminals ignore.
                    [2, _, red, green, blue, ..] => {
                        Colour::extended(&mut [2, *red, *green, *blue].into_iter())
                    }
                    rest => Colour::extended(&mut rest.iter().copied()),
                };
                self.set_colour(first, colour);
            }
            other => self.style.switch(other),
        }
    }

    fn set_colour(&mut self, which: u16, colour: Option<Colour>) {
        let Some(colour) = colour else { return };
        match which {
            38 => self.style.fg = colour,
            48 => self.style.bg = colour,
            _ => self.set_underline_colour(colour),
        }
    }

    fn link(&self) -> Option<&Arc<[u8]>> {
        self.extra.as_ref()?.link.as_ref()
    }

    /// Writes the output that changes a terminal's pen from `before` to this one.
    pub(crate) fn write(&self, before: &Pen, out: &mut String) {
        let underline = |pen: &Pen| {
            pen.extra
                .as_ref()
                .map_or(Colour::default(), |e| e.underline)
        };
        if self.style != before.style || underline(self) != underline(before) {
            out.push_str("\x1b[0");
            let start = out.len();
            for (bit, on, _) in SWITCHES {
                if self.style.attributes & bit != 0 {
                    let _ = write!(out, ";{on}");
                }
            }
            match self.style.underline() {
                0 => {}
                1 => out.push_str(";4"),
                kind => _ = write!(out, ";4:{kind}"),
            }
            self.style.fg.write(30, out);
            self.style.bg.write(40, out);
            underline(self).write(50, out);
            if out.len() == start {
                out.pop();
            }
            out.push('m');
        }
        if self.link() != before.link() {
            let link = self.link().map_or(&b";"[..], |link| link);
            out.push_str(&format!("\x1b]8;{}\x07", String::from_utf8_lossy(link)));
        }
    }
}

/// A parameter: 0 if absent or not a number, the maximum if too large.
pub(crate) fn number(digits: &[u8]) -> u16 {
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u16, |n, digit| {
        n.saturating_mul(10).saturating_add((digit - b'0').into())
    })
}

/// The role of a cell in a character of two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Part {
    /// A character of one column.
    #[default]
    Single,
    /// The first column.
    Wide,
    /// The second column.
    Spacer,
    /// The last column of a row, left free because a wide character did not fit.
    Leading,
}

/// One cell of a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScreenCell {
    pub character: char,
    style: CellStyle,
    pub part: Part,
    extra: Option<Arc<Extra>>,
}

impl ScreenCell {
    pub(crate) fn new(character: char, part: Part, pen: &Pen) -> ScreenCell {
        ScreenCell {
            character,
            style: pen.style,
            part,
            extra: pen.extra.clone(),
        }
    }

    /// An empty cell with a background.
    pub(crate) fn blank(bg: Colour) -> ScreenCell {
        ScreenCell {
            character: NOTHING,
            style: CellStyle {
                bg,
                ..CellStyle::default()
            },
            part: Part::Single,
            extra: None,
        }
    }

    pub(crate) fn is_blank(&self, bg: Colour) -> bool {
        let style = CellStyle {
            bg,
            ..CellStyle::default()
        };
        self.character == NOTHING && self.style == style && self.extra.is_none()
    }

    /// Approximate memory beyond the cell itself, in bytes.
    pub(crate) fn extra_bytes(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| {
            let link = extra.link.as_ref().map_or(0, |link| 32 + link.len());
            size_of::<Extra>() + 32 + extra.marks.capacity() * size_of::<char>() + link
        })
    }

    pub(crate) fn drop_extra(&mut self) {
        self.extra = None;
    }

    /// Blanks the remaining half of a wide character whose other half was overwritten.
    pub(crate) fn orphan(&mut self) {
        self.part = Part::Single;
        self.character = ' ';
        if !self.marks().is_empty() {
            let mut pen = self.pen();
            pen.change_extra(|extra| extra.marks.clear());
            self.extra = pen.extra;
        }
    }

    /// Adds a combining character.
    pub(crate) fn add_mark(&mut self, mark: char) {
        let mut extra = self.extra.as_deref().cloned().unwrap_or_default();
        if extra.marks.len() < MARKS_MAX {
            extra.marks.push(mark);
            self.extra = Some(Arc::new(extra));
        }
    }

    pub(crate) fn marks(&self) -> &[char] {
        self.extra.as_ref().map_or(&[], |extra| &extra.marks)
    }

    /// The pen that wrote the cell.
    pub(crate) fn pen(&self) -> Pen {
        let mut pen = Pen {
            style: self.style,
            extra: self.extra.clone(),
        };
        if !self.marks().is_empty() {
            pen.change_extra(|extra| extra.marks.clear());
        }
        pen
    }

    /// The ASCII character of a cell that has no more than one style.
    pub(crate) fn letter(&self) -> Option<u8> {
        let plain = self.part == Part::Single && self.extra.is_none();
        let shown = plain && matches!(self.character, ' '..='~');
        shown.then_some(self.character as u8)
    }

    /// Whether both cells have the same colours and attributes.
    pub(crate) fn looks_like(&self, other: &ScreenCell) -> bool {
        self.style == other.style
    }

    /// Whether this pen wrote the cell.
    pub(crate) fn has_pen(&self, pen: &Pen) -> bool {
        match (&self.extra, &pen.extra) {
            (None, None) => self.style == pen.style,
            _ => self.pen() == *pen,
        }
    }

    pub(crate) fn write_text(&self, out: &mut String) {
        let shown = |character| if character == NOTHING { ' ' } else { character };
        out.push(shown(self.character));
        out.extend(self.marks());
    }
}
