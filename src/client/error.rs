//! Why a verb did not do its work, and the exit code that tells it.

use crate::wire::{RpcError, code};
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;

/// Exit codes of `tm`.
pub mod exit {
    /// Done.
    pub const DONE: i32 = 0;
    /// Failed.
    pub const FAILED: i32 = 1;
    /// Usage; also changes of `reload --dry-run`.
    pub const USAGE: i32 = 2;
    /// `status` of something not RUNNING.
    pub const NOT_RUNNING: i32 = 3;
    /// No daemon reached.
    pub const NO_DAEMON: i32 = 4;
    /// Permission denied.
    pub const DENIED: i32 = 5;
    /// The time was over.
    pub const TIMEOUT: i32 = 124;
    /// `attach` lost its daemon.
    pub const LOST: i32 = 255;
}

/// What went wrong.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens at this socket.
    NotRunning(PathBuf),
    /// No daemon was found, or too many; in words.
    NoDaemon(String),
    /// The socket, or something else, may not be used.
    Denied(String),
    /// The daemon went away.
    Lost,
    /// The daemon speaks another protocol, or none.
    Protocol(String),
    /// A signal ended the waiting for an answer.
    GivenUp {
        /// Which.
        signal: i32,
        /// Something was asked for that goes on.
        goes_on: bool,
    },
    /// The daemon's answer is an error.
    Rpc(RpcError),
    /// Anything else; in words.
    Failed(String),
    /// The command line makes no sense.
    Usage(String),
    /// Nobody reads the output any more, which is no error.
    OutputClosed,
    /// Everything has been said already; only the exit code is left.
    Silent(i32),
}

impl ClientError {
    /// The exit code.
    pub fn exit_code(&self) -> i32 {
        match self {
            ClientError::NotRunning(_) | ClientError::NoDaemon(_) | ClientError::Lost => {
                exit::NO_DAEMON
            }
            ClientError::Denied(_) => exit::DENIED,
            ClientError::Protocol(_) | ClientError::Failed(_) => exit::FAILED,
            ClientError::Rpc(error) if error.code == code::PERMISSION => exit::DENIED,
            ClientError::Rpc(error) if error.code == code::INVALID_PARAMS => exit::USAGE,
            ClientError::Rpc(_) => exit::FAILED,
            ClientError::Usage(_) => exit::USAGE,
            ClientError::GivenUp { signal, .. } => 128 + signal,
            ClientError::OutputClosed => exit::DONE,
            ClientError::Silent(code) => *code,
        }
    }

    /// The error as an object, for `--json`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({"exit": self.exit_code(), "message": self.to_string()});
        if let ClientError::Rpc(rpc) = self {
            error["code"] = json!(rpc.code);
            error["data"] = json!(rpc.data);
        }
        json!({ "error": error })
    }

    /// Whether there is something to say.
    pub fn is_silent(&self) -> bool {
        matches!(self, ClientError::OutputClosed | ClientError::Silent(_))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NotRunning(path) => {
                write!(
                    f,
                    "no daemon runs at {}; start one with tm up",
                    path.display()
                )
            }
            ClientError::NoDaemon(text)
            | ClientError::Denied(text)
            | ClientError::Protocol(text)
            | ClientError::Failed(text)
            | ClientError::Usage(text) => f.write_str(text),
            ClientError::Lost => f.write_str("the daemon went away"),
            ClientError::GivenUp { goes_on: false, .. } => f.write_str("given up waiting"),
            ClientError::GivenUp { goes_on: true, .. } => {
                f.write_str("given up waiting; what was asked for goes on")
            }
            ClientError::Rpc(error) => write_rpc(f, error),
            ClientError::OutputClosed | ClientError::Silent(_) => Ok(()),
        }
    }
}

impl std::error::Error for ClientError {}

/// The message, each problem of a config on its own line, and a suggestion when there is one and
/// the message does not name it.
fn write_rpc(f: &mut fmt::Formatter<'_>, error: &RpcError) -> fmt::Result {
    f.write_str(&error.message)?;
    let Some(data) = &error.data else {
        return Ok(());
    };
    if let Some(diagnostics) = data["diagnostics"].as_array() {
        for diagnostic in diagnostics {
            write!(f, "\n  {}", diagnostic_line(diagnostic))?;
        }
    }
    match data["suggestion"].as_str() {
        Some(name) if !error.message.contains(name) => write!(f, "; did you mean {name}?"),
        _ => Ok(()),
    }
}

/// One problem of a config, which is a text or an object with its place.
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
    fn codes_are_those_of_the_manual() {
        let rpc = |code| ClientError::Rpc(RpcError::new(code, "x")).exit_code();
        assert_eq!(rpc(code::NOT_FOUND), 1);
        assert_eq!(rpc(code::PERMISSION), 5);
        assert_eq!(rpc(code::WRONG_STATE), 1);
        assert_eq!(ClientError::Lost.exit_code(), 4);
        assert_eq!(ClientError::NotRunning(PathBuf::new()).exit_code(), 4);
        assert_eq!(ClientError::Usage(String::new()).exit_code(), 2);
    }

    #[test]
    fn problems_and_suggestions_are_shown() {
        let error = RpcError::new(code::NOT_FOUND, "no such process: wrker")
            .with_data(json!({"suggestion": "worker"}));
        let text = ClientError::Rpc(error).to_string();
        assert_eq!(text, "no such process: wrker; did you mean worker?");
        let error = RpcError::new(code::INVALID_CONFIG, "the config does not hold").with_data(
            json!({"diagnostics": ["a.yaml: error: x", {"file": "b.yaml", "line": 3, "column": 5,
                "severity": "error", "key": "programs.a", "message": "m", "help": "h"}]}),
        );
        let text = ClientError::Rpc(error).to_string();
        let wanted = "the config does not hold\n  a.yaml: error: x\n  \
            b.yaml:3:5: error: programs.a: m (h)";
        assert_eq!(text, wanted);
    }
}
