//! What to send to a terminal so that it shows what it would show had it been there all the time.
//!
//! The kept output is never sent as it is: it would ask the terminal questions, whose answers the
//! program would take for typing. It is replayed into a model, and what the model shows is
//! written anew, with the modes that the tracker knows.
//!
//! ```text
//!   preamble │ history, main screen │ alternate screen │ margins, cursor, modes │ begun sequence
//! ```

use super::replay::{Replay, text_alone};
use super::tracker::Tracker;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Undoes whatever a terminal may have been left in. Leaves the alternate screen first, since
/// that moves the cursor; ends with the cursor at home.
const PREAMBLE: &str = "\x1b\\\x1b]8;;\x07\x1b[?2026l\x1b[?1049l\x1b[m\x1b[r\x1b[?69l\x1b[?6l\
    \x1b[4l\x1b[20l\x1b[?7h\x1b(B\x1b)B\x0f\x1b[?25h\x1b[?1l\x1b>\
    \x1b[?9;1000;1002;1003;1005;1006;1015;1016l\x1b[?1004;2004;2031;2048l\x1b[>4m\x1b[0 q\x1b[H";

/// Pops every keyboard mode that the program may have pushed.
const POP_KEYBOARD: &str = "\x1b[<16u\x1b[=0;1u";

/// Renders what a process's terminal of `rows` × `cols` shows, to be followed by the stream from
/// [`Tracker::offset`] on.
///
/// `bytes` is what the ring keeps, up to that offset. With `history_lines` up to so many lines
/// above the screen are written first, and what the receiving terminal shows is scrolled into its
/// own history; 0 is for a terminal that already shows this process and has to catch up.
pub fn snapshot(
    bytes: (&[u8], &[u8]),
    tracker: &Tracker,
    rows: u16,
    cols: u16,
    history_lines: usize,
) -> Vec<u8> {
    let mut out = preamble(rows, history_lines);
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        let mut replay = Replay::new(bytes, tracker, rows, cols, history_lines);
        render(&mut replay, tracker)
    }));
    match rendered {
        Ok(rendered) => out.extend(rendered),
        Err(_) => {
            let text = text_alone(bytes, rows.max(1).into());
            out.extend_from_slice(b"\x1b[J");
            out.extend_from_slice(text.replace('\n', "\r\n").as_bytes());
            out.extend(tracker.restore_sequence());
        }
    }
    continue_sequence(bytes, tracker, &mut out);
    out
}

/// What a process's terminal shows, as lines of text without trailing blanks.
pub fn plain_text(bytes: (&[u8], &[u8]), tracker: &Tracker, rows: u16, cols: u16) -> String {
    let text = catch_unwind(AssertUnwindSafe(|| {
        let replay = Replay::new(bytes, tracker, rows, cols, 0);
        let lines: Vec<String> = replay
            .parser
            .screen()
            .rows(0, replay.cols)
            .map(|line| line.trim_end().to_string())
            .collect();
        lines.join("\n").trim_end().to_string()
    }));
    text.unwrap_or_else(|_| text_alone(bytes, rows.into()))
}

/// Where the cursor is: row and column from 0.
pub fn cursor(bytes: (&[u8], &[u8]), tracker: &Tracker, rows: u16, cols: u16) -> (u16, u16) {
    let position = catch_unwind(AssertUnwindSafe(|| {
        let replay = Replay::new(bytes, tracker, rows, cols, 0);
        let (row, col) = replay.parser.screen().cursor_position();
        (row.min(replay.rows - 1), col.min(replay.cols - 1))
    }));
    position.unwrap_or((0, 0))
}

fn preamble(rows: u16, history_lines: usize) -> Vec<u8> {
    let mut out = Vec::new();
    if history_lines == 0 {
        // On whichever screen it is, and on the main one.
        out.extend_from_slice(b"\x1b\\");
        out.extend_from_slice(POP_KEYBOARD.as_bytes());
    }
    out.extend_from_slice(PREAMBLE.as_bytes());
    if history_lines == 0 {
        out.extend_from_slice(POP_KEYBOARD.as_bytes());
    } else {
        out.extend_from_slice(b"\x1b[999;1H");
        out.extend(std::iter::repeat_n(b'\n', usize::from(rows).min(1000)));
    }
    out.extend_from_slice(b"\x1b[H");
    out
}

/// One screen of the model, written so that the cursor ends where it was.
struct Shown {
    contents: String,
    position: (u16, u16),
    cursor: String,
    attributes: String,
}

/// What restoring the cursor would restore.
struct Saved {
    position: (u16, u16),
    attributes: String,
}

impl Shown {
    fn of(screen: &vt100::Screen) -> Shown {
        let mut shown = Shown {
            contents: screen.contents_formatted(),
            position: screen.cursor_position(),
            cursor: screen.cursor_state_formatted(),
            attributes: screen.attributes_formatted(),
        };
        // The model writes wrapped rows as one run of text, so that they can be selected as one.
        // With wide characters edited at the edge that may come out wrong: look at the result.
        let mut proof = blank(screen);
        proof.process(shown.contents.as_bytes());
        if !same_cells(proof.screen(), screen) {
            shown.contents = row_by_row(screen);
            proof = blank(screen);
            proof.process(shown.contents.as_bytes());
        }
        proof.process(shown.cursor.as_bytes());
        let moved = proof.screen().cursor_position() != shown.position;
        if moved || !same_cells(proof.screen(), screen) {
            let (row, col) = shown.position;
            let hidden = if screen.hide_cursor() { 'l' } else { 'h' };
            shown.cursor = format!("\x1b[?25{hidden}\x1b[{};{}H", row + 1, col + 1);
        }
        shown
    }
}

