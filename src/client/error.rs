//! The errors of a verb and their exit codes.

use crate::text::printable::{escape_texts, printable};
use crate::wire::{RpcError, code};
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// Exit codes of `tm`.
pub(crate) mod exit {
    /// The verb succeeded.
    pub(crate) const DONE: i32 = 0;
    /// The verb failed.
    pub(crate) const FAILED: i32 = 1;
    /// The command line is invalid, or `reload --dry-run` found changes.
    pub(crate) const USAGE: i32 = 2;
    /// `status` found a requested process that is not RUNNING.
    pub(crate) const NOT_RUNNING: i32 = 3;
    /// No daemon was reached.
    pub(crate) const NO_DAEMON: i32 = 4;
    /// The caller lacks the permission.
    pub(crate) const DENIED: i32 = 5;
    /// The wait timed out.
    pub(crate) const TIMEOUT: i32 = 124;
    /// `attach` lost the connection to the daemon.
    pub(crate) const LOST: i32 = 255;
}

/// The reason why a verb failed.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// No daemon listens on this socket.
    NotRunning(MissingDaemon),
    /// The daemon to talk to is missing or ambiguous. The text is the message.
    NoDaemon(String),
    /// The caller may not use the socket or a file. The text is the message.
    Denied(String),
    /// The connection to the daemon was lost.
    Disconnected,
    /// The peer speaks another protocol. The text is the message.
    Protocol(String),
    /// A signal interrupted the wait for a reply.
    Interrupted {
        /// The number of the signal.
        signal: i32,
        /// The daemon continues with the requested operation.
        continues: bool,
    },
    /// The daemon replied with an error.
    Rpc(RpcError),
    /// Another failure. The text is the message.
    Failed(String),
    /// The command line is invalid. The text is the message.
    Usage(String),
    /// The reader of standard output closed it. This counts as success.
    OutputClosed,
    /// The error was printed already. Only the exit code remains.
    AlreadyReported(i32),
}

/// The daemon that is not running.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MissingDaemon {
    /// Its socket.
    pub(crate) socket: PathBuf,
    /// Its config, if the user named it.
    pub(crate) config: Option<PathBuf>,
}

impl fmt::Display for MissingDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.config {
            Some(config) => write!(f, "no daemon runs for '{}'", config.display()),
            None => write!(f, "no daemon listens at '{}'", self.socket.display()),
        }
    }
}

impl ClientError {
    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            ClientError::NotRunning(_) | ClientError::NoDaemon(_) | ClientError::Disconnected => {
                exit::NO_DAEMON
            }
            ClientError::Denied(_) => exit::DENIED,
            ClientError::Protocol(_) | ClientError::Failed(_) => exit::FAILED,
            ClientError::Rpc(error) if error.code == code::PERMISSION => exit::DENIED,
            ClientError::Rpc(error) if error.code == code::INVALID_PARAMS => exit::USAGE,
            ClientError::Rpc(_) => exit::FAILED,
            ClientError::Usage(_) => exit::USAGE,
            ClientError::Interrupted { signal, .. } => 128 + signal,
            ClientError::OutputClosed => exit::DONE,
            ClientError::AlreadyReported(code) => *code,
        }
    }

    /// Returns the error as an object, for `--json`.
    pub(crate) fn to_json(&self) -> Value {
        // JSON has escapes of its own.
        let text = match self {
            ClientError::Rpc(error) => rpc_text(error),
            error => error.to_string(),
        };
        // The usage lines after the message are for people.
        let message = match self {
            ClientError::Usage(_) => text.split("\n\n").next().unwrap_or_default(),
            _ => text.as_str(),
        };
        let mut error = json!({"exit": self.exit_code(), "message": message});
        if let ClientError::Rpc(rpc) = self {
            error["code"] = json!(rpc.code);
            error["data"] = json!(rpc.data);
        }
        json!({ "error": error })
    }

    /// Returns the error with a tip, if the process that does not exist is a file here: the shell
    /// has expanded a pattern.
    #[must_use]
    pub(crate) fn about_files(mut self) -> ClientError {
        if let ClientError::Rpc(error) = &mut self
            && error.code == code::NOT_FOUND
            && let Some(target) = error.data.as_ref().and_then(|data| data["target"].as_str())
            && !target.is_empty()
            && Path::new(target).symlink_metadata().is_ok()
        {
            let message = error.message.split("; ").next().unwrap_or_default();
            error.message = format!("{message}; it is a file here: quote a pattern, as in '*'");
        }
        self
    }

    /// Whether there is nothing to print.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(
            self,
            ClientError::OutputClosed | ClientError::AlreadyReported(_)
        )
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NotRunning(missing) => match &missing.config {
                Some(config) => write!(f, "{missing}; start it: tm up -c {}", config.display()),
                None => write!(f, "{missing}; start one: tm up -c FILE"),
            },
            ClientError::NoDaemon(text)
            | ClientError::Denied(text)
            | ClientError::Protocol(text)
            | ClientError::Failed(text)
            | ClientError::Usage(text) => f.write_str(text),
            ClientError::Disconnected => {
                f.write_str("lost the connection to the daemon; see whether it runs: tm daemons")
            }
            ClientError::Interrupted {
                continues: false, ..
            } => f.write_str("cancelled"),
            ClientError::Interrupted {
                continues: true, ..
            } => f.write_str("cancelled; the operation continues in the background"),
            ClientError::Rpc(error) => f.write_str(&rpc_text(&printable_error(error))),
            ClientError::OutputClosed | ClientError::AlreadyReported(_) => Ok(()),
        }
    }
}

