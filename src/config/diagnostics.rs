//! Errors and warnings about a config: location, message and remedy.

use crate::text::plural::plural;
use crate::text::printable::{is_control, printable};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Number of columns of a source line to show.
const SHOWN_COLUMNS: usize = 80;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The config is rejected.
    Error,
    /// The config is used, but something in it looks unintended.
    Warning,
}

/// One finding about a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The severity of a finding.
    pub severity: Severity,
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Line from 1; 0 for the file itself.
    pub line: u32,
    /// Column from 1, in characters; 0 for the file itself.
    pub column: u32,
    /// The path of the key, such as `programs.web.autostart`; may be empty.
    pub key: String,
    /// The problem.
    pub message: String,
    /// The remedy, such as ``did you mean `autostart`?``.
    pub help: Option<String>,
    /// The text of the line, cut around the column, with the caret's offset in it.
    #[serde(skip)]
    pub(crate) source: Option<SourceLine>,
}

/// A line of a config file, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceLine {
    /// The line, or the part around the column; control characters replaced.
    pub(crate) text: String,
    /// Number of characters before the location.
    pub(crate) caret: usize,
}

impl SourceLine {
    /// The part around `column` (from 1) of `line`.
    pub(super) fn around(line: &str, column: u32) -> SourceLine {
        let index = usize::try_from(column).unwrap_or(1).saturating_sub(1);
        let before = index.saturating_sub(SHOWN_COLUMNS / 2);
        let length = line.chars().take(before + SHOWN_COLUMNS + 1).count();
        let skipped = if length <= SHOWN_COLUMNS { 0 } else { before };
        let cut = length > skipped + SHOWN_COLUMNS;
        let kept = line.chars().skip(skipped).take(SHOWN_COLUMNS);
        let mut text: String = if skipped > 0 { "…" } else { "" }.to_string();
        let caret = index - skipped + text.chars().count();
        text.extend(kept.map(|c| if is_control(c) { ' ' } else { c }));
        if cut {
            text.push('…');
        }
        SourceLine {
            text: text.trim_end().to_string(),
            caret,
        }
    }
}

impl Diagnostic {
    /// A finding about a file, without a line.
    pub(super) fn of_file(file: PathBuf, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file,
            line: 0,
            column: 0,
            key: String::new(),
            message: message.into(),
            help: None,
            source: None,
        }
    }

    /// Adds a remedy.
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

/// `FILE:LINE:COLUMN: error: KEY: MESSAGE (HELP)`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_file = !self.file.as_os_str().is_empty();
        if has_file {
            f.write_str(&printable(&self.file.to_string_lossy()))?;
        }
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(match self.severity {
            // A failed search names no file. Its caller has a prefix of its own.
            Severity::Error if !has_file => "",
            Severity::Error => ": error: ",
            Severity::Warning => ": warning: ",
        })?;
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        f.write_str(&printable(&self.message))?;
        match &self.help {
            Some(help) => write!(f, " ({})", printable(help)),
            None => Ok(()),
        }
    }
}

/// A rejected config: its errors, and the warnings found on the way, in file order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// At least one of them is an error.
    pub diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// The number of errors among the diagnostics.
    pub fn error_count(&self) -> usize {
        let errors = self.diagnostics.iter();
        errors.filter(|d| d.severity == Severity::Error).count()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(&self.diagnostics))
    }
}

impl std::error::Error for ConfigError {}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> ConfigError {
        ConfigError {
            diagnostics: vec![diagnostic],
        }
    }
}

/// Renders diagnostics for people: each with its line and a caret, then the totals. Ends without a
/// newline; empty without diagnostics.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    let mut errors = 0;
    for diagnostic in diagnostics {
        errors += usize::from(diagnostic.severity == Severity::Error);
        out.push_str(&format!("{diagnostic}\n"));
        if let Some(source) = &diagnostic.source {
            let number = diagnostic.line.to_string();
            let margin = " ".repeat(number.len());
            let indent = " ".repeat(source.caret);
            out.push_str(&format!("  {number} | {}\n", source.text));
            out.push_str(&format!("  {margin} | {indent}^\n"));
        }
    }
    let counted = [
        (errors, "error", "errors"),
        (diagnostics.len() - errors, "warning", "warnings"),
    ];
    let counts = counted
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| plural(*count, one, many));
    out.push_str(&counts.collect::<Vec<_>>().join(", "));
    out
}

/// Quotes a value for a message: bounded, on one line.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", printable(&short))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic() -> Diagnostic {
        Diagnostic {
            line: 3,
            column: 5,
            key: "programs.web.autostrat".to_string(),
            source: Some(SourceLine::around("    autostrat: true", 5)),
            ..Diagnostic::of_file("a.yaml".into(), "unknown key")
        }
        .with_help("did you mean `autostart`?")
    }

    #[test]
    fn one_line_says_it_all() {
        assert_eq!(
            diagnostic().to_string(),
            "a.yaml:3:5: error: programs.web.autostrat: unknown key \
             (did you mean `autostart`?)"
        );
        let whole = Diagnostic::of_file("a.yaml".into(), "no such file");
        assert_eq!(whole.to_string(), "a.yaml: error: no such file");
        let search = Diagnostic::of_file(PathBuf::new(), "no config file found");
        assert_eq!(search.to_string(), "no config file found");
    }

    #[test]
    fn rendered_with_the_line_and_a_caret() {
        let warning = Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::of_file("a.yaml".into(), "odd\u{1b}[31m")
        };
        let text = render(&[diagnostic(), warning]);
        let expected = "  3 |     autostrat: true\n    |     ^\n\
                        a.yaml: warning: odd\\u{1b}[31m\n1 error, 1 warning";
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(render(&[]), "");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let source = SourceLine::around(&line, 501);
        assert_eq!(source.text.chars().nth(source.caret), Some('X'));
        assert_eq!(source.text.chars().count(), SHOWN_COLUMNS + 2);
        let short = SourceLine::around("a: b", 4);
        assert_eq!((short.text.as_str(), short.caret), ("a: b", 3));
        let beyond = SourceLine::around("ab", 9);
        assert_eq!((beyond.text.as_str(), beyond.caret), ("ab", 8));
    }

    #[test]
    fn serialised_for_json_output() {
        let json = serde_json::to_value(diagnostic()).expect("plain data serialises");
        assert_eq!(json["severity"], "error");
        assert_eq!(json["line"], 3);
        assert!(json.get("source").is_none());
    }
}
