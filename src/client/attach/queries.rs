//! Recognises terminal queries in a process's output. The terminal sends its answers as input.

use crate::terminal::{Handler, Scanner};

/// Searches output for queries. A query may be spread over several calls.
#[derive(Debug, Default)]
pub(crate) struct QueryDetector {
    scanner: Scanner,
}

impl QueryDetector {
    /// Whether a query ends in these bytes.
    pub(crate) fn found_in(&mut self, bytes: &[u8]) -> bool {
        let mut found = Found(false);
        self.scanner.feed(bytes, &mut found);
        found.0
    }
}

struct Found(bool);

impl Handler for Found {
    fn csi(&mut self, body: &[u8], last: u8) {
        let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 |= match (body.first(), last) {
            // Attributes, status, modes.
            (_, b'c' | b'x') => true,
            (first, b'n') => first != Some(&b'>'),
            (_, b'p') => body.ends_with(b"$"),
            // The version; the shape of the cursor has no prefix.
            (Some(b'>'), b'q') => true,
            // The flags of the keyboard.
            (Some(b'?'), b'u') => true,
            // Of the window: where it is, how large, its titles.
            (_, b't') => matches!(&body[..digits], [b'1', _] | b"20" | b"21"),
            _ => false,
        };
    }

    fn string(&mut self, kind: u8, data: &[u8], _whole: bool) {
        self.0 |= match kind {
            b']' => data.ends_with(b";?") || data.windows(3).any(|part| part == b";?;"),
            b'P' => data.starts_with(b"$q") || data.starts_with(b"+q"),
            b'_' => data.starts_with(b"G"),
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_found_wherever_they_are_cut() {
        for query in [
            "\x1b[c",
            "\x1b[>0c",
            "\x1b[5n",
            "\x1b[?6n",
            "\x1b[?2026$p",
            "\x1b[>0q",
            "\x1b[?u",
            "\x1b[18t",
            "\x1b]11;?\x07",
            "\x1b]4;1;?\x1b\\",
            "\x1b]52;c;?\x07",
            "\x1bP$qm\x1b\\",
            "\x1bP+q544e\x1b\\",
        ] {
            let bytes = format!("text{query}");
            for at in 0..bytes.len() {
                let mut queries = QueryDetector::default();
                let (first, second) = bytes.as_bytes().split_at(at);
                let found = [queries.found_in(first), queries.found_in(second)];
                assert!(found[0] != found[1], "{query:?} cut at {at}");
                assert!(!queries.found_in(b"more"));
            }
        }
    }

    #[test]
    fn statements_are_no_queries() {
        let mut queries = QueryDetector::default();
        for statement in [
            "what?",
            "\x1b[2 q",
            "\x1b[!p",
            "\x1b[>1u",
            "\x1b[?25h",
            "\x1b]0;why?\x07",
            "\x1b]8;;http://x/?y\x07",
            "\x1b[8;24;80t",
        ] {
            assert!(!queries.found_in(statement.as_bytes()), "{statement:?}");
        }
    }
}
