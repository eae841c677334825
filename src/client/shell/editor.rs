//! The line editor of the control shell: completion, hints and colours.

use crate::client::cli::command::{Cli, NAMES, visible_verbs};
use crate::client::cli::complete::{live_names, selection};
use crate::client::context::Context;
use crate::client::error::ClientError;
use crate::client::ui::style::{Paint, Style};
use crate::text::printable::is_control;
use clap::{CommandFactory, ValueHint};
use rustyline::completion::{Completer, FilenameCompleter};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Editor, Helper};

/// How many lines the history keeps.
const HISTORY_LINES: usize = 2_000;

pub(super) type ShellEditor = Editor<ShellHelper, DefaultHistory>;

/// Creates the editor.
///
/// # Errors
/// When the terminal cannot be used.
pub(super) fn new_editor(context: &Context) -> Result<ShellEditor, ClientError> {
    let failed = |error: ReadlineError| ClientError::Failed(format!("terminal: {error}"));
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)
        .and_then(|builder| builder.history_ignore_dups(true))
        .map_err(failed)?
        .history_ignore_space(true)
        .completion_type(rustyline::CompletionType::List)
        .build();
    let mut editor = ShellEditor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(ShellHelper {
        context: context.clone(),
        prompt: String::new(),
    }));
    Ok(editor)
}

/// Completion, hints and colours.
pub(super) struct ShellHelper {
    context: Context,
    /// The prompt with its colours.
    pub(super) prompt: String,
}

impl Helper for ShellHelper {}

impl Validator for ShellHelper {}

impl Highlighter for ShellHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        default: bool,
    ) -> std::borrow::Cow<'b, str> {
        match default && !self.prompt.is_empty() {
            true => self.prompt.as_str().into(),
            false => prompt.into(),
        }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> std::borrow::Cow<'h, str> {
        Style::stdout().paint(Paint::Dim, hint).into()
    }
}

impl Completer for ShellHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..position).unwrap_or(line);
        if takes_file(typed) {
            return files(typed);
        }
        let context = || self.context.for_line(selection(&format!("tm {typed}")));
        let names = |verb: &str| live_names(&context(), verb).unwrap_or_default();
        Ok(candidates(typed, names))
    }
}

/// The files that the last word may become.
fn files(typed: &str) -> rustyline::Result<(usize, Vec<String>)> {
    let (start, found) = FilenameCompleter::new().complete_path(typed, typed.len())?;
    let names = found.into_iter().map(|pair| pair.replacement);
    Ok((
        start,
        names.filter(|name| !name.contains(is_control)).collect(),
    ))
}

impl Hinter for ShellHelper {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &rustyline::Context<'_>) -> Option<String> {
        if position < line.len() {
            return None;
        }
        hint(line)
    }
}

/// Where the last word starts, and its completions.
fn candidates(typed: &str, names: impl FnOnce(&str) -> Vec<String>) -> (usize, Vec<String>) {
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = typed.split_at(start);
    let words: Vec<&str> = before.split_whitespace().collect();
    let all: Vec<String> = match words.as_slice() {
        [] => shell_verbs(),
        [verb, more @ ..] => arguments_of(verb, more, word, names),
    };
    let fitting = all
        .into_iter()
        .filter(|candidate| candidate.starts_with(word));
    let whole = fitting.map(|candidate| match candidate.ends_with('=') {
        true => candidate,
        false => format!("{candidate} "),
    });
    (start, whole.collect())
}

fn arguments_of(
    verb: &str,
    more: &[&str],
    word: &str,
    names: impl FnOnce(&str) -> Vec<String>,
) -> Vec<String> {
    if verb == "help" {
        return visible_verbs();
    }
    let command = shell_command();
    let Some(verb) = command.find_subcommand(verb) else {
        return Vec::new();
    };
    let option = more
        .last()
        .and_then(|previous| option_with_value(verb, previous));
    if option.is_none() && word.starts_with('-') {
        let flags = verb.get_opts().chain(verb.get_arguments());
        let mut flags: Vec<String> = flags
            .filter_map(|argument| argument.get_long())
            .map(|flag| format!("--{flag}"))
            .collect();
        flags.sort();
        flags.dedup();
        return flags;
    }
    match option.or_else(|| positional(verb, more)) {
        Some(argument) if argument.get_value_hint() == NAMES => names(verb.get_name()),
        Some(argument) => {
            let values = argument.get_possible_values();
            values.iter().map(|v| v.get_name().to_string()).collect()
        }
        None => Vec::new(),
    }
}

/// Whether the last word is a file's.
fn takes_file(typed: &str) -> bool {
    let end = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let words: Vec<&str> = typed[..end].split_whitespace().collect();
    let [verb, more @ ..] = words.as_slice() else {
        return false;
    };
    let command = shell_command();
    let Some(verb) = command.find_subcommand(verb) else {
        return false;
    };
    let option = more
        .last()
        .and_then(|previous| option_with_value(verb, previous));
    let argument = option.or_else(|| positional(verb, more));
    argument.is_some_and(|argument| argument.get_value_hint() == ValueHint::FilePath)
}

