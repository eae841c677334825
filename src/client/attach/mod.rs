//! `attach`: connects the user's terminal to that of a process.

pub mod detach_keys;
pub(crate) mod hint;
pub(crate) mod key_events;
mod line_chord;
pub(crate) mod output_queue;
pub(crate) mod pager;
pub(crate) mod plain;
mod plain_output;
pub(crate) mod queries;
pub(crate) mod session;
pub(crate) mod terminal_guard;

use crate::client::attach::detach_keys::DetachKeys;
use crate::client::attach::pager::PagerExit;
use crate::client::attach::session::{Session, SessionEnd};
use crate::client::cli::command::{AttachArgs, Global};
use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::client::ui::messages::for_stderr;
use crate::sys::tty;
use crate::text::printable::printable;
use crate::wire::{AttachParams, AttachReply, Call};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the terminal.
pub(crate) fn run(context: &Context, args: &AttachArgs) -> Result<i32, ClientError> {
    let keys = detach_keys(args)?;
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut args = args.clone();
    let mut banner = true;
    let mut alone = false;
    let mut history = None;
    let mut signals = None;
    let mut typed = Vec::new();
    loop {
        let mut connection = context.connect()?;
        let reply: AttachReply = connection.call(&Call::Attach(params(&args, history)))?;
        if !(interactive && reply.tty) {
            return plain::run(context, &args, &reply, connection, &keys);
        }
        let name = reply.process.clone();
        // Before the terminal is taken over.
        let signals = match &mut signals {
            Some(signals) => signals,
            none => none.insert(session::signals()?),
        };
        if let Some(signal) = session::await_foreground(signals)? {
            return Ok(128 + signal);
        }
        let mut session = Session::new(context, &args, &reply, keys.clone(), connection)?;
        if reply.pid.is_none() {
            session.explain(detail_of(context, &reply.process));
        }
        if std::mem::take(&mut alone) {
            session.remark("no other process has a terminal");
        }
        session.take_typed(&std::mem::take(&mut typed));
        let end = session::run(session, banner, signals)?;
        banner = false;
        // From the second time on, the terminal's scrollback has the history.
        history = Some(0);
        let mut exit_of_pager = PagerExit::Key(Vec::new());
        match end {
            SessionEnd::Detached(_)
            | SessionEnd::Exited { .. }
            | SessionEnd::Lost
            | SessionEnd::Signalled(_) => return Ok(conclude(context, &name, &end)),
            SessionEnd::Help(text) => exit_of_pager = pager::help(&text, signals),
            SessionEnd::History => exit_of_pager = pager::history(context, &name, signals)?,
            SessionEnd::Suspended => {
                suspend();
                // SIGCONT is pending as well: it is dropped.
                if let Some(signal) = session::asked_to_end(signals) {
                    return Ok(128 + signal);
                }
                // One line, so that the shell's output scrolls away and is not drawn over.
                history = Some(1);
            }
            SessionEnd::Resync => history = Some(1),
            SessionEnd::Switch(step) => {
                args.process = neighbour(context, &name, step)?;
                alone = args.process == name;
                banner = true;
                history = None;
            }
        }
        match exit_of_pager {
            PagerExit::Signal(signal) => return Ok(128 + signal),
            PagerExit::Key(bytes) => typed = bytes,
        }
    }
}

/// Reports the end of the last attachment. Returns the exit code.
fn conclude(context: &Context, name: &str, end: &SessionEnd) -> i32 {
    match end {
        SessionEnd::Exited { info, report } => {
            if let Some(text) = report {
                report_end(context, text);
            }
            info.shell_code()
        }
        SessionEnd::Lost => {
            report_end(context, &format!("[{name}: {}]", ClientError::Disconnected));
            exit::LOST
        }
        SessionEnd::Signalled(signal) => 128 + signal,
        SessionEnd::Detached(text) => {
            report_end(context, &hint::detached(name, text));
            exit::DONE
        }
        SessionEnd::Help(_)
        | SessionEnd::History
        | SessionEnd::Suspended
        | SessionEnd::Resync
        | SessionEnd::Switch(_) => exit::DONE,
    }
}

fn params(args: &AttachArgs, history: Option<u32>) -> AttachParams {
    let (rows, cols) = terminal_size();
    AttachParams {
        process: args.process.clone(),
        read_only: args.read_only,
        steal: args.steal,
        // A snapshot is of no use in a pipe.
        replay: !args.no_replay && std::io::stdout().is_terminal(),
        history,
        until_exit: args.until_exit,
        lossless: args.lossless,
        rows,
        cols,
        terminal: terminal_device(),
    }
}

