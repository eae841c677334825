//! The state of processes as clients see it.

use crate::reactor::clock::Clock;
use crate::reactor::console::control_keys::is_output_stopped;
use crate::reactor::control::client_table::Clients;
use crate::reactor::control::event_history::{History, exit_info, of_transition};
use crate::reactor::control::parameters::process_gone;
use crate::reactor::disk::file::DiskError;
use crate::reactor::output::Stream;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::process::pidfile;
use crate::reactor::process::process_io::{ProcessIo, WatchedStraggler};
use crate::reactor::process::processes::Processes;
use crate::supervisor::{self, Desired, Process, ProcessId, State, Supervisor, Transition};
use crate::sys;
use crate::text::full_screen::FullScreenFilter;
use crate::text::plural::plural;
use crate::text::strip::Strip;
use crate::text::timestamp::rfc3339;
use crate::wire::{
    ClientInfo, ClientsReply, EventInfo, Outcome, ProcessState, ProcessStatus, RpcError,
    StatusReply, WhyReply,
};
use std::cell::Cell;

/// Lines of output that `why` shows.
const WHY_LINES: usize = 10;

/// Changes of state that `why` lists.
const WHY_CHANGES: usize = 5;

/// Stragglers whose ports `why` looks for.
const WHY_LISTENERS: usize = 4;

/// Stragglers whose command lines a report reads.
pub(crate) const LOOKS_MAX: usize = 64;

/// The parts that a report reads.
pub(crate) struct Reports<'a> {
    /// The processes' states.
    pub supervisor: &'a Supervisor,
    /// Their output and stragglers.
    pub processes: &'a Processes,
    /// The attached clients.
    pub clients: &'a Clients,
    /// Their logs.
    pub log_files: &'a LogFiles,
    /// Past changes of state.
    pub history: &'a History,
    /// The present time.
    pub clock: &'a Clock,
    /// The stragglers whose command lines it still reads.
    pub looks: Cell<usize>,
}

