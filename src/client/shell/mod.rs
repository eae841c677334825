//! The control shell: the same verbs with editing, history, completion and events.

pub(crate) mod interrupts;

use crate::client::cli::command::{Cli, Verb, visible_verbs};
use crate::client::cli::complete::live_names;
use crate::client::cli::help::shell_help;
use crate::client::cli::usage::{self, TypedIn};
use crate::client::context::{Context, Shell};
use crate::client::daemon::daemon_connection::parse;
use crate::client::daemon::paths;
use crate::client::error::{ClientError, exit};
use crate::client::shell::interrupts::Interrupts;
use crate::client::ui::style::{Paint, Style};
use crate::client::verbs::events::event_line;
use crate::client::{finish, run_verb};
use crate::sys::io as sys_io;
use crate::sys::runtime;
use crate::wire::{Call, EventsParams};
use clap::{CommandFactory, Parser};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Editor, ExternalPrinter, Helper};
use serde_json::Value;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// How many lines the history keeps.
const HISTORY_LINES: usize = 2_000;

/// Runs the shell: with an editor on a terminal, line by line from a pipe.
///
/// # Errors
/// When the terminal or the input fails.
pub(crate) fn run(context: &Context) -> Result<i32, ClientError> {
    let on_terminal = std::io::stdin().is_terminal();
    let interrupts = Interrupts::watch(on_terminal)?;
    let mut context = context.clone();
    context.shell = Some(Shell::new(interrupts.clone()));
    if on_terminal {
        interactive(&context, &interrupts)
    } else {
        from_pipe(&context, &interrupts)
    }
}

fn from_pipe(context: &Context, interrupts: &Interrupts) -> Result<i32, ClientError> {
    let mut failed = exit::DONE;
    while let Some(line) = interrupts.reading(read_line).transpose()?.flatten() {
        match run_line(context, &line) {
            ControlFlow::Continue(exit::DONE) => {}
            ControlFlow::Continue(code) => failed = code,
            ControlFlow::Break(()) => break,
        }
    }
    Ok(code_or_signal(failed, interrupts))
}

fn code_or_signal(code: i32, interrupts: &Interrupts) -> i32 {
    interrupts.ending().map_or(code, |signal| 128 + signal)
}

/// Reads the next line of a script; `None` at its end. It reads byte by byte, as `sh` does: the
/// text behind the line may be input for a process that the line attaches to.
fn read_line() -> Result<Option<String>, ClientError> {
    let failed = |error| ClientError::Failed(format!("input: {error}"));
    let stdin = std::io::stdin();
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match sys_io::read(stdin.as_fd(), &mut byte).map_err(failed)? {
            0 if line.is_empty() => return Ok(None),
            0 => break,
            _ if byte[0] == b'\n' => break,
            _ => line.push(byte[0]),
        }
    }
    let line = String::from_utf8(line);
    line.map(Some)
        .map_err(|_| ClientError::Failed("input: not valid UTF-8".to_string()))
}

fn interactive(context: &Context, interrupts: &Interrupts) -> Result<i32, ClientError> {
    let mut editor = new_editor(context)?;
    let history = history_file();
    if let Some(history) = &history {
        // The first shell has no history file.
        let _ = editor.load_history(history);
    }
    print_banner(context);
    let prompt_style = Style::stdout();
    let events_shown = Arc::new(AtomicBool::new(false));
    loop {
        show_events_above(context, &events_shown, &mut editor);
        let prompt = "tm> ";
        if let Some(helper) = editor.helper_mut() {
            helper.prompt = prompt_style.paint(Paint::Bold, prompt);
        }
        let line = match interrupts.reading(|| editor.readline(prompt)) {
            Some(Ok(line)) => line,
            Some(Err(ReadlineError::Interrupted)) => continue,
            Some(Err(ReadlineError::Eof)) | None => break,
            Some(Err(error)) => return Err(ClientError::Failed(format!("terminal: {error}"))),
        };
        if !line.trim().is_empty() {
            let _ = editor.add_history_entry(line.as_str());
        }
        if run_line(context, &line).is_break() {
            break;
        }
        if let Some(history) = &history {
            // A history that cannot be saved is no reason for a message at each line.
            let _ = editor.append_history(history);
        }
    }
    Ok(code_or_signal(exit::DONE, interrupts))
}

