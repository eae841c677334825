//! Reloads and dry runs: another thread loads the config, since that takes time, and the reactor
//! then plans and applies it.

use crate::config::Config;
use crate::reactor::Reactor;
use crate::reactor::control::apply_reload::{self, invalid_config};
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::control::event_history::{daemon_event, secret_event};
use crate::reactor::control::parameters::shutting_down_error;
use crate::reactor::control::permissions::Account;
use crate::reactor::daemon::config_loader::{Caller, Use};
use crate::supervisor::Event;
use crate::wire::{Id, PlanReply, ResultJson, RpcError, code};

impl Reactor {
    /// `reload`, and its dry run. The reply is sent once the config is loaded.
    ///
    /// # Errors
    /// When the daemon is shutting down.
    pub(crate) fn reload(
        &mut self,
        (client, id): (ConnectionId, Option<Id>),
        dry_run: bool,
    ) -> Result<(), RpcError> {
        if self.supervisor.is_shutting_down() {
            return Err(shutting_down_error());
        }
        let Some(connection) = self.clients.connection_mut(client) else {
            return Ok(());
        };
        connection.is_busy = true;
        let account = connection.account;
        let purpose = match dry_run {
            true => Use::Show,
            false => Use::Apply,
        };
        self.settings.request_load(Caller {
            client: Some((client, id)),
            account,
            purpose,
        });
        Ok(())
    }

    /// Reloads without a client. The log and the events have the result.
    pub(crate) fn reload_on_signal(&mut self) {
        self.settings.request_load(Caller::signal());
    }

    /// Uses the config that is loaded, and answers those who asked for it.
    pub(crate) fn finish_load(&mut self) {
        let Some((callers, loaded)) = self.settings.take_loaded() else {
            return;
        };
        let (apply, show): (Vec<Caller>, Vec<Caller>) = callers
            .into_iter()
            .partition(|caller| caller.purpose == Use::Apply);
        match loaded {
            Some(Ok(new)) => self.use_config(new, apply, show),
            Some(Err(error)) => {
                if !apply.is_empty() {
                    let all = self.logs_findings(&apply);
                    let detail = apply_reload::log_refusal(&error, all);
                    let public = apply_reload::refusal_for_others(&error);
                    self.publish_recorded(secret_event("reload_failed", detail, public));
                }
                let path = self.settings.config().path.clone();
                for caller in apply {
                    let refused = invalid_config(&error, caller.account, &path);
                    self.answer_caller(caller, Err(refused));
                }
                for caller in show {
                    let refused = invalid_config(&error, caller.account, &path);
                    self.answer_caller(caller, Err(apply_reload::of_dry_run(refused)));
                }
            }
            None => {
                log::error!("reload: the config could not be loaded");
                let failed = RpcError::new(code::INTERNAL, "the config could not be loaded");
                for caller in apply.into_iter().chain(show) {
                    self.answer_caller(caller, Err(failed.clone()));
                }
            }
        }
        self.timers.give_back_soon(self.clock.now());
        self.settings.load_next();
    }

    /// Plans, answers the dry runs, and applies the plan if a caller wants that.
    fn use_config(&mut self, new: Config, apply: Vec<Caller>, show: Vec<Caller>) {
        let plan = self.supervisor.plan(&new.programs);
        let warnings = self.settings.warnings_about(&new);
        let mut reply = apply_reload::plan_reply(&plan, warnings, false);
        reply.scaled = apply_reload::scaled(&plan, &self.supervisor);
        self.answer_all(show, &reply);
        if apply.is_empty() {
            return;
        }
        if self.supervisor.is_shutting_down() {
            for caller in apply {
                self.answer_caller(caller, Err(shutting_down_error()));
            }
            return;
        }
        if self.logs_findings(&apply) {
            for warning in &reply.warnings {
                log::warn!("{warning}");
            }
        }
        self.settings.replace(new);
        let programs = self.settings.take_programs();
        self.supervisor
            .handle_event(Event::Configure(programs), self.clock.now());
        let detail = apply_reload::summary(&plan);
        log::info!("reloaded: {detail}");
        self.publish(daemon_event("reload", detail));
        reply.applied = true;
        self.answer_all(apply, &reply);
        self.check_rights_again();
    }

    /// Whether the log gets every finding of a config: of each load for the owner, and once a
    /// second for other users, who could flood it.
    fn logs_findings(&mut self, callers: &[Caller]) -> bool {
        let is_owner = |caller: &Caller| caller.account == Account::Owner;
        let now = self.clock.now();
        callers.iter().any(is_owner) || self.settings.may_log_findings(now)
    }

    /// Sends a plan to each caller: the owner sees the values, too.
    fn answer_all(&mut self, callers: Vec<Caller>, plan: &PlanReply) {
        let (owners, others): (Vec<Caller>, Vec<Caller>) = callers
            .into_iter()
            .partition(|caller| caller.account == Account::Owner);
        if !owners.is_empty() {
            let reply = ResultJson::of(plan);
            for caller in owners {
                self.answer_caller(caller, reply.clone());
            }
        }
        if !others.is_empty() {
            let reply = ResultJson::of(&apply_reload::plan_for_others(plan));
            for caller in others {
                self.answer_caller(caller, reply.clone());
            }
        }
    }

    fn answer_caller(&mut self, caller: Caller, result: Result<ResultJson, RpcError>) {
        let Some((client, id)) = caller.client else {
            return;
        };
        if let Some(connection) = self.clients.connection_mut(client) {
            connection.is_busy = false;
            self.clients.queue_read(client.slot);
            self.reply(client, id, result);
        }
    }

    /// After a reload: ends what clients may no longer do.
    fn check_rights_again(&mut self) {
        let rules = &self.settings.config().daemon.access;
        for (id, notice) in self.clients.without_right(rules) {
            self.clients.send(id, &notice);
            // The client loses the bytes that it does not take at once.
            if let Some(connection) = self.clients.connection_mut(id) {
                connection.flush();
            }
            self.close_client(id);
        }
    }
}
