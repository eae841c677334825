//! Makes foreign text safe to print on a terminal.

/// Escapes control characters (`\u{1b}`), so that no name or command can control the terminal. Tabs
/// stay.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("\u{9b}31m\r"), "\\u{9b}31m\\r");
        assert_eq!(printable("\tüber \\n 日本"), "\tüber \\n 日本");
    }
}