/// `--detach-keys`, `$TM_DETACH_KEYS`, else ctrl-a d.
fn detach_keys(args: &AttachArgs) -> Result<DetachKeys, ClientError> {
    let variable = std::env::var("TM_DETACH_KEYS").ok();
    let mut given = [args.detach_keys.clone(), variable].into_iter().flatten();
    // An empty text counts as not given, as in docker.
    let keys = match given.find(|keys| !keys.is_empty()) {
        Some(text) => DetachKeys::parse(&text)
            .map_err(|error| ClientError::Usage(format!("invalid detach keys: {error}")))?,
        None => DetachKeys::standard(),
    };
    // The keys that reach this client are typed as inside GNU screen: with ctrl-a twice.
    Ok(match is_in_screen() || is_in_attachment() {
        true => keys.inside_screen(),
        false => keys,
    })
}

/// Whether this is the terminal of a process that a client is attached to. That client reads the
/// keys first. The variables alone may be inherited, by tmux for example.
fn is_in_attachment() -> bool {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(process), Some(socket)) = (variable("TM_PROCESS"), variable("TM_SOCKET")) else {
        return false;
    };
    let Ok(session) = rustix::termios::tcgetsid(std::io::stdin()) else {
        return false;
    };
    let context = Context::new(Global {
        socket: Some(socket.into()),
        quiet: true,
        ..Global::default()
    });
    let status = context.status_of(&[process]).unwrap_or_default();
    let leader = Some(session.as_raw_nonzero().get());
    let mut processes = status.processes.iter();
    processes.any(|process| process.pid == leader && !process.clients.is_empty())
}

/// Whether GNU screen reads the keys first. Its variable alone may be inherited from elsewhere.
fn is_in_screen() -> bool {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let term = variable("TERM");
    !variable("STY").is_empty() && variable("TMUX").is_empty() && term.starts_with("screen")
}

/// Rows and columns of the user's terminal. They are 0 unless it is at both ends: otherwise it
/// neither shows the process's screen nor answers its queries.
fn terminal_size() -> (u16, u16) {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    match stdin.is_terminal() && stdout.is_terminal() {
        true => tty::window_size(stdout.as_fd()).unwrap_or((0, 0)),
        false => (0, 0),
    }
}

/// The device number of the client's terminal; 0 without one.
fn terminal_device() -> u64 {
    let is_terminal = [
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal(),
    ];
    let Some(fd) = is_terminal.iter().position(|is_terminal| *is_terminal) else {
        return 0;
    };
    std::fs::metadata(format!("/proc/self/fd/{fd}")).map_or(0, |metadata| metadata.rdev())
}

/// DETAIL of a process, as `status` shows it; empty if it cannot be had.
fn detail_of(context: &Context, name: &str) -> String {
    let status = context.status_of(&[name.to_string()]);
    let first = status
        .ok()
        .and_then(|status| status.processes.into_iter().next());
    first.map_or(String::new(), |process| process.detail)
}

/// The next (or previous) process with a terminal. After the last comes the first.
fn neighbour(context: &Context, name: &str, step: isize) -> Result<String, ClientError> {
    let processes = context
        .status_of_all()?
        .processes
        .into_iter()
        .filter(|process| process.tty);
    let names: Vec<String> = processes.map(|process| process.name).collect();
    Ok(step_from(&names, name, step).unwrap_or_else(|| name.to_string()))
}

fn step_from(names: &[String], name: &str, step: isize) -> Option<String> {
    let count = isize::try_from(names.len())
        .ok()
        .filter(|count| *count > 0)?;
    let here = names.iter().position(|known| known == name).unwrap_or(0);
    let there = (isize::try_from(here).ok()? + step).rem_euclid(count);
    names.get(usize::try_from(there).ok()?).cloned()
}

/// Reports the end, on the empty line that the restored terminal is left with.
fn report_end(context: &Context, text: &str) {
    if !context.global.quiet {
        let _ = writeln!(std::io::stderr(), "{}", for_stderr(&printable(text)));
    }
}

/// Stops until continued, like any program at ctrl-z.
fn suspend() {
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::STOP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_go_around() {
        let names = ["a:0", "b:0", "c:0"].map(str::to_string);
        assert_eq!(step_from(&names, "c:0", 1).as_deref(), Some("a:0"));
        assert_eq!(step_from(&names, "a:0", -1).as_deref(), Some("c:0"));
        assert_eq!(step_from(&names, "gone:0", 1).as_deref(), Some("b:0"));
        assert_eq!(step_from(&[], "a:0", 1), None);
    }
}