impl std::error::Error for ClientError {}

/// Returns an error of the daemon whose texts are safe to print.
fn printable_error(error: &RpcError) -> RpcError {
    let mut data = error.data.clone();
    data.iter_mut().for_each(escape_texts);
    RpcError {
        code: error.code,
        message: printable(&error.message),
        data,
    }
}

/// Returns the message, and each problem of a config on an indented line of its own. A suggestion
/// is added unless the message contains it.
fn rpc_text(error: &RpcError) -> String {
    let mut text = error.message.clone();
    let Some(data) = &error.data else {
        return text;
    };
    if let Some(diagnostics) = data["diagnostics"].as_array() {
        for diagnostic in diagnostics {
            text.push_str(&format!("\n  {}", diagnostic_line(diagnostic)));
        }
    }
    if let Some(name) = data["suggestion"].as_str()
        && !error.message.contains(name)
    {
        text.push_str(&format!("; did you mean {name}?"));
    }
    text
}

/// Formats a problem of a config, which is a text or an object with its location.
fn diagnostic_line(diagnostic: &Value) -> String {
    if let Some(text) = diagnostic.as_str() {
        return text.to_string();
    }
    let text = |key: &str| diagnostic[key].as_str().unwrap_or_default();
    let mut line = text("file").to_string();
    if let (Some(row), Some(column)) = (diagnostic["line"].as_u64(), diagnostic["column"].as_u64())
        && row > 0
    {
        line.push_str(&format!(":{row}:{column}"));
    }
    let parts = [text("severity"), text("key"), text("message")];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(part);
    }
    match text("help") {
        "" => line,
        help => format!("{line} ({help})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_match_the_manual() {
        let rpc = |code| ClientError::Rpc(RpcError::new(code, "x")).exit_code();
        assert_eq!(rpc(code::NOT_FOUND), 1);
        assert_eq!(rpc(code::PERMISSION), 5);
        assert_eq!(rpc(code::WRONG_STATE), 1);
        assert_eq!(ClientError::Disconnected.exit_code(), 4);
        assert_eq!(
            ClientError::NotRunning(MissingDaemon::default()).exit_code(),
            4
        );
        assert_eq!(ClientError::Usage(String::new()).exit_code(), 2);
    }

    #[test]
    fn no_text_of_a_daemon_begins_a_line() {
        let (evil, safe) = ("a\nb\u{1b}[31m\u{202e}", "a\\nb\\u{1b}[31m\\u{202e}");
        let error = RpcError::new(code::INVALID_CONFIG, evil)
            .with_data(json!({"diagnostics": [evil, {"message": evil}], "suggestion": "c\nd"}));
        let error = ClientError::Rpc(error);
        let text = error.to_string();
        let wanted = format!("{safe}\n  {safe}\n  {safe}; did you mean c\\nd?");
        assert_eq!(text, wanted);
        let json = error.to_json();
        let message = json["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(evil), "JSON has escapes of its own");
    }

    #[test]
    fn problems_and_suggestions_are_shown() {
        let error = RpcError::new(code::NOT_FOUND, "no such process: wrker")
            .with_data(json!({"suggestion": "worker"}));
        let text = ClientError::Rpc(error).to_string();
        assert_eq!(text, "no such process: wrker; did you mean worker?");
        let error = RpcError::new(code::INVALID_CONFIG, "invalid config").with_data(
            json!({"diagnostics": ["a.yaml: error: x", {"file": "b.yaml", "line": 3, "column": 5,
                "severity": "error", "key": "programs.a", "message": "m", "help": "h"}]}),
        );
        let text = ClientError::Rpc(error).to_string();
        let wanted = "invalid config\n  a.yaml: error: x\n  \
            b.yaml:3:5: error: programs.a: m (h)";
        assert_eq!(text, wanted);
    }
}
