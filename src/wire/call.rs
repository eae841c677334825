//! The methods and their parameters: one table for client and daemon.

use super::params;
use super::rpc::{RpcError, code};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// A method with its parameters. The method's name is the variant's in snake case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Call {
    /// Identifies both sides. Returns `HelloReply`.
    Hello(HelloParams),
    /// Returns `StatusReply`.
    Status(TargetsParams),
    /// Returns `ActReply` when the outcome is known.
    Start(ActParams),
    /// Returns `ActReply` when the outcome is known.
    Stop(ActParams),
    /// Returns `ActReply` when the outcome is known.
    Restart(ActParams),
    /// Returns `ActReply`.
    Signal(SignalParams),
    /// Returns `SendReply`.
    Send(SendParams),
    /// Returns `PlanReply`.
    Reload(ReloadParams),
    /// Returns `PlanReply`.
    Scale(ScaleParams),
    /// Returns `WhyReply`.
    Why(ProcessParams),
    /// Returns `ActReply` when the state is reached or the time is up.
    Wait(WaitParams),
    /// Returns `EventsReply`. With `follow`, an `event` notification follows for each new event.
    Events(EventsParams),
    /// Returns `LogsReply`; with `follow` or `frames` an empty object, then frames.
    Logs(LogsParams),
    /// Returns `AttachReply`, then frames.
    Attach(AttachParams),
    /// Returns `DetachReply`.
    Detach(DetachParams),
    /// Returns `ClientsReply`.
    Clients(TargetsParams),
    /// Returns `PeekReply`.
    Peek(PeekParams),
    /// Returns `DoctorReply`.
    Doctor(HelloParams),
    /// Returns an empty object at once. The connection closes when the daemon exits, after all
    /// processes are down.
    Shutdown(ShutdownParams),
}

/// The access that a method requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read-only access.
    Read,
    /// Control: changes processes or the daemon.
    Control,
}

/// The names of all methods.
pub const METHODS: [&str; 19] = [
    "hello", "status", "start", "stop", "restart", "signal", "send", "reload", "scale", "why",
    "wait", "events", "logs", "attach", "detach", "clients", "peek", "doctor", "shutdown",
];

impl Call {
    /// Reads a method and its parameters. Unknown parameters are ignored, so that a newer client
    /// can talk to an older daemon.
    ///
    /// # Errors
    /// `METHOD_NOT_FOUND` or `INVALID_PARAMS`.
    pub fn parse(method: &str, params: Value) -> Result<Call, RpcError> {
        if !METHODS.contains(&method) {
            let message = format!("no such method: {method:?}");
            let data = json!({"methods": METHODS});
            return Err(RpcError::new(code::METHOD_NOT_FOUND, message).with_data(data));
        }
        let invalid = |text| RpcError::new(code::INVALID_PARAMS, format!("{method}: {text}"));
        let Value::Object(given) = params else {
            let found = params::found(&params);
            return Err(invalid(format!(
                "params: expected an object, found {found}"
            )));
        };
        serde_json::from_value(json!({"method": method, "params": &given})).map_err(
            // The library's message names Rust types, except for a missing parameter.
            |error| invalid(params::misfit(&given).unwrap_or_else(|| error.to_string())),
        )
    }

    /// The method's name and its parameters, as sent.
    pub fn to_parts(&self) -> (String, Value) {
        let mut value = serde_json::to_value(self).unwrap_or_else(|_| json!({}));
        let method = value["method"].as_str().unwrap_or_default().to_string();
        (method, value["params"].take())
    }

    /// The method's name.
    pub fn method(&self) -> &'static str {
        let (name, _) = self.to_parts();
        let known = METHODS.into_iter().find(|method| *method == name);
        known.unwrap_or_default()
    }

    /// The method and its parameters in one line. Input can be a secret, so it is left out.
    pub(crate) fn for_the_record(&self) -> String {
        let (method, params) = self.to_parts();
        match self {
            Call::Send(params) => format!("{method} {}", json!({"process": params.process})),
            _ => format!("{method} {params}"),
        }
    }

    /// The access that the caller needs.
    pub fn access(&self) -> Access {
        match self {
            Call::Hello(_)
            | Call::Status(_)
            | Call::Why(_)
            | Call::Wait(_)
            | Call::Events(_)
            | Call::Logs(_)
            | Call::Clients(_)
            | Call::Peek(_)
            | Call::Doctor(_) => Access::Read,
            Call::Attach(params) if params.read_only && !params.slows_or_steals() => Access::Read,
            Call::Reload(params) if params.dry_run => Access::Read,
            Call::Start(_)
            | Call::Stop(_)
            | Call::Restart(_)
            | Call::Signal(_)
            | Call::Send(_)
            | Call::Reload(_)
            | Call::Scale(_)
            | Call::Attach(_)
            | Call::Detach(_)
            | Call::Shutdown(_) => Access::Control,
        }
    }
}

