//! The context of a verb: its flags, its connection to the daemon, and its output.

use crate::client::cli::command::Global;
use crate::client::cli::copied_commands;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::received::{parse, parse_as_sent};
use crate::client::daemon::select::{self, Impact};
use crate::client::daemon::trust::Trust;
use crate::client::error::ClientError;
use crate::client::shell::event_display::EventDisplay;
use crate::client::shell::interrupts::Interrupts;
use crate::client::ui::fatal_signals::deadly;
use crate::client::ui::messages::for_stderr;
use crate::client::ui::style::Style;
use crate::client::ui::table::wrap;
use crate::sys::tty;
use crate::text::printable::{printable, printable_json, printable_lines};
use crate::wire::{Call, StatusReply, TargetsParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// The context of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) global: Global,
    /// Colour of standard output.
    pub(crate) style: Style,
    /// The verb's effect on the daemon.
    pub(crate) impact: Impact,
    /// The control shell in which the verb was typed, if any.
    pub(crate) shell: Option<Shell>,
    /// The flags of this command line that select the daemon, for commands that users copy. Empty
    /// in the control shell, which keeps its daemon.
    pub(crate) selection: String,
    /// The same flags, if no daemon runs here and that of another project was selected.
    fallback: Rc<RefCell<Option<String>>>,
    /// Warnings that have been printed. A verb may connect several times and a shell runs many
    /// verbs, but each warning appears once.
    printed: Rc<RefCell<BTreeSet<String>>>,
}

/// The state that all lines of a control shell share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shell {
    pub(crate) interrupts: Interrupts,
    /// The events above the prompt.
    pub(crate) events: EventDisplay,
    /// A line of the shell ends the daemon, so its end is no news.
    pub(crate) ends_daemon: Arc<AtomicBool>,
    /// The first daemon that the shell reached. Later lines use the same one.
    pinned: Arc<OnceLock<PinnedDaemon>>,
}

#[derive(Debug)]
struct PinnedDaemon {
    socket: PathBuf,
    config: PathBuf,
    uid: Option<u32>,
}

impl Context {
    /// Creates the context from the flags and the terminal.
    pub(crate) fn new(global: Global) -> Context {
        let style = match global.json {
            true => Style::plain(),
            false => Style::stdout(),
        };
        Context {
            selection: copied_commands::selection(&global),
            global,
            style,
            impact: Impact::ReadOnly,
            shell: None,
            fallback: Rc::default(),
            printed: Rc::default(),
        }
    }

    /// Returns the context for a verb with this impact.
    pub(crate) fn with_impact(self, impact: Impact) -> Context {
        Context { impact, ..self }
    }

    /// Returns the context of a line of the control shell, or of another shell, with these flags. A
    /// daemon that the line names is not the one of the control shell.
    pub(crate) fn for_line(&self, flags: Global) -> Context {
        let mut context = self.clone();
        context.global.json |= flags.json;
        context.global.quiet |= flags.quiet;
        if flags.config.is_some() || flags.socket.is_some() {
            context.selection = copied_commands::selection(&flags);
            context.global.config = flags.config;
            context.global.socket = flags.socket;
            context.shell = self.shell.as_ref().map(Shell::unpinned);
        }
        if flags.daemon_user.is_some() {
            context.global.daemon_user = flags.daemon_user;
        }
        if context.global.json {
            context.style = Style::plain();
        }
        context
    }

    /// Connects to the selected daemon. In the control shell Ctrl-C closes the connection, which
    /// ends the verb but not the shell.
    ///
    /// # Errors
    /// When there is no daemon, or more than one.
    pub(crate) fn connect(&self) -> Result<DaemonConnection, ClientError> {
        let mut connection = self.connect_unguarded()?;
        if self.shell.is_some() {
            connection.guard(&deadly());
        }
        match self.interrupted() {
            // The signal came before there was a connection to close.
            Some(signal) => Err(ClientError::Interrupted {
                signal,
                continues: false,
            }),
            None => Ok(connection),
        }
    }

    /// Connects for work beside the verbs, which Ctrl-C does not end.
    ///
    /// # Errors
    /// As for [`Context::connect`].
    pub(crate) fn connect_unguarded(&self) -> Result<DaemonConnection, ClientError> {
        let Some(shell) = &self.shell else {
            return self.select();
        };
        match shell.pinned.get() {
            Some(pinned) => self.connect_pinned(pinned),
            None => {
                let mut connection = self.select()?;
                // A daemon that fails the handshake is not pinned.
                if let Ok(config) = connection.config() {
                    let _ = shell.pinned.set(PinnedDaemon {
                        socket: connection.path().to_path_buf(),
                        uid: connection.peer_uid(),
                        config,
                    });
                }
                Ok(connection)
            }
        }
    }

