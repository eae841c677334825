//! The states of a process as sent.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A state, by its name. A peer of another version may know more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ProcessState {
    /// Stopped, or never started.
    Stopped,
    /// Starts once its conditions are met.
    Waiting,
    /// Started, not yet up for `starttime`.
    Starting,
    /// Up for at least `starttime`.
    Running,
    /// A start failed; the next attempt waits for its delay.
    Backoff,
    /// A stop was requested; the process is not down yet.
    Stopping,
    /// Exited on its own; the policy asks for no restart.
    Exited,
    /// No retry is left.
    Fatal,
    /// Any other name.
    Other(String),
}

impl ProcessState {
    const KNOWN: [ProcessState; 8] = [
        ProcessState::Stopped,
        ProcessState::Waiting,
        ProcessState::Starting,
        ProcessState::Running,
        ProcessState::Backoff,
        ProcessState::Stopping,
        ProcessState::Exited,
        ProcessState::Fatal,
    ];

    /// Whether no leader is up or about to start.
    pub(crate) fn is_down(&self) -> bool {
        matches!(
            self,
            ProcessState::Stopped | ProcessState::Exited | ProcessState::Fatal
        )
    }

    /// The name, in capitals.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            ProcessState::Stopped => "STOPPED",
            ProcessState::Waiting => "WAITING",
            ProcessState::Starting => "STARTING",
            ProcessState::Running => "RUNNING",
            ProcessState::Backoff => "BACKOFF",
            ProcessState::Stopping => "STOPPING",
            ProcessState::Exited => "EXITED",
            ProcessState::Fatal => "FATAL",
            ProcessState::Other(name) => name,
        }
    }
}

/// An empty name, for replies that leave the state out.
impl Default for ProcessState {
    fn default() -> Self {
        ProcessState::Other(String::new())
    }
}

impl From<&str> for ProcessState {
    fn from(name: &str) -> ProcessState {
        let known = ProcessState::KNOWN.into_iter();
        let mut found = known.filter(|state| state.as_str() == name);
        let other = || ProcessState::Other(name.to_string());
        found.next().unwrap_or_else(other)
    }
}

impl From<String> for ProcessState {
    fn from(name: String) -> ProcessState {
        ProcessState::from(name.as_str())
    }
}

impl From<ProcessState> for String {
    fn from(state: ProcessState) -> String {
        state.as_str().to_string()
    }
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_is_its_name_on_the_wire() {
        for state in ProcessState::KNOWN {
            let name = json!(state.as_str());
            assert_eq!(serde_json::to_value(&state).ok(), Some(name.clone()));
            assert_eq!(serde_json::from_value(name).ok(), Some(state));
        }
        let unknown: Option<ProcessState> = serde_json::from_value(json!("PAUSED")).ok();
        assert_eq!(unknown, Some(ProcessState::Other("PAUSED".to_string())));
        assert_eq!(json!(ProcessState::default()), json!(""));
    }
}
