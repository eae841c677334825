//! Requests, carried out: one method for each call of the protocol.

use crate::reactor::Reactor;
use crate::reactor::console::console_requests::peek;
use crate::reactor::control::apply_reload;
use crate::reactor::control::connection::{ClientConnection, ConnectionId};
use crate::reactor::control::event_history::daemon_event;
use crate::reactor::control::log_stream::{self, Selection};
use crate::reactor::control::parameters::{
    self, duration, process_gone, shutting_down_error, stream,
};
use crate::reactor::control::pending::{
    AwaitedState, PendingTarget, REQUESTS_MAX, Request, immediate_outcome,
};
use crate::supervisor::{Event, ProcessId, SignalScope, signal_names, signal_number};
use crate::sys;
use crate::text::suggest::closest;
use crate::text::timestamp::rfc3339;
use crate::wire::{
    ActParams, ActReply, AttachParams, Call, DetachParams, DetachReply, DoctorReply, EventsParams,
    EventsReply, FEATURES, HelloReply, Id, LogsParams, Outcome, PROTOCOL, PeekParams, PeekReply,
    PlanReply, ResultJson, RpcError, ScaleParams, SendParams, SendReply, ShutdownParams,
    SignalParams, WaitParams, code,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The result of a request: a reply now, or none because it is sent later.
type Reply = Result<Option<ResultJson>, RpcError>;

impl Reactor {
    /// Carries out a call. Returns `None` if its reply is sent later.
    pub(crate) fn dispatch_call(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        call: Call,
    ) -> Reply {
        let caller = (client, id);
        let result = match call {
            Call::Hello(_) => ResultJson::of(&self.hello()),
            Call::Status(params) => {
                let targets = self.resolve(&params.targets)?;
                ResultJson::of(&self.reports().status(&targets))
            }
            Call::Start(params) => {
                return self.change_state(caller, &params, AwaitedState::Started);
            }
            Call::Stop(params) => {
                return self.change_state(caller, &params, AwaitedState::Stopped);
            }
            Call::Restart(params) => {
                return self.change_state(caller, &params, AwaitedState::Restarted);
            }
            Call::Wait(params) => return self.wait(caller, &params),
            Call::Signal(params) => ResultJson::of(&self.send_signal(&params)?),
            Call::Send(params) => ResultJson::of(&self.send_text(&params)?),
            Call::Reload(params) => return self.reload(caller, params.dry_run).map(|()| None),
            Call::Scale(params) => ResultJson::of(&self.scale(&params)?),
            Call::Why(params) => {
                let target = self.resolve_one(&params.process)?;
                ResultJson::of(&self.reports().why(target)?)
            }
            Call::Events(params) => ResultJson::of(&self.events(client, &params)),
            Call::Logs(params) => return self.logs(caller, &params),
            Call::Attach(params) => return self.attach(caller, &params),
            Call::Detach(params) => ResultJson::of(&self.detach(&params)?),
            Call::Clients(params) => {
                let targets = self.resolve(&params.targets)?;
                ResultJson::of(&self.reports().clients(&targets))
            }
            Call::Peek(params) => ResultJson::of(&self.peek(&params)?),
            Call::Doctor(_) => ResultJson::of(&doctor()),
            Call::Shutdown(params) => ResultJson::of(&self.shutdown(client, &params)),
        };
        result.map(Some)
    }

    fn resolve(&self, targets: &[String]) -> Result<Vec<ProcessId>, RpcError> {
        parameters::resolve(targets, &self.supervisor, self.settings.config())
    }

    fn resolve_one(&self, target: &str) -> Result<ProcessId, RpcError> {
        parameters::resolve_one(target, &self.supervisor, self.settings.config())
    }

    fn hello(&self) -> HelloReply {
        HelloReply {
            name: "tmd".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            protocol: PROTOCOL,
            features: FEATURES.map(str::to_string).to_vec(),
            pid: sys::runtime::own_pid(),
            config: self.settings.config().path.display().to_string(),
            uid: sys::runtime::effective_uid(),
            started_at: rfc3339(self.started_ns),
            shutting_down: self.supervisor.is_shutting_down(),
        }
    }

    /// `start`, `stop`, `restart`.
    fn change_state(
        &mut self,
        (client, id): (ConnectionId, Option<Id>),
        params: &ActParams,
        awaits: AwaitedState,
    ) -> Reply {
        let targets = self.resolve(&params.targets)?;
        if self.supervisor.is_shutting_down() && awaits != AwaitedState::Stopped {
            return Err(shutting_down_error());
        }
        let timeout = duration("timeout_s", params.timeout_s)?;
        // The request is pending before the supervisor acts: a start may be over at once.
        if params.wait {
            self.check_room(client)?;
            let request = Request { client, id, awaits };
            self.add_pending(request, &targets, timeout);
        }
        let now = self.clock.now();
        for &target in &targets {
            let event = match awaits {
                AwaitedState::Started | AwaitedState::Reached(_) => Event::Start(target),
                AwaitedState::Stopped => Event::Stop(target),
                AwaitedState::Restarted => Event::Restart(target),
            };
            self.supervisor.handle_event(event, now);
        }
        if params.wait {
            return Ok(None);
        }
        let reports = self.reports();
        let processes = targets.iter().filter_map(|id| self.supervisor.process(*id));
        let processes = processes.map(|process| Outcome {
            name: process.name.clone(),
            ok: true,
            state: process.state.name().into(),
            pid: process.pid(),
            exit: None,
            message: reports.detail(process),
        });
        let reply = ActReply {
            processes: processes.collect(),
            timed_out: false,
        };
        ResultJson::of(&reply).map(Some)
    }

    /// `wait`.
    fn wait(&mut self, (client, id): (ConnectionId, Option<Id>), params: &WaitParams) -> Reply {
        let targets = self.resolve(&params.targets)?;
        let timeout = duration("timeout_s", params.timeout_s)?;
        let awaits = AwaitedState::Reached(params.wait_for);
        self.check_room(client)?;
        self.add_pending(Request { client, id, awaits }, &targets, timeout);
        Ok(None)
    }

    /// Checks whether one more request of a client may wait.
    fn check_room(&self, client: ConnectionId) -> Result<(), RpcError> {
        if self.pending.has_room(client) {
            return Ok(());
        }
        let message = format!("{REQUESTS_MAX} requests of this connection wait already");
        Err(RpcError::new(code::WRONG_STATE, message))
    }

    /// Adds a pending request. It is answered as soon as every target has an outcome: its state is
    /// reached, or cannot be reached any longer.
    fn add_pending(&mut self, request: Request, targets: &[ProcessId], timeout: Option<Duration>) {
        let reports = self.reports();
        let processes = targets.iter().filter_map(|id| self.supervisor.process(*id));
        let targets = processes.map(|process| {
            // A change that is not announced yet completes the request later: the log has to hold
            // the output before it.
            let io = self.processes.io(process.id);
            let announced = io.is_none_or(|io| io.announcements.is_empty());
            let outcome = || immediate_outcome(request.awaits, process, || reports.detail(process));
            PendingTarget {
                id: process.id,
                outcome: announced.then(outcome).flatten(),
            }
        });
        let targets = targets.collect();
        let client = request.client;
        let added = self.pending.add(request, targets);
        let bytes = self.pending.bytes(client);
        self.clients.set_pending_bytes(client, bytes);
        match (added, timeout) {
            (Err(answer), _) => self.answer(answer),
            (Ok(number), Some(timeout)) => {
                let at = self.clock.now() + timeout;
                self.pending.set_deadline(number, at);
            }
            (Ok(_), None) => {}
        }
    }

    /// `signal`.
    fn send_signal(&mut self, params: &SignalParams) -> Result<ActReply, RpcError> {
        let signal = signal_number(&params.signal).ok_or_else(|| {
            let hint = match closest(&params.signal, signal_names()) {
                Some(name) => format!("; did you mean {name}?"),
                None => "; use a name such as HUP, or a number from 1 to 64".to_string(),
            };
            let message = format!("no such signal: {}{hint}", params.signal);
            RpcError::new(code::INVALID_PARAMS, message)
        })?;
        let targets = self.resolve(&params.targets)?;
        let mut processes = Vec::new();
        for target in targets {
            let sent = self.signal_leader(target, signal, SignalScope::Leader);
            let Some(process) = self.supervisor.process(target) else {
                continue;
            };
            let pid = process.pid();
            let message = match (pid, &sent) {
                (None, _) => "not running".to_string(),
                (Some(pid), Ok(())) => format!("signal {} sent to pid {pid}", params.signal),
                (Some(pid), Err(error)) => {
                    let error = sys::error_text(error);
                    format!(
                        "signal {} could not be sent to pid {pid}: {error}",
                        params.signal
                    )
                }
            };
            processes.push(Outcome {
                name: process.name.clone(),
                ok: pid.is_some() && sent.is_ok(),
                state: process.state.name().into(),
                pid,
                exit: None,
                message,
            });
        }
        Ok(ActReply {
            processes,
            timed_out: false,
        })
    }

    /// `send`.
    fn send_text(&mut self, params: &SendParams) -> Result<SendReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        let process = self.supervisor.process(id).ok_or_else(process_gone)?;
        let name = &process.name;
        let refused = |message| {
            let data = json!({"process": name, "state": process.state.name()});
            Err(RpcError::new(code::WRONG_STATE, message).with_data(data))
        };
        let io = self.processes.io_mut(id);
        let Some(io) = io.filter(|io| io.input.is_some()) else {
            return refused(match process.pid() {
                None => format!("{name} is not running"),
                Some(_) if process.launch.takes_input() => format!("{name} has closed its input"),
                Some(_) => format!("{name} takes no input: set tty: true or stdin: pipe"),
            });
        };
        if !io.takes_input() {
            return refused(format!("{name} does not read its input: try again later"));
        }
        io.write_input(params.text.as_bytes(), &mut self.poller);
        self.consoles().note_keys(id, params.text.as_bytes());
        Ok(SendReply {
            bytes: params.text.len(),
        })
    }

    /// `scale`: another number of processes, until the next reload.
    fn scale(&mut self, params: &ScaleParams) -> Result<PlanReply, RpcError> {
        apply_reload::check_scale(params, &self.supervisor)?;
        let (program, numprocs) = (params.program.clone(), params.numprocs);
        let plan = self.supervisor.scale_plan(&program, numprocs);
        if params.dry_run {
            return Ok(apply_reload::plan_reply(&plan, Vec::new(), false));
        }
        let event = Event::Scale { program, numprocs };
        self.supervisor.handle_event(event, self.clock.now());
        Ok(apply_reload::plan_reply(&plan, Vec::new(), true))
    }

    /// `events`.
    fn events(&mut self, client: ConnectionId, params: &EventsParams) -> EventsReply {
        let account = self.clients.account(client);
        if params.follow {
            self.clients.follow_events(client);
        }
        EventsReply {
            events: self.history.shown_to(account).collect(),
        }
    }

    /// `logs`: as JSON, or as frames that can follow new output.
    fn logs(&mut self, (client, id): (ConnectionId, Option<Id>), params: &LogsParams) -> Reply {
        let targets = self.resolve(&params.targets)?;
        if params.follow && params.targets.len() > log_stream::TARGETS_MAX {
            let message = format!(
                "targets: at most {} can be followed",
                log_stream::TARGETS_MAX
            );
            return Err(RpcError::new(code::INVALID_PARAMS, message));
        }
        let selection = Selection::new(params, stream(params.stream.as_deref())?)?;
        let mut cursors = Vec::new();
        for target in targets {
            let Some(process) = self.supervisor.process(target).cloned() else {
                continue;
            };
            self.add_process(&process);
            if let Some(io) = self.processes.io(target) {
                cursors.push(selection.cursor(&process, &io.output));
            }
        }
        if !params.follow && !params.frames {
            let lines = log_stream::lines(&self.processes, selection, &mut cursors);
            return ResultJson::of(&lines).map(Some);
        }
        self.reply(client, id, ResultJson::of(&json!({})));
        log_stream::follow(
            &mut self.clients,
            &mut self.processes,
            client,
            params,
            selection,
            cursors,
        );
        Ok(None)
    }

    /// `attach`: replies, then the connection carries frames.
    fn attach(&mut self, (client, id): (ConnectionId, Option<Id>), params: &AttachParams) -> Reply {
        let target = self.resolve_one(&params.process)?;
        let process = self.supervisor.process(target).cloned();
        let process = process.ok_or_else(process_gone)?;
        self.consoles()
            .reject_own_terminal(&process, params.terminal)?;
        self.add_process(&process);
        let attached = self.consoles().attach(client, &process, params);
        if let Some((reply, attachment)) = attached {
            self.reply(client, id, ResultJson::of(&reply));
            self.consoles().switch(client, attachment);
        }
        Ok(None)
    }

    /// `detach`.
    fn detach(&mut self, params: &DetachParams) -> Result<DetachReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        Ok(self.consoles().detach(id, params.all))
    }

    /// `peek`.
    fn peek(&self, params: &PeekParams) -> Result<PeekReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        let io = self.processes.io(id);
        Ok(io.map(|io| peek(io, params)).unwrap_or_default())
    }

    /// `shutdown`.
    fn shutdown(&mut self, client: ConnectionId, params: &ShutdownParams) -> Value {
        let event = match params.now {
            true => Event::ShutdownNow,
            false => Event::Shutdown,
        };
        self.supervisor.handle_event(event, self.clock.now());
        let detail = match self.clients.connection(client) {
            Some(ClientConnection { peer, .. }) => format!("by uid {} pid {}", peer.uid, peer.pid),
            None => String::new(),
        };
        self.publish(daemon_event("shutdown", detail));
        json!({})
    }
}

fn doctor() -> DoctorReply {
    DoctorReply::new(sys::checks::kernel_release(), sys::checks::run())
}
