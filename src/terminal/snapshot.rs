//! Renders the output that brings a terminal to the state it would have if it had shown the
//! process from the start.
//!
//! The retained output is never sent itself: its queries would make the terminal reply, and the
//! program would take the replies for typed input. It is replayed into a model. The model's
//! screens are rendered, with the modes from the tracker.
//!
//! ```text
//!   preamble │ history, main screen │ alternate screen │ margins, cursor, modes │ incomplete
//!            │                      │                  │                        │ sequence
//! ```

use crate::terminal::model::Model;
use crate::terminal::painter::Painter;
use crate::terminal::screen::{Cursor, Page, Screens};
use crate::terminal::state::TerminalState;
use crate::terminal::tracker::Tracker;

/// Ends an incomplete sequence and a link.
const ENDS: &str = "\x1b\\\x1b]8;;\x07";

/// Begins and ends synchronised output: the terminal shows all that is between them at once.
const SYNC: [&str; 2] = ["\x1b[?2026h", "\x1b[?2026l"];

/// Resets the modes of a terminal that most programs use. The client undoes all modes of an
/// earlier snapshot, so others are as the user wants them. Leaves the alternate screen first,
/// because that moves the cursor; ends with the cursor at home.
const RESETS: &str = "\x1b[?1049l\x1b[m\x1b[r\x1b[?69l\x1b[?6l\
    \x1b[4l\x1b[20l\x1b[?7h\x1b(B\x1b)B\x0f\x1b[?5W\x1b[?25h\x1b[?1l\x1b>\
    \x1b[?9;1000;1002;1003;1005;1006;1015;1016l\x1b[?1004;2004;2031;2048l\x1b[>4m\x1b[0 q\x1b[H";

/// Renders the screens of `model`, to be followed by the stream from [`Tracker::offset`] on.
/// `kept` is the retained output up to there.
///
/// With `history`, the lines above the screen come first, and the receiving terminal's content
/// scrolls into its history. Without, the terminal already shows this process and catches up. Its
/// keyboard flags are the client's to undo: only the client knows which of them are the user's.
pub(crate) fn snapshot(
    model: &Model,
    kept: (&[u8], &[u8]),
    tracker: &Tracker,
    history: bool,
) -> Vec<u8> {
    let screen = model.screen();
    let mut out = preamble(screen.rows, history);
    out.extend(render(screen, &tracker.state, Painter::default()));
    tracker.state.write_last(&mut out);
    continue_sequence(kept, tracker, &mut out);
    out
}

/// Renders the screens of `model` for a terminal that shows nothing else of the process. Its
/// content appears at once.
pub(crate) fn picture(model: &Model, tracker: &Tracker) -> Vec<u8> {
    let mut out = [ENDS, SYNC[0], RESETS].concat().into_bytes();
    let painter = Painter::for_wider();
    out.extend(render(model.screen(), &tracker.state, painter));
    out.extend_from_slice(SYNC[1].as_bytes());
    tracker.state.write_last(&mut out);
    out
}

fn preamble(rows: usize, history: bool) -> Vec<u8> {
    let mut out = [ENDS, SYNC[1], RESETS].concat().into_bytes();
    if history {
        out.extend_from_slice(b"\x1b[999;1H");
        out.extend(std::iter::repeat_n(b'\n', rows));
    }
    out.extend_from_slice(b"\x1b[H");
    out
}

fn render(screen: &Screens, state: &TerminalState, mut painter: Painter) -> Vec<u8> {
    if !screen.history.is_empty() {
        painter.history(screen);
        painter.out.push_str(&"\n".repeat(screen.rows - 1));
    }
    painter.out.push_str("\x1b[H\x1b[J");
    painter.page(&screen.pages[0], screen.cols);
    let mut out = Vec::new();
    if let Some(mode) = screen.alternate {
        // The program will return to this main screen, so restore its cursors, too.
        let main = &screen.pages[0];
        write_saved(&mut painter, screen, main);
        write_cursor(&mut painter, screen, main, &main.cursor, 0);
        out.append(&mut std::mem::take(&mut painter.out).into_bytes());
        state.keyboards[0].write_set(&mut out);
        out.extend_from_slice(format!("\x1b[?{mode}h").as_bytes());
        state.keyboards[1].write_set(&mut out);
        clear_cursor(&mut painter, &main.cursor);
        painter.out.push_str("\x1b[H\x1b[2J");
        painter.page(&screen.pages[1], screen.cols);
    } else {
        state.keyboards[0].write_set(&mut out);
    }
    write_rest(&mut painter, screen, state);
    out.append(&mut painter.out.into_bytes());
    state.write_modes(&mut out);
    out
}

/// Writes saved cursor, tab stops, margins and cursor. The order matters: each moves the cursor.
fn write_rest(painter: &mut Painter, screen: &Screens, state: &TerminalState) {
    let page = screen.page();
    write_saved(painter, screen, page);
    if let Some(tabs) = &screen.tabs {
        painter.out.push_str("\x1b[3g");
        for col in (0..tabs.len()).filter(|col| tabs[*col]) {
            painter.out.push_str(&format!("\x1b[{}G\x1bH", col + 1));
        }
    }
    let mut margins = Vec::new();
    if (screen.top, screen.bottom) != (0, screen.rows) {
        let (first, last) = (screen.top + 1, screen.bottom);
        margins.extend_from_slice(format!("\x1b[{first};{last}r").as_bytes());
    }
    state.write_side_margins(&mut margins);
    painter.out.push_str(&String::from_utf8_lossy(&margins));
    let mut first = 0;
    if screen.origin {
        painter.out.push_str("\x1b[?6h");
        first = screen.top;
    }
    write_cursor(painter, screen, page, &page.cursor, first);
}

fn write_saved(painter: &mut Painter, screen: &Screens, page: &Page) {
    write_cursor(painter, screen, page, &page.saved, 0);
    painter.out.push_str("\x1b7");
    clear_cursor(painter, &page.saved);
    painter.wrap_on(page, &page.saved);
}

/// Writes the cursor's position, character sets and pen. Rows count from `first`.
fn write_cursor(
    painter: &mut Painter,
    screen: &Screens,
    page: &Page,
    cursor: &Cursor,
    first: usize,
) {
    painter.place(screen.last, page, cursor, first);
    let mut charsets = Vec::new();
    cursor.charsets.write_set(&mut charsets);
    painter.out.push_str(&String::from_utf8_lossy(&charsets));
    painter.use_pen(&cursor.pen);
}

/// Resets the settings of [`write_cursor`].
fn clear_cursor(painter: &mut Painter, cursor: &Cursor) {
    let mut charsets = Vec::new();
    cursor.charsets.write_undone(&mut charsets);
    painter.out.push_str(&String::from_utf8_lossy(&charsets));
    painter.use_pen(&crate::terminal::cell::Pen::default());
}

/// Writes the start of an incomplete sequence or character, which the stream then completes.
fn continue_sequence(kept: (&[u8], &[u8]), tracker: &Tracker, out: &mut Vec<u8>) {
    let len = kept.0.len() + kept.1.len();
    let Ok(pending) = usize::try_from(tracker.pending()) else {
        return;
    };
    if pending <= len {
        let all = kept.0.iter().chain(kept.1);
        out.extend(all.skip(len - pending));
    } else if tracker.in_string() {
        // The start was evicted: an ignored string (APC) swallows the rest.
        out.extend_from_slice(b"\x1b_");
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
