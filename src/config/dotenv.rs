//! Reads files of environment variables: `NAME=value` lines, as docker and most frameworks do.

use crate::text::printable::is_control;

/// Names and values, in the order of the file.
pub(super) type Pairs = Vec<(String, String)>;

/// Reads `[export ]NAME=value` lines. Skips blank lines and lines that begin with `#`. A value in
/// `'…'` is literal. In `"…"` the escapes `\n \t \r \" \\ \$` mean the same as in a shell. An
/// unquoted value ends at a blank with `#` and loses blanks at both ends. Nothing is expanded.
///
/// # Errors
/// Every malformed line, with its number and the column.
pub(super) fn parse(text: &str) -> Result<Pairs, Vec<(u32, u32, String)>> {
    let mut pairs = Pairs::new();
    let mut faults = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1_u32..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        match read_line(line) {
            Ok(Some(pair)) => pairs.push(pair),
            Ok(None) => {}
            Err(message) => {
                // A value over several lines is one fault.
                if let Some(quote) = open_quote(line)
                    && let Some(more) = lines.clone().position(|(_, line)| line.contains(quote))
                {
                    lines.nth(more);
                }
                let indent = line.chars().take_while(|c| c.is_whitespace()).count();
                let column = u32::try_from(indent + 1).unwrap_or(u32::MAX);
                faults.push((number, column, message));
            }
        }
    }
    if faults.is_empty() {
        Ok(pairs)
    } else {
        Err(faults)
    }
}

/// Whether this is a valid name of a variable.
pub(super) fn is_name(name: &str) -> bool {
    let bad = |c: char| c == '=' || c.is_whitespace() || is_control(c);
    !name.is_empty() && !name.contains(bad)
}

fn read_line(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let after_export = line
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']));
    let assignment = after_export.unwrap_or(line).trim_start();
    let Some((name, written)) = assignment.split_once('=') else {
        return Err("expected NAME=value".to_string());
    };
    let name = name.trim_end();
    if !is_name(name) {
        return Err(
            "the variable name is empty, or contains a space or a control character".to_string(),
        );
    }
    let value = match written.trim_start().chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&written.trim_start()[1..], quote)?,
        _ => unquoted(written).to_string(),
    };
    if value.contains('\0') {
        return Err("the value contains a NUL character".to_string());
    }
    Ok(Some((name.to_string(), value)))
}

fn unquoted(value: &str) -> &str {
    let starts = [" #", "\t#"].iter();
    let comment = starts.filter_map(|start| value.find(start)).min();
    value[..comment.unwrap_or(value.len())].trim()
}

/// The quote that a malformed line opens and does not close.
fn open_quote(line: &str) -> Option<char> {
    let (_, written) = line.split_once('=')?;
    let mut written = written.trim().chars();
    let quote = written.next().filter(|c| ['\'', '"'].contains(c))?;
    (!written.as_str().contains(quote)).then_some(quote)
}

fn quoted(text: &str, quote: char) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next() {
            None if quote == '"' => {
                let text = "the value's \" is not closed in this line; write a newline as \\n";
                return Err(text.to_string());
            }
            None => {
                let text = "the value's ' is not closed in this line; a value with a newline needs \
                            \"…\\n…\"";
                return Err(text.to_string());
            }
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match rest.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            Some(c) => value.push(c),
        }
    }
    let after = rest.as_str().trim_start();
    if after.is_empty() || after.starts_with('#') {
        return Ok(value);
    }
    Err("something follows the closing quote".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let text = "\u{feff}# comment\n\nA=1\nexport B = two words # no\n  C='it is # \\n'\n\
                    D=\"a\\n\\\"b\\\" $X\" # yes\nE=\nF=a#b\nexportG=x\r\nH= # no\nI=a=b\n\
                    J=#hash # no\n";
        let pairs = parse(text).expect("the file is well-formed");
        let expected: Pairs = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it is # \\n"),
            ("D", "a\n\"b\" $X"),
            ("E", ""),
            ("F", "a#b"),
            ("exportG", "x"),
            ("H", ""),
            ("I", "a=b"),
            ("J", "#hash"),
        ]
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .into();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn every_bad_line_is_named() {
        let faults = parse("A=1\nnonsense\n  =x\nB='x\nC=\"x\" y\nD E=1\n").unwrap_err();
        let places: Vec<(u32, u32)> = faults
            .iter()
            .map(|(line, column, _)| (*line, *column))
            .collect();
        assert_eq!(places, [(2, 1), (3, 3), (4, 1), (5, 1), (6, 1)]);
    }

    #[test]
    fn a_value_over_several_lines_is_one_fault() {
        let faults = parse("A=\"one\ntwo\nthree\"\nB=1\n=\n").unwrap_err();
        let places: Vec<u32> = faults.iter().map(|(line, _, _)| *line).collect();
        assert_eq!(places, [1, 5]);
        assert!(faults[0].2.contains("write a newline as \\n"), "{faults:?}");
    }
}
