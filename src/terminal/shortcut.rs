//! Text that need not be drawn, because later text scrolls it out of the screen and the history.
//!
//! Programs that write to a raw terminal often end lines without a carriage return. There is no
//! checkpoint in such output, so a model absorbs all of it. Of plain text only the column counts
//! that it leaves the cursor in.

use memchr::{memchr2, memrchr, memrchr_iter};

/// The text that is skipped at the start of a piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortcut {
    /// Bytes to skip.
    pub len: usize,
    /// Where they leave the cursor: the number of columns that are written, which is `cols` when
    /// the next character wraps.
    pub column: usize,
    /// The last character of them.
    pub last: Option<u8>,
}

/// Finds the text to skip in `bytes`, which are written from `column` on at this width. The rest
/// of the plain text advances the cursor by at least `rows` rows.
pub(crate) fn find(bytes: &[u8], column: usize, cols: usize, rows: usize) -> Option<Shortcut> {
    // A row takes at most its characters and one newline.
    let enough = rows.checked_mul(cols + 1)?;
    // The checks cost less than half of this text.
    if bytes.len() < 2 * enough {
        return None;
    }
    let text = &bytes[..plain_len(bytes)];
    let len = match text.len().checked_sub(enough) {
        Some(start) if memrchr(b'\r', &text[start..]).is_none() => start,
        // Text before a carriage return may be written over, so only newlines count.
        _ => memrchr_iter(b'\n', text).nth(rows.checked_sub(1)?)?,
    };
    let skipped = &text[..len];
    let printed = |byte: &&u8| !matches!(**byte, b'\n' | b'\r');
    (len > 0).then(|| Shortcut {
        len,
        column: column_after(skipped, column, cols),
        last: skipped.iter().rev().find(printed).copied(),
    })
}

/// The length of the leading text of printable ASCII, newlines and carriage returns.
fn plain_len(bytes: &[u8]) -> usize {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r');
    // Whole blocks first: the compiler makes vector code of it.
    let blocks = bytes.chunks_exact(64);
    let whole = blocks.take_while(|block| block.iter().fold(true, |all, byte| all & plain(byte)));
    let start = 64 * whole.count();
    let rest = &bytes[start..];
    start
        + rest
            .iter()
            .position(|byte| !plain(byte))
            .unwrap_or(rest.len())
}

/// The column after plain text, as in [`Shortcut::column`].
fn column_after(text: &[u8], column: usize, cols: usize) -> usize {
    let (mut column, start) = match memrchr(b'\r', text) {
        Some(at) => (0, at + 1),
        None => (column, 0),
    };
    let mut rest = &text[start..];
    while !rest.is_empty() {
        let run = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        if run > 0 {
            // A pending wrap happens first.
            column = (column % cols + run - 1) % cols + 1;
        }
        rest = rest.get(run + 1..).unwrap_or_default();
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::model::Model;

    const ROWS: u16 = 5;
    const COLS: u16 = 11;
    const HISTORY: usize = 7;

    fn model() -> Model {
        let mut model = Model::new(ROWS, COLS);
        model.screen_mut().keep_history(HISTORY);
        model
    }

    /// Feeds the same output in one piece, and in pieces too short for a shortcut.
    fn compare(prefix: &[u8], output: &[u8]) {
        let (mut whole, mut pieces) = (model(), model());
        whole.feed(prefix);
        pieces.feed(prefix);
        whole.feed(output);
        output.chunks(50).for_each(|piece| pieces.feed(piece));
        whole.feed(b"\x1b[3bend");
        pieces.feed(b"\x1b[3bend");
        assert!(whole == pieces, "{:?}", String::from_utf8_lossy(output));
    }

    /// A sequence of numbers that looks random.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        }
    }

    #[test]
    fn a_shortcut_changes_nothing() {
        for seed in 0..400 {
            let mut next = numbers(seed);
            let ends: &[&str] = match seed % 4 {
                0 => &["\n"],
                1 => &["\r\n"],
                2 => &["\n", "\r\n", "\r", ""],
                _ => &["\n", "\x1b[31m", "\x1b[4l", "\u{e9}", "\t", "\x08"],
            };
            let mut output = Vec::new();
            while output.len() < 3000 {
                let run = next(40) as usize;
                output.extend((0..run).map(|_| b'!' + next(90) as u8));
                output.extend(ends[next(ends.len() as u64) as usize].as_bytes());
            }
            for prefix in [
                &b""[..],
                b"\x1b[2;4r",
                b"\x1b[?7l",
                b"\x1b[4h",
                b"\x1b[?1049h",
                b"\x1b[",
            ] {
                compare(prefix, &output);
            }
        }
    }

    #[test]
    fn text_that_is_written_over_or_stays_is_not_skipped() {
        let find = |bytes: &[u8]| find(bytes, 0, 10, 4);
        assert_eq!(find(&[b'x'; 87]), None, "too short");
        let found = find(&[b'x'; 100]).expect("it scrolls away");
        assert_eq!((found.len, found.column, found.last), (56, 6, Some(b'x')));
        assert_eq!(find(&b"abc\r".repeat(100)), None, "it is written over");
        let found = find(&b"abc\r\n".repeat(100)).expect("it scrolls away");
        assert_eq!((found.len, found.column), (484, 0));
        let cut = [&[b'x'; 60][..], b"\x1b[H", &[b'x'; 60]].concat();
        assert_eq!(find(&cut).map(|found| found.len), Some(16));
    }
}
