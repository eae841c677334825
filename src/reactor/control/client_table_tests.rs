//! Tests of the clients' rules, over socket pairs.

use super::*;
use crate::reactor::clock::Clock;
use crate::reactor::control::connection::{READ_SIZE, WriteState};
use crate::reactor::control::shares::{CLIENTS_MAX, NoPlace};
use crate::reactor::process::processes::Processes;
use crate::wire::EventInfo;
use serde_json::json;
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
        self.connect_as(1000, now)
    }

    fn connect_as(&mut self, uid: u32, now: Time) -> (ConnectionId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let peer = Peer {
            pid: 1,
            uid,
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
fn the_owner_waits_for_room_for_a_limited_time() {
    let mut fixture = fixture();
    fixture.clients.shares = Shares::new(2);
    let (first, _a) = fixture.connect_as(0, at(0));
    let (_, _b) = fixture.connect_as(0, at(0));
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
fn the_oldest_silent_client_of_a_user_makes_room() {
    let mut fixture = fixture();
    // A quarter of these is four.
    fixture.clients.shares = Shares::new(CLIENTS_MAX / 64);
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
    let mut room = |now| {
        let made = clients.make_room(Account::User(1000), now, poller);
        made.map(|closed| closed.map(|closed| closed.id))
    };
    assert_eq!(room(at(1009)), Err(NoPlace::UserHasPart(1000)));
    assert_eq!(room(at(5000)), Ok(Some(silent)));
    let _ = newer;
}

#[test]
fn the_owner_takes_the_place_of_a_user() {
    let mut fixture = fixture();
    fixture.clients.shares = Shares::new(65);
    let owners: Vec<_> = (0..64).map(|_| fixture.connect_as(0, at(0))).collect();
    for (id, _) in &owners {
        let connection = fixture.clients.connection_mut(*id).expect("connected");
        connection.has_valid_request = true;
    }
    let (user, _theirs) = fixture.connect(at(0));
    let Fixture {
        clients, poller, ..
    } = &mut fixture;
    let closed = clients.make_room(Account::Owner, at(0), poller);
    assert_eq!(closed.expect("room").expect("closed").id, user);
}

#[test]
fn a_client_that_holds_too_much_has_to_go() {
    let mut fixture = fixture();
    let (small, _a) = fixture.connect(at(0));
    let (large, _b) = fixture.connect(at(0));
    fixture.clients.send(small, &[b'x'; 1024]);
    fixture.clients.send(large, &vec![b'x'; 8 * 1024 * 1024]);
    let over = fixture.clients.over_share().map(|connection| connection.id);
    assert_eq!(over, Some(large));
    fixture.clients.close(large.slot, &mut fixture.poller);
    assert!(fixture.clients.over_share().is_none());
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
    let (id, _theirs) = fixture.connect_as(0, at(0));
    fixture.clients.queue_read(id.slot);
    fixture.clients.queue_read(id.slot);
    assert_eq!(fixture.clients.owner_ready_count(), 1);
    let next = fixture.clients.next_ready_of_owner();
    assert_eq!(next.map(|one| one.id), Some(id));
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
    let (id, mut theirs) = fixture.connect_as(0, at(0));
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
    let result = ResultJson::of(&json!({}));
    clients.reply(waits, Some(&Id::Number(1)), result, false);
    assert!(closes(clients, waits));
}

#[test]
fn events_go_to_event_followers_that_read() {
    let mut fixture = fixture();
    let (follower, mut theirs) = fixture.connect(at(0));
    let (other, _other) = fixture.connect(at(0));
    let (slow, _slow) = fixture.connect(at(0));
    for id in [follower, slow] {
        fixture.clients.follow_events(id);
    }
    let full = vec![b'x'; 1024 * 1024];
    fixture.clients.send(slow, &full);
    let event = EventInfo {
        event: "test".to_string(),
        ..EventInfo::default()
    };
    let event = Recorded {
        event,
        public: None,
    };
    fixture.clients.broadcast(&event);
    let Fixture {
        clients, poller, ..
    } = &mut fixture;
    while clients.has_unflushed() {
        clients.flush(&Processes::default(), poller, &Clock::start());
    }
    assert_eq!(clients.connection(other).expect("connected").outgoing(), 0);
    let memory = clients.connection(slow).expect("connected").memory();
    for _ in 0..10_000 {
        clients.broadcast(&event);
        clients.flush(&Processes::default(), poller, &Clock::start());
    }
    assert_eq!(
        clients.connection(slow).expect("connected").memory(),
        memory
    );
    assert!(clients.feeds.of(Account::Owner).memory() <= 1024 * 1024);
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

#[test]
fn a_user_sends_short_requests_until_one_is_granted() {
    let mut fixture = fixture();
    let (id, mut theirs) = fixture.connect(at(0));
    theirs.write_all(&vec![b'x'; 5000]).expect("written");
    assert_eq!(fixture.clients.read(id.slot), Received::Bytes);
    assert_eq!(fixture.clients.read(id.slot), Received::LastBytes);
    let connection = fixture.clients.connection_mut(id).expect("connected");
    assert!(connection.lines.next_line().is_err());
    let (id, mut theirs) = fixture.connect(at(0));
    theirs.write_all(&vec![b'x'; 5000]).expect("written");
    let connection = fixture.clients.connection_mut(id).expect("connected");
    connection.granted(false);
    for _ in 0..2 {
        fixture.clients.read(id.slot);
    }
    let connection = fixture.clients.connection_mut(id).expect("connected");
    assert_eq!(connection.lines.next_line(), Ok(None));
}
