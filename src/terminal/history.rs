//! The lines above the screen, for `tm peek` and the pager.

use crate::terminal::painter::Painter;
use crate::terminal::row::Row;
use crate::terminal::screen::Screens;

/// Total bytes of the returned lines; older ones are dropped.
const BYTES_MAX: usize = 256 * 1024;

/// The rows that have scrolled off the top of a screen, oldest first, with colours. Rows of one
/// wrapped line are joined. While the alternate screen is on, the rows of the main screen are
/// included.
pub(super) fn lines_above(screen: &Screens) -> Vec<String> {
    let main = &screen.pages[0].rows;
    let shown = match screen.alternate {
        Some(_) => main
            .iter()
            .rposition(|row| row.len() > 0)
            .map_or(0, |at| at + 1),
        None => 0,
    };
    let above = screen.history.iter().chain(main.iter().take(shown));
    newest(&above.collect::<Vec<_>>(), screen.cols)
}

/// The newest lines of these rows. Only what is returned is painted: the rows can be many.
fn newest(rows: &[&Row], cols: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    let mut end = rows.len();
    while end > 0 {
        let mut start = end - 1;
        while start > 0 && rows[start - 1].wrapped {
            start -= 1;
        }
        let mut line = String::new();
        for row in &rows[start..end] {
            line.push_str(&Painter::line(row, cols));
            if bytes + line.len() > BYTES_MAX {
                lines.reverse();
                return lines;
            }
        }
        bytes += line.len();
        lines.push(line);
        end = start;
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::cell::Pen;
    use crate::terminal::emulator::Terminal;

    fn history_of(text: &str, lines: usize) -> Vec<String> {
        let mut terminal = Terminal::new(0, 3, 10);
        terminal.feed(text.as_bytes());
        let (_, history) = terminal.peek_with_history((text.as_bytes(), b""), false, lines);
        history
    }

    #[test]
    fn scrolled_off_rows_keep_their_colours() {
        let text = "one\r\n\x1b[31mtwo\x1b[m\r\n0123456789abc\r\nd\r\ne\r\nf";
        let lines = history_of(text, 100);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], "one");
        assert!(lines[1].contains("\x1b[0;31mtwo"), "{lines:?}");
        assert_eq!(lines[2], "0123456789abc");
        let many: String = (0..100).map(|n| format!("{n}\r\n")).collect();
        let lines = history_of(&many, 20);
        assert_eq!((lines.len(), lines[19].as_str()), (20, "97"));
        assert_eq!(lines[0], "78");
        assert!(history_of("one\r\ntwo", 100).is_empty());
    }

    #[test]
    fn the_main_screen_is_included_while_the_alternate_one_is_on() {
        for mode in [47, 1047, 1049] {
            let text = format!("a\r\nb\r\nc\r\nd\r\n$ vim\x1b[?{mode}h\x1b[Hdrawn");
            assert_eq!(
                history_of(&text, 100),
                ["a", "b", "c", "d", "$ vim"],
                "{mode}"
            );
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut row = Row::default();
        row.put_text(0, &vec![b'x'; BYTES_MAX / 4], &Pen::default());
        assert_eq!(newest(&[&row; 10], BYTES_MAX / 4).len(), 4);
        row.wrapped = true;
        assert!(newest(&[&row; 10], BYTES_MAX / 4).is_empty());
    }
}
