//! The text of a config file, and the lines of it that findings quote.

use super::diagnostics::SourceLine;
use super::node::Location;
use std::path::PathBuf;

/// Longest line to quote, in bytes: finding a column in a longer one takes too long.
const QUOTED_LENGTH_MAX: usize = 256 * 1024;

/// The offset of every such line is kept: those of all lines could exceed the text.
const STEP: usize = 64;

/// A file that findings refer to.
pub(super) struct SourceFile {
    /// The name shown to the user.
    pub name: PathBuf,
    pub text: String,
    /// Whether its lines may be shown; false for files with secrets.
    pub quotable: bool,
    /// The offset of every 64th line.
    starts: Vec<usize>,
}

impl SourceFile {
    pub(super) fn new(name: PathBuf, text: String, quotable: bool) -> SourceFile {
        let ends = text.match_indices('\n').map(|(index, _)| index + 1);
        let starts = std::iter::once(0).chain(ends).step_by(STEP).collect();
        SourceFile {
            name,
            text,
            quotable,
            starts,
        }
    }

    /// The line of a location, to be quoted.
    pub(super) fn line(&self, at: Location) -> Option<SourceLine> {
        let line = self.whole_line(at)?;
        let quoted = self.quotable && !line.trim().is_empty();
        quoted.then(|| SourceLine::around(line, at.column))
    }

    /// The line of a location, unless it is very long.
    fn whole_line(&self, at: Location) -> Option<&str> {
        let index = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let start = *self.starts.get(index / STEP)?;
        let mut lines = self.text.get(start..)?.split_inclusive('\n');
        let line = lines.nth(index % STEP)?;
        (line.len() <= QUOTED_LENGTH_MAX).then_some(line)
    }

    /// Whether this text, which begins at a location, ends where a comment begins.
    pub(super) fn is_cut_by_comment(&self, at: Location, text: &str) -> bool {
        let column = usize::try_from(at.column).unwrap_or(usize::MAX);
        let line = self.whole_line(at).unwrap_or_default();
        let begin = line.char_indices().nth(column.saturating_sub(1));
        let rest = begin.and_then(|(begin, _)| line[begin..].strip_prefix(text));
        rest.is_some_and(|rest| rest.trim_start().starts_with('#'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_a_comment_cuts_is_recognised() {
        let source = SourceFile::new(PathBuf::from("x"), "é: echo \"x #y\"\n".into(), true);
        let at = |column| Location {
            file: 0,
            line: 1,
            column,
        };
        assert!(source.is_cut_by_comment(at(4), "echo \"x"));
        assert!(!source.is_cut_by_comment(at(4), "echo"));
        assert!(!source.is_cut_by_comment(at(90), "echo"));
    }

    #[test]
    fn each_line_is_found() {
        let text: String = (1..=200).map(|number| format!("line {number}\n")).collect();
        let source = SourceFile::new(PathBuf::from("x"), text, true);
        for line in 1..=200 {
            let at = Location {
                file: 0,
                line,
                column: 1,
            };
            let found = source.line(at).expect("it is there");
            assert_eq!(found.text, format!("line {line}"));
        }
        let beyond = Location {
            file: 0,
            line: 201,
            column: 1,
        };
        assert_eq!(source.line(beyond), None);
    }
}
