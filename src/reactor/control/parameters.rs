//! Parameters of requests, and the processes that they name.

use crate::config::Config;
use crate::reactor::output::Stream;
use crate::supervisor::{self, ProcessId, Supervisor, UnknownTarget};
use crate::wire::{RpcError, code};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// The longest accepted duration.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The largest number of processes to list by name.
const LISTED_MAX: usize = 5;

/// Targets that are each compared with every process.
const NAMES_MAX: usize = 64;

/// The longest target, in bytes; no name is that long.
const TARGET_MAX: usize = 1024;

/// The processes that targets name, in the config's order.
///
/// # Errors
/// When a target names none.
pub(crate) fn resolve(
    targets: &[String],
    supervisor: &Supervisor,
    config: &Config,
) -> Result<Vec<ProcessId>, RpcError> {
    if targets.iter().any(|target| target.len() > TARGET_MAX) {
        let message = format!("targets: a target has at most {TARGET_MAX} bytes");
        return Err(RpcError::new(code::INVALID_PARAMS, message));
    }
    if targets.len() > NAMES_MAX {
        return resolve_many(targets, supervisor, config);
    }
    let found = supervisor::resolve(targets, supervisor.processes(), &config.groups);
    found.map_err(|unknown| {
        let message = unknown_target(&unknown, supervisor);
        let data = json!({"target": unknown.target, "suggestion": unknown.suggestion});
        RpcError::new(code::NOT_FOUND, message).with_data(data)
    })
}

/// As [`resolve`], for more targets than can be compared with every process.
fn resolve_many(
    targets: &[String],
    supervisor: &Supervisor,
    config: &Config,
) -> Result<Vec<ProcessId>, RpcError> {
    let (names, patterns): (BTreeSet<&str>, BTreeSet<&str>) = targets
        .iter()
        .map(String::as_str)
        .partition(|target| *target != "all" && !target.contains(['*', '?', '[', '@']));
    if patterns.len() > NAMES_MAX {
        let message = format!("targets: at most {NAMES_MAX} patterns and groups are allowed");
        return Err(RpcError::new(code::INVALID_PARAMS, message));
    }
    let processes = supervisor.processes();
    let known = processes.flat_map(|one| [one.name.as_str(), one.program.as_str()]);
    let known: BTreeSet<&str> = known.collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
        return resolve(&[(*unknown).to_string()], supervisor, config);
    }
    let patterns: Vec<String> = patterns.into_iter().map(str::to_string).collect();
    let matched: BTreeSet<ProcessId> = resolve(&patterns, supervisor, config)?
        .into_iter()
        .collect();
    let selected = supervisor.processes().filter(|one| {
        matched.contains(&one.id)
            || names.contains(one.name.as_str())
            || names.contains(one.program.as_str())
    });
    Ok(selected.map(|one| one.id).collect())
}

/// The one process that a target names.
///
/// # Errors
/// When it names none, or several.
pub(crate) fn resolve_one(
    target: &str,
    supervisor: &Supervisor,
    config: &Config,
) -> Result<ProcessId, RpcError> {
    let found = resolve(&[target.to_string()], supervisor, config)?;
    if let [id] = found[..] {
        return Ok(id);
    }
    let names = found.iter().filter_map(|id| supervisor.process(*id));
    let names: Vec<&str> = names.map(|process| process.name.as_str()).collect();
    let message = several(target, &names);
    let data = json!({"target": target, "processes": names});
    Err(RpcError::new(code::NOT_FOUND, message).with_data(data))
}

fn unknown_target(unknown: &UnknownTarget, supervisor: &Supervisor) -> String {
    let target = &unknown.target;
    if supervisor.program(target).is_some() {
        return format!("{target} has no processes; tm scale {target}=1 gives it one");
    }
    unknown.to_string()
}

/// The message about a target that is not exactly one process. It lists a handful of them.
fn several(target: &str, names: &[&str]) -> String {
    let shown = match names {
        [] => return format!("{target} has no processes; name one process"),
        [first, .., last] if names.len() > LISTED_MAX => format!("{first} to {last}"),
        _ => names.join(", "),
    };
    let count = names.len();
    format!("{target} has {count} processes; name one of them: {shown}")
}

/// The end of a message that suggests another name.
pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// The error of a request that names a process which no longer exists.
pub(crate) fn process_gone() -> RpcError {
    RpcError::new(code::NOT_FOUND, "the process is gone")
}

/// The error of a request that would start or change something during a shutdown.
pub(crate) fn shutting_down_error() -> RpcError {
    let error = RpcError::new(code::WRONG_STATE, "the daemon is shutting down");
    error.with_data(json!({"shutting_down": true}))
}

/// A parameter in seconds as a duration.
///
/// # Errors
/// When it is negative or far too large.
pub(crate) fn duration(name: &str, seconds: Option<f64>) -> Result<Option<Duration>, RpcError> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    let span = Duration::try_from_secs_f64(seconds).map_err(|_| {
        let found = match seconds < 0.0 {
            true => "less",
            false => "far too many",
        };
        let message = format!("{name}: expected 0 or more seconds, found {found}");
        RpcError::new(code::INVALID_PARAMS, message)
    })?;
    Ok(Some(span.min(DURATION_MAX)))
}

/// The stream that a filter names.
///
/// # Errors
/// When there is no such stream.
pub(crate) fn stream(name: Option<&str>) -> Result<Option<Stream>, RpcError> {
    match name {
        None => Ok(None),
        Some("stdout") => Ok(Some(Stream::Stdout)),
        Some("stderr") => Ok(Some(Stream::Stderr)),
        Some(other) => {
            let message = format!("stream: {other}: stdout or stderr");
            Err(RpcError::new(code::INVALID_PARAMS, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_bounded() {
        let span = |seconds| duration("timeout_s", Some(seconds)).map_err(|error| error.message);
        assert_eq!(span(1.5), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(span(1e12), Ok(Some(DURATION_MAX)));
        let negative = "timeout_s: expected 0 or more seconds, found less";
        assert_eq!(span(-1.0), Err(negative.to_string()));
        let large = "timeout_s: expected 0 or more seconds, found far too many";
        assert_eq!(span(f64::INFINITY), Err(large.to_string()));
    }

    #[test]
    fn several_processes_are_listed() {
        let text = "worker has 2 processes; name one of them: worker:0, worker:1";
        assert_eq!(several("worker", &["worker:0", "worker:1"]), text);
        let many = ["a:0", "a:1", "a:2", "a:3", "a:4", "a:5"];
        let text = "a has 6 processes; name one of them: a:0 to a:5";
        assert_eq!(several("a", &many), text);
        let text = "@none has no processes; name one process";
        assert_eq!(several("@none", &[]), text);
    }

    #[test]
    fn streams_have_two_names() {
        assert_eq!(stream(None).map_err(|_| ()), Ok(None));
        assert_eq!(
            stream(Some("stderr")).map_err(|_| ()),
            Ok(Some(Stream::Stderr))
        );
        assert!(stream(Some("stdin")).is_err());
    }
}
