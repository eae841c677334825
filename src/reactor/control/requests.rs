//! Requests: read, allowed or not, carried out, answered.

use crate::reactor::Reactor;
use crate::reactor::control::access::allowed;
use crate::reactor::control::connection::{Connection, ConnectionId, Incoming, Mode};
use crate::reactor::control::event_history;
use crate::reactor::control::pending::Goal;
use crate::supervisor::{self, Event, ProcessId, SignalScope, UnknownTarget, signal_number};
use crate::sys;
use crate::wire::{
    Access, ActParams, ActReply, Call, DoctorReply, EventInfo, EventsParams, EventsReply, FEATURES,
    HelloReply, Id, Message, Outcome, PROTOCOL, RpcError, SendParams, SendReply, ShutdownParams,
    SignalParams, WaitParams, code,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Requests of one connection that are carried out in one turn.
const REQUESTS_A_TURN: usize = 32;

/// Connections that are read in one turn.
const CONNECTIONS_A_TURN: usize = 64;

/// What a request comes to: an answer now, or one that is sent when it is known.
pub type Reply = Result<Option<Value>, RpcError>;

impl Reactor {
    /// Reads the connections that have something to say, each once.
    pub(crate) fn serve_connections(&mut self) {
        for _ in 0..self.connections_ready.len().min(CONNECTIONS_A_TURN) {
            let Some(slot) = self.connections_ready.pop_front() else {
                return;
            };
            self.serve(slot);
        }
    }

    fn serve(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.queued = false;
        let done = connection.input_ended || connection.held;
        if done && connection.gone {
            return self.close_connection(slot);
        }
        if done || connection.closing {
            return;
        }
        let id = connection.id;
        if self.carry_out(id) {
            return self.queue_connection(slot);
        }
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        if connection.held || connection.closing {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let incoming = connection.read_once(&mut scratch);
        self.scratch = scratch;
        match incoming {
            Incoming::Bytes | Incoming::LastBytes => {
                let more = self.carry_out(id);
                self.arm_idle();
                if more || incoming == Incoming::Bytes {
                    self.queue_connection(slot);
                }
            }
            Incoming::Drained => {}
            Incoming::Closed if connection.end_line() => self.queue_connection(slot),
            Incoming::Closed => self.input_ended(slot),
        }
    }

    /// Carries out what is decoded already, within the budget; `true` when there is more.
    fn carry_out(&mut self, id: ConnectionId) -> bool {
        for _ in 0..REQUESTS_A_TURN {
            let Some(connection) = self.connection_mut(id) else {
                return false;
            };
            if connection.held || connection.closing {
                return false;
            }
            let more = match connection.mode {
                Mode::Lines | Mode::Events => self.next_request(id),
                Mode::Attached(_) | Mode::Following(_) => self.next_frame(id),
            };
            if !more {
                return false;
            }
        }
        true
    }

    /// Takes the next line; `false` when there is none.
    fn next_request(&mut self, id: ConnectionId) -> bool {
        let now = self.clock.now();
        let Some(connection) = self.connection_mut(id) else {
            return false;
        };
        if connection.is_clogged() {
            connection.held = true;
            return false;
        }
        match connection.lines.next_line() {
            Ok(None) => false,
            Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => true,
            Ok(Some(line)) => {
                connection.heard = now;
                self.request(id, &line);
                true
            }
            Err(error) => {
                let error = RpcError::new(code::INVALID_REQUEST, error.to_string());
                self.refuse(id, error);
                false
            }
        }
    }

    /// Answers with an error that has no request, and closes.
    pub(crate) fn refuse(&mut self, id: ConnectionId, error: RpcError) {
        self.answer(id, None, Err(error));
        if let Some(connection) = self.connection_mut(id) {
            connection.closing = true;
        }
    }

    fn request(&mut self, client: ConnectionId, line: &[u8]) {
        let (id, method, params) = match Message::parse(line) {
            Ok(Message::Request { id, method, params }) => (id, method, params),
            // A server asks nothing, so nothing is answered.
            Ok(Message::Answer { .. }) => return,
            Err(error) => return self.answer(client, None, Err(error)),
        };
        let outcome = Call::parse(&method, params).and_then(|call| {
            if let Some(connection) = self.connection_mut(client) {
                connection.spoke = true;
            }
            self.permit(client, &call)?;
            self.perform(client, id.clone(), call)
        });
        match outcome {
            Ok(None) => {}
            Ok(Some(value)) => self.answer(client, id, Ok(value)),
            Err(error) => self.answer(client, id, Err(error)),
        }
    }

    /// Checks the caller's rights and leaves a trace of every change.
    fn permit(&mut self, client: ConnectionId, call: &Call) -> Result<(), RpcError> {
        let Some(connection) = self.connections.get(client.slot) else {
            return Ok(());
        };
        let peer = &connection.peer;
        let access = call.access();
        let (method, params) = call.to_parts();
        let own_uid = sys::runtime::effective_uid();
        if !allowed(peer, access, &self.config.daemon.access, own_uid) {
            log::warn!("uid {} pid {}: {method} denied", peer.uid, peer.pid);
            let needed = match access {
                Access::Read => "read",
                Access::Control => "control",
            };
            let message = format!(
                "uid {} may not {method}: daemon.access.{needed} does not list it",
                peer.uid
            );
            let data = json!({"uid": peer.uid, "method": method, "access": needed});
            return Err(RpcError::new(code::PERMISSION, message).with_data(data));
        }
        if access == Access::Control {
            // What is typed may be a secret.
            let params = if method == "send" {
                json!({"process": params["process"]})
            } else {
                params
            };
            log::info!("uid {} pid {}: {method} {params}", peer.uid, peer.pid);
        }
        Ok(())
    }

    fn perform(&mut self, client: ConnectionId, id: Option<Id>, call: Call) -> Reply {
        let value = match call {
            Call::Hello(_) => json!(self.hello()),
            Call::Status(params) => json!(self.status(&self.resolve(&params.targets)?)),
            Call::Start(params) => return self.act(client, id, &params, Goal::Started),
            Call::Stop(params) => return self.act(client, id, &params, Goal::Stopped),
            Call::Restart(params) => return self.act(client, id, &params, Goal::Restarted),
            Call::Wait(params) => return self.wait(client, id, &params),
            Call::Signal(params) => json!(self.send_signal(&params)?),
            Call::Send(params) => json!(self.send_text(&params)?),
            Call::Reload(params) => json!(self.reload(params.dry_run)?),
            Call::Scale(params) => json!(self.scale(&params)?),
            Call::Why(params) => json!(self.why(self.resolve_one(&params.process)?)?),
            Call::Events(params) => json!(self.events(client, &params)),
            Call::Logs(params) => return self.logs(client, id, &params),
            Call::Attach(params) => return self.attach(client, id, &params),
            Call::Detach(params) => json!(self.detach(&params)?),
            Call::Clients(params) => json!(self.clients(&self.resolve(&params.targets)?)),
            Call::Peek(params) => json!(self.peek(&params)?),
            Call::Doctor(_) => json!(doctor()),
            Call::Shutdown(params) => return self.shutdown(client, &params),
        };
        Ok(Some(value))
    }

    /// The processes that targets name, in the config's order.
    pub(crate) fn resolve(&self, targets: &[String]) -> Result<Vec<ProcessId>, RpcError> {
        let processes = || self.supervisor.processes();
        let found = supervisor::resolve(targets, processes(), &self.config.groups);
        found.map_err(|unknown| {
            let message = self.why_unknown(&unknown);
            let data = json!({"target": unknown.target, "suggestion": unknown.suggestion});
            RpcError::new(code::NOT_FOUND, message).with_data(data)
        })
    }

    fn why_unknown(&self, unknown: &UnknownTarget) -> String {
        let UnknownTarget { target, suggestion } = unknown;
        if self
            .config
            .programs
            .iter()
            .any(|program| program.name == *target)
        {
            return format!("{target} has no processes; tm scale {target}=1 gives it one");
        }
        let hint = suggestion
            .as_ref()
            .map(|name| format!("; did you mean {name}?"));
        format!(
            "no such {}: {target}{}",
            unknown.noun(),
            hint.unwrap_or_default()
        )
    }

    /// The one process that a target names.
    pub(crate) fn resolve_one(&self, target: &str) -> Result<ProcessId, RpcError> {
        let found = self.resolve(&[target.to_string()])?;
        match found[..] {
            [id] => Ok(id),
            _ => {
                let names = found.iter().filter_map(|id| self.supervisor.process(*id));
                let names: Vec<&str> = names.map(|process| process.name.as_str()).collect();
                let message = format!("{target} is {} processes: name one", found.len());
                let data = json!({"target": target, "processes": names});
                Err(RpcError::new(code::NOT_FOUND, message).with_data(data))
            }
        }
    }

    fn hello(&self) -> HelloReply {
        HelloReply {
            name: "tmd".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            protocol: PROTOCOL,
            features: FEATURES.map(str::to_string).to_vec(),
            pid: sys::runtime::own_pid(),
            config: self.config.path.display().to_string(),
            uid: sys::runtime::effective_uid(),
            started_at: crate::text::timestamp::rfc3339(self.started_ns),
            shutting_down: self.supervisor.is_shutting_down(),
        }
    }

    fn act(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        params: &ActParams,
        goal: Goal,
    ) -> Reply {
        let targets = self.resolve(&params.targets)?;
        if self.supervisor.is_shutting_down() && goal != Goal::Stopped {
            return Err(going_down());
        }
        let timeout = duration("timeout_s", params.timeout_s)?;
        // The waiter comes first: a start may be over before this function is.
        if params.wait {
            self.wait_for(client, id, goal, &targets, timeout);
        }
        let now = self.clock.now();
        for &target in &targets {
            let event = match goal {
                Goal::Started | Goal::Reached(_) => Event::Start(target),
                Goal::Stopped => Event::Stop(target),
                Goal::Restarted => Event::Restart(target),
            };
            self.supervisor.handle_event(event, now);
        }
        if params.wait {
            return Ok(None);
        }
        let processes = targets.iter().filter_map(|id| self.supervisor.process(*id));
        let processes = processes.map(|process| Outcome {
            name: process.name.clone(),
            ok: true,
            state: process.state.name().into(),
            pid: process.pid(),
            exit: None,
            message: self.detail(process),
        });
        Ok(Some(json!(ActReply {
            processes: processes.collect(),
            timed_out: false
        })))
    }

    fn wait(&mut self, client: ConnectionId, id: Option<Id>, params: &WaitParams) -> Reply {
        let targets = self.resolve(&params.targets)?;
        let timeout = duration("timeout_s", params.timeout_s)?;
        self.wait_for(
            client,
            id,
            Goal::Reached(params.wait_for),
            &targets,
            timeout,
        );
        Ok(None)
    }

    fn send_signal(&mut self, params: &SignalParams) -> Result<ActReply, RpcError> {
        let signal = signal_number(&params.signal).ok_or_else(|| {
            let message = format!("no such signal: {}", params.signal);
            RpcError::new(code::INVALID_PARAMS, message)
        })?;
        let targets = self.resolve(&params.targets)?;
        let mut processes = Vec::new();
        for target in targets {
            let Some(process) = self.supervisor.process(target) else {
                continue;
            };
            let pid = process.pid();
            let message = match pid {
                Some(pid) => format!("signal {} sent to pid {pid}", params.signal),
                None => "not running".to_string(),
            };
            processes.push(Outcome {
                name: process.name.clone(),
                ok: pid.is_some(),
                state: process.state.name().into(),
                pid,
                exit: None,
                message,
            });
            self.signal_leader(target, signal, SignalScope::Leader);
        }
        Ok(ActReply {
            processes,
            timed_out: false,
        })
    }

    fn send_text(&mut self, params: &SendParams) -> Result<SendReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        let Some(process) = self.supervisor.process(id) else {
            return Err(RpcError::new(code::NOT_FOUND, "the process is gone"));
        };
        let name = process.name.clone();
        let data = json!({"process": name, "state": process.state.name()});
        let wrong = |message| RpcError::new(code::WRONG_STATE, message).with_data(data.clone());
        let runs = process.pid().is_some();
        let child = self.children.get_mut(&id);
        let Some(child) = child.filter(|child| runs && child.input.is_some()) else {
            return Err(wrong(if runs {
                format!("{name} takes no input: set tty: true or stdin: pipe")
            } else {
                format!("{name} is not running")
            }));
        };
        if !child.takes_input() {
            return Err(wrong(format!(
                "{name} does not read its input: try again later"
            )));
        }
        child.write_input(params.text.as_bytes(), &mut self.poller);
        Ok(SendReply {
            bytes: params.text.len(),
        })
    }

    fn events(&mut self, client: ConnectionId, params: &EventsParams) -> EventsReply {
        if params.follow
            && let Some(connection) = self.connection_mut(client)
        {
            connection.mode = Mode::Events;
        }
        EventsReply {
            events: self.history.all().cloned().collect(),
        }
    }

    fn shutdown(&mut self, client: ConnectionId, params: &ShutdownParams) -> Reply {
        let event = if params.now {
            Event::ShutdownNow
        } else {
            Event::Shutdown
        };
        self.supervisor.handle_event(event, self.clock.now());
        let detail = match self.connections.get(client.slot) {
            Some(Connection { peer, .. }) => format!("by uid {} pid {}", peer.uid, peer.pid),
            None => String::new(),
        };
        self.publish(event_history::plain(
            "shutdown",
            None,
            detail,
            crate::reactor::clock::unix_ns(),
        ));
        Ok(Some(json!({})))
    }

    /// Sends an event to all who follow; a reader that is too slow misses it.
    pub(crate) fn send_event(&mut self, event: &EventInfo) {
        let mut line: Option<Vec<u8>> = None;
        for (slot, connection) in &mut self.connections {
            if !matches!(connection.mode, Mode::Events)
                || connection.outgoing() > crate::reactor::control::connection::EVENTS_HIGH
            {
                continue;
            }
            let line = line.get_or_insert_with(|| {
                let method = "event".to_string();
                Message::Request {
                    id: None,
                    method,
                    params: json!(event),
                }
                .to_line()
            });
            connection.send_bytes(line);
            self.unflushed.insert(slot);
        }
    }

    /// Sends an answer, unless the client is gone. A notification gets none.
    pub(crate) fn answer(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        outcome: Result<Value, RpcError>,
    ) {
        let waits = self.waiters.has(client);
        if let Some(connection) = self.connection_mut(client) {
            if id.is_some() || outcome.is_err() {
                connection.send(&Message::Answer { id, outcome });
            }
            connection.closing |= connection.owes_nothing(waits);
            self.unflushed.insert(client.slot);
        }
    }
}

/// Nothing is started or changed any more.
pub(crate) fn going_down() -> RpcError {
    let error = RpcError::new(code::WRONG_STATE, "the daemon is shutting down");
    error.with_data(json!({"shutting_down": true}))
}

/// The seconds of a parameter as a span.
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
    Ok(Some(span.min(Duration::from_secs(10 * 365 * 86_400))))
}

fn doctor() -> DoctorReply {
    DoctorReply::new(sys::checks::kernel_release(), sys::checks::run())
}
