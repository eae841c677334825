//! Messages on standard error, broken at blanks to fit the terminal.

use crate::client::ui::table::wrap;
use crate::sys::tty;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Breaks lines at blanks where they are wider than the terminal that standard error is. Quoted
/// lines of a file stay whole.
pub(crate) fn for_stderr(text: &str) -> String {
    let err = std::io::stderr();
    let size = err
        .is_terminal()
        .then(|| tty::window_size(err.as_fd()).ok());
    match size.flatten().map(|(_, cols)| usize::from(cols)) {
        Some(width) if width > 0 => wrap_lines(text, width),
        _ => text.to_string(),
    }
}

fn wrap_lines(text: &str, width: usize) -> String {
    let lines = text.split('\n').flat_map(|line| {
        let words = line.trim_start_matches(' ');
        let indent = &line[..line.len() - words.len()];
        let number = words.trim_start_matches(|c: char| c.is_ascii_digit());
        if !indent.is_empty() && number.trim_start().starts_with('|') {
            return vec![line.to_string()];
        }
        let lines = wrap(words, width.saturating_sub(indent.len())).into_iter();
        lines.map(|line| format!("{indent}{line}")).collect()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_wrapped_at_words_and_quotes_stay_whole() {
        let text = "one two three\n  four five six\n  12 | seven eight nine\n     | ^\n";
        let lines = [
            "one two",
            "  three",
            "  four",
            "    five",
            "    six",
            "  12 | seven eight nine",
            "     | ^",
            "",
        ];
        assert_eq!(wrap_lines(text, 9), lines.join("\n"));
    }
}