impl Reports<'_> {
    /// The rows of `status`.
    pub(crate) fn status(&self, targets: &[ProcessId]) -> StatusReply {
        let processes = targets.iter().filter_map(|id| self.supervisor.process(*id));
        StatusReply {
            processes: processes.map(|process| self.row(process)).collect(),
        }
    }

    fn row(&self, process: &Process) -> ProcessStatus {
        let now = self.clock.now();
        let io = self.processes.io(process.id);
        let stragglers = io.map(|io| &io.stragglers[..]).unwrap_or_default();
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
            expected: self.ended_as_expected(process),
            detail: self.detail_of_row(process),
            tty: process.launch.tty.is_some(),
            full_screen: io.is_some_and(is_full_screen),
            clients: io.map(|io| self.clients_of(io)).unwrap_or_default(),
            stragglers: stragglers
                .iter()
                .map(|straggler| format!("{} {}", straggler.pid, self.command_of(straggler)))
                .collect(),
        }
    }

    /// Whether an EXITED process ended with an expected code.
    fn ended_as_expected(&self, process: &Process) -> Option<bool> {
        let policy = self.supervisor.policy(process.id)?;
        let exited = process.state == State::Exited;
        let expects = |exit| policy.expects(exit);
        exited.then(|| process.last_exit.is_some_and(expects))
    }

    /// The DETAIL column: the detail of the state, and of files that cannot be written.
    fn detail_of_row(&self, process: &Process) -> String {
        let paused = self.paused(process.id);
        let paused = paused.map(|signal| format!("paused ({signal})"));
        let detail = Some(self.detail(process)).filter(|detail| !detail.is_empty());
        let parts = paused.into_iter().chain(detail);
        let parts: Vec<String> = parts.chain(self.troubles(process.id)).collect();
        parts.join("; ")
    }

    /// The signal that stopped the leader of a process, until that continues.
    fn paused(&self, id: ProcessId) -> Option<String> {
        self.processes.io(id)?.paused.map(supervisor::sig)
    }

    /// The log and the pidfile of a process, if they cannot be written.
    fn troubles(&self, id: ProcessId) -> impl Iterator<Item = String> {
        let pidfile = self.pidfile_trouble(id);
        let pidfile = pidfile.map(|trouble| trouble.text.clone());
        self.log_files.trouble(id).into_iter().chain(pidfile)
    }

    fn pidfile_trouble(&self, id: ProcessId) -> Option<&DiskError> {
        self.processes.io(id)?.pidfile_trouble.as_ref()
    }

    /// The event of a change of state. That of a process that is RUNNING names its troubles.
    pub(crate) fn event_of(&self, transition: &Transition) -> EventInfo {
        let mut event = of_transition(transition);
        if transition.to == State::Running && event.detail.is_empty() {
            event.detail = self.trouble_text(transition.id);
        }
        event
    }

    /// The troubles in one text, empty if all is well.
    pub(crate) fn trouble_text(&self, id: ProcessId) -> String {
        self.troubles(id).collect::<Vec<_>>().join("; ")
    }

    /// The remedy for a log or a pidfile that cannot be written.
    fn file_remedy(&self, id: ProcessId) -> Option<String> {
        let process = self.supervisor.process(id)?;
        let log = self.log_files.failure(id).and_then(|failure| {
            let fix = supervisor::spawn_fix(&failure, process.launch.identity.is_some())?;
            Some(fix.in_words(None))
        });
        log.or_else(|| Some(pidfile::remedy(self.pidfile_trouble(id)?).to_string()))
    }

    /// The detail of a state, with stragglers named.
    pub(crate) fn detail(&self, process: &Process) -> String {
        let Some(policy) = self.supervisor.policy(process.id) else {
            return String::new();
        };
        let now = self.clock.now();
        let Some(named) = self.straggler_text(process) else {
            return supervisor::detail(process, policy, now);
        };
        // This function names the stragglers; the supervisor only counts them.
        let without = Process {
            stragglers: 0,
            ..process.clone()
        };
        let text = supervisor::detail(&without, policy, now);
        match text.is_empty() {
            true => named,
            false => format!("{text}; {named}"),
        }
    }

    /// The number of stragglers, with one of them named.
    fn straggler_text(&self, process: &Process) -> Option<String> {
        let io = self.processes.io(process.id)?;
        let first = io.stragglers.first()?;
        let count = process.stragglers.max(io.stragglers.len() as u32);
        let counted = plural(count as usize, "straggler", "stragglers");
        let more = if count > 1 { " …" } else { "" };
        Some(format!(
            "{counted}: pid {} {}{more}",
            first.pid,
            self.command_of(first)
        ))
    }

    /// The command line of a straggler: the present one as long as the report may look, else that
    /// of the time when it was found.
    fn command_of(&self, straggler: &WatchedStraggler) -> String {
        match self.looks.get().checked_sub(1) {
            Some(left) => {
                self.looks.set(left);
                straggler.command()
            }
            None => straggler.first_command.clone(),
        }
    }

    /// Adds to the outcome of a process that runs: a straggler of an earlier run, and files that
    /// cannot be written.
    pub(crate) fn add_troubles(&self, outcome: &mut Outcome) {
        let id = self.supervisor.find(&outcome.name);
        let process = id.and_then(|id| self.supervisor.process(id));
        let Some(process) = process.filter(|_| outcome.state == ProcessState::Running) else {
            return;
        };
        let straggler = self.straggler_text(process).map(|text| format!("; {text}"));
        let troubles = self.troubles(process.id).map(|text| format!(", {text}"));
        let added: String = straggler.into_iter().chain(troubles).collect();
        if let Some(pid) = outcome.pid
            && !added.is_empty()
        {
            let said = match outcome.message.as_str() {
                "" => ProcessState::Running.to_string(),
                counted if counted.contains("straggler") => ProcessState::Running.to_string(),
                said => said.to_string(),
            };
            outcome.message = format!("{said} (pid {pid}){added}");
        }
    }

    /// The clients that are attached to a process.
    fn clients_of(&self, io: &ProcessIo) -> Vec<ClientInfo> {
        let clients = io.clients.iter().filter_map(|client| {
            let connection = self.clients.connection(*client)?;
            let attachment = connection.attachment()?;
            Some(ClientInfo {
                process: io.name.clone(),
                pid: connection.peer.pid,
                uid: connection.peer.uid,
                driver: io.driver == Some(*client),
                read_only: attachment.read_only,
                rows: attachment.rows,
                cols: attachment.cols,
                since: rfc3339(attachment.since_ns),
            })
        });
        clients.collect()
    }

    /// The clients that are attached to any of these processes.
    pub(crate) fn clients(&self, targets: &[ProcessId]) -> ClientsReply {
        let processes = targets.iter().filter_map(|id| self.processes.io(*id));
        ClientsReply {
            clients: processes.flat_map(|io| self.clients_of(io)).collect(),
        }
    }

    /// Why a process is in its state.
    ///
    /// # Errors
    /// When it no longer exists.
    pub(crate) fn why(&self, id: ProcessId) -> Result<WhyReply, RpcError> {
        let process = self.supervisor.process(id).ok_or_else(process_gone)?;
        let policy = self.supervisor.policy(id).ok_or_else(process_gone)?;
        let why = supervisor::why(process, policy, self.clock.now());
        let mut causes = why.causes;
        let paused = self.paused(id);
        if let Some(signal) = &paused {
            let cause = format!("it is paused by {signal}, and does nothing until SIGCONT");
            causes.insert(0, cause);
        }
        let name = &process.name;
        let go_on = paused.map(|_| format!("continue it: tm signal CONT {name}"));
        causes.extend(self.listening_stragglers(id));
        if self.processes.io(id).is_some_and(is_output_stopped) {
            let text = "its output is stopped by ctrl-s: ctrl-q continues it, \
                and so does the detach of the last client";
            causes.push(text.to_string());
        }
        causes.extend(self.troubles(id));
        causes.extend(self.latest_changes(&process.name));
        let io = self.processes.io(id);
        let (output, earlier_output) = io.map(output_of_why).unwrap_or_default();
        Ok(WhyReply {
            process: self.row(process),
            summary: why.summary,
            causes,
            next: why.next,
            remedy: go_on.or(why.remedy).or_else(|| self.file_remedy(id)),
            output,
            earlier_output,
        })
    }

    /// The stragglers that listen: they keep their ports from the next start. This reads tables of
    /// the kernel, so there is a bound.
    fn listening_stragglers(&self, id: ProcessId) -> Vec<String> {
        let io = self.processes.io(id);
        let stragglers = io.map(|io| &io.stragglers[..]).unwrap_or_default();
        let looked_at = stragglers.iter().take(WHY_LISTENERS);
        looked_at
            .filter_map(|straggler| {
                let held = sys::listening::listening(straggler.pid).join(", ");
                let pid = straggler.pid;
                (!held.is_empty()).then(|| format!("straggler pid {pid} listens on {held}"))
            })
            .collect()
    }

    /// The latest changes of a process's state, newest first.
    fn latest_changes(&self, name: &str) -> Vec<String> {
        let changes = self.history.all().filter(|event| {
            event.process.as_deref() == Some(name) && event.event == "process_state"
        });
        let mut changes: Vec<String> = changes
            .map(|event| {
                let from = event.from.clone().unwrap_or_default();
                let to = event.to.clone().unwrap_or_default();
                let detail = match event.detail.as_str() {
                    "" => String::new(),
                    detail => format!(": {detail}"),
                };
                format!("{} {from} → {to}{detail}", event.ts)
            })
            .collect();
        let first = changes.len().saturating_sub(WHY_CHANGES);
        changes.drain(first..).rev().collect()
    }
}

