//! The lines above the screen, for whoever wants to read back.

use super::replay::{Replay, text_alone};
use super::tracker::Tracker;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What they may come to altogether, in bytes; the oldest are left out.
const BYTES_MAX: usize = 256 * 1024;

/// The last `lines` rows that have left the screen at its top, oldest first, with their colours;
/// rows of one wrapped line as one. While the alternate screen is shown, what is on the main
/// screen belongs to them. `bytes` is what the ring keeps.
pub fn history(
    bytes: (&[u8], &[u8]),
    tracker: &Tracker,
    rows: u16,
    cols: u16,
    lines: usize,
) -> Vec<String> {
    let drawn = catch_unwind(AssertUnwindSafe(|| {
        let mut replay = Replay::new(bytes, tracker, rows, cols, lines);
        let on_alternate = replay.parser.screen().alternate_screen();
        if on_alternate {
            let leave: &[u8] = match tracker.state.alternate {
                Some(47 | 1047) => b"\x18\x1b[?47l",
                Some(_) | None => b"\x18\x1b[?1049l",
            };
            replay.parser.process(leave);
        }
        let screen = replay.parser.screen_mut();
        let mut read = scrolled_out(screen, replay.rows, replay.cols);
        if on_alternate {
            read.extend(on_screen(screen, replay.cols));
        }
        join(read)
    }));
    let all = drawn.unwrap_or_else(|_| {
        let text = text_alone(bytes, lines + usize::from(rows));
        text.lines().map(str::to_string).collect()
    });
    newest(all)
}

/// A row with its colours, and whether its line goes on in the next.
type Row = (String, bool);

fn scrolled_out(screen: &mut vt100::Screen, rows: u16, cols: u16) -> Vec<Row> {
    let len = screen.scrollback_len();
    let mut read: Vec<Row> = Vec::with_capacity(len);
    while read.len() < len {
        // One row of the page before comes along, since it says how the next one begins.
        let top = read.len().saturating_sub(1);
        screen.set_scrollback(len - top);
        let begin = read.len() - top;
        let page = screen.rows_formatted(0, cols).enumerate().skip(begin);
        let page: Vec<Row> = page
            .take(len - read.len())
            // The model's rows are counted in u16.
            .map(|(index, line)| (line, screen.row_wrapped(index as u16)))
            .collect();
        if page.is_empty() || rows == 0 {
            break;
        }
        read.extend(page);
    }
    screen.set_scrollback(0);
    read
}

fn on_screen(screen: &vt100::Screen, cols: u16) -> Vec<Row> {
    let plain: Vec<String> = screen.rows(0, cols).collect();
    let shown = plain.iter().rposition(|line| !line.trim().is_empty());
    let rows = screen.rows_formatted(0, cols).enumerate();
    rows.take(shown.map_or(0, |last| last + 1))
        .map(|(index, line)| (line, screen.row_wrapped(index as u16)))
        .collect()
}

fn join(rows: Vec<Row>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for (row, goes_on) in rows {
        line.push_str(&row);
        if row.contains('\x1b') {
            line.push_str("\x1b[m");
        }
        if !goes_on {
            lines.push(std::mem::take(&mut line));
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn newest(mut lines: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    let fits = |line: &&String| {
        bytes += line.len();
        bytes <= BYTES_MAX
    };
    let kept = lines.iter().rev().take_while(fits).count();
    lines.split_off(lines.len() - kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, lines: usize) -> Vec<String> {
        let mut tracker = Tracker::new(0);
        tracker.feed(text.as_bytes());
        history((text.as_bytes(), b""), &tracker, 3, 10, lines)
    }

    #[test]
    fn what_left_the_screen_is_told_with_its_colours() {
        let text = "one\r\n\x1b[31mtwo\x1b[m\r\n0123456789abc\r\nd\r\ne\r\nf";
        let lines = told(text, 100);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], "one");
        assert!(lines[1].contains("\x1b[31mtwo"), "{lines:?}");
        assert_eq!(lines[2], "0123456789abc");
        let many: String = (0..100).map(|n| format!("{n}\r\n")).collect();
        let lines = told(&many, 20);
        assert_eq!((lines.len(), lines[19].as_str()), (20, "97"));
        assert_eq!(lines[0], "78");
        assert!(told("one\r\ntwo", 100).is_empty());
    }

    #[test]
    fn the_main_screen_belongs_to_it_while_the_alternate_one_is_shown() {
        for mode in [47, 1047, 1049] {
            let text = format!("a\r\nb\r\nc\r\nd\r\n$ vim\x1b[?{mode}h\x1b[Hdrawn");
            assert_eq!(told(&text, 100), ["a", "b", "c", "d", "$ vim"], "{mode}");
        }
    }

    #[test]
    fn it_is_bounded() {
        let lines = newest((0..10).map(|_| "x".repeat(BYTES_MAX / 4)).collect());
        assert_eq!(lines.len(), 4);
    }
}
