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
    /// The protocol it speaks.
    pub protocol: u32,
    /// See [`super::FEATURES`].
    pub features: Vec<String>,
    /// The daemon's process id.
    pub pid: i32,
    /// The config file in use.
    pub config: String,
    /// The user it runs as.
    pub uid: u32,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Whether it is on its way out.
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
    /// What a shell would report: the code, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(0))
    }
}

/// One row of `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStatus {
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// The program.
    pub program: String,
    /// The index.
    pub instance: u32,
    /// Name of the state.
    pub state: ProcessState,
    /// `up` or `down`.
    pub desired: String,
    /// The leader's process id while it lives.
    pub pid: Option<i32>,
    /// How long the leader has lived, in seconds.
    pub uptime_s: Option<f64>,
    /// Automatic starts since the last explicit one.
    pub restarts: u32,
    /// When the leader was started, RFC 3339.
    pub started_at: Option<String>,
    /// How the last run ended.
    pub exit: Option<ExitInfo>,
    /// One line for people.
    pub detail: String,
    /// Whether it has a terminal of its own.
    pub tty: bool,
    /// Who is attached.
    pub clients: Vec<ClientInfo>,
    /// What an ended leader left alive: `pid command`.
    pub stragglers: Vec<String>,
}

/// Result of `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReply {
    /// In the config's order.
    pub processes: Vec<ProcessStatus>,
}

/// What became of one process of a request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Whether what was asked for came true.
    pub ok: bool,
    /// The state it is in now.
    pub state: ProcessState,
    /// The living leader.
    pub pid: Option<i32>,
    /// How the last run ended.
    pub exit: Option<ExitInfo>,
    /// One line for people.
    pub message: String,
}

/// Result of `start`, `stop`, `restart`, `signal` and `wait`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActReply {
    /// One for each process.
    pub processes: Vec<Outcome>,
    /// The time was over first.
    pub timed_out: bool,
}

/// Result of `send`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SendReply {
    /// Bytes taken in; all of them, or the request fails.
    pub bytes: usize,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeInfo {
    /// The config key.
    pub key: String,
    /// The value in force; empty when not shown.
    pub from: String,
    /// The value to come; empty when not shown.
    pub to: String,
}

/// What a reload does to one process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanEntryInfo {
    /// `PROGRAM:INDEX`.
    pub process: String,
    /// `add`, `remove`, `restart`, `live` or `unchanged`.
    pub action: String,
    /// For `restart` and `live`.
    pub changes: Vec<ChangeInfo>,
}

/// Result of `reload` and `scale`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanReply {
    /// One for each process.
    pub entries: Vec<PlanEntryInfo>,
    /// Whether it has been applied (not with `dry_run`).
    pub applied: bool,
    /// Warnings about the config, as text.
    pub warnings: Vec<String>,
}

/// Result of `why`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WhyReply {
    /// The row of `status`.
    pub process: ProcessStatus,
    /// One sentence.
    pub summary: String,
    /// The chain of causes, the nearest first.
    pub causes: Vec<String>,
    /// What happens next, and when.
    pub next: String,
    /// What would help.
    pub remedy: Option<String>,
    /// The last lines of its output.
    pub output: Vec<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventInfo {
    /// When, RFC 3339.
    pub ts: String,
    /// `process_state`, `process_removed`, `signal_failed`, `reload`, `reload_failed`,
    /// `shutdown`, `output_stalled`, `output_lost`, `log_failing`, `log_working`.
    pub event: String,
    /// The process it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The state left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ProcessState>,
    /// The state entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<ProcessState>,
    /// The leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitInfo>,
    /// One line for people.
    pub detail: String,
}

/// Result of `events`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsReply {
    /// The latest, oldest first.
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
    /// When its first byte arrived, RFC 3339.
    pub ts: String,
    /// Without the newline; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Result of `logs` without `follow` or `frames`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogsReply {
    /// In order of arrival.
    pub lines: Vec<LogLine>,
    /// Older lines were left out to keep the answer within a line's bound.
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
    /// Whether what is typed reaches it.
    pub input: bool,
    /// The living leader.
    pub pid: Option<i32>,
    /// Name of the state.
    pub state: ProcessState,
    /// Whether this client drives.
    pub driver: bool,
    /// Whether the daemon takes a `Redraw` frame.
    pub redraws: bool,
}

/// Payload of a `Role` frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleInfo {
    /// Whether this client drives.
    pub driver: bool,
    /// Clients attached in all.
    pub clients: usize,
    /// Rows of the process's terminal; 0 from a daemon that does not tell.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows: u16,
    /// Its columns.
    #[serde(skip_serializing_if = "is_zero")]
    pub cols: u16,
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// Payload of a `Source` frame: whose data follows.
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

/// Who is attached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInfo {
    /// To this process.
    pub process: String,
    /// Process id of the client.
    pub pid: i32,
    /// User id of the client.
    pub uid: u32,
    /// Whether it drives.
    pub driver: bool,
    /// Whether it only looks.
    pub read_only: bool,
    /// Its terminal's size.
    pub rows: u16,
    /// Its terminal's size.
    pub cols: u16,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Result of `clients`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientsReply {
    /// In order of attaching.
    pub clients: Vec<ClientInfo>,
}

/// Result of `detach`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DetachReply {
    /// How many were detached.
    pub detached: usize,
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
    /// The screen's lines, trailing blanks removed.
    pub lines: Vec<String>,
    /// The terminal's title.
    pub title: String,
    /// Whether the alternate screen is shown.
    pub alternate_screen: bool,
    /// The lines above the screen, as many as were asked for, with colours; of a process on the
    /// alternate screen those of its main screen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
}

/// One line of `doctor`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorCheck {
    /// What was looked at.
    pub name: String,
    /// Whether it is as good as it gets.
    pub ok: bool,
    /// What was found, and which fallback is in use.
    pub detail: String,
}

/// Result of `doctor`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorReply {
    /// The kernel's release.
    pub kernel: String,
    /// In a fixed order.
    pub checks: Vec<DoctorCheck>,
}

impl DoctorReply {
    /// Makes a reply from the name, result and detail of each check.
    pub fn new(kernel: String, checks: Vec<(&str, bool, String)>) -> DoctorReply {
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
