//! Tests of consoles: clients over socket pairs, a process without a leader.

use super::*;
use crate::reactor::clock::{Clock, Timer};
use crate::reactor::control::connection::{ConnectionId, Mode, ReadState};
use crate::reactor::output::Stream;
use crate::supervisor::{
    Autostart, Event, Exit, Launch, Policy, ProcessId, Program, SizePolicy, State, Stdin,
    Transition, Tty,
};
use crate::sys;
use crate::sys::socket::Peer;
use crate::wire::{AttachParams, Frame, FrameDecoder, Kind};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

struct Fixture {
    clients: Clients,
    processes: Processes,
    supervisor: Supervisor,
    timers: Timers,
    poller: Poller,
    now: Time,
    id: ProcessId,
}

fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

/// One process with a terminal whose size follows a policy.
fn fixture(size: SizePolicy) -> Fixture {
    let tty = Tty {
        rows: 24,
        cols: 80,
        size,
    };
    let program = Program {
        name: "web".to_string(),
        numprocs: 1,
        autostart: Autostart::No,
        policy: Policy::default(),
        launch: Launch {
            tty: Some(tty),
            ..Launch::default()
        },
        vars: BTreeMap::new(),
    };
    let mut supervisor = Supervisor::new();
    supervisor.handle_event(Event::Configure(vec![program]), at(0));
    let mut processes = Processes::default();
    let process = supervisor.processes().next().expect("a process");
    processes.add(process);
    let id = process.id;
    Fixture {
        clients: Clients::new(10),
        processes,
        supervisor,
        timers: Timers::default(),
        poller: Poller::new().expect("an epoll instance"),
        now: at(0),
        id,
    }
}

impl Fixture {
    fn consoles(&mut self) -> Consoles<'_> {
        Consoles {
            clients: &mut self.clients,
            processes: &mut self.processes,
            supervisor: &self.supervisor,
            timers: &mut self.timers,
            poller: &mut self.poller,
            now: self.now,
        }
    }

    fn attach(&mut self, params: &AttachParams) -> (ConnectionId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let peer = Peer {
            pid: 1,
            uid: 0,
            gid: 1000,
            groups: Vec::new(),
        };
        let client = self
            .clients
            .add(ours.into(), peer, self.now, &mut self.poller);
        let client = client.expect("watched");
        let process = self.supervisor.process(self.id).cloned().expect("known");
        let mut consoles = self.consoles();
        let (_, attachment) = consoles.attach(client, &process, params).expect("attached");
        consoles.switch(client, attachment);
        (client, theirs)
    }

    fn sized(&mut self, rows: u16, cols: u16) -> (ConnectionId, UnixStream) {
        self.attach(&AttachParams {
            rows,
            cols,
            ..AttachParams::default()
        })
    }

    /// Sends a frame from the client, and handles it.
    fn frame(&mut self, client: ConnectionId, theirs: &mut UnixStream, frame: &Frame) {
        theirs.write_all(&frame.to_bytes()).expect("written");
        self.clients.read(client.slot);
        assert!(self.consoles().next_frame(client));
    }

    fn size(&self) -> (u16, u16) {
        self.processes.io(self.id).expect("known").size
    }

    fn driver(&self) -> Option<ConnectionId> {
        self.processes.io(self.id).expect("known").driver
    }

    /// The frames that are sent to a client.
    fn received(&mut self, theirs: &mut UnixStream) -> Vec<Frame> {
        let flushed = self
            .clients
            .flush(&self.processes, &mut self.poller, &Clock::start());
        drop(flushed);
        theirs.set_nonblocking(true).expect("non-blocking");
        let mut bytes = vec![0; 1 << 20];
        let n = theirs.read(&mut bytes).unwrap_or(0);
        let mut decoder = FrameDecoder::default();
        decoder.push(&bytes[..n]);
        std::iter::from_fn(|| decoder.next_frame().expect("frames")).collect()
    }
}

fn kinds(frames: &[Frame]) -> Vec<Kind> {
    frames.iter().map(|frame| frame.kind).collect()
}

