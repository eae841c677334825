//! The size of a process's terminal, and the roles of its clients.

use crate::reactor::clock::{Timer, Timers};
use crate::reactor::console::Consoles;
use crate::reactor::control::client_table::Clients;
use crate::reactor::control::connection::{ConnectionId, SizeFit};
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::{ProcessId, SizePolicy, Time};
use crate::sys;
use crate::wire::{Frame, Kind, RoleInfo};
use serde_json::json;
use std::os::fd::AsFd;
use std::time::Duration;

/// Time between two changes of size: dragging a window's corner must not make the process redraw
/// at every step. The last size wins.
const RESIZE_PAUSE: Duration = Duration::from_millis(100);

/// Time between two pictures for the clients whose terminals have another size.
const PICTURE_PAUSE: Duration = Duration::from_millis(40);

/// When something may happen again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Debounce {
    not_before: Time,
    timer_armed: bool,
}

impl Debounce {
    /// Whether it may happen now, and then not again for `pause`. Otherwise adds `timer`, once.
    fn allows(&mut self, now: Time, pause: Duration, timers: &mut Timers, timer: Timer) -> bool {
        let allowed = now >= self.not_before;
        if allowed {
            self.not_before = now + pause;
        } else if !std::mem::replace(&mut self.timer_armed, true) {
            timers.add(self.not_before, timer);
        }
        allowed
    }
}

impl Consoles<'_> {
    /// Resizes a terminal at once, to the size that its policy chooses among the attached clients.
    pub(crate) fn resize(&mut self, id: ProcessId) {
        if let Some(io) = self.processes.io_mut(id) {
            io.resize.not_before = Time::default();
        }
        self.resize_debounced(id);
    }

    /// Resizes a terminal as soon as its size may change again.
    pub(crate) fn resize_debounced(&mut self, id: ProcessId) {
        let Some(policy) = self.size_policy(id) else {
            return;
        };
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        let wanted = wanted_size(io, policy, self.clients);
        let Some(size) = wanted.filter(|size| *size != io.size) else {
            return;
        };
        let timer = Timer::ResizeAllowed(id);
        if !io.resize.allows(self.now, RESIZE_PAUSE, self.timers, timer) {
            return;
        }
        io.resize_terminal(size);
        if let Some(newest) = io.newest_terminal()
            && let Err(error) = sys::pty::resize(newest.as_fd(), size.0, size.1)
        {
            log::warn!("{}: cannot resize its terminal: {error}", io.name);
        }
        self.send_roles(id);
    }

    /// The size of a terminal may change again.
    pub(crate) fn resize_allowed(&mut self, id: ProcessId) {
        if let Some(io) = self.processes.io_mut(id) {
            io.resize.timer_armed = false;
            self.resize_debounced(id);
        }
    }

    /// Finds the clients whose terminals have another size than the process's. A client whose
    /// terminal begins or ceases to fit is drawn at once.
    pub(crate) fn note_fits(&mut self, id: ProcessId) {
        let policy = self.size_policy(id);
        let Some(io) = self.processes.io(id) else {
            return;
        };
        for client in &io.clients {
            let Some(attachment) = self.clients.attachment_mut(*client) else {
                continue;
            };
            // The process is about to get the driver's size.
            let sizes = policy == Some(SizePolicy::Latest) && io.driver == Some(*client);
            let size = (attachment.rows, attachment.cols);
            let fit = match sizes || size == io.size || size.0 == 0 || size.1 == 0 {
                true => SizeFit::Same,
                false => SizeFit::Differs,
            };
            if attachment.fit != SizeFit::Any && attachment.fit != fit {
                attachment.fit = fit;
                attachment.snapshot_due.get_or_insert(0);
                self.clients.queue_flush(*client);
            }
        }
    }

    /// Draws the clients whose terminals have another size, unless they were just drawn.
    pub(crate) fn draw_pictures(&mut self, id: ProcessId) {
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        let head = io.output.head();
        let mut behind = Vec::new();
        for client in &io.clients {
            let attachment = self.clients.attachment(*client);
            if attachment.is_some_and(|one| one.fit == SizeFit::Differs && one.cursor < head) {
                behind.push(*client);
            }
        }
        let timer = Timer::PictureAllowed(id);
        let (now, timers) = (self.now, &mut *self.timers);
        if behind.is_empty() || !io.pictures.allows(now, PICTURE_PAUSE, timers, timer) {
            return;
        }
        for client in behind {
            if let Some(attachment) = self.clients.attachment_mut(client) {
                attachment.snapshot_due.get_or_insert(0);
                self.clients.queue_flush(client);
            }
        }
    }

    /// The next pictures of a process may be drawn.
    pub(crate) fn picture_allowed(&mut self, id: ProcessId) {
        if let Some(io) = self.processes.io_mut(id) {
            io.pictures.timer_armed = false;
            self.draw_pictures(id);
        }
    }

    /// Sends each attached client its role and the terminal's size, if they have changed.
    pub(crate) fn send_roles(&mut self, id: ProcessId) {
        self.note_fits(id);
        let policy = self.size_policy(id);
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let wanted = policy.and_then(|policy| wanted_size(io, policy, self.clients));
        let (rows, cols) = wanted.unwrap_or(io.size);
        for client in &io.clients {
            let Some(attachment) = self.clients.attachment_mut(*client) else {
                continue;
            };
            let role = RoleInfo {
                driver: io.driver == Some(*client),
                clients: io.clients.len(),
                rows,
                cols,
            };
            if attachment.last_role.as_ref() == Some(&role) {
                continue;
            }
            let frame = Frame::new(Kind::Role, json!(role).to_string());
            attachment.last_role = Some(role);
            self.clients.send(*client, &frame.to_bytes());
        }
    }

    /// How the size of a terminal is chosen; none for a process without one.
    pub(super) fn size_policy(&self, id: ProcessId) -> Option<SizePolicy> {
        let process = self.supervisor.process(id)?;
        process.launch.tty.map(|tty| tty.size)
    }
}

/// The size that a policy chooses among the clients that have a terminal and may size it.
fn wanted_size(io: &ProcessIo, policy: SizePolicy, clients: &Clients) -> Option<(u16, u16)> {
    let size_of = |client: ConnectionId| {
        let attachment = clients.attachment(client)?;
        let usable = !attachment.read_only && attachment.rows > 0 && attachment.cols > 0;
        usable.then_some((attachment.rows, attachment.cols))
    };
    let fold = |pick: fn(u16, u16) -> u16| {
        let sizes = io.clients.iter().filter_map(|client| size_of(*client));
        sizes.reduce(|a, b| (pick(a.0, b.0), pick(a.1, b.1)))
    };
    match policy {
        SizePolicy::Latest => io.driver.and_then(size_of),
        SizePolicy::Smallest => fold(u16::min),
        SizePolicy::Largest => fold(u16::max),
        SizePolicy::Fixed => None,
    }
}
