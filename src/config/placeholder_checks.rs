//! `{program}`, `{instance}`, `{instance:02}`, `{numprocs}` and `{vars.NAME}`: checked here,
//! expanded by the supervisor for each process. Every other brace is ordinary text, and so is
//! one after a `$`: it belongs to the shell.

use crate::text::suggest;
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["program", "instance", "numprocs"];

/// Something about the placeholders of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// `{vars.NAME}` without such a variable.
    UnknownVariable {
        message: String,
        help: Option<String>,
    },
    /// Looks like a slip of a placeholder and stays as it is.
    NearMiss {
        message: String,
        help: Option<String>,
    },
}

/// Looks at every placeholder of `text`.
pub(super) fn check(text: &str, vars: &BTreeMap<String, String>) -> Vec<Finding> {
    bodies(text)
        .filter_map(|(_, body)| check_one(body, vars))
        .collect()
}

/// The text for one process, for the checks that need it.
pub(super) fn expand(
    text: &str,
    program: &str,
    instance: u32,
    numprocs: u32,
    vars: &BTreeMap<String, String>,
) -> String {
    let mut out = String::new();
    let mut end = 0;
    for (start, body) in bodies(text) {
        let value = match body {
            "program" => program.to_string(),
            "numprocs" => numprocs.to_string(),
            _ => match (instance_width(body), body.strip_prefix("vars.")) {
                (Some(width), _) => format!("{instance:0width$}"),
                (None, Some(name)) => match vars.get(name) {
                    Some(value) => value.clone(),
                    None => continue,
                },
                (None, None) => continue,
            },
        };
        out.push_str(&text[end..start - 1]);
        out.push_str(&value);
        end = start + body.len() + 1;
    }
    out.push_str(&text[end..]);
    out
}

/// What stands between braces, innermost, in order, and where it starts.
fn bodies(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let opening = text
        .match_indices('{')
        .filter(|(index, _)| !text[..*index].ends_with('$'));
    opening.filter_map(|(index, _)| {
        let rest = &text[index + 1..];
        let end = rest.find(['{', '}'])?;
        rest[end..]
            .starts_with('}')
            .then(|| (index + 1, &rest[..end]))
    })
}

fn check_one(body: &str, vars: &BTreeMap<String, String>) -> Option<Finding> {
    if let Some(name) = body.strip_prefix("vars.") {
        if vars.contains_key(name) {
            return None;
        }
        let message = format!("`{{vars.{name}}}`: there is no such key in `vars`");
        let known = suggest::closest(name, vars.keys().map(String::as_str));
        let help = known.map(|known| format!("did you mean `{{vars.{known}}}`?"));
        return Some(Finding::UnknownVariable { message, help });
    }
    if NAMES.contains(&body) || instance_width(body).is_some() {
        return None;
    }
    near_miss(body)
}

/// `instance` is width 0, `instance:02` is 2.
fn instance_width(body: &str) -> Option<usize> {
    let format = body.strip_prefix("instance")?;
    if format.is_empty() {
        return Some(0);
    }
    let digits = format.strip_prefix(":0")?;
    let short = digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
    if short { digits.parse().ok() } else { None }
}

fn near_miss(body: &str) -> Option<Finding> {
    let wordy = |c: char| c.is_ascii_alphanumeric() || "_.: -".contains(c);
    if body.len() < 4 || body.len() > 40 || !body.chars().all(wordy) {
        return None;
    }
    let name = body.split(':').next().unwrap_or(body).trim();
    let name = name.to_ascii_lowercase();
    let meant = match name.as_str() {
        "index" | "process_num" | "process" => "{instance}".to_string(),
        "program_name" | "name" => "{program}".to_string(),
        name if name.starts_with("var.") => format!("{{vars.{}}}", &name[4..]),
        "instance" => "{instance} or {instance:02}".to_string(),
        name => format!("{{{}}}", suggest::closest(name, NAMES)?),
    };
    let message = format!("`{{{body}}}` is not a placeholder and stays as it is");
    Some(Finding::NearMiss {
        message,
        help: Some(format!("did you mean {meant}?")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> BTreeMap<String, String> {
        BTreeMap::from([("port".to_string(), "80".to_string())])
    }

    #[test]
    fn placeholders_and_other_braces_pass() {
        let texts = [
            "{program} {instance} {instance:02} {instance:03} {numprocs} {vars.port}",
            "{} {{}} } { {\"a\":1} {a,b} {print $1}",
            "${program}x ${progam}",
            "x{ab}y {json}",
        ];
        for text in texts {
            assert_eq!(check(text, &vars()), [], "{text}");
        }
    }

    #[test]
    fn an_unknown_variable_is_an_error() {
        let found = check("a {vars.prot} b", &vars());
        let [Finding::UnknownVariable { help, .. }] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(help.as_deref(), Some("did you mean `{vars.port}`?"));
    }

    #[test]
    fn near_misses_are_noticed() {
        for text in [
            "{progam}",
            "{Instance}",
            "{numproc}",
            "{ instance }",
            "{instance:x}",
            "{index}",
        ] {
            let found = check(text, &vars());
            assert!(
                matches!(found.as_slice(), [Finding::NearMiss { .. }]),
                "{text} {found:?}"
            );
        }
    }

    #[test]
    fn expanded_for_one_process() {
        let text = "/run/{program}-{instance:02}-{instance}-{vars.port}-{vars.no}-{x}-${program}";
        let expanded = expand(text, "web", 3, 8, &vars());
        assert_eq!(expanded, "/run/web-03-3-80-{vars.no}-{x}-${program}");
    }
}
