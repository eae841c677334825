//! Reload: one atomic act. A config that does not hold changes nothing and says why.

use crate::config::{self, Config, ConfigError, Environment};
use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::control::event_history;
use crate::reactor::control::requests::going_down;
use crate::supervisor::{Change, Event, Plan, PlanAction};
use crate::text::plural::plural;
use crate::wire::{ChangeInfo, PlanEntryInfo, PlanReply, RpcError, ScaleParams, code};
use serde_json::json;

/// More processes of one program than this are taken for a slip of the finger.
const NUMPROCS_MAX: u32 = 10_000;

impl Reactor {
    /// `reload`: plans, and applies unless it is a dry run.
    pub(crate) fn reload(&mut self, dry_run: bool) -> Result<PlanReply, RpcError> {
        if self.supervisor.is_shutting_down() {
            return Err(going_down());
        }
        let loaded = config::load(&self.config.path, &Environment::current());
        let new = loaded.map_err(|error| self.refuse_config(&error, dry_run))?;
        let plan = self.supervisor.plan(&new.programs);
        let mut warnings: Vec<String> = new.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(self.fixed_settings(&new));
        let entries = plan.entries.iter().map(entry_info).collect();
        let reply = PlanReply {
            entries,
            applied: !dry_run,
            warnings,
        };
        if !dry_run {
            for warning in &reply.warnings {
                log::warn!("{warning}");
            }
            self.apply_config(new, &plan);
        }
        Ok(reply)
    }

    /// SIGHUP.
    pub(crate) fn reload_by_signal(&mut self) {
        log::info!("SIGHUP: reloading {}", self.config.path.display());
        // What went wrong is logged and published where it is found.
        let _ = self.reload(false);
    }

    /// `scale`: another number of processes until the next reload.
    pub(crate) fn scale(&mut self, params: &ScaleParams) -> Result<PlanReply, RpcError> {
        let ScaleParams { program, numprocs } = params;
        if self.supervisor.program(program).is_none() {
            let names = self
                .supervisor
                .programs()
                .map(|program| program.name.as_str());
            let suggestion = crate::text::suggest::closest(program, names);
            let hint = suggestion
                .as_ref()
                .map(|name| format!("; did you mean {name}?"));
            let message = format!("no such program: {program}{}", hint.unwrap_or_default());
            let data = json!({"target": program, "suggestion": suggestion});
            return Err(RpcError::new(code::NOT_FOUND, message).with_data(data));
        }
        if *numprocs > NUMPROCS_MAX {
            let message = format!("{numprocs} processes: {NUMPROCS_MAX} at most");
            return Err(RpcError::new(code::INVALID_PARAMS, message));
        }
        if self.supervisor.is_shutting_down() {
            return Err(going_down());
        }
        let plan = self.supervisor.scale_plan(program, *numprocs);
        let event = Event::Scale {
            program: program.clone(),
            numprocs: *numprocs,
        };
        self.supervisor.handle_event(event, self.clock.now());
        let entries = plan.entries.iter().map(entry_info).collect();
        Ok(PlanReply {
            entries,
            applied: true,
            warnings: Vec::new(),
        })
    }

    fn refuse_config(&mut self, error: &ConfigError, dry_run: bool) -> RpcError {
        let count = error.error_count();
        let errors = plural(count, "error", "errors");
        let message = format!("the config has {errors}; nothing was changed");
        if !dry_run {
            for diagnostic in &error.diagnostics {
                log::error!("reload: {diagnostic}");
            }
            log::error!("reload: {message}");
            let first = error.diagnostics.first().map(ToString::to_string);
            let detail = format!("{message}: {}", first.unwrap_or_default());
            self.publish(event_history::plain(
                "reload_failed",
                None,
                detail,
                unix_ns(),
            ));
        }
        let data = json!({"diagnostics": error.diagnostics, "text": error.to_string()});
        RpcError::new(code::INVALID_CONFIG, message).with_data(data)
    }

    fn apply_config(&mut self, new: Config, plan: &Plan) {
        crate::reactor::daemon::logging::set_level(new.daemon.log.level, self.log_level);
        let programs = new.programs.clone();
        self.config = new;
        self.supervisor
            .handle_event(Event::Configure(programs), self.clock.now());
        let counts = plan.counts();
        let detail = format!(
            "{} added, {} removed, {} restarted, {} changed live, {} unchanged",
            counts.added, counts.removed, counts.restarted, counts.live, counts.unchanged
        );
        log::info!("reloaded: {detail}");
        self.publish(event_history::plain("reload", None, detail, unix_ns()));
    }

    /// What differs from the start and only another one can change.
    fn fixed_settings(&self, new: &Config) -> Vec<String> {
        let (old, new) = (&self.started_with, &new.daemon);
        let fixed = [
            ("daemon.socket", old.socket != new.socket),
            ("daemon.socket_mode", old.socket_mode != new.socket_mode),
            ("daemon.socket_group", old.socket_group != new.socket_group),
            ("daemon.user", old.user != new.user),
            ("daemon.pidfile", old.pidfile != new.pidfile),
            ("daemon.log.file", old.log.file != new.log.file),
            ("daemon.log.format", old.log.format != new.log.format),
            ("daemon.log.syslog", old.log.syslog != new.log.syslog),
        ];
        let changed = fixed.iter().filter(|(_, differs)| *differs);
        let text = |key| format!("{key} changed: it takes effect when the daemon is started anew");
        changed.map(|(key, _)| text(key)).collect()
    }
}

fn entry_info(entry: &crate::supervisor::PlanEntry) -> PlanEntryInfo {
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
    });
    PlanEntryInfo {
        process: entry.process.clone(),
        action: action.to_string(),
        changes: changes.collect(),
    }
}
