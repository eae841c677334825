//! Says in plain words what is wrong with a line that is not YAML.

/// A better explanation of a syntax error than the parser's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// The line at fault, from 1.
    pub line: usize,
    /// Its column, from 0.
    pub column: usize,
    /// The problem.
    pub message: &'static str,
    /// The remedy.
    pub help: &'static str,
}

/// Explains an error that the parser met at a line (from 1) and column (from 0). `info` is the
/// parser's own text.
pub(super) fn explain(text: &str, info: &str, at: (usize, usize)) -> Option<Explanation> {
    let lines: Vec<&str> = text.lines().collect();
    let (line, column) = at;
    if info.contains("quoted scalar") || info.contains("unclosed quote") {
        let at = opening_quote(&lines, line).unwrap_or(at);
        let message = "the quote that opens here is not closed";
        return explanation(at, message, "add the closing quote");
    }
    let current = lines.get(line.saturating_sub(1)).copied().unwrap_or("");
    let before = current
        .char_indices()
        .nth(column)
        .map_or(current, |(at, _)| &current[..at]);
    let brackets = ["flow mapping", "flow sequence", "illegal placement of ':'"];
    if brackets.iter().any(|known| info.contains(known)) {
        return within_brackets(current, before, at);
    }
    if info.contains("simple key expected") {
        let help = "write `key: value`, or `key:` above its map";
        return explanation(at, "this line has no `:`", help);
    }
    if info.contains("did not find expected key") {
        let help = "begin it in the same column as the keys beside it";
        return match indent(current) == column {
            true => explanation(at, "the indentation fits no line above", help),
            false => explanation(at, "expected a key here", "write `key: value`"),
        };
    }
    let first_colon = !before.contains(": ") && !before.contains('{');
    if info.contains("mapping values are not allowed") && first_colon {
        return deeper_than_above(&lines, current, line);
    }
    None
}

fn explanation(
    (line, column): (usize, usize),
    message: &'static str,
    help: &'static str,
) -> Option<Explanation> {
    Some(Explanation {
        line,
        column,
        message,
        help,
    })
}

/// An error in a line within brackets, of which `before` is the part up to its place.
fn within_brackets(current: &str, before: &str, at: (usize, usize)) -> Option<Explanation> {
    if before.ends_with('$') || current.contains(": ${") {
        let message = "`${` within brackets: the `{` begins a map here";
        return explanation(at, message, "quote the text: \"${NAME}\"");
    }
    let entry = before.rsplit(['{', '[', ',']).next().unwrap_or("");
    if entry.contains(": ") {
        let message = "a second `: ` in one entry";
        let help = "quote the text if the colon is part of it; else a comma is missing";
        return explanation(at, message, help);
    }
    let message = "a bracket above is not closed, or a comma is missing";
    let help = "close each `{` with `}` and each `[` with `]`";
    explanation(at, message, help)
}

/// A map that begins below a text.
fn deeper_than_above(lines: &[&str], current: &str, line: usize) -> Option<Explanation> {
    let lines_above = &lines[..line.saturating_sub(1).min(lines.len())];
    let is_text = |line: &&str| !line.trim().is_empty();
    let place = lines_above.iter().rposition(is_text)?;
    let above = lines_above.get(place).copied()?;
    if indent(current) <= indent(above) {
        return None;
    }
    let text = above.trim_start().trim_start_matches("- ").trim_end();
    if !text.contains([':', '"', '\'', ' ']) {
        let message = "this key has no `:`, but a map follows";
        let at = (place + 1, indent(above));
        return explanation(at, message, "add `:` at the end of the line");
    }
    let message = "this line is indented deeper than the text above, so it continues it";
    let help = "begin it in the same column as the line above";
    explanation((line, indent(current)), message, help)
}

fn indent(line: &str) -> usize {
    line.chars().take_while(|c| *c == ' ').count()
}

/// Line and column of the nearest quote, up to a line, that its own line does not close.
fn opening_quote(lines: &[&str], line: usize) -> Option<(usize, usize)> {
    let known = &lines[..line.min(lines.len())];
    known.iter().enumerate().rev().find_map(|(index, text)| {
        let column = unclosed(text)?;
        Some((index + 1, column))
    })
}

/// The column of a quote that begins a value and is not closed on its line.
fn unclosed(line: &str) -> Option<usize> {
    let mut open: Option<(char, usize)> = None;
    let mut before = ' ';
    let mut escaped = false;
    for (column, c) in line.chars().enumerate() {
        match open {
            Some(('"', _)) if escaped => escaped = false,
            Some(('"', _)) if c == '\\' => escaped = true,
            Some((quote, _)) if c == quote => open = None,
            Some(_) => {}
            None if c == '#' && before == ' ' => return None,
            None if matches!(c, '"' | '\'') && matches!(before, ' ' | '[' | '{' | ',') => {
                open = Some((c, column));
            }
            None => {}
        }
        before = c;
    }
    open.map(|(_, column)| column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_reported_where_it_opens() {
        let text = "programs:\n  f:\n    cmd: \"ls\n    numprocs: 2\n";
        let info = "invalid indentation in multiline quoted scalar";
        let found = explain(text, info, (4, 4)).expect("an explanation");
        assert_eq!((found.line, found.column), (3, 9));
        assert_eq!(unclosed("a: 'it''s' # don't"), None);
        assert_eq!(unclosed("a: \"say \\\" b"), Some(3));
    }

    #[test]
    fn an_indentation_is_named() {
        let text = "a:\n  b:\n    c: d\n   e: f\n";
        let info = "while parsing a block mapping, did not find expected key";
        let found = explain(text, info, (4, 3)).expect("an explanation");
        assert_eq!(found.message, "the indentation fits no line above");
        let text = "a:\n   cmd: ls\n    stoptime: 2\n";
        let info = "mapping values are not allowed in this context";
        let found = explain(text, info, (3, 12)).expect("an explanation");
        assert_eq!((found.line, found.column), (3, 4));
        assert_eq!(explain("a: b: c\n", info, (1, 4)), None);
    }

    #[test]
    fn a_missing_colon_is_named() {
        let info = "mapping values are not allowed in this context";
        let found = explain("programs\n  a: {cmd: x}\n", info, (2, 3)).expect("an explanation");
        assert_eq!((found.line, found.column), (1, 0));
        assert_eq!(found.message, "this key has no `:`, but a map follows");
        let text = "a:\n  b\n  c: d\n";
        let found = explain(text, "simple key expected ':'", (2, 2)).expect("an explanation");
        assert_eq!(found.message, "this line has no `:`");
    }

    #[test]
    fn text_that_needs_quotes_within_brackets_is_named() {
        let info = "while parsing a flow mapping, did not find expected ',' or '}'";
        for (text, column, message) in [
            (
                "{env: {A: ${HOME}, B: x}}",
                11,
                "`${` within brackets: the `{` begins a map here",
            ),
            ("{cmd: echo a: b}", 12, "a second `: ` in one entry"),
            (
                "{a: [b",
                6,
                "a bracket above is not closed, or a comma is missing",
            ),
        ] {
            let found = explain(text, info, (1, column)).expect("an explanation");
            assert_eq!(found.message, message, "{text}");
        }
    }
}
