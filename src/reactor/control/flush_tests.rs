//! Tests of one flush, over socket pairs.

use super::*;
use crate::reactor::control::connection::{
    Attachment, BlockedTime, ConnectionId, FollowCursor, Following, ReadState, Removal,
};
use crate::supervisor::{Autostart, Launch, Policy, Process, Program, Time};
use crate::sys::socket::Peer;
use crate::wire::FrameDecoder;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::os::unix::net::UnixStream;

const WEB: ProcessId = ProcessId(0);

struct Fixture {
    clients: Clients,
    processes: Processes,
    poller: Poller,
}

fn fixture(buffer: usize) -> Fixture {
    let program = Program {
        name: "web".to_string(),
        numprocs: 1,
        autostart: Autostart::Yes,
        policy: Policy::default(),
        launch: Launch {
            buffer,
            ..Launch::default()
        },
        vars: BTreeMap::new(),
    };
    let mut processes = Processes::default();
    processes.add(&Process::new(WEB, &program, 0, Time::default()));
    Fixture {
        clients: Clients::new(10),
        processes,
        poller: Poller::new().expect("an epoll instance"),
    }
}

impl Fixture {
    fn connect(&mut self, mode: Mode) -> (ConnectionId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("non-blocking");
        theirs.set_nonblocking(true).expect("non-blocking");
        let peer = Peer {
            pid: 1,
            uid: 0,
            gid: 1000,
            groups: Vec::new(),
        };
        let now = Time::default();
        let id = self.clients.add(ours.into(), peer, now, &mut self.poller);
        let id = id.expect("watched");
        self.clients.connection_mut(id).expect("connected").mode = mode;
        self.clients.queue_flush(id);
        (id, theirs)
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let io = self.processes.io_mut(WEB).expect("known");
        io.output.write(stream, bytes, 1);
    }

    fn flush(&mut self) -> Flushed {
        let clock = Clock::start();
        self.clients
            .flush(&self.processes, &mut self.poller, &clock)
    }
}

fn attachment() -> Attachment {
    Attachment {
        process: WEB,
        cursor: 0,
        read_only: false,
        until_exit: false,
        snapshot_due: None,
        pace: ClientPace::Skip,
        rows: 0,
        cols: 0,
        terminal: 0,
        tty: false,
        since_ns: 0,
        last_input: Time::default(),
        fit: SizeFit::Same,
        last_role: None,
        queued_frames: VecDeque::new(),
        closing: false,
    }
}

/// Reads everything that can be read now.
fn drain(theirs: &mut UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n) = theirs.read(&mut bytes)
        && n > 0
    {
        all.extend_from_slice(&bytes[..n]);
    }
    all
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = FrameDecoder::default();
    decoder.push(bytes);
    std::iter::from_fn(|| decoder.next_frame().expect("frames")).collect()
}

#[test]
fn a_flush_stops_when_the_socket_is_full_and_continues_later() {
    let mut fixture = fixture(4 << 20);
    let (id, mut theirs) = fixture.connect(Mode::Attached(attachment()));
    fixture.write(Stream::Stdout, &vec![b'x'; 2 << 20]);
    let mut received = Vec::new();
    for round in 0.. {
        assert!(round < 100, "the output does not arrive");
        let flushed = fixture.flush();
        assert!(flushed.closed.is_empty());
        let more = fixture.clients.has_unflushed();
        let connection = fixture.clients.connection_mut(id).expect("connected");
        let blocked = connection.write == WriteState::Blocked;
        let bytes = drain(&mut theirs);
        // Each round is limited: 256 KiB of output, and the frames around it.
        assert!(bytes.len() < BYTES_A_TURN + (64 << 10), "{}", bytes.len());
        received.extend(bytes);
        if !(more || blocked) {
            break;
        }
        connection.unblock();
        fixture.clients.queue_flush(id);
    }
    let data: usize = frames(&received)
        .iter()
        .map(|frame| frame.payload.len() - 8)
        .sum();
    assert_eq!(data, 2 << 20);
}

#[test]
fn a_client_that_was_overrun_skips_to_the_tail() {
    let mut fixture = fixture(64 << 10);
    let (_, mut theirs) = fixture.connect(Mode::Attached(attachment()));
    fixture.write(Stream::Stdout, &vec![b'x'; 100 << 10]);
    fixture.flush();
    let frames = frames(&drain(&mut theirs));
    assert_eq!(frames[0].kind, Kind::Skipped);
    let skipped = u64::from_be_bytes(frames[0].payload[..8].try_into().expect("eight bytes"));
    let tail = fixture.processes.io(WEB).expect("known").output.tail();
    assert_eq!(skipped, tail);
    assert!(frames[1..].iter().all(|frame| frame.kind == Kind::Data));
}

#[test]
fn a_logs_client_gets_sources_data_and_the_end() {
    let mut fixture = fixture(64 << 10);
    fixture.write(Stream::Stdout, b"out\n");
    fixture.write(Stream::Stderr, b"err\n");
    let cursor = FollowCursor {
        process: WEB,
        name: "web:0".to_string(),
        cursor: 0,
        end: 8,
        ready: true,
        removal: Removal::None,
    };
    let following = Following {
        targets: vec!["web".to_string()],
        cursors: vec![cursor],
        ready: VecDeque::from([0]),
        stream: None,
        follow: false,
    };
    let (id, mut theirs) = fixture.connect(Mode::Following(following));
    let flushed = fixture.flush();
    let closed: Vec<ConnectionId> = flushed.closed.iter().map(|closed| closed.id).collect();
    assert_eq!(closed, [id]);
    let kinds: Vec<Kind> = frames(&drain(&mut theirs))
        .iter()
        .map(|one| one.kind)
        .collect();
    let expected = [
        Kind::Source,
        Kind::Data,
        Kind::Source,
        Kind::Data,
        Kind::End,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_failed_connection_is_closed_and_its_process_unblocked() {
    let mut fixture = fixture(64 << 10);
    let lossless = Attachment {
        pace: ClientPace::Block(BlockedTime::default()),
        ..attachment()
    };
    let (id, theirs) = fixture.connect(Mode::Attached(lossless));
    drop(theirs);
    fixture.write(Stream::Stdout, b"x");
    let flushed = fixture.flush();
    assert_eq!(flushed.unblocked, [WEB]);
    assert_eq!(flushed.closed.len(), 1);
    assert!(fixture.clients.connection(id).is_none());
    assert!(!fixture.clients.has_unflushed());
}

#[test]
fn a_clogged_client_is_read_again_when_it_reads() {
    let mut fixture = fixture(64 << 10);
    let (id, mut theirs) = fixture.connect(Mode::Lines);
    fixture.clients.send(id, &vec![b'x'; 4 << 20]);
    let connection = fixture.clients.connection_mut(id).expect("connected");
    assert!(connection.is_clogged());
    connection.read = ReadState::Paused;
    fixture.flush();
    assert!(!fixture.clients.has_ready());
    for round in 0.. {
        assert!(round < 1000, "the replies do not arrive");
        if fixture.clients.has_ready() {
            break;
        }
        drain(&mut theirs);
        let connection = fixture.clients.connection_mut(id).expect("connected");
        connection.unblock();
        fixture.clients.queue_flush(id);
        fixture.flush();
    }
    let connection = fixture.clients.connection(id).expect("connected");
    assert_eq!(connection.read, ReadState::Open);
}