/// Runs one line. Its value is the exit code of the line, or the end of the shell. Errors are
/// printed and do not end the shell.
fn run_line(context: &Context, line: &str) -> ControlFlow<(), i32> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return ControlFlow::Continue(exit::DONE);
    }
    let Some(words) = shlex::split(line) else {
        context.report(&ClientError::Usage("missing closing quote".to_string()));
        return ControlFlow::Continue(exit::USAGE);
    };
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["quit" | "exit"] => return ControlFlow::Break(()),
        ["help" | "?"] => {
            let printed = context.print_lines(&[shell_help(&Cli::command()).trim_end()]);
            return ControlFlow::Continue(
                printed.map_or_else(|error| error.exit_code(), |()| exit::DONE),
            );
        }
        _ => {}
    }
    let arguments = std::iter::once("tm".to_string()).chain(words);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let mut context = context.clone();
            context.global.json |= line.split_whitespace().any(|word| word == "--json");
            let code = finish(&context, usage::report(&error, TypedIn::ControlShell));
            return ControlFlow::Continue(code);
        }
    };
    let Some(verb) = cli.verb else {
        return ControlFlow::Continue(exit::DONE);
    };
    let mut line_context = context.clone();
    line_context.global.json |= cli.global.json;
    line_context.global.quiet |= cli.global.quiet;
    if cli.global.config.is_some() || cli.global.socket.is_some() {
        line_context.global.config = cli.global.config;
        line_context.global.socket = cli.global.socket;
        line_context.shell = context.shell.as_ref().map(Shell::unpinned);
    }
    if line_context.global.json {
        line_context.style = Style::plain();
    }
    let code = run_verb(&line_context, &verb);
    match verb {
        // A shell without a daemon has nothing to control.
        Verb::Shutdown(_) | Verb::Down(_) if code == exit::DONE => ControlFlow::Break(()),
        _ => ControlFlow::Continue(code),
    }
}

fn print_banner(context: &Context) {
    match context
        .connect()
        .and_then(|mut connection| connection.hello())
    {
        Ok(hello) => {
            let (version, pid, config) = (hello.version, hello.pid, hello.config);
            context.notice(&format!(
                "tmd {version}, pid {pid}, {config}; type 'help' for a list of verbs"
            ));
        }
        Err(error) => context.report(&error),
    }
}

/// The history file in the state directory. Both are created if they are missing.
fn history_file() -> Option<PathBuf> {
    let directory = paths::state_dir();
    // In a directory of another user, the file could be a link to any other.
    runtime::prepare_state_dir(&directory).ok()?;
    let file = directory.join("history");
    let open = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&file);
    let is_file = open.ok()?.metadata().ok()?.is_file();
    is_file.then_some(file)
}

type ShellEditor = Editor<ShellHelper, DefaultHistory>;

fn new_editor(context: &Context) -> Result<ShellEditor, ClientError> {
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

/// Prints events above the prompt while a line is edited. This needs a thread: the editor blocks
/// on the terminal and leaves no loop to join. It ends with the connection or the editor.
fn show_events_above(context: &Context, shown: &Arc<AtomicBool>, editor: &mut ShellEditor) {
    if context.global.quiet || shown.load(Ordering::SeqCst) {
        return;
    }
    let Ok(mut printer) = editor.create_external_printer() else {
        return;
    };
    let follow = || -> Result<_, ClientError> {
        let mut events = context.connect_unguarded()?;
        let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
        Ok(events)
    };
    let Ok(mut events) = follow() else {
        return;
    };
    shown.store(true, Ordering::SeqCst);
    let shown = Arc::clone(shown);
    let style = context.style;
    thread::spawn(move || {
        while let Ok(Some((_, params))) = events.next_notification() {
            if let Ok(event) = parse(params)
                && printer
                    .print(style.safe(&format!("{}\n", event_line(style, &event))))
                    .is_err()
            {
                return;
            }
        }
        let text = style.paint(
            Paint::Yellow,
            "lost the connection to the daemon; 'status' connects again",
        );
        let _ = printer.print(format!("{text}\n"));
        // The next prompt tries to connect again.
        shown.store(false, Ordering::SeqCst);
    });
}

/// Completion, hints and colours.
struct ShellHelper {
    context: Context,
    prompt: String,
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
        let names = |verb: &str| live_names(&self.context, verb).unwrap_or_default();
        Ok(candidates(typed, names))
    }
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
        [verb, more @ ..] => arguments_of(verb, more.last(), word, names),
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
    previous: Option<&&str>,
    word: &str,
    names: impl FnOnce(&str) -> Vec<String>,
) -> Vec<String> {
    if verb == "help" {
        return visible_verbs();
    }
    let command = Cli::command();
    let Some(verb) = command.find_subcommand(verb) else {
        return Vec::new();
    };
    let long = previous.and_then(|previous| previous.strip_prefix("--"));
    let option = long.and_then(|long| verb.get_opts().find(|o| o.get_long() == Some(long)));
    if let Some(option) = option.filter(|option| option.get_action().takes_values()) {
        let values = option.get_possible_values();
        return values.iter().map(|v| v.get_name().to_string()).collect();
    }
    if word.starts_with('-') {
        let flags = verb
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        return flags
            .chain(["json", "quiet"])
            .map(|flag| format!("--{flag}"))
            .collect();
    }
    let takes =
        |argument: &clap::Arg| argument.get_value_hint() == crate::client::cli::command::NAMES;
    if verb.get_positionals().any(takes) {
        names(verb.get_name())
    } else {
        Vec::new()
    }
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
        assert_eq!(candidates("reload --d", names).1, ["--dry-run "]);
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
    fn hints_finish_the_only_verb_and_name_what_it_takes() {
        assert_eq!(hint("att").as_deref(), Some("ach"));
        assert_eq!(hint("s"), None);
        assert_eq!(hint("attach ").as_deref(), Some("PROCESS"));
        assert_eq!(hint(""), None);
    }
}
