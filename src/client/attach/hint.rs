//! One line about the detach keys, shown over a row of the snapshot for a short time. The caller
//! hides it before output and shows it again afterwards; hiding restores the row.
//!
//! Pure: output of the process in, bytes to draw out.

use crate::client::attach::detach_keys::DetachKeys;
use crate::client::cli::copied_commands::with_selection;
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{cut, display_width};
use crate::terminal::Overlay;
use crate::text::printable::printable;
use std::fmt;

/// After this much output the line does not return, in bytes.
const WRITTEN_MAX: usize = 64 * 1024;

/// The least width of the part about the attachment, if the line is too long.
const ABOUT_MIN: usize = 8;

/// The largest side of a terminal whose screen is modelled.
const SIDE_MAX: u16 = 1000;

/// The words of the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HintText {
    /// About the attachment.
    pub(crate) about: String,
    /// Shorter forms of that for a narrow terminal, the longest first.
    pub(crate) shorter: Vec<String>,
    /// How to leave.
    pub(crate) leave: String,
    /// How to get help.
    pub(crate) help: String,
}

impl HintText {
    /// The text within this width. How to leave is what is left at last.
    pub(crate) fn fit(&self, width: usize) -> String {
        let all = self.to_string();
        if display_width(&all) <= width {
            return all;
        }
        let keys = match self.leave.is_empty() {
            true => self.help.replace("shows help", "helps"),
            false => self.leave.clone(),
        };
        let shorter = self.shorter.iter();
        let mut shorter = shorter.map(|about| format!("[{about} — {keys}]"));
        if let Some(fits) = shorter.find(|text| display_width(text) <= width) {
            return fits;
        }
        let room = width.saturating_sub(display_width(&keys) + display_width("[ — ]"));
        match room >= ABOUT_MIN && !keys.is_empty() {
            true => format!("[{} — {keys}]", cut_start(&self.about, room)),
            false => cut(&format!("[{keys}]"), width),
        }
    }

    fn keys(&self) -> String {
        let keys = [self.leave.as_str(), &self.help];
        let given: Vec<&str> = keys.into_iter().filter(|key| !key.is_empty()).collect();
        given.join(", ")
    }
}

impl fmt::Display for HintText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.about.as_str(), self.keys().as_str()) {
            (about, "") => write!(f, "[{about}]"),
            ("", keys) => write!(f, "[{keys}]"),
            (about, keys) => write!(f, "[{about} — {keys}]"),
        }
    }
}

/// Cuts the start of a text, so that it fits into `room` columns.
fn cut_start(text: &str, room: usize) -> String {
    if display_width(text) <= room {
        return text.to_string();
    }
    let mut rest = text.chars();
    while display_width(rest.as_str()) + 1 > room && rest.next().is_some() {}
    format!("…{}", rest.as_str())
}

/// The keys for detaching from a process and for help, in words. `selection` holds the flags that
/// select the daemon.
pub(crate) fn ways_out(keys: &DetachKeys, selection: &str, process: &str) -> HintText {
    let leave = match keys.shown() {
        shown if shown.is_empty() => {
            let text = format!("to detach, run in another terminal: tm detach {process}");
            with_selection(&text, selection)
        }
        shown => format!("{shown} detaches"),
    };
    HintText {
        leave,
        help: help_key(keys),
        ..HintText::default()
    }
}

/// The key for help, in words.
pub(crate) fn help_key(keys: &DetachKeys) -> String {
    let help = keys.prefix().map(|prefix| format!("{prefix} ? shows help"));
    help.unwrap_or_default()
}

/// The line about a detach, with the daemon's reason if it has one.
pub(crate) fn detached(name: &str, reason: &str) -> String {
    match reason {
        "" => format!("[detached from {name}]"),
        reason if reason.starts_with("by ") => format!("[detached from {name} {reason}]"),
        reason => format!("[detached from {name}: {reason}]"),
    }
}

/// The line alone, if there is no snapshot.
pub(crate) fn line(text: &str, style: Style) -> Vec<u8> {
    format!("{}\r\n", style.paint(Paint::Dim, &printable(text))).into_bytes()
}

