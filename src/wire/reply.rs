//! The results of the methods, and events. Fields are only ever added.

use super::process_state::ProcessState;
use serde::{Deserialize, Serialize};

/// Result of `hello`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HelloReply {
    /// `tmd`.
    pub name: String,
    /// The daemon's version.
    pub version: String,
    /// The protocol version.
    pub protocol: u32,
    /// See `wire::FEATURES`.
    pub features: Vec<String>,
    /// The daemon's process id.
    pub pid: i32,
    /// The config file in use.
    pub config: String,
    /// The user id of the daemon.
    pub uid: u32,
    /// Start time of the daemon, RFC 3339.
    pub started_at: String,
    /// Whether it is shutting down.
    pub shutting_down: bool,
}

/// How a run ended: exactly one of the two is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExitInfo {
    /// The exit code.
    pub code: Option<i32>,
    /// The signal's number.
    pub signal: Option<i32>,
}

impl ExitInfo {
    /// The exit of a process that could not be started.
    pub(crate) fn of_failure() -> ExitInfo {
        ExitInfo {
            code: Some(1),
            signal: None,
        }
    }

    /// The code that a shell reports: the exit code, or 128 + signal.
    pub(crate) fn shell_code(self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(0))
    }
}

/// One row of `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStatus {
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Name of the program.
    pub program: String,
    /// Index in the program.
    pub instance: u32,
    /// The state.
    pub state: ProcessState,
    /// `up` or `down`.
    pub desired: String,
    /// The leader's process id while it lives.
    pub pid: Option<i32>,
    /// Uptime of the leader, in seconds.
    pub uptime_s: Option<f64>,
    /// Automatic starts since the last explicit one.
    pub restarts: u32,
    /// Start time of the leader, RFC 3339.
    pub started_at: Option<String>,
    /// How the last run ended.
    pub exit: Option<ExitInfo>,
    /// Of an EXITED process: whether it ended as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<bool>,
    /// A description, in one line.
    pub detail: String,
    /// Whether it has a terminal of its own.
    pub tty: bool,
    /// Whether it draws on the alternate screen of its terminal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub full_screen: bool,
    /// Attached clients.
    pub clients: Vec<ClientInfo>,
    /// Survivors of ended leaders: `pid command`.
    pub stragglers: Vec<String>,
}

/// Result of `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReply {
    /// Processes in the config's order.
    pub processes: Vec<ProcessStatus>,
}

/// The result of a request for one process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Whether the requested state was reached.
    pub ok: bool,
    /// The current state.
    pub state: ProcessState,
    /// Pid of the living leader.
    pub pid: Option<i32>,
    /// How the last run ended.
    pub exit: Option<ExitInfo>,
    /// A description, in one line.
    pub message: String,
}

/// Result of `start`, `stop`, `restart`, `signal` and `wait`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActReply {
    /// One entry for each process.
    pub processes: Vec<Outcome>,
    /// Whether the request timed out.
    pub timed_out: bool,
}

/// Result of `send`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SendReply {
    /// Bytes accepted: all of them, or the request fails.
    pub bytes: usize,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeInfo {
    /// The config key.
    pub key: String,
    /// The current value; empty if hidden.
    pub from: String,
    /// The new value; empty if hidden.
    pub to: String,
    /// It applies at the next start of the process, which is not up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub next_start: bool,
}

/// The effect of a reload on one process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanEntryInfo {
    /// `PROGRAM:INDEX`.
    pub process: String,
    /// `add`, `remove`, `restart`, `live` or `unchanged`.
    pub action: String,
    /// Changed keys, for `restart` and `live`.
    pub changes: Vec<ChangeInfo>,
}

/// Result of `reload` and `scale`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanReply {
    /// One entry for each process.
    pub entries: Vec<PlanEntryInfo>,
    /// Whether the plan was applied; false with `dry_run`.
    pub applied: bool,
    /// Warnings about the config, as text.
    pub warnings: Vec<String>,
    /// The programs of which a reload undoes a `scale`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scaled: Vec<String>,
}

