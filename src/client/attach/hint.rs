//! One line about the detach keys, shown over a row of the snapshot for a short time. The caller
//! hides it before output and shows it again afterwards; hiding restores the row.
//!
//! Pure: output of the process in, bytes to draw out.

use crate::client::attach::detach_keys::DetachKeys;
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::cut;
use crate::terminal::Overlay;

/// After this much output the line does not return, in bytes.
const WRITTEN_MAX: usize = 64 * 1024;

/// The largest side of a terminal whose screen is modelled.
const SIDE_MAX: u16 = 1000;

/// The keys for detaching from a process and for help, in words.
pub(crate) fn ways_out(keys: &DetachKeys, process: &str) -> String {
    let leave = match keys.shown() {
        shown if shown.is_empty() => {
            format!("to detach, run in another terminal: tm detach {process}")
        }
        shown => format!("{shown} detaches"),
    };
    let help = keys
        .prefix()
        .map(|prefix| format!(", {prefix} ? shows help"));
    leave + &help.unwrap_or_default()
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
    format!("{}\r\n", style.paint(Paint::Dim, text)).into_bytes()
}

/// The line, and the screen below it.
#[derive(Debug)]
pub(crate) struct Hint {
    text: String,
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
    pub(crate) fn new(text: String, style: Style, (rows, cols): (u16, u16)) -> Hint {
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
    pub(crate) fn say(&mut self, text: String) {
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
        let text = cut(&self.text, cols - 1);
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

    #[test]
    fn the_row_and_the_cursor_are_as_before() {
        let drawn = b"\x1b[H\x1b[Jone\r\n$ \x1b[5;1H\x1b[31mlast\x1b[2;3H";
        let mut hint = Hint::new("[ctrl-a d leaves]".to_string(), Style::plain(), (5, 40));
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
        let mut hint = Hint::new("x".to_string(), Style::plain(), (5, 40));
        hint.drawn(drawn);
        let with = [drawn.to_vec(), hint.show()].concat();
        let (rows, cursor) = shown(&with);
        assert_eq!(
            (rows[0].as_str(), rows[4].as_str(), cursor),
            ("x", "$ ", (4, 2))
        );
        assert_eq!(shown(&[with, hint.hide()].concat()), shown(drawn));
    }

    #[test]
    fn it_comes_back_over_what_is_drawn_meanwhile_if_that_is_safe() {
        let mut hint = Hint::new("x".to_string(), Style::plain(), (5, 40));
        let mut all = Vec::new();
        hint.drawn(b"");
        for drawn in [&b"one\r\n"[..], b"\x1b[5;1Hlast\x1b[2;1H", b"two"] {
            assert!(hint.written(drawn));
            all.extend(drawn);
            all.extend(hint.show());
            assert_eq!(shown(&all).0[4], "x");
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
