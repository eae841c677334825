//! Reload: one atomic step. An invalid config changes nothing and every error in it is reported.

use crate::config::ConfigError;
use crate::reactor::control::parameters::{did_you_mean, shutting_down_error};
use crate::reactor::control::permissions::Account;
use crate::supervisor::{
    Change, PROCESS_TEXTS_MAX, PROCESSES_MAX, PROCESSES_OF_ALL_MAX, Plan, PlanAction, PlanEntry,
    Supervisor,
};
use crate::text::plural::plural;
use crate::text::suggest::closest;
use crate::wire::{ChangeInfo, PlanEntryInfo, PlanReply, RpcError, ScaleParams, code};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// Checks a `scale` request.
///
/// # Errors
/// When the program does not exist, the number is too large, or the daemon is shutting down.
pub(crate) fn check_scale(params: &ScaleParams, supervisor: &Supervisor) -> Result<(), RpcError> {
    let ScaleParams {
        program, numprocs, ..
    } = params;
    if supervisor.program(program).is_none() {
        let names = supervisor.programs().map(|program| program.name.as_str());
        let suggestion = closest(program, names);
        let hint = did_you_mean(suggestion);
        let message = format!("no such program: {program}{hint}");
        let data = json!({"target": program, "suggestion": suggestion});
        return Err(RpcError::new(code::NOT_FOUND, message).with_data(data));
    }
    let refused = |limit: String| {
        let message = format!("{program}={numprocs}: {limit}");
        Err(RpcError::new(code::INVALID_PARAMS, message))
    };
    if *numprocs > PROCESSES_MAX {
        return refused(format!("at most {PROCESSES_MAX} processes are allowed"));
    }
    let (processes, bytes) = supervisor.size_when_scaled(program, *numprocs);
    if processes > PROCESSES_OF_ALL_MAX {
        return refused(format!(
            "at most {PROCESSES_OF_ALL_MAX} processes of all programs are allowed"
        ));
    }
    if bytes > PROCESS_TEXTS_MAX {
        let size = PROCESS_TEXTS_MAX >> 20;
        return refused(format!(
            "the commands, paths and variables of all processes may have at most {size} MiB"
        ));
    }
    if supervisor.is_shutting_down() {
        return Err(shutting_down_error());
    }
    Ok(())
}

/// The words that a refused reload adds to its reason.
const UNCHANGED: &str = "; nothing was changed";

/// The error of a dry run, which changes nothing in any case.
pub(crate) fn of_dry_run(mut refused: RpcError) -> RpcError {
    refused.message = refused.message.replacen(UNCHANGED, "", 1);
    refused
}

/// The one-line summary of an invalid config.
pub(crate) fn refusal(error: &ConfigError) -> String {
    let count = error.error_count();
    let errors = plural(count, "error", "errors");
    format!("the config has {errors}{UNCHANGED}")
}

/// Logs that a reload refused a config, with all of its errors or without. Returns the detail of
/// the event.
pub(crate) fn log_refusal(error: &ConfigError, all: bool) -> String {
    let message = refusal(error);
    for diagnostic in error.diagnostics.iter().filter(|_| all) {
        log::error!("reload: {diagnostic}");
    }
    log::error!("reload: {message}");
    let first = error.diagnostics.first().map(ToString::to_string);
    format!("{message}: {}", first.unwrap_or_default())
}

/// The error that answers a request with an invalid config. Diagnostics quote the config and the
/// daemon's environment, so only the owner gets them. Another user who can read the file can check
/// it.
pub(crate) fn invalid_config(error: &ConfigError, asks: Account, path: &Path) -> RpcError {
    match asks {
        Account::Owner => {
            let data = json!({"diagnostics": error.diagnostics, "text": error.to_string()});
            RpcError::new(code::INVALID_CONFIG, refusal(error)).with_data(data)
        }
        Account::User(_) => {
            let (refusal, path) = (refusal_for_others(error), path.display());
            let message = format!("{refusal}; ask its owner, or run: tm check {path}");
            RpcError::new(code::INVALID_CONFIG, message)
        }
    }
}

/// The summary of an invalid config without a word of it.
pub(crate) fn refusal_for_others(error: &ConfigError) -> String {
    match error.diagnostics.iter().all(|found| found.line == 0) {
        true => format!("the config cannot be read{UNCHANGED}"),
        false => refusal(error),
    }
}

/// A plan without values of the config.
pub(crate) fn plan_for_others(plan: &PlanReply) -> PlanReply {
    let mut plan = plan.clone();
    for change in plan.entries.iter_mut().flat_map(|entry| &mut entry.changes) {
        change.from.clear();
        change.to.clear();
    }
    if !plan.warnings.is_empty() {
        let warnings = plural(plan.warnings.len(), "warning", "warnings");
        plan.warnings = vec![format!("the config has {warnings}; ask its owner")];
    }
    plan
}

/// The number of processes that each action of a plan affects.
pub(crate) fn summary(plan: &Plan) -> String {
    let counts = plan.counts();
    format!(
        "{} added, {} removed, {} restarted, {} changed live, {} unchanged",
        counts.added, counts.removed, counts.restarted, counts.live, counts.unchanged
    )
}

/// A plan in the form of the protocol.
pub(crate) fn plan_reply(plan: &Plan, warnings: Vec<String>, applied: bool) -> PlanReply {
    PlanReply {
        entries: plan.entries.iter().map(entry_info).collect(),
        applied,
        warnings,
        scaled: Vec::new(),
    }
}

/// The programs of which a plan undoes a `scale`.
pub(crate) fn scaled(plan: &Plan, supervisor: &Supervisor) -> Vec<String> {
    let entries = plan.entries.iter();
    let resized =
        entries.filter(|entry| matches!(entry.action, PlanAction::Add | PlanAction::Remove));
    let programs = resized.filter_map(|entry| entry.process.rsplit_once(':'));
    let programs: BTreeSet<&str> = programs.map(|(program, _)| program).collect();
    let scaled = supervisor.scaled_programs();
    let undone = scaled.filter(|program| programs.contains(program));
    undone.map(str::to_string).collect()
}

fn entry_info(entry: &PlanEntry) -> PlanEntryInfo {
    let (action, changes): (&str, &[Change]) = match &entry.action {
        PlanAction::Add => ("add", &[]),
        PlanAction::Remove => ("remove", &[]),
        PlanAction::Restart(changes) => ("restart", changes),
        PlanAction::Live(changes) => ("live", changes),
        PlanAction::Unchanged => ("unchanged", &[]),
    };
    let changes = changes.iter().map(|change| ChangeInfo {
        key: change.key.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        next_start: change.next_start,
    });
    PlanEntryInfo {
        process: entry.process.clone(),
        action: action.to_string(),
        changes: changes.collect(),
    }
}
