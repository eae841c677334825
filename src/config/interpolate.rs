//! `${VAR}`, `${VAR:-default}` and `${VAR:?message}` from the daemon's environment.

use std::collections::BTreeMap;

/// Deepest nesting of `${…}` in defaults.
const DEPTH_MAX: usize = 8;

/// The longest text after expansion, in bytes; a program's argument can have an eighth of it.
const TEXT_MAX: usize = 1024 * 1024;

/// Replaces every `${…}` of a text; `$${` becomes `${`; any other `$` stays. Replaced text is not
/// expanded again.
///
/// # Errors
/// A variable that is unset without a default, or a malformed `${`: message and remedy.
pub(super) fn interpolate(
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, (String, Option<String>)> {
    expand(text, variables, 0)
}

/// The length in bytes of a closed `${…}` at the start of `text`, if any.
pub(super) fn expression_length(text: &str) -> Option<usize> {
    let body = text.strip_prefix("${")?;
    let mut depth = 1_usize;
    for (index, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 3);
        }
    }
    None
}

type Failure = (String, Option<String>);

fn expand(
    text: &str,
    variables: &BTreeMap<String, String>,
    depth: usize,
) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if rest.starts_with("${") {
            let Some(length) = expression_length(rest) else {
                return Err(malformed("`${` without a closing `}`".to_string()));
            };
            let (expression, after) = rest.split_at(length);
            out.push_str(&value_of(&expression[2..length - 1], variables, depth)?);
            rest = after;
            if out.len() > TEXT_MAX {
                let message = format!("expands to more than {} MiB", TEXT_MAX >> 20);
                return Err((message, None));
            }
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(
    body: &str,
    variables: &BTreeMap<String, String>,
    depth: usize,
) -> Result<String, Failure> {
    let end = body.find(|c: char| !(c == '_' || c.is_ascii_alphanumeric()));
    let (name, operator) = body.split_at(end.unwrap_or(body.len()));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(malformed(format!("`${{{body}}}` does not name a variable")));
    }
    let set = variables.get(name);
    if operator.is_empty() {
        let unset = || {
            let message = format!("the environment variable `{name}` is not set");
            (
                message,
                Some(format!("set it, or write ${{{name}:-default}}")),
            )
        };
        return set.cloned().ok_or_else(unset);
    }
    let value = set.filter(|value| !value.is_empty()).cloned();
    if let Some(default) = operator.strip_prefix(":-") {
        if depth >= DEPTH_MAX {
            return Err(malformed("`${` nested too deeply".to_string()));
        }
        return value.map_or_else(|| expand(default, variables, depth + 1), Ok);
    }
    if let Some(message) = operator.strip_prefix(":?") {
        let message = if message.is_empty() {
            "is not set"
        } else {
            message
        };
        return value.ok_or_else(|| (format!("`{name}`: {message}"), None));
    }
    Err(malformed(format!("`${{{body}}}` is not supported")))
}

fn malformed(message: String) -> Failure {
    let help = "write ${VAR}, ${VAR:-default} or ${VAR:?message}; $${ for a literal ${";
    (message, Some(help.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, String> {
        let variables = BTreeMap::from(
            [("A", "1"), ("EMPTY", ""), ("TRICK", "${A}")].map(|(k, v)| (k.into(), v.into())),
        );
        interpolate(text, &variables).map_err(|(message, _)| message)
    }

    #[test]
    fn the_forms() {
        assert_eq!(run("x${A}y${A}").as_deref(), Ok("x1y1"));
        assert_eq!(run("${B:-two words}").as_deref(), Ok("two words"));
        assert_eq!(run("${EMPTY:-e}${EMPTY}").as_deref(), Ok("e"));
        assert_eq!(run("${B:-${C:-${A}}}").as_deref(), Ok("1"));
        assert_eq!(run("${A:?needed}").as_deref(), Ok("1"));
        assert_eq!(run("${TRICK}").as_deref(), Ok("${A}"));
    }

    #[test]
    fn what_is_left_alone() {
        for text in ["$A", "$", "$$", "a$b$", "$(x)", "{A}", "", "ü$ß"] {
            assert_eq!(run(text).as_deref(), Ok(text));
        }
        assert_eq!(run("$${A} $$A").as_deref(), Ok("${A} $$A"));
    }

    #[test]
    fn the_errors() {
        assert_eq!(
            run("${B}"),
            Err("the environment variable `B` is not set".into())
        );
        assert_eq!(run("${B:?set B first}"), Err("`B`: set B first".into()));
        assert_eq!(run("${EMPTY:?}"), Err("`EMPTY`: is not set".into()));
        for text in [
            "${", "${A", "${}", "${1}", "${A%x}", "${A:+x}", "${A-x}", "${ A}",
        ] {
            assert!(run(text).is_err(), "{text}");
        }
        let long = BTreeMap::from([("A".to_string(), "x".repeat(100_000))]);
        assert!(interpolate(&"${A}".repeat(10), &long).is_ok());
        assert!(interpolate(&"${A}".repeat(11), &long).is_err());
        let deep = format!("{}x{}", "${B:-".repeat(50), "}".repeat(50));
        assert!(run(&deep).is_err());
    }
}