/// The parser, with the global flags at each verb.
fn shell_command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// The option that this word is, if its value is the next word.
fn option_with_value<'a>(verb: &'a clap::Command, word: &str) -> Option<&'a clap::Arg> {
    let mut options = verb.get_opts();
    let is_it = |option: &&clap::Arg| match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(long), _) => option.get_long() == Some(long),
        (None, Some(short)) => option.get_short().map(String::from).as_deref() == Some(short),
        (None, None) => false,
    };
    options.find(|option| is_it(option) && option.get_action().takes_values())
}

/// The argument that comes after these words. The last one may be repeated.
fn positional<'a>(verb: &'a clap::Command, words: &[&str]) -> Option<&'a clap::Arg> {
    let is_value = |at: usize| at > 0 && option_with_value(verb, words[at - 1]).is_some();
    let given = (0..words.len()).filter(|at| !words[*at].starts_with('-') && !is_value(*at));
    let given = given.count();
    let repeated = |argument: &&clap::Arg| {
        argument
            .get_num_args()
            .is_some_and(|count| count.max_values() > 1)
    };
    let last = verb.get_positionals().last().filter(repeated);
    verb.get_positionals().nth(given).or(last)
}

fn shell_verbs() -> Vec<String> {
    let mut verbs = visible_verbs();
    verbs.extend(["quit".to_string(), "exit".to_string()]);
    verbs
}

/// The rest of the only verb that matches, or the arguments of the verb.
fn hint(line: &str) -> Option<String> {
    if line.is_empty() {
        return None;
    }
    if let Some(verb) = line.strip_suffix(' ').filter(|verb| !verb.contains(' ')) {
        let command = Cli::command();
        let positionals = command.find_subcommand(verb)?.get_positionals();
        let names: Vec<&str> = positionals
            .filter_map(|p| p.get_value_names()?.first().map(|s| s.as_str()))
            .collect();
        return (!names.is_empty()).then(|| names.join(" "));
    }
    let mut fitting = shell_verbs()
        .into_iter()
        .filter(|verb| verb.starts_with(line));
    match (fitting.next(), fitting.next()) {
        (Some(verb), None) => verb.strip_prefix(line).map(str::to_string),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(verb: &str) -> Vec<String> {
        let names: &[&str] = match verb {
            "scale" => &["worker=", "web="],
            _ => &["worker", "worker:0", "web:0", "all", "@edge"],
        };
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn verbs_names_and_flags_are_completed() {
        assert_eq!(candidates("att", names), (0, vec!["attach ".to_string()]));
        let found = candidates("start worker:0 w", names);
        assert_eq!(found.0, 15);
        assert_eq!(found.1, ["worker ", "worker:0 ", "web:0 "]);
        assert_eq!(candidates("reload --dr", names).1, ["--dry-run "]);
        assert_eq!(candidates("nothing w", names).1, Vec::<String>::new());
        assert_eq!(candidates("help relo", names).1, ["reload "]);
        assert_eq!(candidates("status @", names).1, ["@edge "]);
        assert_eq!(candidates("scale wo", names).1, ["worker="]);
        assert_eq!(
            candidates("wait web:0 --for s", names).1,
            ["stopped "],
            "no name"
        );
    }

    #[test]
    fn each_argument_has_its_own_candidates() {
        assert_eq!(candidates("signal HU", names).1, ["HUP "]);
        assert_eq!(candidates("signal w", names).1, Vec::<String>::new());
        let found = candidates("signal HUP w", names).1;
        assert_eq!(found, ["worker ", "worker:0 ", "web:0 "]);
        assert_eq!(candidates("signal HUP web:0 a", names).1, ["all "]);
        // One process, then text.
        assert_eq!(candidates("send w", names).1.len(), 3);
        assert_eq!(candidates("send web:0 w", names).1, Vec::<String>::new());
        assert_eq!(candidates("attach --detach-keys x w", names).1.len(), 3);
        assert_eq!(candidates("completions z", names).1, ["zsh "]);
        assert_eq!(candidates("stop --soc", names).1, ["--socket "]);
        for (line, wanted) in [
            ("check ", true),
            ("check src/", true),
            ("up x", true),
            ("stop -c ", true),
            ("stop --socket ", true),
            ("check", false),
            ("stop ", false),
            ("check a.yaml ", false),
        ] {
            assert_eq!(takes_file(line), wanted, "{line}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("only.yaml"), "").expect("written");
        let folder = folder.path().display();
        let (start, found) = files(&format!("check {folder}/on")).expect("files");
        assert_eq!((start, found), (6, vec![format!("{folder}/only.yaml")]));
    }

    #[test]
    fn hints_finish_the_only_verb_and_name_what_it_takes() {
        assert_eq!(hint("att").as_deref(), Some("ach"));
        assert_eq!(hint("s"), None);
        assert_eq!(hint("attach ").as_deref(), Some("PROCESS"));
        assert_eq!(hint(""), None);
    }
}
