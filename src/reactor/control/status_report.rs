//! What a process looks like to a client.

use crate::reactor::Reactor;
use crate::reactor::control::connection::Mode;
use crate::reactor::control::event_history::exit_info;
use crate::reactor::output::Stream;
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::{self, Desired, Process, ProcessId};
use crate::text::plural::plural;
use crate::text::strip::Strip;
use crate::text::timestamp::rfc3339;
use crate::wire::{ClientInfo, ClientsReply, ProcessStatus, RpcError, StatusReply, WhyReply, code};

/// How many lines of output `why` shows.
const WHY_LINES: usize = 10;

impl Reactor {
    /// The rows of `status`.
    pub(crate) fn status(&self, targets: &[ProcessId]) -> StatusReply {
        let processes = targets.iter().filter_map(|id| self.supervisor.process(*id));
        StatusReply {
            processes: processes.map(|process| self.row(process)).collect(),
        }
    }

    fn row(&self, process: &Process) -> ProcessStatus {
        let now = self.clock.now();
        let child = self.children.get(&process.id);
        let stragglers = child.map(|child| &child.stragglers[..]).unwrap_or_default();
        let name_of = |straggler: &crate::reactor::process::process_io::Straggler| {
            format!("{} {}", straggler.pid, straggler.command)
        };
        let started_at = process.started_at();
        ProcessStatus {
            name: process.name.clone(),
            program: process.program.clone(),
            instance: process.instance,
            state: process.state.name().into(),
            desired: match process.desired {
                Desired::Up => "up".to_string(),
                Desired::Down => "down".to_string(),
            },
            pid: process.pid(),
            uptime_s: started_at.map(|at| (now.since(at).as_secs_f64() * 1000.0).round() / 1000.0),
            restarts: process.restarts,
            started_at: started_at.map(|at| self.clock.rfc3339(at)),
            exit: process
                .last_exit
                .filter(|_| process.pid().is_none())
                .map(exit_info),
            detail: self.detail_of_row(process),
            tty: process.launch.tty.is_some(),
            clients: child
                .map(|child| self.clients_of(child))
                .unwrap_or_default(),
            stragglers: stragglers.iter().map(name_of).collect(),
        }
    }

    /// The DETAIL column: what is to be said of the state, and of a log that cannot be written.
    fn detail_of_row(&self, process: &Process) -> String {
        let detail = self.detail(process);
        match self.log_files.trouble(process.id) {
            Some(trouble) if detail.is_empty() => trouble,
            Some(trouble) => format!("{detail}; {trouble}"),
            None => detail,
        }
    }

    /// What is said of a state, stragglers named.
    pub(crate) fn detail(&self, process: &Process) -> String {
        let Some(policy) = self.supervisor.policy(process.id) else {
            return String::new();
        };
        let now = self.clock.now();
        let child = self.children.get(&process.id);
        let Some((child, first)) = child.and_then(|child| Some((child, child.stragglers.first()?)))
        else {
            return supervisor::detail(process, policy, now);
        };
        // They are named here instead of only counted.
        let counted = Process {
            stragglers: 0,
            ..process.clone()
        };
        let text = supervisor::detail(&counted, policy, now);
        let count = process.stragglers.max(child.stragglers.len() as u32);
        let counted = plural(count as usize, "straggler", "stragglers");
        let more = if count > 1 { " …" } else { "" };
        let named = format!("{counted}: pid {} {}{more}", first.pid, first.command);
        if text.is_empty() {
            named
        } else {
            format!("{text}; {named}")
        }
    }

    /// Who is attached to a process.
    fn clients_of(&self, child: &ProcessIo) -> Vec<ClientInfo> {
        let known = child.clients.iter().filter_map(|client| {
            let connection = self.connections.get(client.slot)?;
            let Mode::Attached(attachment) = &connection.mode else {
                return None;
            };
            Some(ClientInfo {
                process: child.name.clone(),
                pid: connection.peer.pid,
                uid: connection.peer.uid,
                driver: child.driver == Some(*client),
                read_only: attachment.read_only,
                rows: attachment.rows,
                cols: attachment.cols,
                since: rfc3339(attachment.since_ns),
            })
        });
        known.collect()
    }

    /// Who is attached to any of these.
    pub(crate) fn clients(&self, targets: &[ProcessId]) -> ClientsReply {
        let children = targets.iter().filter_map(|id| self.children.get(id));
        ClientsReply {
            clients: children.flat_map(|child| self.clients_of(child)).collect(),
        }
    }

    /// Why a process is in its state.
    pub(crate) fn why(&self, id: ProcessId) -> Result<WhyReply, RpcError> {
        let gone = || RpcError::new(code::NOT_FOUND, "the process is gone");
        let process = self.supervisor.process(id).ok_or_else(gone)?;
        let policy = self.supervisor.policy(id).ok_or_else(gone)?;
        let why = supervisor::why(process, policy, self.clock.now());
        let mut causes = why.causes;
        causes.extend(self.log_files.trouble(id));
        let history = self.history.all().filter(|event| {
            event.process.as_ref() == Some(&process.name) && event.event == "process_state"
        });
        let mut changes: Vec<String> = history
            .map(|event| {
                let from = event.from.clone().unwrap_or_default();
                let to = event.to.clone().unwrap_or_default();
                let detail = match event.detail.as_str() {
                    "" => String::new(),
                    detail => format!(" ({detail})"),
                };
                format!("{} {from} -> {to}{detail}", event.ts)
            })
            .collect();
        let first = changes.len().saturating_sub(5);
        causes.extend(changes.drain(first..).rev());
        Ok(WhyReply {
            process: self.row(process),
            summary: why.summary,
            causes,
            next: why.next,
            remedy: why.remedy,
            output: self.last_lines(id, WHY_LINES, None),
        })
    }

    /// The last lines of a process's output as text.
    pub(crate) fn last_lines(
        &self,
        id: ProcessId,
        lines: usize,
        stream: Option<Stream>,
    ) -> Vec<String> {
        let Some(child) = self.children.get(&id) else {
            return Vec::new();
        };
        let from = child.output.line_start_back(lines, stream);
        let mut bytes = Vec::new();
        for segment in child.output.segments(from, stream) {
            bytes.extend_from_slice(segment.bytes);
        }
        let mut clean = Vec::new();
        Strip::default().feed(&bytes, &mut clean);
        // Of a line that was written over and over the last writing counts.
        let shown = |line: &str| {
            let line = line.trim_end_matches('\r');
            line.rsplit('\r').next().unwrap_or_default().to_string()
        };
        String::from_utf8_lossy(&clean).lines().map(shown).collect()
    }

    /// Whether nothing more will happen to a process by itself.
    pub(crate) fn is_at_rest(&self, id: ProcessId) -> bool {
        let process = self.supervisor.process(id);
        process.is_none_or(|process| process.state.is_down())
    }
}
