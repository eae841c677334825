//! Tests of the clients' rules, over socket pairs.

use super::*;
use crate::reactor::control::connection::{READ_SIZE, WriteState};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

struct Fixture {
    clients: Clients,
    poller: Poller,
    timers: Timers,
}

fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

fn fixture() -> Fixture {
    Fixture {
        clients: Clients::new(CLIENTS_MAX),
        poller: Poller::new().expect("an epoll instance"),
        timers: Timers::default(),
    }
}

impl Fixture {
    fn connect(&mut self, now: Time) -> (ConnectionId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let peer = Peer {
            pid: 1,
            uid: 1000,
            gid: 1000,
            groups: Vec::new(),
        };
        let id = self.clients.add(ours.into(), peer, now, &mut self.poller);
        (id.expect("watched"), theirs)
    }

    fn close_idle(&mut self, now: Time) -> Vec<ConnectionId> {
        let Fixture {
            clients,
            poller,
            timers,
        } = self;
        let closed = clients.close_idle(now, timers, poller);
        closed.iter().map(|closed| closed.id).collect()
    }
}

#[test]
fn an_id_of_a_closed_connection_finds_no_other() {
    let mut fixture = fixture();
    let (first, _) = fixture.connect(at(0));
    let closed = fixture.clients.close(first.slot, &mut fixture.poller);
    assert_eq!(closed.expect("closed").id, first);
    let (second, _) = fixture.connect(at(0));
    assert_eq!(first.slot, second.slot);
    assert!(fixture.clients.connection(first).is_none());
    assert!(fixture.clients.connection(second).is_some());
}

#[test]
fn new_clients_wait_for_room_for_a_limited_time() {
    let mut fixture = fixture();
    fixture.clients.limit = 2;
    let (first, _a) = fixture.connect(at(0));
    assert!(!fixture.clients.is_full());
    let (_, _b) = fixture.connect(at(0));
    assert!(fixture.clients.is_full());
    // With nothing to read, waiting would make no room.
    assert!(!fixture.clients.is_full_for_now(at(0)));
    fixture.clients.queue_read(first.slot);
    assert!(fixture.clients.is_full_for_now(at(0)));
    assert!(fixture.clients.is_full_for_now(at(999)));
    assert!(!fixture.clients.is_full_for_now(at(1000)));
    fixture.clients.close(first.slot, &mut fixture.poller);
    assert!(!fixture.clients.is_full_for_now(at(1001)));
}

#[test]
fn the_oldest_silent_client_is_evicted() {
    let mut fixture = fixture();
    let (valid, _a) = fixture.connect(at(0));
    let (queued, _b) = fixture.connect(at(0));
    let (silent, _c) = fixture.connect(at(10));
    let (newer, _d) = fixture.connect(at(20));
    let connection = fixture.clients.connection_mut(valid).expect("connected");
    connection.has_valid_request = true;
    fixture.clients.queue_read(queued.slot);
    let Fixture {
        clients, poller, ..
    } = &mut fixture;
    assert!(clients.evict_silent(at(1009), poller).is_none());
    let evicted = clients.evict_silent(at(5000), poller).expect("evicted");
    assert_eq!(evicted.id, silent);
    let evicted = clients.evict_silent(at(5000), poller).expect("evicted");
    assert_eq!(evicted.id, newer);
    assert!(clients.evict_silent(at(5000), poller).is_none());
}

#[test]
fn idle_clients_are_closed() {
    let mut fixture = fixture();
    let (silent, _a) = fixture.connect(at(0));
    let (valid, _b) = fixture.connect(at(0));
    let (mid_line, mut theirs) = fixture.connect(at(0));
    for id in [valid, mid_line] {
        let connection = fixture.clients.connection_mut(id).expect("connected");
        connection.has_valid_request = true;
    }
    theirs.write_all(b"{\"unfinished\"").expect("written");
    assert_eq!(fixture.clients.read(mid_line.slot), Received::LastBytes);
    assert_eq!(fixture.close_idle(at(29_999)), []);
    assert_eq!(fixture.timers.due(at(60_000)), Some(Timer::IdleClients));
    assert_eq!(fixture.close_idle(at(30_000)), [silent, mid_line]);
    assert_eq!(fixture.timers.next(), None);
    assert!(fixture.clients.connection(valid).is_some());
}