fn all() -> Vec<String> {
    vec!["all".to_string()]
}

fn yes() -> bool {
    true
}

fn name_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NameOrNumber {
        Name(String),
        Number(i64),
    }
    Ok(match NameOrNumber::deserialize(deserializer)? {
        NameOrNumber::Name(name) => name,
        NameOrNumber::Number(number) => number.to_string(),
    })
}

/// Parameters of `hello` and `doctor`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HelloParams {
    /// The highest protocol version that the client supports; 0 if unknown.
    pub protocol: u32,
    /// Name and version of the client.
    pub client: String,
}

/// Parameters of `status` and `clients`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetsParams {
    /// Targets: programs, processes, globs, groups or `all`.
    #[serde(default = "all")]
    pub targets: Vec<String>,
}

/// Parameters of `start`, `stop` and `restart`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActParams {
    /// Targets; required.
    pub targets: Vec<String>,
    /// Whether the reply waits for the outcome.
    #[serde(default = "yes")]
    pub wait: bool,
    /// Maximum wait, in seconds. The process continues to start or stop after a timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

/// Parameters of `signal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalParams {
    /// Name or number of the signal.
    #[serde(deserialize_with = "name_or_number")]
    pub signal: String,
    /// Targets: programs, processes, globs, groups or `all`.
    pub targets: Vec<String>,
}

/// Parameters of `send`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SendParams {
    /// The process that receives the text.
    pub process: String,
    /// The text; no newline is added.
    pub text: String,
}

/// Parameters of `reload`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadParams {
    /// Only report the plan.
    pub dry_run: bool,
}

/// Parameters of `scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleParams {
    /// Name of the program.
    pub program: String,
    /// The new number of processes.
    pub numprocs: u32,
    /// Only check the request, and return the plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Parameters of `why`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessParams {
    /// Name of the process.
    pub process: String,
}

/// The state that `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// RUNNING.
    Running,
    /// STOPPED.
    Stopped,
    /// The end of a run: EXITED, FATAL, STOPPED, or BACKOFF after a run.
    Exited,
    /// FATAL.
    Fatal,
    /// RUNNING, and healthy if there is a health check.
    Healthy,
}

/// Parameters of `wait`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitParams {
    /// Targets; all of them must reach the state.
    pub targets: Vec<String>,
    /// The state to wait for.
    #[serde(rename = "for")]
    pub wait_for: WaitFor,
    /// Maximum wait, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

/// Parameters of `events`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsParams {
    /// Send each new event as a notification.
    pub follow: bool,
}

/// Parameters of `logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogsParams {
    /// Targets: programs, processes, globs, groups or `all`.
    #[serde(default = "all")]
    pub targets: Vec<String>,
    /// Follow new output.
    #[serde(default)]
    pub follow: bool,
    /// Send frames (raw bytes) even without `follow`.
    #[serde(default)]
    pub frames: bool,
    /// Only the last N lines of each process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Only output of the last N seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_s: Option<f64>,
    /// `stdout` or `stderr` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

/// Parameters of `attach`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AttachParams {
    /// Name of the process.
    pub process: String,
    /// Read-only: send no input, do not affect the terminal size.
    pub read_only: bool,
    /// Become the driver at once.
    pub steal: bool,
    /// Draw the current screen first.
    pub replay: bool,
    /// Lines of history before the screen; by default as many as are useful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
    /// End with this run; else with the last one.
    pub until_exit: bool,
    /// Slow the process down (for a bounded time) instead of skipping output.
    pub lossless: bool,
    /// Size of the client's terminal; 0 without one.
    pub rows: u16,
    /// Size of the client's terminal; 0 without one.
    pub cols: u16,
    /// Device number of the client's terminal; 0 without one. The daemon rejects a client on the
    /// process's own terminal.
    pub terminal: u64,
}

impl AttachParams {
    /// Whether the process or another client would notice.
    fn slows_or_steals(&self) -> bool {
        self.lossless || self.steal
    }
}

