//! Warns about text that only a shell or another supervisor would interpret.

use super::lowering_context::{Lowering, Value};
use crate::supervisor::Launch;
use crate::text::builtins::builtin;
use std::path::Path;

/// Shells, which interpret the text after `-c`.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"];

/// Warns about the words of a command without a shell. Returns whether it did.
pub(super) fn check_command(cx: &mut Lowering, value: &Value, words: &[String]) -> bool {
    let first = words.first().map(String::as_str).unwrap_or_default();
    if let Some((message, help)) = builtin(first) {
        cx.warning(value.at(), &value.key, message, Some(help));
        return true;
    }
    let in_shell = has_shell(words);
    let found = words.iter().find_map(|word| {
        let percent = percent(word);
        percent.or_else(|| tilde(word).filter(|_| !in_shell))
    });
    let Some((message, help)) = found else {
        return false;
    };
    cx.warning(value.at(), &value.key, message, Some(help));
    true
}

/// Warns about the words of a list, which no shell reads either.
pub(super) fn check_list(cx: &mut Lowering, value: &Value, words: &[String]) {
    if check_command(cx, value, words) || has_shell(words) {
        return;
    }
    let operators = ["|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1"];
    let found = words
        .iter()
        .find_map(|word| match operators.contains(&word.as_str()) {
            true => Some((
                format!("`{word}` has no special meaning: the command runs without a shell"),
                "write one string and add `shell: true`".to_string(),
            )),
            false => variable(word),
        });
    if let Some((message, help)) = found {
        cx.warning(value.at(), &value.key, message, Some(help));
    }
}

/// Warns about `$NAME` between double quotes of a command that runs no shell.
pub(super) fn check_quoted(cx: &mut Lowering, value: &Value, words: &[String], name: &str) {
    if !has_shell(words)
        && let Some((message, help)) = variable(&format!("${name}"))
    {
        cx.warning(value.at(), &value.key, message, Some(help));
    }
}

/// Warns about a text that is neither a command nor a path.
pub(super) fn check_text(cx: &mut Lowering, value: &Value) {
    let Some(text) = value.written().map(|scalar| scalar.text.clone()) else {
        return;
    };
    if let Some((message, help)) = percent(&text).or_else(|| variable(&text)) {
        cx.warning(value.at(), &value.key, message, Some(help));
    }
}

/// Warns about a path.
pub(super) fn check_path(cx: &mut Lowering, value: &Value) {
    let Some(text) = value.written().map(|scalar| scalar.text.clone()) else {
        return;
    };
    let found = tilde(&text).or_else(|| percent(&text));
    if let Some((message, help)) = found.or_else(|| variable(&text)) {
        cx.warning(value.at(), &value.key, message, Some(help));
    }
}

/// The most scripts that are looked at.
const SCRIPTS_MAX: usize = 256;

/// Warns about a script whose first line ends in CR LF: the kernel looks for an interpreter with a
/// CR in its name.
pub(super) fn check_script(cx: &mut Lowering, value: &Value, launch: &Launch) {
    let Some(program) = launch.argv.first().filter(|program| program.contains('/')) else {
        return;
    };
    let path = Path::new(&launch.workingdir).join(program);
    let fresh = cx.scripts.len() < SCRIPTS_MAX && cx.scripts.insert(path.clone());
    if program.contains('{') || !fresh {
        return;
    }
    let user = launch.identity.as_ref();
    let user = user.filter(|user| user.uid != cx.environment.uid);
    let head = cx.files.head(&path, user).unwrap_or_default();
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.starts_with(b"#!") && line.ends_with(b"\r") {
        let shown = path.display();
        let message = format!("{shown}: its first line ends in CR LF, so it cannot be executed");
        let help = format!("convert it: sed -i 's/\\r$//' {shown}");
        cx.warning(value.at(), &value.key, message, Some(help));
    }
}

/// Whether a command runs a shell, which interprets its own text.
fn has_shell(words: &[String]) -> bool {
    words.iter().any(|word| {
        let name = word.rsplit('/').next().unwrap_or_default();
        let option = word.strip_prefix('-').is_some_and(|letters| {
            letters.ends_with('c') && letters.chars().all(|c| c.is_ascii_lowercase())
        });
        SHELLS.contains(&name) || option
    })
}

type Finding = (String, String);

fn tilde(text: &str) -> Option<Finding> {
    let rest = text.strip_prefix('~')?;
    (rest.is_empty() || rest.starts_with('/')).then(|| {
        let message = "`~` is an ordinary character here".to_string();
        (message, format!("write `${{HOME}}{rest}`"))
    })
}

/// `$NAME` in capitals, as environment variables are written. Others may be part of a password.
fn variable(text: &str) -> Option<Finding> {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        let is_name = |c: &char| *c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit();
        let name: String = after.chars().take_while(is_name).collect();
        let begins = name.starts_with(|c: char| c == '_' || c.is_ascii_uppercase());
        let goes_on = after[name.len()..].starts_with(|c: char| c.is_ascii_lowercase());
        if begins && name.len() > 1 && !goes_on {
            let message = format!("`${name}` stays as it is: no shell expands it");
            return Some((message, format!("write `${{{name}}}`")));
        }
        rest = after.strip_prefix('$').unwrap_or(after);
    }
    None
}

/// `%(name)s` of supervisord.
fn percent(text: &str) -> Option<Finding> {
    let (_, after) = text.split_once("%(")?;
    let (name, rest) = after.split_once(')')?;
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if !digits.starts_with(['s', 'd']) || name.is_empty() {
        return None;
    }
    let help = match name {
        "program_name" => "write `{program}`".to_string(),
        "process_num" => "write `{instance}` or `{instance:02}`".to_string(),
        "numprocs" => "write `{numprocs}`".to_string(),
        "group_name" => "write the name itself".to_string(),
        "here" => "leave it out: paths start at the directory of the config".to_string(),
        "host_node_name" => "write the name itself".to_string(),
        // Other names are those of formats, such as Python's for logs.
        name => format!("write `${{{}}}`", name.strip_prefix("ENV_")?),
    };
    let shown: String = rest[..rest.len() - digits.len() + 1].chars().collect();
    Some((
        format!("`%({name}){shown}` is an expression of supervisord; it stays as it is"),
        help,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_expressions_are_found() {
        let help = |found: Option<Finding>| found.map(|(_, help)| help);
        let wanted = |text: &str| Some(text.to_string());
        assert_eq!(help(variable("/opt/bin:$PATH")), wanted("write `${PATH}`"));
        assert_eq!(help(variable("$API_KEY")), wanted("write `${API_KEY}`"));
        for text in [
            "${PATH}", "pa$word", "5$", "$1", "$$PATH", "a$Bc", "cost: $",
        ] {
            assert_eq!(variable(text), None, "{text}");
        }
        assert_eq!(
            help(percent("a-%(process_num)02d.log")),
            wanted("write `{instance}` or `{instance:02}`")
        );
        assert_eq!(help(percent("%(ENV_X)s")), wanted("write `${X}`"));
        assert_eq!(percent("100%(of x"), None);
        assert_eq!(percent("%(asctime)s"), None, "a format of Python's");
        assert_eq!(help(tilde("~/bin/x")), wanted("write `${HOME}/bin/x`"));
        assert_eq!(tilde("~user/x"), None);
    }
}