    fn select(&self) -> Result<DaemonConnection, ClientError> {
        let selected = select::connect(&self.global, self.impact)?;
        self.warn(selected.warning);
        let named = selected.other_project.map(|config| Global {
            config: Some(config.into()),
            ..Global::default()
        });
        if let (Some(flags), None) = (named, &self.shell) {
            *self.fallback.borrow_mut() = Some(copied_commands::selection(&flags));
        }
        Ok(selected.connection)
    }

    /// The flags that select this daemon, for commands that users copy.
    pub(crate) fn selection(&self) -> String {
        let fallback = self.fallback.borrow().clone();
        fallback.unwrap_or_else(|| self.selection.clone())
    }

    fn connect_pinned(&self, pinned: &PinnedDaemon) -> Result<DaemonConnection, ClientError> {
        if !select::is_named(&self.global) {
            self.warn(select::check_unrelated(self.impact, &pinned.config)?);
        }
        let trust = self.trust()?;
        let trust = match pinned.uid {
            Some(uid) => trust.and(uid),
            None => trust,
        };
        match DaemonConnection::open(&pinned.socket, &trust) {
            Err(ClientError::NotRunning(_)) => Err(ClientError::NoDaemon(format!(
                "the daemon of this shell ('{0}') is not running; start it again: up -c {0}",
                printable(&pinned.config.to_string_lossy())
            ))),
            connection => connection,
        }
    }

    /// The users whose daemons may get requests.
    ///
    /// # Errors
    /// When `--daemon-user` names no user.
    pub(crate) fn trust(&self) -> Result<Trust, ClientError> {
        Trust::from_option(self.global.daemon_user.as_deref())
    }

    fn warn(&self, warning: Option<String>) {
        if let Some(text) = warning.filter(|_| !self.global.quiet && !self.global.json)
            && self.printed.borrow_mut().insert(text.clone())
        {
            self.notice(&format!("tm: {text}"));
        }
    }

    /// Returns the signal that ended the verb in the control shell, if any.
    pub(crate) fn interrupted(&self) -> Option<i32> {
        self.shell.as_ref()?.interrupts.last()
    }

