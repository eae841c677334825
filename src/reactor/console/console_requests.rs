//! Requests about consoles: attach, detach, peek.

use crate::reactor::clock::unix_ns;
use crate::reactor::console::Consoles;
use crate::reactor::control::connection::{
    Attachment, BlockedTime, ClientPace, ConnectionId, Mode, SizeFit,
};
use crate::reactor::control::event_history::exit_info;
use crate::reactor::control::status_report::last_lines;
use crate::reactor::process::process_io::ProcessIo;
use crate::reactor::process::processes::Processes;
use crate::supervisor::{Process, ProcessId, State};
use crate::sys;
use crate::wire::{
    AttachParams, AttachReply, DetachReply, ExitInfo, Frame, Kind, PeekParams, PeekReply, RpcError,
    code,
};
use serde_json::json;
use std::os::fd::AsFd;

/// Lines of history in the first snapshot, by default and at most.
const HISTORY_LINES: u32 = 1000;

/// Lines of history that a peek returns at most.
const PEEK_HISTORY_MAX: u32 = 5000;

/// Rows or columns of the largest terminal; a larger number is taken for a mistake.
pub(super) const SIDE_MAX: u16 = 4096;

impl Consoles<'_> {
    /// Rejects attaching from the process's own terminal, or from one that shows its output
    /// already: that would feed the process its own output forever.
    ///
    /// # Errors
    /// When `terminal` is the device number of such a terminal.
    pub(crate) fn reject_own_terminal(
        &self,
        process: &Process,
        terminal: u64,
    ) -> Result<(), RpcError> {
        let mut shown_in = Vec::new();
        let mut next = owner(self.processes, terminal)
            .into_iter()
            .collect::<Vec<_>>();
        while let Some(io) = next.pop() {
            if io.id == process.id {
                let name = &process.name;
                let message = match shown_in.is_empty() {
                    true => format!("this terminal is {name}'s own: attach from another"),
                    false => format!("{name} shows this terminal: attach from another"),
                };
                let data = json!({"process": name});
                return Err(RpcError::new(code::WRONG_STATE, message).with_data(data));
            }
            if shown_in.contains(&io.id) {
                continue;
            }
            shown_in.push(io.id);
            let attachments = io.clients.iter();
            let attachments = attachments.filter_map(|client| self.clients.attachment(*client));
            next.extend(attachments.filter_map(|one| owner(self.processes, one.terminal)));
        }
        Ok(())
    }

    /// Attaches a client to a process. Returns the reply, and the attachment to
    /// [`switch`](Self::switch) to after it.
    pub(crate) fn attach(
        &mut self,
        client: ConnectionId,
        process: &Process,
        params: &AttachParams,
    ) -> Option<(AttachReply, Attachment)> {
        let io = self.processes.io_mut(process.id)?;
        let tty = process.launch.tty.is_some();
        // A process that has never run shows an empty screen.
        let drawn = tty && params.replay;
        if drawn && io.terminal.is_none() {
            io.terminal = Some(io.blank_terminal());
        }
        let ended = ended_run(process, io).filter(|_| params.until_exit);
        let history = params.history.unwrap_or(HISTORY_LINES).min(HISTORY_LINES);
        let attachment = Attachment {
            process: process.id,
            cursor: match (tty, params.replay) {
                _ if ended.is_some() && !drawn => io.run_start,
                (true, _) | (false, false) => io.output.head(),
                (false, true) => io.output.line_start_back(HISTORY_LINES as usize, None),
            },
            read_only: params.read_only,
            until_exit: params.until_exit,
            snapshot_due: drawn.then_some(history),
            pace: match params.lossless {
                true => ClientPace::Block(BlockedTime::default()),
                false => ClientPace::Skip,
            },
            rows: params.rows.min(SIDE_MAX),
            cols: params.cols.min(SIDE_MAX),
            terminal: params.terminal,
            tty,
            since_ns: unix_ns(),
            last_input: self.now,
            fit: match drawn && !params.lossless {
                true => SizeFit::Same,
                false => SizeFit::Any,
            },
            last_role: None,
            closing: ended.is_some(),
            queued_frames: ended
                .map(|exit| (io.output.head(), exit))
                .into_iter()
                .collect(),
        };
        io.clients.push(client);
        if !params.read_only && (params.steal || io.driver.is_none()) {
            io.driver = Some(client);
        }
        let reply = AttachReply {
            process: process.name.clone(),
            tty,
            input: io.input.is_some() && !params.read_only,
            pid: process.pid(),
            state: process.state.name().into(),
            driver: io.driver == Some(client),
            redraws: true,
            ended: attachment.closing,
        };
        log::debug!("{}: client attached", process.name);
        Some((reply, attachment))
    }

    /// Switches a client to frames, after its reply.
    pub(crate) fn switch(&mut self, client: ConnectionId, attachment: Attachment) {
        let id = attachment.process;
        let modes = self.modes_alone(&attachment);
        if let Some(connection) = self.clients.connection_mut(client) {
            connection.switch(Mode::Attached(attachment));
            connection.send_bytes(&modes);
        }
        self.resize(id);
        self.send_roles(id);
        self.clients.queue_flush(client);
    }

    /// The frame that sets the modes of a terminal, for a client that has one but wants no picture.
    fn modes_alone(&self, attachment: &Attachment) -> Vec<u8> {
        let io = self.processes.io(attachment.process);
        let wanted = attachment.rows > 0 && attachment.snapshot_due.is_none();
        match io.and_then(|io| io.terminal.as_ref()).filter(|_| wanted) {
            Some(terminal) => {
                let offset = attachment.cursor.to_be_bytes();
                let modes = terminal.tracker().restore_sequence();
                Frame::new(Kind::Snapshot, [&offset[..], &modes].concat()).to_bytes()
            }
            None => Vec::new(),
        }
    }

    /// `detach`: the driver, or all clients.
    pub(crate) fn detach(&mut self, id: ProcessId, all: bool) -> DetachReply {
        let clients = match self.processes.io(id) {
            Some(io) if all => io.clients.clone(),
            Some(io) => {
                let one = io.driver.or(io.clients.last().copied());
                one.into_iter().collect()
            }
            None => Vec::new(),
        };
        let frame = Frame::new(Kind::Detach, *b"by tm detach").to_bytes();
        for client in &clients {
            self.clients.send(*client, &frame);
            self.clients.close_after_flush(*client);
        }
        let io = self.processes.io(id);
        let before = io.map_or(0, |io| io.clients.len());
        DetachReply {
            detached: clients.len(),
            attached: before.saturating_sub(clients.len()),
            process: io.map(|io| io.name.clone()).unwrap_or_default(),
        }
    }
}

