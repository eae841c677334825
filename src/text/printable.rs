//! Makes foreign text safe to print on a terminal.

use serde_json::Value;

/// Whether a character controls a terminal instead of showing something: C0 and C1 controls, and
/// those that change the direction or the lines of the text around them.
pub(crate) fn is_control(c: char) -> bool {
    let redirects = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    redirects || c.is_control()
}

/// Escapes control characters (`\u{1b}`), so that no name or command can control the terminal. Tabs
/// stay.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, &['\t'])
}

/// As [`printable`], for text of several lines: newlines stay too.
pub(crate) fn printable_lines(text: &str) -> String {
    escaped(text, &['\t', '\n'])
}

/// Escapes control characters in JSON, where serde escapes only some of them (`\u009b`).
pub(crate) fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match is_control(c) && c != '\n' {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// As [`printable`], for each text of a value.
pub(crate) fn escape_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_control) => *text = printable(text),
        Value::Array(items) => items.iter_mut().for_each(escape_texts),
        Value::Object(fields) => fields.values_mut().for_each(escape_texts),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn escaped(text: &str, kept: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) && !kept.contains(&c) {
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
        assert_eq!(printable_json("\"\u{9b}\u{202e}ü\""), "\"\\u009b\\u202eü\"");
        assert_eq!(printable_lines("a\n\x1b\r"), "a\n\\u{1b}\\r");
    }

    #[test]
    fn text_cannot_change_its_direction() {
        assert_eq!(printable("a\u{202e}b\u{2067}"), "a\\u{202e}b\\u{2067}");
        // Joiners are part of words and of emoji.
        assert_eq!(printable("\u{200d}\u{200c}"), "\u{200d}\u{200c}");
    }
}
