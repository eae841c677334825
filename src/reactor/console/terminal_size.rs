//! The size of a process's terminal, and who of its clients is told what.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::control::connection::{Attachment, Connection, ConnectionId, Mode};
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::{ProcessId, SizePolicy, Time};
use crate::sys;
use crate::wire::{Frame, Kind, RoleInfo};
use serde_json::json;
use slab::Slab;
use std::os::fd::AsFd;
use std::time::Duration;

/// After a change of size no other for so long: whoever drags a window's corner should not make
/// the process draw two hundred times. The last size wins.
const RESIZE_PAUSE: Duration = Duration::from_millis(100);

/// A terminal's size, and when it may change again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resizing {
    not_before: Time,
    /// A timer is set for then.
    waits: bool,
}

impl Reactor {
    /// Gives the terminal the size that its policy chooses among the attached clients, at once.
    pub(crate) fn resize(&mut self, id: ProcessId) {
        if let Some(child) = self.children.get_mut(&id) {
            child.resizing.not_before = Time::default();
        }
        self.resize_soon(id);
    }

    /// The same, but when it may change again.
    pub(crate) fn resize_soon(&mut self, id: ProcessId) {
        let now = self.clock.now();
        let Some(tty) = self
            .supervisor
            .process(id)
            .and_then(|process| process.launch.tty)
        else {
            return;
        };
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let wanted = wanted_size(child, tty.size, &self.connections);
        let Some(size) = wanted.filter(|size| *size != child.size) else {
            return;
        };
        if now < child.resizing.not_before {
            if !std::mem::replace(&mut child.resizing.waits, true) {
                self.timers
                    .add(child.resizing.not_before, Timer::ResizeAllowed(id));
            }
            return;
        }
        child.resizing.not_before = now + RESIZE_PAUSE;
        child.resize_terminal(size);
        let newest = child
            .channels
            .iter()
            .filter(|channel| channel.tty)
            .max_by_key(|channel| channel.number);
        if let Some(channel) = newest
            && let Err(error) = sys::pty::resize(channel.fd.as_fd(), size.0, size.1)
        {
            log::warn!("{}: cannot resize its terminal: {error}", child.name);
        }
        self.tell_roles(id);
    }

    /// The size may change again.
    pub(crate) fn resize_timer(&mut self, id: ProcessId) {
        if let Some(child) = self.children.get_mut(&id) {
            child.resizing.waits = false;
            self.resize_soon(id);
        }
    }

    /// Tells each attached client what it is now and how large the terminal is, if that has
    /// changed.
    pub(crate) fn tell_roles(&mut self, id: ProcessId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let policy = self
            .supervisor
            .process(id)
            .and_then(|process| process.launch.tty);
        let wanted = policy.and_then(|tty| wanted_size(child, tty.size, &self.connections));
        let (rows, cols) = wanted.unwrap_or(child.size);
        let clients = child.clients.len();
        let roles: Vec<(ConnectionId, RoleInfo)> = child
            .clients
            .iter()
            .map(|client| {
                let role = RoleInfo {
                    driver: child.driver == Some(*client),
                    clients,
                    rows,
                    cols,
                };
                (*client, role)
            })
            .collect();
        for (client, role) in roles {
            let Some(connection) = self.connection_mut(client) else {
                continue;
            };
            let Mode::Attached(attachment) = &mut connection.mode else {
                continue;
            };
            if attachment.told.as_ref() == Some(&role) {
                continue;
            }
            let frame = Frame::new(Kind::Role, json!(role).to_string());
            attachment.told = Some(role);
            connection.send_bytes(&frame.to_bytes());
            self.unflushed.insert(client.slot);
        }
    }
}

/// Whether this client has a terminal that answers what the process asks.
pub(crate) fn has_terminal(client: Option<ConnectionId>, connections: &Slab<Connection>) -> bool {
    client
        .and_then(|client| attachment_of(client, connections))
        .is_some_and(|attachment| attachment.rows > 0)
}

fn attachment_of(client: ConnectionId, connections: &Slab<Connection>) -> Option<&Attachment> {
    match &connections.get(client.slot)?.mode {
        Mode::Attached(attachment) => Some(attachment),
        Mode::Lines | Mode::Events | Mode::Following(_) => None,
    }
}

fn wanted_size(
    child: &ProcessIo,
    policy: SizePolicy,
    connections: &Slab<Connection>,
) -> Option<(u16, u16)> {
    let sizes = child.clients.iter().filter_map(|client| {
        let attachment = attachment_of(*client, connections)?;
        let usable = !attachment.read_only && attachment.rows > 0 && attachment.cols > 0;
        usable.then_some((*client, (attachment.rows, attachment.cols)))
    });
    let fold = |pick: fn(u16, u16) -> u16| {
        sizes
            .clone()
            .map(|(_, size)| size)
            .reduce(|a, b| (pick(a.0, b.0), pick(a.1, b.1)))
    };
    match policy {
        SizePolicy::Latest => sizes
            .clone()
            .find(|(client, _)| child.driver == Some(*client))
            .map(|(_, size)| size),
        SizePolicy::Smallest => fold(u16::min),
        SizePolicy::Largest => fold(u16::max),
        SizePolicy::Fixed => None,
    }
}