/// The last lines of the current or last run, else those of the run before. Returns whether they
/// are the latter.
fn output_of_why(io: &ProcessIo) -> (Vec<String>, bool) {
    let all = io.output.line_start_back(WHY_LINES, None);
    let is_empty = |lines: &[String]| lines.iter().all(|line| line.trim().is_empty());
    let output = lines_from(io, all.max(io.run_start), None);
    if !is_empty(&output) || is_full_screen(io) {
        return (output, false);
    }
    let output = lines_from(io, all, None);
    match is_empty(&output) {
        true => (Vec::new(), false),
        false => (output, true),
    }
}

/// Whether the process draws on the alternate screen.
fn is_full_screen(io: &ProcessIo) -> bool {
    let terminal = io.terminal.as_ref();
    terminal.is_some_and(|terminal| terminal.tracker().alternate())
}

/// The last lines of a process's output as text.
pub(crate) fn last_lines(io: &ProcessIo, lines: usize, stream: Option<Stream>) -> Vec<String> {
    lines_from(io, io.output.line_start_back(lines, stream), stream)
}

/// The output from an offset on as text, without full-screen pictures.
fn lines_from(io: &ProcessIo, from: u64, stream: Option<Stream>) -> Vec<String> {
    let mut bytes = Vec::new();
    for segment in io.output.segments(from, stream) {
        bytes.extend_from_slice(segment.bytes);
    }
    let (mut kept, mut clean) = (Vec::new(), Vec::new());
    FullScreenFilter::for_output(&bytes, is_full_screen(io)).feed(&bytes, &mut kept);
    Strip::default().feed(&kept, &mut clean);
    // A line that was overwritten shows its last text.
    let shown = |line: &str| {
        let line = line.trim_end_matches('\r');
        line.rsplit('\r').next().unwrap_or_default().to_string()
    };
    String::from_utf8_lossy(&clean).lines().map(shown).collect()
}