fn blank(screen: &vt100::Screen) -> vt100::Parser {
    let (rows, cols) = screen.size();
    vt100::Parser::new(rows, cols, 0)
}

fn same_cells(a: &vt100::Screen, b: &vt100::Screen) -> bool {
    let cols = a.size().1.get();
    a.rows_formatted(0, cols).eq(b.rows_formatted(0, cols))
}

/// Every row on its own, at its place.
fn row_by_row(screen: &vt100::Screen) -> String {
    let cols = screen.size().1.get();
    let nothing = blank(screen);
    let mut out = String::from("\x1b[m\x1b[H\x1b[J");
    for (index, row) in screen.rows_diff(nothing.screen(), 0, cols).enumerate() {
        out.push_str(&format!("\x1b[{};1H\x1b[m{row}", index + 1));
    }
    out.push_str("\x1b[m");
    out
}

fn render(replay: &mut Replay, tracker: &Tracker) -> Vec<u8> {
    let parser = &mut replay.parser;
    let state = &tracker.state;
    let shown = Shown::of(parser.screen());
    // Whatever sequence has begun is cancelled, then the saved cursor shows itself.
    parser.process(b"\x18\x1b8");
    let saved = Saved {
        position: parser.screen().cursor_position(),
        attributes: parser.screen().attributes_formatted(),
    };
    let mut out = Vec::new();
    if parser.screen().alternate_screen() {
        // As the program left the main screen, so it will find it.
        match state.alternate {
            Some(47 | 1047) => parser.process(b"\x1b[?47l"),
            Some(_) | None => parser.process(b"\x1b[?1049l"),
        }
        let main = Shown::of(parser.screen());
        write_history(parser.screen_mut(), replay.rows, replay.cols, &mut out);
        out.extend_from_slice(main.contents.as_bytes());
        out.extend_from_slice(b"\x1b[m");
        out.extend_from_slice(main.cursor.as_bytes());
        out.extend_from_slice(main.attributes.as_bytes());
    } else {
        write_history(parser.screen_mut(), replay.rows, replay.cols, &mut out);
    }
    state.keyboards[0].write_set(&mut out);
    if let Some(mode) = state.alternate {
        out.extend_from_slice(format!("\x1b[?{mode}h").as_bytes());
        state.keyboards[1].write_set(&mut out);
    }
    out.extend_from_slice(shown.contents.as_bytes());
    write_cursor(tracker, &shown, &saved, &mut out);
    state.write_modes(&mut out);
    out
}

/// Margins, the saved cursor, the cursor: in this order, since each moves the next.
fn write_cursor(tracker: &Tracker, shown: &Shown, saved: &Saved, out: &mut Vec<u8>) {
    tracker.state.write_margins(out);
    let (row, col) = saved.position;
    out.extend_from_slice(format!("\x1b[{};{}H", row + 1, col + 1).as_bytes());
    out.extend_from_slice(saved.attributes.as_bytes());
    out.extend_from_slice(b"\x1b7\x1b[m");
    if tracker.mode(6) {
        let top = tracker.state.margins.map_or(0, |(top, _)| top - 1);
        let (row, col) = (shown.position.0.saturating_sub(top), shown.position.1);
        out.extend_from_slice(format!("\x1b[?6h\x1b[{};{}H", row + 1, col + 1).as_bytes());
    } else {
        out.extend_from_slice(shown.cursor.as_bytes());
    }
    out.extend_from_slice(shown.attributes.as_bytes());
    if tracker.mode(25) {
        out.extend_from_slice(b"\x1b[?25h");
    }
}

/// Writes the lines above the screen and scrolls them out of view.
fn write_history(screen: &mut vt100::Screen, rows: u16, cols: u16, out: &mut Vec<u8>) {
    let len = screen.scrollback_len();
    let mut next = 0;
    let mut wrapped = false;
    while next < len {
        // One row of the page before comes along, since it says how the next one begins.
        let top = next.saturating_sub(1);
        screen.set_scrollback(len - top);
        for (index, line) in screen.rows_formatted(0, cols).enumerate() {
            if !(next..len).contains(&(top + index)) {
                continue;
            }
            out.extend_from_slice(line.as_bytes());
            if line.contains('\x1b') {
                out.extend_from_slice(b"\x1b[m");
            }
            // The model's rows are counted in u16.
            wrapped = screen.row_wrapped(index as u16);
            if !wrapped {
                out.extend_from_slice(b"\r\n");
            }
        }
        next = (top + usize::from(rows)).min(len);
    }
    screen.set_scrollback(0);
    if wrapped {
        out.extend_from_slice(b"\r\n");
    }
    if len > 0 {
        out.extend(std::iter::repeat_n(b'\n', usize::from(rows) - 1));
    }
}

/// The stream goes on in the midst of a sequence or character: its beginning has to be there.
fn continue_sequence(bytes: (&[u8], &[u8]), tracker: &Tracker, out: &mut Vec<u8>) {
    let kept = bytes.0.len() + bytes.1.len();
    let Ok(pending) = usize::try_from(tracker.pending()) else {
        return;
    };
    if pending <= kept {
        let all = bytes.0.iter().chain(bytes.1);
        out.extend(all.skip(kept - pending));
    } else if tracker.in_string() {
        // Its beginning is gone: a string that nobody shows swallows the rest.
        out.extend_from_slice(b"\x1b_");
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
