//! Reports placeholders that were probably mistyped. `supervisor::placeholder` defines and expands
//! them.

use super::lowering_context::{Lowering, Value};
use crate::supervisor::placeholder::{Placeholder, Values, braces, expanded_length};
use crate::text::suggest;
use std::collections::BTreeMap;

/// Free strings of a program.
pub(super) type Vars = BTreeMap<String, String>;

/// The longest text after expansion, in bytes, as for variables.
const EXPANDED_MAX: usize = 1024 * 1024;

/// A suspicious placeholder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PlaceholderProblem {
    /// `{vars.NAME}`, but the variable does not exist.
    UnknownVariable {
        message: String,
        help: Option<String>,
    },
    /// Close to a placeholder, but ordinary text.
    NearMiss {
        message: String,
        help: Option<String>,
    },
}

/// Checks every placeholder of a text.
pub(super) fn check(text: &str, vars: &BTreeMap<String, String>) -> Vec<PlaceholderProblem> {
    braces(text)
        .filter_map(|(_, inner)| check_one(inner, vars))
        .collect()
}

/// Reports the suspicious placeholders of a text; `None` if one is an error.
pub(super) fn placeholders(
    cx: &mut Lowering,
    value: &Value,
    text: &str,
    vars: &Vars,
) -> Option<()> {
    let mut sound = Some(());
    let longest = Values {
        program: "",
        instance: u32::MAX,
        numprocs: u32::MAX,
        vars,
    };
    if expanded_length(text, &longest).is_some_and(|length| length > EXPANDED_MAX) {
        let message = format!("expands to more than {} MiB", EXPANDED_MAX >> 20);
        return cx.refuse(value, message, Some("use fewer or shorter placeholders"));
    }
    for finding in check(text, vars) {
        match finding {
            PlaceholderProblem::UnknownVariable { message, help } => {
                sound = cx.refuse(value, message, help.as_deref());
            }
            PlaceholderProblem::NearMiss { message, help } => {
                cx.warning(value.at(), &value.key, message, help);
            }
        }
    }
    sound
}

fn check_one(inner: &str, vars: &BTreeMap<String, String>) -> Option<PlaceholderProblem> {
    match Placeholder::parse(inner) {
        Some(Placeholder::Variable(name)) if !vars.contains_key(name) => {
            let message = format!("there is no key `{name}` in `vars`");
            let known = suggest::closest(name, vars.keys().map(String::as_str));
            let help = known.map(|known| format!("did you mean `{{vars.{known}}}`?"));
            Some(PlaceholderProblem::UnknownVariable { message, help })
        }
        Some(_) => None,
        None => near_miss(inner),
    }
}

fn near_miss(inner: &str) -> Option<PlaceholderProblem> {
    let wordy = |c: char| c.is_ascii_alphanumeric() || "_.: -".contains(c);
    if inner.len() < 4 || inner.len() > 40 || !inner.chars().all(wordy) {
        return None;
    }
    let name = inner.split(':').next().unwrap_or(inner).trim();
    let meant = match name.to_ascii_lowercase().as_str() {
        "index" | "process_num" | "process" => "`{instance}`".to_string(),
        "program_name" | "name" => "`{program}`".to_string(),
        name if name.starts_with("var.") => format!("`{{vars.{}}}`", &name[4..]),
        "instance" => "`{instance}` or `{instance:02}`".to_string(),
        name => format!("`{{{}}}`", suggest::closest(name, Placeholder::NAMES)?),
    };
    Some(PlaceholderProblem::NearMiss {
        message: format!("`{{{inner}}}` is not a placeholder; it stays as it is"),
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
            "{program} {instance} {instance:02} {instance:030} {numprocs} {vars.port}",
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
        let [PlaceholderProblem::UnknownVariable { help, .. }] = found.as_slice() else {
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
            "{instance:2}",
            "{instance:0100}",
            "{index}",
        ] {
            let found = check(text, &vars());
            assert!(
                matches!(found.as_slice(), [PlaceholderProblem::NearMiss { .. }]),
                "{text} {found:?}"
            );
        }
    }
}