/// Result of `why`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WhyReply {
    /// The process, as in `status`.
    pub process: ProcessStatus,
    /// The state, in one sentence.
    pub summary: String,
    /// The chain of causes, the nearest first.
    pub causes: Vec<String>,
    /// The next change, and when it is due.
    pub next: String,
    /// The most likely fix.
    pub remedy: Option<String>,
    /// The last lines of its output.
    pub output: Vec<String>,
    /// Whether that is output of the run before, since this one has printed nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub earlier_output: bool,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventInfo {
    /// Time of the event, RFC 3339.
    pub ts: String,
    /// `process_state`, `process_started`, `process_paused`, `process_continued`,
    /// `process_removed`, `signal_failed`, `stragglers_signalled`, `reload`, `reload_failed`,
    /// `shutdown`, `output_stalled`, `output_lost`, `log_failing`, `log_working`, `events_lost`.
    pub event: String,
    /// The process concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The state left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ProcessState>,
    /// The state entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<ProcessState>,
    /// Pid of the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How the leader ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitInfo>,
    /// With `exit`: the offset behind the last output of the run, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_end: Option<u64>,
    /// With `events_lost`: how many events the client has missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Whether the start has succeeded; missing while that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// A description, in one line.
    pub detail: String,
}

/// Result of `events`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsReply {
    /// The latest events, oldest first.
    pub events: Vec<EventInfo>,
}

/// One line of `logs` as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// `PROGRAM:INDEX`.
    pub process: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Arrival of its first byte, RFC 3339.
    pub ts: String,
    /// The line without its newline; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Result of `logs` without `follow` or `frames`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogsReply {
    /// Lines in order of arrival.
    pub lines: Vec<LogLine>,
    /// Whether older lines were omitted to keep the reply within its limit.
    pub truncated: bool,
}

/// Result of `attach`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AttachReply {
    /// `PROGRAM:INDEX`.
    pub process: String,
    /// Whether it has a terminal of its own.
    pub tty: bool,
    /// Whether the process reads typed input.
    pub input: bool,
    /// Pid of the living leader.
    pub pid: Option<i32>,
    /// The state.
    pub state: ProcessState,
    /// Whether this client is the driver.
    pub driver: bool,
    /// Whether the daemon accepts `Redraw` frames.
    pub redraws: bool,
    /// The process has ended: its last run's output and exit follow at once.
    #[serde(skip_serializing_if = "is_false")]
    pub ended: bool,
}

/// Payload of a `Role` frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleInfo {
    /// Whether this client is the driver.
    pub driver: bool,
    /// Number of attached clients.
    pub clients: usize,
    /// Rows of the process's terminal; 0 from a daemon that does not send them.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows: u16,
    /// Columns of the process's terminal.
    #[serde(skip_serializing_if = "is_zero")]
    pub cols: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// Payload of a `Source` frame: the source of the next data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceInfo {
    /// `PROGRAM:INDEX`.
    pub process: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Unix time of the first byte that follows, in nanoseconds.
    pub time_ns: u64,
}

/// Attached clients.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInfo {
    /// Name of the process.
    pub process: String,
    /// Process id of the client.
    pub pid: i32,
    /// User id of the client.
    pub uid: u32,
    /// Whether it is the driver.
    pub driver: bool,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Size of its terminal.
    pub rows: u16,
    /// Size of its terminal.
    pub cols: u16,
    /// Time of attaching, RFC 3339.
    pub since: String,
}

/// Result of `clients`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientsReply {
    /// Clients in order of attaching.
    pub clients: Vec<ClientInfo>,
}

/// Result of `detach`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DetachReply {
    /// Number of detached clients.
    pub detached: usize,
    /// Number of clients that are still attached.
    #[serde(skip_serializing_if = "is_zero")]
    pub attached: usize,
    /// `PROGRAM:INDEX`.
    pub process: String,
}

/// Result of `peek`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PeekReply {
    /// Size of the screen.
    pub rows: u16,
    /// Size of the screen.
    pub cols: u16,
    /// Row and column of the cursor, from 0.
    pub cursor: (u16, u16),
    /// Lines of the screen, trailing blanks removed.
    pub lines: Vec<String>,
    /// The terminal's title.
    pub title: String,
    /// Whether the alternate screen is shown.
    pub alternate_screen: bool,
    /// The requested number of lines above the screen, with colours. For a process on the alternate
    /// screen: lines above its main screen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
}

/// One line of `doctor`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorCheck {
    /// Name of the check.
    pub name: String,
    /// Whether no fallback is needed.
    pub ok: bool,
    /// The finding, and the fallback in use.
    pub detail: String,
}

/// Result of `doctor`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorReply {
    /// The kernel's release.
    pub kernel: String,
    /// Checks in a fixed order.
    pub checks: Vec<DoctorCheck>,
}

impl DoctorReply {
    /// Builds a reply from the name, result and detail of each check.
    pub(crate) fn new(kernel: String, checks: Vec<(&str, bool, String)>) -> DoctorReply {
        let check = |(name, ok, detail): (&str, bool, String)| DoctorCheck {
            name: name.to_string(),
            ok,
            detail,
        };
        DoctorReply {
            kernel,
            checks: checks.into_iter().map(check).collect(),
        }
    }
}
