//! What every verb gets: the flags, the way to the daemon, and where to print.

use crate::client::cli::command::Global;
use crate::client::daemon::daemon_connection::Connection;
use crate::client::daemon::select::{self, Impact};
use crate::client::error::ClientError;
use crate::client::shell::interrupts::Interrupts;
use crate::client::ui::fatal_signals::deadly;
use crate::client::ui::style::Style;
use crate::wire::Call;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The surroundings of a verb.
#[derive(Debug, Clone)]
pub struct Context {
    /// Flags of every verb.
    pub global: Global,
    /// Colour of standard output.
    pub style: Style,
    /// What the verb does to the daemon it finds.
    pub impact: Impact,
    /// What the control shell adds, when the verb was typed in one.
    pub shell: Option<Shell>,
}

/// What holds for all lines of a control shell.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// The signals that came.
    pub interrupts: Interrupts,
    /// The daemon it was opened on: it stays with this one.
    home: Arc<OnceLock<Home>>,
}

#[derive(Debug)]
struct Home {
    socket: PathBuf,
    config: String,
}

impl Context {
    /// From the flags and the terminal.
    pub fn new(global: Global) -> Context {
        let style = if global.json {
            Style::plain()
        } else {
            Style::stdout()
        };
        Context {
            global,
            style,
            impact: Impact::Looks,
            shell: None,
        }
    }

    /// The same for a verb that does this.
    pub fn with_impact(self, impact: Impact) -> Context {
        Context { impact, ..self }
    }

    /// Connects to the daemon that is meant. In the control shell Ctrl-C ends the connection and
    /// so the verb, not the shell.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn connect(&self) -> Result<Connection, ClientError> {
        let mut connection = self.connect_unguarded()?;
        if self.shell.is_some() {
            connection.guard(&deadly());
        }
        match self.interrupted() {
            // It came before there was anything to close.
            Some(signal) => Err(ClientError::GivenUp {
                signal,
                goes_on: false,
            }),
            None => Ok(connection),
        }
    }

    /// The same for what goes on beside the verbs.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn connect_unguarded(&self) -> Result<Connection, ClientError> {
        match &self.shell {
            Some(shell) => shell.connect(&self.global, self.impact),
            None => select::connect(&self.global, self.impact),
        }
    }

    /// Whether a signal ended the verb in the control shell.
    pub fn interrupted(&self) -> Option<i32> {
        self.shell.as_ref()?.interrupts.last()
    }

    /// Connects, calls and prints the answer: as JSON, or by `render`.
    ///
    /// # Errors
    /// Of the connection, the call or the output.
    pub fn ask<T: DeserializeOwned>(
        &self,
        call: &Call,
        render: impl FnOnce(&T) -> Vec<String>,
    ) -> Result<T, ClientError> {
        let value = self.connect()?.call_value(call)?;
        if self.global.json {
            self.print_json(&value)?;
        }
        let reply: T = parse(value)?;
        if !self.global.json {
            self.print_lines(&render(&reply))?;
        }
        Ok(reply)
    }

    /// Prints lines to standard output.
    ///
    /// # Errors
    /// `OutputClosed` when nobody reads any more.
    pub fn print_lines<S: AsRef<str>>(&self, lines: &[S]) -> Result<(), ClientError> {
        let mut text = String::new();
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
        }
        write_stdout(text.as_bytes())
    }

    /// Prints one value as one line of JSON.
    ///
    /// # Errors
    /// `OutputClosed` when nobody reads any more.
    pub fn print_json(&self, value: &impl Serialize) -> Result<(), ClientError> {
        let line = serde_json::to_string(value)
            .map_err(|error| ClientError::Failed(format!("no JSON: {error}")))?;
        self.print_lines(&[line])
    }

    /// Something worth knowing that was not asked for: to standard error, unless `-q`.
    pub fn notice(&self, text: &str) {
        if !self.global.quiet && !self.global.json {
            // Nothing is left to tell anybody whose standard error is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Prints an error to standard error, as JSON with `--json`.
    pub fn report(&self, error: &ClientError) {
        if error.is_silent() {
            return;
        }
        let text = if self.global.json {
            error.to_json().to_string()
        } else {
            format!("tm: {error}")
        };
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Whether a live display makes sense.
    pub fn is_terminal(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        std::io::stdout().is_terminal() && !dumb && !self.global.json
    }
}

impl Shell {
    /// A shell that knows no daemon yet.
    pub fn new(interrupts: Interrupts) -> Shell {
        Shell {
            interrupts,
            ..Shell::default()
        }
    }

    /// The same for a line that names another daemon.
    pub fn elsewhere(&self) -> Shell {
        Shell::new(self.interrupts.clone())
    }

    /// The daemon of this shell, which is the first that it found.
    fn connect(&self, global: &Global, impact: Impact) -> Result<Connection, ClientError> {
        if let Some(home) = self.home.get() {
            if !select::is_named(global) {
                select::check_stranger(global, impact, &home.config)?;
            }
            return match Connection::open(&home.socket) {
                Err(ClientError::NotRunning(_)) => Err(ClientError::NoDaemon(format!(
                    "the daemon of this shell ({}) does not run; up -c {0} starts it again",
                    home.config
                ))),
                connection => connection,
            };
        }
        let mut connection = select::connect(global, impact)?;
        // One that does not even say hello is nobody to stay with.
        if let Ok(hello) = connection.hello() {
            let _ = self.home.set(Home {
                socket: connection.path().to_path_buf(),
                config: hello.config,
            });
        }
        Ok(connection)
    }
}

/// Writes and flushes standard output.
///
/// # Errors
/// `OutputClosed` when nobody reads any more.
pub fn write_stdout(bytes: &[u8]) -> Result<(), ClientError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => ClientError::OutputClosed,
        _ => ClientError::Failed(format!("standard output: {error}")),
    })
}

/// The targets, `all` when there are none.
pub fn or_all(targets: &[String]) -> Vec<String> {
    if targets.is_empty() {
        vec!["all".to_string()]
    } else {
        targets.to_vec()
    }
}

/// An answer in its type.
///
/// # Errors
/// When it makes no sense.
pub fn parse<T: DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value)
        .map_err(|error| ClientError::Protocol(format!("an answer that makes no sense: {error}")))
}