/// The line, and the screen below it.
#[derive(Debug)]
pub(crate) struct Hint {
    text: HintText,
    style: Style,
    screen: Overlay,
    /// Output that has not been fed to `screen`. That takes time, so it is done after the output
    /// was written.
    unseen: Vec<u8>,
    drawn: bool,
    /// The output since the snapshot, in bytes.
    written: usize,
    /// The row it covers, from 0.
    row: Option<usize>,
}

impl Hint {
    /// For a terminal of this size.
    pub(crate) fn new(text: HintText, style: Style, (rows, cols): (u16, u16)) -> Hint {
        Hint {
            text,
            style,
            screen: Overlay::new(rows, cols),
            unseen: Vec::new(),
            drawn: false,
            written: 0,
            row: None,
        }
    }

    /// Whether a terminal of this size has room for the line and is small enough to model.
    pub(crate) fn fits((rows, cols): (u16, u16)) -> bool {
        (3..=SIDE_MAX).contains(&rows) && (20..=SIDE_MAX).contains(&cols)
    }

    /// Changes the text while it is hidden.
    pub(crate) fn say(&mut self, text: HintText) {
        self.text = text;
    }

    /// Whether there has been a snapshot.
    pub(crate) fn is_drawn(&self) -> bool {
        self.drawn
    }

    /// Notes a snapshot, while it is hidden.
    pub(crate) fn drawn(&mut self, bytes: &[u8]) {
        self.unseen.extend_from_slice(bytes);
        self.drawn = true;
    }

    /// Notes output of the process, while it is hidden. False when it should not return.
    pub(crate) fn written(&mut self, bytes: &[u8]) -> bool {
        self.written += bytes.len();
        if self.written > WRITTEN_MAX {
            return false;
        }
        self.unseen.extend_from_slice(bytes);
        true
    }

    /// Draws the line over the screen, but never over the cursor. Empty without a snapshot, or if
    /// the screen could not be restored.
    pub(crate) fn show(&mut self) -> Vec<u8> {
        if !self.drawn || self.row.is_some() {
            return Vec::new();
        }
        self.screen.feed(&std::mem::take(&mut self.unseen));
        let (_, cols) = self.screen.size();
        let text = printable(&self.text.fit(cols - 1));
        let text = self.style.paint(Paint::Dim, &text);
        let Some((row, out)) = self.screen.cover(&text) else {
            return Vec::new();
        };
        self.row = Some(row);
        out
    }

