//! Colours. They are used on a terminal, unless NO_COLOR is set or TERM is `dumb`.

use crate::wire::ProcessState;
use std::io::IsTerminal;

/// Paints text, or leaves it plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    coloured: bool,
}

/// The meaning of a piece of text, which determines its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Headings.
    Bold,
    /// Secondary text.
    Dim,
    /// A healthy state.
    Green,
    /// A state in transition, or a warning.
    Yellow,
    /// A failure.
    Red,
    /// Neutral emphasis.
    Cyan,
    /// The colour of a source by its index.
    Source(usize),
}

/// Colours that distinguish sources. Red is left out, since it marks failures, and so are colours
/// that are invisible on black or white.
const SOURCES: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

impl Style {
    /// Returns the style for standard output.
    pub(crate) fn stdout() -> Style {
        Style::of_terminal(std::io::stdout().is_terminal())
    }

    /// Returns the style without colours.
    pub(crate) fn plain() -> Style {
        Style { coloured: false }
    }

    /// Returns the style with colours.
    #[cfg(test)]
    pub(crate) fn coloured() -> Style {
        Style { coloured: true }
    }

    /// Whether text is coloured.
    pub(crate) fn is_coloured(self) -> bool {
        self.coloured
    }

    /// Returns the text, painted.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.coloured || text.is_empty() {
            return text.to_string();
        }
        format!("\x1b[{}m{text}\x1b[0m", code(paint))
    }

    /// Returns the name of a state, painted.
    pub(crate) fn state(self, state: &ProcessState) -> String {
        self.paint(state_paint(state), state.as_str())
    }

    fn of_terminal(is_terminal: bool) -> Style {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style {
            coloured: is_terminal && !no_color && !dumb,
        }
    }
}

/// Returns the paint for a state.
pub(crate) fn state_paint(state: &ProcessState) -> Paint {
    match state {
        ProcessState::Running => Paint::Green,
        ProcessState::Starting
        | ProcessState::Stopping
        | ProcessState::Backoff
        | ProcessState::Waiting => Paint::Yellow,
        ProcessState::Fatal => Paint::Red,
        ProcessState::Exited => Paint::Cyan,
        ProcessState::Stopped | ProcessState::Other(_) => Paint::Dim,
    }
}

fn code(paint: Paint) -> &'static str {
    match paint {
        Paint::Bold => "1",
        Paint::Dim => "2",
        Paint::Green => "32",
        Paint::Yellow => "33",
        Paint::Red => "31",
        Paint::Cyan => "36",
        Paint::Source(index) => SOURCES[index % SOURCES.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_plain() {
        assert_eq!(Style::plain().state(&ProcessState::Fatal), "FATAL");
        assert_eq!(
            Style::coloured().state(&ProcessState::Fatal),
            "\x1b[31mFATAL\x1b[0m"
        );
        assert_eq!(Style::coloured().paint(Paint::Bold, ""), "");
    }
}