/// Parameters of `detach`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DetachParams {
    /// Name of the process.
    pub process: String,
    /// Detach all clients, not only the driver.
    pub all: bool,
}

/// Parameters of `peek`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PeekParams {
    /// Name of the process.
    pub process: String,
    /// Include colours, as escape sequences.
    pub ansi: bool,
    /// Lines of history to include.
    pub history: u32,
}

/// Parameters of `shutdown`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownParams {
    /// Send SIGKILL at once instead of stopping in order.
    pub now: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_table_is_a_call() {
        let params = json!({"targets": ["a"], "process": "a:0", "program": "a", "numprocs": 2,
            "signal": "TERM", "text": "x", "for": "running"});
        for method in METHODS {
            let call = Call::parse(method, params.clone()).expect(method);
            let (name, params) = call.to_parts();
            assert_eq!(name, method);
            assert_eq!(Call::parse(&name, params), Ok(call));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = Call::parse("strat", json!({})).expect_err("no such method");
        assert_eq!(error.code, code::METHOD_NOT_FOUND);
        let error = Call::parse("start", json!({})).expect_err("no targets");
        assert_eq!(error.code, code::INVALID_PARAMS);
        assert!(error.message.contains("targets"), "{error}");
    }

    #[test]
    fn the_parameter_that_does_not_fit_is_named_in_plain_words() {
        let refused = |method, params| {
            let error = Call::parse(method, params).expect_err("it does not fit");
            assert_eq!(error.code, code::INVALID_PARAMS);
            error.message
        };
        let list = "status: targets: expected a list of strings, found \"all\"";
        assert_eq!(refused("status", json!({"targets": "all"})), list);
        let object = "status: params: expected an object, found ";
        assert_eq!(refused("status", json!("all")), format!("{object}\"all\""));
        assert_eq!(
            refused("status", json!([["all"]])),
            format!("{object}a list")
        );
        assert_eq!(
            refused("hello", json!({"protocol": "one"})),
            "hello: protocol: expected a whole number up to 4294967295, found \"one\""
        );
        assert_eq!(
            refused("wait", json!({"targets": ["a"], "for": "gone"})),
            "wait: for: expected `running`, `stopped`, `exited`, `fatal` or `healthy`, \
             found \"gone\""
        );
        let long = refused("why", json!({"process": ["x".repeat(1000)]}));
        assert_eq!(long, "why: process: expected a string, found a list");
        let long = refused("start", json!({"targets": "x".repeat(1000)}));
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn every_parameter_is_in_the_table_of_kinds() {
        // Every call rejects an object, and names the parameter.
        let full = json!({"targets": ["a"], "process": "a:0", "program": "a", "numprocs": 2,
            "signal": "TERM", "text": "x", "for": "running"});
        for method in METHODS {
            let (_, params) = Call::parse(method, full.clone()).expect(method).to_parts();
            let names = params
                .as_object()
                .map(|map| map.keys().cloned().collect::<Vec<_>>());
            for name in names.unwrap_or_default() {
                let mut broken = full.clone();
                broken[&name] = json!({});
                let error = Call::parse(method, broken).expect_err("an object");
                let expected = format!("{method}: {name}: expected ");
                assert!(error.message.starts_with(&expected), "{error}");
            }
        }
    }

    #[test]
    fn a_signal_is_a_name_or_a_number() {
        let signal = |value| Call::parse("signal", json!({"signal": value, "targets": ["a"]}));
        assert_eq!(signal(json!(10)), signal(json!("10")));
        assert!(signal(json!(1.5)).is_err());
    }

    #[test]
    fn looking_is_not_changing() {
        let access = |method, params| Call::parse(method, params).map(|call| call.access());
        assert_eq!(access("status", json!({})), Ok(Access::Read));
        assert_eq!(
            access("attach", json!({"process": "a:0"})),
            Ok(Access::Control)
        );
        assert_eq!(
            access("attach", json!({"process": "a:0", "read_only": true})),
            Ok(Access::Read)
        );
        for more in ["lossless", "steal"] {
            let params = json!({"process": "a:0", "read_only": true, more: true});
            assert_eq!(access("attach", params), Ok(Access::Control), "{more}");
        }
        assert_eq!(access("reload", json!({"dry_run": true})), Ok(Access::Read));
        assert_eq!(access("reload", json!({})), Ok(Access::Control));
    }
}