#[test]
fn the_latest_client_sizes_the_terminal() {
    let mut fixture = fixture(SizePolicy::Latest);
    let (first, _a) = fixture.sized(30, 100);
    assert_eq!(fixture.driver(), Some(first));
    assert_eq!(fixture.size(), (30, 100));
    let (second, mut theirs) = fixture.sized(40, 120);
    assert_eq!(fixture.size(), (30, 100));
    fixture.now = at(1000);
    fixture.frame(second, &mut theirs, &Frame::new(Kind::Input, *b"x"));
    assert_eq!(fixture.driver(), Some(second));
    assert_eq!(fixture.size(), (40, 120));
}

#[test]
fn other_policies_choose_among_all_clients() {
    for (policy, expected) in [
        (SizePolicy::Smallest, (30, 90)),
        (SizePolicy::Largest, (40, 100)),
        (SizePolicy::Fixed, (24, 80)),
    ] {
        let mut fixture = fixture(policy);
        let (_, _a) = fixture.sized(30, 100);
        let (_, _b) = fixture.sized(40, 90);
        let (_, _without) = fixture.sized(0, 0);
        assert_eq!(fixture.size(), expected);
    }
}

#[test]
fn resizes_are_debounced_and_the_last_size_wins() {
    let mut fixture = fixture(SizePolicy::Latest);
    let (client, mut theirs) = fixture.sized(30, 100);
    for rows in [31, 32, 33] {
        let frame = Frame::resize(rows, 100);
        fixture.frame(client, &mut theirs, &frame);
    }
    assert_eq!(fixture.size(), (30, 100));
    assert_eq!(fixture.timers.due(at(99)), None);
    fixture.now = at(100);
    let id = fixture.id;
    assert_eq!(fixture.timers.due(at(100)), Some(Timer::ResizeAllowed(id)));
    assert_eq!(fixture.timers.due(at(1000)), None);
    fixture.consoles().resize_allowed(id);
    assert_eq!(fixture.size(), (33, 100));
}

#[test]
fn the_client_that_typed_last_becomes_the_driver() {
    let mut fixture = fixture(SizePolicy::Latest);
    let (first, mut a) = fixture.sized(30, 100);
    fixture.now = at(10);
    let (second, mut b) = fixture.sized(31, 100);
    fixture.now = at(20);
    let read_only = AttachParams {
        read_only: true,
        ..AttachParams::default()
    };
    let (third, _c) = fixture.attach(&read_only);
    fixture.now = at(30);
    fixture.frame(first, &mut a, &Frame::new(Kind::Input, *b"x"));
    fixture.frame(second, &mut b, &Frame::new(Kind::Input, *b"x"));
    let id = fixture.id;
    for (gone, next) in [(second, Some(first)), (first, None)] {
        let closed = fixture.clients.close(gone.slot, &mut fixture.poller);
        let Some(Mode::Attached(attachment)) = closed.map(|closed| closed.mode) else {
            panic!("it was attached");
        };
        fixture.consoles().client_gone(gone, &attachment);
        assert_eq!(fixture.driver(), next);
    }
    let io = fixture.processes.io(id).expect("known");
    assert_eq!(io.clients, [third]);
}

#[test]
fn roles_are_sent_when_they_change() {
    let mut fixture = fixture(SizePolicy::Latest);
    let (_, mut theirs) = fixture.sized(30, 100);
    assert_eq!(kinds(&fixture.received(&mut theirs)), [Kind::Role]);
    let id = fixture.id;
    fixture.consoles().send_roles(id);
    assert_eq!(kinds(&fixture.received(&mut theirs)), []);
    let (_, _b) = fixture.sized(31, 100);
    let frames = fixture.received(&mut theirs);
    assert_eq!(kinds(&frames), [Kind::Role]);
    let role = String::from_utf8_lossy(&frames[0].payload).into_owned();
    assert!(role.contains("\"clients\":2"), "{role}");
}