    /// Restores the row, if it is covered.
    pub(crate) fn hide(&mut self) -> Vec<u8> {
        let row = self.row.take();
        row.map_or_else(Vec::new, |row| self.screen.uncover(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU16;
    use vt100::Parser;

    fn terminal(bytes: &[u8]) -> Parser {
        let size = |number| NonZeroU16::new(number).expect("not zero");
        let mut terminal = Parser::new(size(5), size(40), 0);
        terminal.process(bytes);
        terminal
    }

    /// The rows of a terminal after these bytes, and its cursor.
    fn shown(bytes: &[u8]) -> (Vec<String>, (u16, u16)) {
        let terminal = terminal(bytes);
        let screen = terminal.screen();
        (screen.rows(0, 40).collect(), screen.cursor_position())
    }

    fn says(leave: &str) -> HintText {
        HintText {
            leave: leave.to_string(),
            ..HintText::default()
        }
    }

    #[test]
    fn the_way_out_is_what_a_narrow_terminal_shows() {
        let text = HintText {
            about: "attached read-only to web:0 (STOPPED)".to_string(),
            ..ways_out(&DetachKeys::standard(), "", "web:0")
        };
        for (width, shown) in [
            (
                99,
                "[attached read-only to web:0 (STOPPED) — ctrl-a d detaches, ctrl-a ? shows help]",
            ),
            (
                60,
                "[attached read-only to web:0 (STOPPED) — ctrl-a d detaches]",
            ),
            (40, "[…o web:0 (STOPPED) — ctrl-a d detaches]"),
            (20, "[ctrl-a d detaches]"),
            (10, "[ctrl-a d…"),
        ] {
            assert_eq!(text.fit(width), shown);
        }
    }

    #[test]
    fn a_narrow_terminal_gets_the_short_form() {
        let text = HintText {
            about: "shell:0's terminal is 120x40, larger than yours".to_string(),
            shorter: vec!["120x40, larger than yours".to_string()],
            leave: String::new(),
            help: help_key(&DetachKeys::standard()),
        };
        for (width, shown) in [
            (
                79,
                "[shell:0's terminal is 120x40, larger than yours — ctrl-a ? shows help]",
            ),
            (59, "[120x40, larger than yours — ctrl-a ? helps]"),
        ] {
            assert_eq!(text.fit(width), shown);
        }
    }

    #[test]
    fn the_row_and_the_cursor_are_as_before() {
        let drawn = b"\x1b[H\x1b[Jone\r\n$ \x1b[5;1H\x1b[31mlast\x1b[2;3H";
        let mut hint = Hint::new(says("ctrl-a d leaves"), Style::plain(), (5, 40));
        assert!(hint.show().is_empty(), "nothing has been drawn");
        hint.drawn(drawn);
        let with = [drawn.to_vec(), hint.show()].concat();
        let (rows, cursor) = shown(&with);
        assert_eq!((rows[4].as_str(), cursor), ("[ctrl-a d leaves]", (1, 2)));
        let without = [with, hint.hide()].concat();
        assert_eq!(shown(&without), shown(drawn));
        assert_eq!(terminal(&without).screen().fgcolor(), vt100::Color::Idx(1));
        assert!(hint.hide().is_empty());
    }

    #[test]
    fn the_row_of_the_cursor_is_left_alone() {
        let drawn = b"top\x1b[5;1H$ ";
        let mut hint = Hint::new(says("x"), Style::plain(), (5, 40));
        hint.drawn(drawn);
        let with = [drawn.to_vec(), hint.show()].concat();
        let (rows, cursor) = shown(&with);
        assert_eq!(
            (rows[0].as_str(), rows[4].as_str(), cursor),
            ("[x]", "$ ", (4, 2))
        );
        assert_eq!(shown(&[with, hint.hide()].concat()), shown(drawn));
    }

    #[test]
    fn it_comes_back_over_what_is_drawn_meanwhile_if_that_is_safe() {
        let mut hint = Hint::new(says("x"), Style::plain(), (5, 40));
        let mut all = Vec::new();
        hint.drawn(b"");
        for drawn in [&b"one\r\n"[..], b"\x1b[5;1Hlast\x1b[2;1H", b"two"] {
            assert!(hint.written(drawn));
            all.extend(drawn);
            all.extend(hint.show());
            assert_eq!(shown(&all).0[4], "[x]");
            all.extend(hint.hide());
        }
        assert_eq!(shown(&all).0[4], "last");
        for unsafe_to_write in [&b"\x1b["[..], b"?6h", b"\x1b[?6l\x1b[4h"] {
            assert!(hint.written(unsafe_to_write));
            assert!(hint.show().is_empty(), "{unsafe_to_write:?}");
        }
        assert!(hint.written(b"\x1b[4l\x1b(0\x1b[5;1Hqq"));
        assert!(hint.show().is_empty(), "letters would be drawn as lines");
        assert!(hint.written(b"\x1b(B\x1b[1;1H"));
        let all = [hint.show(), hint.hide()].concat();
        assert_eq!(shown(&all).0[4], "──st");
        let wrapping = b"\x1b[1;1H0123456789012345678901234567890123456789";
        let link = b"\x1b]8;;there\x07";
        let all = [&wrapping[..], link].concat();
        assert!(hint.written(&all));
        let all = [all, hint.show(), hint.hide(), b"!".to_vec()].concat();
        assert_eq!(shown(&all).0[1], "!", "the cursor still had to wrap");
        let close_and_open = all.windows(5).filter(|part| part == b"\x1b]8;;");
        assert_eq!(
            close_and_open.count(),
            5,
            "the link is not that of the line"
        );
        assert!(!hint.written(&[b'y'; WRITTEN_MAX]), "enough");
    }
}
