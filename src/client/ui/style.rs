//! Colour, where it is wanted: on a terminal, without NO_COLOR, unless TERM is dumb.

use crate::wire::ProcessState;
use std::io::IsTerminal;

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    coloured: bool,
}

/// A way to paint text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Headings.
    Bold,
    /// Less important.
    Dim,
    /// Good.
    Green,
    /// On its way.
    Yellow,
    /// Bad.
    Red,
    /// Neutral emphasis.
    Cyan,
    /// One of the colours that tell sources apart.
    Source(usize),
}

/// Colours that tell sources apart: no red, which means trouble, and none that hides on black or
/// white.
const SOURCES: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

impl Style {
    /// For standard output.
    pub fn stdout() -> Style {
        Style::of_terminal(std::io::stdout().is_terminal())
    }

    /// Without colour.
    pub fn plain() -> Style {
        Style { coloured: false }
    }

    /// With colour.
    #[cfg(test)]
    pub fn coloured() -> Style {
        Style { coloured: true }
    }

    /// Whether it colours.
    pub fn is_coloured(self) -> bool {
        self.coloured
    }

    /// The text, painted.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        if !self.coloured || text.is_empty() {
            return text.to_string();
        }
        format!("\x1b[{}m{text}\x1b[0m", code(paint))
    }

    /// A state's name in its colour.
    pub fn state(self, state: &ProcessState) -> String {
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

/// The colour of a state.
pub fn state_paint(state: &ProcessState) -> Paint {
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