#[test]
fn a_client_waits_while_the_process_reads_no_input() {
    let mut fixture = fixture(SizePolicy::Fixed);
    let (client, mut theirs) = fixture.sized(30, 100);
    let (reader, ours) = sys::io::pipe_to_child().expect("a pipe");
    let id = fixture.id;
    let io = fixture.processes.io_mut(id).expect("known");
    let launch = Launch {
        stdin: Stdin::Pipe,
        ..Launch::default()
    };
    io.open_input(&launch, &mut fixture.poller);
    io.connect_pipe_input(ours, &mut fixture.poller)
        .expect("watched");
    while io.takes_input() {
        io.write_input(&[b'x'; 4096], &mut fixture.poller);
    }
    let frame = Frame::new(Kind::Input, *b"y");
    theirs.write_all(&frame.to_bytes()).expect("written");
    fixture.clients.read(client.slot);
    assert!(!fixture.consoles().next_frame(client));
    let state = |fixture: &Fixture| fixture.clients.connection(client).expect("connected").read;
    assert_eq!(state(&fixture), ReadState::Paused);
    let mut buffer = vec![0; 1 << 20];
    sys::io::read(std::os::fd::AsFd::as_fd(&reader), &mut buffer).expect("read");
    fixture.consoles().input_writable(id);
    assert_eq!(state(&fixture), ReadState::Open);
    assert!(fixture.consoles().next_frame(client));
}

#[test]
fn a_process_waits_for_a_lossless_client_for_a_limited_time() {
    let mut fixture = fixture(SizePolicy::Fixed);
    let lossless = AttachParams {
        lossless: true,
        ..AttachParams::default()
    };
    let (client, _theirs) = fixture.attach(&lossless);
    let id = fixture.id;
    assert_ne!(fixture.consoles().room_for_clients(id), 0);
    let io = fixture.processes.io_mut(id).expect("known");
    let half = io.output.capacity() / 2;
    io.output.write(Stream::Stdout, &vec![b'x'; half], 1);
    assert_eq!(fixture.consoles().room_for_clients(id), 0);
    assert_eq!(fixture.timers.next(), Some(at(5000)));
    fixture.now = at(4999);
    assert_eq!(fixture.consoles().room_for_clients(id), 0);
    fixture.now = at(5000);
    assert_ne!(fixture.consoles().room_for_clients(id), 0);
    // The time of all waits together is limited.
    let attachment = fixture.clients.attachment_mut(client).expect("attached");
    attachment.cursor = half as u64;
    assert_ne!(fixture.consoles().room_for_clients(id), 0);
    let io = fixture.processes.io_mut(id).expect("known");
    io.output.write(Stream::Stdout, &vec![b'x'; half], 1);
    assert_ne!(fixture.consoles().room_for_clients(id), 0);
}

#[test]
fn a_wait_for_a_client_that_reads_does_not_count() {
    let mut fixture = fixture(SizePolicy::Fixed);
    let lossless = AttachParams {
        lossless: true,
        ..AttachParams::default()
    };
    let (client, _theirs) = fixture.attach(&lossless);
    let id = fixture.id;
    let io = fixture.processes.io_mut(id).expect("known");
    let capacity = io.output.capacity();
    io.output.write(Stream::Stdout, &vec![b'x'; capacity], 1);
    for second in 0..60 {
        fixture.now = at(second * 1000);
        let attachment = fixture.clients.attachment_mut(client).expect("attached");
        attachment.cursor = second + 1;
        assert_eq!(fixture.consoles().room_for_clients(id), 0, "{second}");
    }
}

#[test]
fn a_notice_follows_the_output_before_it() {
    let mut fixture = fixture(SizePolicy::Fixed);
    let plain = AttachParams::default();
    let (_, mut theirs) = fixture.attach(&plain);
    fixture.received(&mut theirs);
    let id = fixture.id;
    let io = fixture.processes.io_mut(id).expect("known");
    io.output.write(Stream::Stdout, b"last words", 1);
    let change = Transition {
        id,
        name: "web:0".to_string(),
        from: State::Running,
        to: State::Exited,
        pid: Some(42),
        exit: Some(Exit::Code(3)),
        started: None,
        detail: String::new(),
    };
    fixture.consoles().on_transition(&change);
    let frames = fixture.received(&mut theirs);
    assert_eq!(kinds(&frames), [Kind::Data, Kind::Notice, Kind::Exit]);
    assert_eq!(frames[1].payload, b"[web:0 exited with code 3]");
}

#[test]
fn a_client_of_a_removed_process_is_sent_its_exit() {
    let mut fixture = fixture(SizePolicy::Fixed);
    let (_, mut theirs) = fixture.attach(&AttachParams::default());
    fixture.received(&mut theirs);
    let id = fixture.id;
    fixture.consoles().on_removed(id);
    let frames = fixture.received(&mut theirs);
    assert_eq!(kinds(&frames), [Kind::Notice, Kind::Exit]);
    assert_eq!(frames[0].payload, b"[web:0 removed from the config]");
}
