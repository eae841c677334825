//! Colours. They are used on a terminal, unless NO_COLOR is set or TERM is `dumb`.

use crate::text::printable::is_control;
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

/// The colours of [`Style::paint`], and their end.
const CODES: [&str; 17] = [
    "0", "1", "2", "31", "32", "33", "36", SOURCES[0], SOURCES[1], SOURCES[2], SOURCES[3],
    SOURCES[4], SOURCES[5], SOURCES[6], SOURCES[7], SOURCES[8], SOURCES[9],
];

/// The longest parameters of a colour sequence.
const PARAMETERS_MAX: usize = 64;

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

    /// Returns a line that is safe to print: of all control characters only tabs and the colours
    /// of [`Style::paint`] are left as they are. Every line that the client prints goes through
    /// here.
    pub(crate) fn safe(self, text: &str) -> String {
        escape(text, |sequence| self.coloured && CODES.contains(&sequence))
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

/// Returns a line in which all colours are left, and no other sequence. They end with the line.
/// For text that a process has painted.
pub(crate) fn with_colours(text: &str) -> String {
    let mut line = escape(text, |_| true);
    if line.contains('\x1b') {
        line.push_str("\x1b[0m");
    }
    line
}

/// Escapes control characters except tabs, and colour sequences whose parameters are accepted.
fn escape(text: &str, keeps: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| is_control(c) && c != '\t') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = from;
        if let Some(parameters) = colour_at_start(rest).filter(|found| keeps(found)) {
            let (sequence, behind) = rest.split_at(parameters.len() + 3);
            out.push_str(sequence);
            rest = behind;
        } else if let Some(control) = rest.chars().next() {
            out.extend(control.escape_default());
            rest = &rest[control.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

/// Returns the parameters of the colour sequence (SGR) with which a text begins.
fn colour_at_start(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("\x1b[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && !";:".contains(c))?;
    let (parameters, behind) = inner.split_at(end);
    (behind.starts_with('m') && parameters.len() <= PARAMETERS_MAX).then_some(parameters)
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
    fn only_own_colours_pass() {
        let style = Style::coloured();
        let red = style.paint(Paint::Red, "x");
        assert_eq!(style.safe(&red), red);
        assert_eq!(Style::plain().safe(&red), "\\u{1b}[31mx\\u{1b}[0m");
        assert_eq!(
            style.safe("\x1b[2Ja\x1b]0;t\x07\n"),
            "\\u{1b}[2Ja\\u{1b}]0;t\\u{7}\\n"
        );
        assert_eq!(
            style.safe("\x1b[8m\u{9b}m\r\x1b["),
            "\\u{1b}[8m\\u{9b}m\\r\\u{1b}["
        );
        assert_eq!(
            with_colours("\x1b[38;5;1ma\x1b[1A\nb"),
            "\x1b[38;5;1ma\\u{1b}[1A\\nb\x1b[0m"
        );
    }

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
