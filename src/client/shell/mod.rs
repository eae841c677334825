//! The control shell: the same verbs with editing, history, completion and events.

mod editor;
pub(crate) mod event_display;
pub(crate) mod interrupts;

use crate::client::cli::command::{Cli, Verb};
use crate::client::cli::help::shell_help;
use crate::client::cli::usage::{self, TypedIn};
use crate::client::context::{Context, Shell, stdout_width};
use crate::client::daemon::lifecycle::{SHUT_DOWN, SHUTDOWN_EVENT};
use crate::client::daemon::paths;
use crate::client::daemon::received::parse;
use crate::client::error::{ClientError, exit};
use crate::client::shell::editor::{ShellEditor, new_editor};
use crate::client::shell::event_display::{EventDisplay, News};
use crate::client::shell::interrupts::Interrupts;
use crate::client::ui::style::{Paint, Style};
use crate::client::{finish, run_verb};
use crate::sys::io as sys_io;
use crate::sys::runtime;
use crate::wire::{Call, EventsParams};
use clap::{CommandFactory, Parser};
use rustyline::ExternalPrinter;
use rustyline::error::ReadlineError;
use serde_json::Value;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Runs the shell: with an editor on a terminal, line by line from a pipe.
///
/// # Errors
/// When the terminal or the input fails.
pub(crate) fn run(context: &Context) -> Result<i32, ClientError> {
    let on_terminal = std::io::stdin().is_terminal();
    let interrupts = Interrupts::watch(on_terminal)?;
    let mut context = context.clone();
    context.shell = Some(Shell::new(interrupts.clone()));
    context.selection = String::new();
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
        let mut ended = false;
        // A paste may have several lines.
        for line in line.lines().filter(|line| !line.trim().is_empty()) {
            let _ = editor.add_history_entry(line);
            let ended_line = run_line_alone(context, line)?;
            ended = ended_line.is_break();
            if ended || interrupts.last().is_some() {
                break;
            }
        }
        if ended {
            break;
        }
        if let Some(history) = &history {
            // A history that cannot be saved is no reason for a message at each line.
            let _ = editor.append_history(history);
        }
    }
    Ok(code_or_signal(exit::DONE, interrupts))
}

/// Runs one line. Events wait for its end.
fn run_line_alone(context: &Context, line: &str) -> Result<ControlFlow<(), i32>, ClientError> {
    let events = display(context);
    events.begin_verb();
    let flow = run_line(context, line);
    let width = stdout_width().unwrap_or(usize::MAX);
    context.print_lines(&events.end_verb(context.style, width))?;
    Ok(flow)
}

/// The display that the lines of this shell share.
fn display(context: &Context) -> EventDisplay {
    let shell = context.shell.as_ref();
    shell.map(|shell| shell.events.clone()).unwrap_or_default()
}

/// Runs one line. Its value is the exit code of the line, or the end of the shell. Errors are
/// printed and do not end the shell.
fn run_line(context: &Context, line: &str) -> ControlFlow<(), i32> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return ControlFlow::Continue(exit::DONE);
    }
    if let Some(operator) = shell_operator(line) {
        let text = format!("'{operator}' is not supported here; type one verb on each line");
        context.report(&ClientError::Usage(text));
        return ControlFlow::Continue(exit::USAGE);
    }
    let Some(mut words) = shlex::split(line) else {
        context.report(&ClientError::Usage("missing closing quote".to_string()));
        return ControlFlow::Continue(exit::USAGE);
    };
    if words.first().is_some_and(|word| word == "tm") {
        words.remove(0);
    }
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => return ControlFlow::Continue(exit::DONE),
        ["quit" | "exit", ..] => return ControlFlow::Break(()),
        ["help" | "?"] => {
            let help = shell_help(&Cli::command());
            let printed = context.print_lines(&help.trim_end().lines().collect::<Vec<_>>());
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
    let line_context = context.for_line(cli.global);
    let ends = matches!(verb, Verb::Shutdown(_) | Verb::Down(_));
    let says_end = context.shell.as_ref().map(|shell| &shell.ends_daemon);
    let note = |ends| says_end.map(|flag| flag.store(ends, Ordering::SeqCst));
    note(ends);
    let code = run_verb(&line_context, &verb);
    if ends && code == exit::DONE {
        // A shell without a daemon has nothing to control.
        return ControlFlow::Break(());
    }
    note(false);
    ControlFlow::Continue(code)
}

/// An operator of shells, outside of quotes. `send` takes any text.
fn shell_operator(line: &str) -> Option<char> {
    let words = line.strip_prefix("tm ").unwrap_or(line).trim_start();
    if words.starts_with("send ") {
        return None;
    }
    let mut quote = None;
    let mut escaped = false;
    for c in line.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ';' | '|' | '>' | '<' | '&') => return Some(c),
            _ => {}
        }
    }
    None
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
        Err(error @ (ClientError::NoDaemon(_) | ClientError::NotRunning(_))) => {
            context.notice(&format!(
                "not connected to a daemon: {error}\ntype 'help' for a list of verbs"
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
    let display = display(context);
    let ends_daemon = context.shell.clone().unwrap_or_default().ends_daemon;
    thread::spawn(move || {
        let mut print = |news| {
            let width = stdout_width().unwrap_or(usize::MAX);
            let lines = display.take(news, style, width).into_iter();
            let text: String = lines.map(|line| style.safe(&line) + "\n").collect();
            text.is_empty() || printer.print(text).is_ok()
        };
        let mut announced = false;
        while let Ok(Some((_, params))) = events.next_notification() {
            announced |= params["event"] == SHUTDOWN_EVENT;
            if let Ok(event) = parse(params)
                && !print(News::Event(Box::new(event)))
            {
                return;
            }
        }
        if ends_daemon.load(Ordering::SeqCst) {
            return;
        }
        let text = match announced {
            true => SHUT_DOWN,
            false => "lost the connection to the daemon; 'status' connects again",
        };
        print(News::Text(style.paint(Paint::Yellow, text)));
        // The next prompt tries to connect again.
        shown.store(false, Ordering::SeqCst);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_of_shells_are_found_outside_of_quotes() {
        let cases = [
            ("status; stop a", Some(';')),
            ("logs a | grep x", Some('|')),
            ("status > file", Some('>')),
            ("stop 'a;b' \"c|d\" e\\;f", None),
            ("send a select 1;", None),
            ("status", None),
        ];
        for (line, operator) in cases {
            assert_eq!(shell_operator(line), operator, "{line}");
        }
    }
}
