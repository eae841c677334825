//! The lines above the screen, for `tm peek` and the pager.

use crate::terminal::emulator::{RetainedBytes, Terminal};
use crate::terminal::painter::Painter;

/// Total bytes of the returned lines; older ones are dropped.
const BYTES_MAX: usize = 256 * 1024;

impl Terminal {
    /// The last `lines` rows that have scrolled off the top of the screen, oldest first, with
    /// colours. Rows of one wrapped line are joined. While the alternate screen is on, the rows of
    /// the main screen are included.
    pub(crate) fn history(&self, kept: RetainedBytes<'_>, lines: usize) -> Vec<String> {
        let model = self.model(kept, lines);
        let screen = model.screen();
        let main = &screen.pages[0].rows;
        let shown = match screen.alternate {
            Some(_) => main
                .iter()
                .rposition(|row| row.len() > 0)
                .map_or(0, |at| at + 1),
            None => 0,
        };
        let mut out = Vec::new();
        let mut line = String::new();
        for row in screen.history.iter().chain(main.iter().take(shown)) {
            line.push_str(&Painter::line(row, screen.cols));
            if !row.wrapped {
                out.push(std::mem::take(&mut line));
            }
        }
        if !line.is_empty() {
            out.push(line);
        }
        newest(out)
    }
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

    fn history_of(text: &str, lines: usize) -> Vec<String> {
        let mut terminal = Terminal::new(0, 3, 10);
        terminal.feed(text.as_bytes());
        terminal.history((text.as_bytes(), b""), lines)
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
        let lines = newest((0..10).map(|_| "x".repeat(BYTES_MAX / 4)).collect());
        assert_eq!(lines.len(), 4);
    }
}