#[test]
fn a_connection_is_queued_once() {
    let mut fixture = fixture();
    let (id, _theirs) = fixture.connect(at(0));
    fixture.clients.queue_read(id.slot);
    fixture.clients.queue_read(id.slot);
    assert_eq!(fixture.clients.ready_count(), 1);
    assert_eq!(fixture.clients.next_ready().map(|one| one.id), Some(id));
    assert!(!fixture.clients.has_ready());
    fixture.clients.queue_read(id.slot);
    assert!(fixture.clients.has_ready());
}

#[test]
fn only_a_paused_connection_is_resumed() {
    let mut fixture = fixture();
    let (id, _theirs) = fixture.connect(at(0));
    fixture.clients.resume_reading(id);
    assert!(!fixture.clients.has_ready());
    let connection = fixture.clients.connection_mut(id).expect("connected");
    connection.read = ReadState::Paused;
    fixture.clients.resume_reading(id);
    assert!(fixture.clients.has_ready());
    let connection = fixture.clients.connection(id).expect("connected");
    assert_eq!(connection.read, ReadState::Open);
}

#[test]
fn a_read_fills_the_decoder_until_the_end() {
    let mut fixture = fixture();
    let (id, mut theirs) = fixture.connect(at(0));
    assert_eq!(fixture.clients.read(id.slot), Received::Drained);
    theirs.write_all(&vec![b'x'; READ_SIZE]).expect("written");
    assert_eq!(fixture.clients.read(id.slot), Received::Bytes);
    drop(theirs);
    assert_eq!(fixture.clients.read(id.slot), Received::Closed);
}

#[test]
fn a_half_closed_client_still_gets_its_replies() {
    let mut fixture = fixture();
    let (waits, _a) = fixture.connect(at(0));
    let (done, _b) = fixture.connect(at(0));
    let (gone, _c) = fixture.connect(at(0));
    let connection = fixture.clients.connection_mut(gone).expect("connected");
    connection.remote = Remote::Closed;
    let clients = &mut fixture.clients;
    assert_eq!(clients.input_ended(waits.slot, true), AfterInput::Keep);
    assert_eq!(clients.input_ended(done.slot, false), AfterInput::Keep);
    assert_eq!(clients.input_ended(gone.slot, false), AfterInput::Close);
    let closes =
        |clients: &Clients, id| clients.connection(id).expect("connected").close_after_flush;
    assert!(!closes(clients, waits));
    assert!(closes(clients, done));
    clients.reply(waits, Some(Id::Number(1)), Ok(json!({})), false);
    assert!(closes(clients, waits));
}

#[test]
fn events_go_to_event_followers_that_read() {
    let mut fixture = fixture();
    let (follower, mut theirs) = fixture.connect(at(0));
    let (other, _other) = fixture.connect(at(0));
    let (slow, _slow) = fixture.connect(at(0));
    for id in [follower, slow] {
        fixture.clients.connection_mut(id).expect("connected").mode = Mode::Events;
    }
    let full = vec![b'x'; EVENTS_HIGH + 1];
    fixture.clients.send(slow, &full);
    let event = EventInfo {
        event: "test".to_string(),
        ..EventInfo::default()
    };
    fixture.clients.broadcast(&event);
    let outgoing = |id| {
        fixture
            .clients
            .connection(id)
            .expect("connected")
            .outgoing()
    };
    assert_eq!(outgoing(other), 0);
    assert_eq!(outgoing(slow), full.len());
    let connection = fixture.clients.connection_mut(follower).expect("connected");
    assert!(connection.flush());
    let mut bytes = [0; 1024];
    let n = theirs.read(&mut bytes).expect("read");
    let line = String::from_utf8_lossy(&bytes[..n]).into_owned();
    assert!(line.contains("\"event\":\"test\""), "{line}");
}

#[test]
fn a_failed_write_is_final() {
    let mut fixture = fixture();
    let (id, theirs) = fixture.connect(at(0));
    drop(theirs);
    fixture.clients.send(id, b"x");
    let connection = fixture.clients.connection_mut(id).expect("connected");
    assert!(!connection.flush());
    assert_eq!(connection.write, WriteState::Failed);
    connection.unblock();
    assert_eq!(connection.write, WriteState::Failed);
}