    /// Connects, calls and prints the reply: as JSON, or by `render`.
    ///
    /// # Errors
    /// When the connection, the call or the output fails.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        call: &Call,
        render: impl FnOnce(&T) -> Vec<String>,
    ) -> Result<T, ClientError> {
        let value = self.connect()?.call_value(call)?;
        if self.global.json {
            self.print_json(&value)?;
        }
        let reply: T = self.read(value)?;
        if !self.global.json {
            self.print_lines(&render(&reply))?;
        }
        Ok(reply)
    }

    /// Returns the state of all processes.
    ///
    /// # Errors
    /// When the connection or the call fails.
    pub(crate) fn status_of_all(&self) -> Result<StatusReply, ClientError> {
        self.status_of(&or_all(&[]))
    }

    /// Returns the state of these processes.
    ///
    /// # Errors
    /// When the connection or the call fails.
    pub(crate) fn status_of(&self, targets: &[String]) -> Result<StatusReply, ClientError> {
        let call = Call::Status(TargetsParams {
            targets: targets.to_vec(),
        });
        self.read(self.connect()?.call_value(&call)?)
    }

    /// Reads a reply that is printed: with `--json` as it was sent, else safe to print.
    ///
    /// # Errors
    /// `Protocol` when the value has another form.
    pub(crate) fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, ClientError> {
        match self.global.json {
            true => parse_as_sent(value),
            false => parse(value),
        }
    }

    /// Prints lines to standard output. A newline within one is escaped.
    ///
    /// # Errors
    /// `OutputClosed` when the reader has closed it.
    pub(crate) fn print_lines<S: AsRef<str>>(&self, lines: &[S]) -> Result<(), ClientError> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&self.style.safe(line.as_ref()));
            text.push('\n');
        }
        write_stdout(text.as_bytes())
    }

    /// Prints lines, broken at blanks where they are wider than the terminal.
    ///
    /// # Errors
    /// `OutputClosed` when the reader has closed it.
    pub(crate) fn print_wrapped<S: AsRef<str>>(&self, lines: &[S]) -> Result<(), ClientError> {
        self.print_lines(&self.wrapped(lines))
    }

    /// Breaks lines at blanks where they are wider than the terminal.
    pub(crate) fn wrapped<S: AsRef<str>>(&self, lines: &[S]) -> Vec<String> {
        let width = self.line_width().unwrap_or(usize::MAX);
        let lines = lines.iter().flat_map(|line| wrap(line.as_ref(), width));
        lines.collect()
    }

    /// The columns of the terminal, if standard output is one.
    pub(crate) fn line_width(&self) -> Option<usize> {
        stdout_width().filter(|_| !self.global.json)
    }

    /// Prints one value as one line of JSON.
    ///
    /// # Errors
    /// `OutputClosed` when the reader has closed it.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), ClientError> {
        let line = serde_json::to_string(value)
            .map_err(|error| ClientError::Failed(format!("cannot write JSON: {error}")))?;
        write_stdout(format!("{}\n", printable_json(&line)).as_bytes())
    }

    /// Prints a notice to standard error, unless `-q` or `--json` is given.
    pub(crate) fn notice(&self, text: &str) {
        if !self.global.quiet && !self.global.json {
            let text = &self.copyable(text);
            // A closed standard error is no reason to fail.
            let _ = writeln!(std::io::stderr(), "{}", for_stderr(&printable_lines(text)));
        }
    }

    /// Prints an error to standard error, as JSON with `--json`.
    pub(crate) fn report(&self, error: &ClientError) {
        if error.is_silent() {
            return;
        }
        let text = match self.global.json {
            true => printable_json(&error.to_json().to_string()),
            false => {
                let text = match error {
                    ClientError::Usage(text) => text.clone(),
                    error => self.copyable(&error.to_string()),
                };
                for_stderr(&printable_lines(&format!("tm: {text}")))
            }
        };
        // The terminal has shown ^C within the line.
        let interrupted = matches!(error, ClientError::Interrupted { .. });
        let start = match interrupted && std::io::stderr().is_terminal() {
            true => "\n",
            false => "",
        };
        let _ = writeln!(std::io::stderr(), "{start}{text}");
    }

    /// Records that the verb reports every event, so that the control shell shows none twice.
    pub(crate) fn reports_events(&self) {
        if let Some(shell) = &self.shell {
            shell.events.report_all();
        }
    }

    /// Returns a message whose commands reach the same daemon.
    pub(crate) fn copyable(&self, text: &str) -> String {
        copied_commands::with_selection(text, &self.selection())
    }

    /// Whether standard output can show a live display.
    pub(crate) fn is_terminal(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        std::io::stdout().is_terminal() && !dumb && !self.global.json
    }
}

impl Shell {
    /// Creates a shell without a daemon.
    pub(crate) fn new(interrupts: Interrupts) -> Shell {
        Shell {
            interrupts,
            ..Shell::default()
        }
    }

    /// The config of the daemon that the shell has reached.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.pinned.get().map(|pinned| pinned.config.as_path())
    }

    /// Returns a shell without a daemon, for a line that names its own.
    pub(crate) fn unpinned(&self) -> Shell {
        Shell::new(self.interrupts.clone())
    }
}

/// The columns of the terminal that standard output is.
pub(crate) fn stdout_width() -> Option<usize> {
    let out = std::io::stdout();
    let size = out
        .is_terminal()
        .then(|| tty::window_size(out.as_fd()).ok())?;
    size.map(|(_, cols)| usize::from(cols))
        .filter(|cols| *cols > 0)
}

/// Writes and flushes standard output.
///
/// # Errors
/// `OutputClosed` when the reader has closed it.
pub(crate) fn write_stdout(bytes: &[u8]) -> Result<(), ClientError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(unwritten)
}

/// Returns the failure to write to standard output. A reader that has left is no reason to fail.
pub(crate) fn unwritten(error: std::io::Error) -> ClientError {
    match error.kind() {
        ErrorKind::BrokenPipe => ClientError::OutputClosed,
        _ => ClientError::Failed(format!("cannot write to standard output: {error}")),
    }
}

/// Returns the targets, or `all` if there are none.
pub(crate) fn or_all(targets: &[String]) -> Vec<String> {
    match targets.is_empty() {
        true => vec!["all".to_string()],
        false => targets.to_vec(),
    }
}
