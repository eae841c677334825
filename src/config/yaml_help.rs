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
pub(super) fn explain(
    text: &str,
    info: &str,
    (line, column): (usize, usize),
) -> Option<Explanation> {
    let lines: Vec<&str> = text.lines().collect();
    let at = |line, column, message, help| {
        Some(Explanation {
            line,
            column,
            message,
            help,
        })
    };
    if info.contains("quoted scalar") || info.contains("unclosed quote") {
        let (line, column) = opening_quote(&lines, line).unwrap_or((line, column));
        let message = "the quote that opens here is not closed";
        return at(line, column, message, "add the closing quote");
    }
    let brackets = ["flow mapping", "flow sequence", "illegal placement of ':'"];
    if brackets.iter().any(|known| info.contains(known)) {
        let message = "a bracket above is not closed, or a comma is missing";
        return at(
            line,
            column,
            message,
            "close each `{` with `}` and each `[` with `]`",
        );
    }
    let current = lines.get(line.saturating_sub(1)).copied().unwrap_or("");
    if info.contains("did not find expected key") {
        let help = "begin it in the same column as the keys beside it";
        return match indent(current) == column {
            true => at(line, column, "the indentation fits no line above", help),
            false => at(line, column, "expected a key here", "write `key: value`"),
        };
    }
    let before = current
        .char_indices()
        .nth(column)
        .map_or(current, |(at, _)| &current[..at]);
    let first_colon = !before.contains(": ") && !before.contains('{');
    if info.contains("mapping values are not allowed") && first_colon {
        let above = lines[..line.saturating_sub(1).min(lines.len())]
            .iter()
            .rev();
        let above = above.copied().find(|line| !line.trim().is_empty())?;
        if indent(current) > indent(above) {
            let message = "this line is indented deeper than the text above, so it continues it";
            let help = "begin it in the same column as the line above";
            return at(line, indent(current), message, help);
        }
    }
    None
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
}
