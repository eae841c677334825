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
        let index = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let start = *self.starts.get(index / STEP)?;
        let line = self
            .text
            .get(start..)?
            .split_inclusive('\n')
            .nth(index % STEP)?;
        let quoted = self.quotable && !line.trim().is_empty() && line.len() <= QUOTED_LENGTH_MAX;
        quoted.then(|| SourceLine::around(line, at.column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