/// The frame about the exit of a process that has ended; none for one that has never run, whose end
/// is not announced yet, or that is to run again.
fn ended_run(process: &Process, io: &ProcessIo) -> Option<Frame> {
    if !process.state.is_down() || !io.announcements.is_empty() {
        return None;
    }
    let exit = match process.last_exit {
        Some(exit) => exit_info(exit),
        None if process.state == State::Fatal => ExitInfo::of_failure(),
        None => return None,
    };
    Some(Frame::new(Kind::Exit, json!(exit).to_string()))
}

/// The process whose terminal this is.
fn owner(processes: &Processes, terminal: u64) -> Option<&ProcessIo> {
    let owns = |io: &&ProcessIo| {
        let mut terminals = io.channels.iter().filter(|channel| channel.tty);
        terminals.any(|channel| {
            sys::pty::device(channel.fd.as_fd()).is_ok_and(|device| device == terminal)
        })
    };
    processes.iter().find(owns).filter(|_| terminal != 0)
}

/// `peek`: the screen as text.
pub(crate) fn peek(io: &ProcessIo, params: &PeekParams) -> PeekReply {
    let (rows, cols) = io.size;
    let wanted = params.history.min(PEEK_HISTORY_MAX) as usize;
    let Some(terminal) = &io.terminal else {
        let mut history = last_lines(io, usize::from(rows) + wanted, None);
        let lines = history.split_off(history.len().saturating_sub(usize::from(rows)));
        return PeekReply {
            rows,
            cols,
            lines,
            history,
            ..PeekReply::default()
        };
    };
    let read = io.output.read(io.output.tail());
    let (screen, history) = terminal.peek_with_history(read.slices, params.ansi, wanted);
    PeekReply {
        rows,
        cols,
        cursor: screen.cursor,
        lines: screen.lines,
        title: screen.title,
        alternate_screen: screen.alternate_screen,
        history,
    }
}
