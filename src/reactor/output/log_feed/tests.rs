use super::*;
use crate::reactor::output::Stream::{Stderr, Stdout};

const CAPACITY: usize = 4096;

fn at(ms: u64) -> Time {
    Time(Duration::from_millis(ms))
}

fn feed(output: &Output, shared: bool, stall: Stall) -> LogFeed {
    let mut feed = LogFeed::new(3, output, Some(Stdout), stall);
    feed.set_shared(shared);
    feed
}

fn full() -> DiskError {
    DiskError {
        text: "write /x: No space left on device".to_string(),
        errno: 28,
    }
}

fn events(feed: &mut LogFeed) -> Vec<FeedEvent> {
    std::iter::from_fn(|| feed.poll_event()).collect()
}

fn text(batch: Option<Batch>) -> String {
    batch.map_or("<none>".to_string(), |batch| {
        String::from_utf8_lossy(&batch.bytes).into_owned()
    })
}

const SECOND: Stall = Stall::After(Duration::from_secs(1));

#[test]
fn an_unshared_log_gets_everything_at_once() {
    let mut output = Output::new(CAPACITY);
    output.write(Stdout, b"before the feed\n", 0);
    let mut feed = feed(&output, false, SECOND);
    assert_eq!(feed.next_batch(&output, at(0), 0), None);
    output.write(Stdout, b"half", 50_000_000);
    output.write(Stderr, b"other\n", 50_000_000);
    let batch = feed.next_batch(&output, at(0), 9).expect("a batch");
    assert_eq!(
        (batch.feed, &batch.bytes[..], batch.time_ns),
        (3, &b"half"[..], 50_000_000)
    );
    output.write(Stdout, b" a line\n", 50_000_006);
    assert_eq!(feed.next_batch(&output, at(1), 9), None, "one at a time");
    feed.completed(AppendResult::Written, Batch::default(), at(2));
    assert!(!feed.is_drained(&output));
    assert_eq!(text(feed.next_batch(&output, at(2), 9)), " a line\n");
    feed.completed(AppendResult::Written, Batch::default(), at(3));
    assert!(feed.is_drained(&output));
    assert_eq!(feed.deadline(Time::default()), None);
}

#[test]
fn a_shared_log_gets_whole_lines() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, true, SECOND);
    output.write(Stdout, b"one\ntw", 0);
    assert_eq!(text(feed.next_batch(&output, at(0), 0)), "one\n");
    feed.completed(AppendResult::Written, Batch::default(), at(0));
    assert_eq!(text(feed.next_batch(&output, at(0), 0)), "<none>");
    output.write(Stderr, b"not mine\n", 0);
    output.write(Stdout, b"o\nthree", 900_000_000);
    assert_eq!(text(feed.next_batch(&output, at(0), 0)), "two\n");
    feed.completed(AppendResult::Written, Batch::default(), at(0));
    feed.finish();
    let last = feed.next_batch(&output, at(0), 0).expect("the rest");
    assert_eq!(
        (&last.bytes[..], last.end_of_stream),
        (&b"three\n"[..], true)
    );
    feed.completed(AppendResult::Written, Batch::default(), at(0));
    assert!(feed.is_drained(&output));
    assert_eq!(
        feed.next_batch(&output, at(0), 0),
        None,
        "the end is sent once"
    );
}

#[test]
fn an_incomplete_line_that_fills_the_ring_is_sent_in_parts() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, true, Stall::Never);
    output.write(Stdout, &[b'x'; CAPACITY / 2 - 1], 0);
    assert_eq!(feed.next_batch(&output, at(0), 0), None);
    output.write(Stderr, b"yy", 0);
    assert_eq!(
        text(feed.next_batch(&output, at(0), 0)).len(),
        CAPACITY / 2 - 1
    );
    feed.completed(AppendResult::Written, Batch::default(), at(0));
    feed.finish();
    let last = feed.next_batch(&output, at(0), 0).expect("the end");
    assert_eq!((&last.bytes[..], last.end_of_stream), (&b"\n"[..], true));
}

#[test]
fn the_last_line_without_newline_is_kept_as_it_is() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, false, SECOND);
    output.write(Stdout, b"bye", 0);
    feed.finish();
    let batch = feed.next_batch(&output, at(0), 0).expect("a batch");
    assert_eq!((&batch.bytes[..], batch.end_of_stream), (&b"bye"[..], true));
}

#[test]
fn a_stalled_disk_pauses_the_process_then_loses_no_more_than_it_must() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, false, SECOND);
    output.write(Stdout, &[b'a'; 96], 0);
    assert_eq!(text(feed.next_batch(&output, at(0), 0)).len(), 96);
    assert_eq!(feed.gate(&output, at(0)), Gate::Read(CAPACITY));
    output.write(Stdout, &[b'b'; CAPACITY], 0);
    assert_eq!(feed.gate(&output, at(400)), Gate::Pause(Some(at(1000))));
    assert_eq!(feed.deadline(Time::default()), Some(at(1000)));
    assert_eq!(events(&mut feed), []);
    assert_eq!(feed.gate(&output, at(1000)), Gate::Read(usize::MAX));
    assert_eq!(events(&mut feed), [FeedEvent::Stalled]);
    output.write(Stdout, &[b'c'; 500], 0);
    output.write(Stderr, &[b'd'; 100], 0);
    feed.completed(AppendResult::Written, Batch::default(), at(5000));
    assert_eq!(events(&mut feed), []);
    let batch = feed.next_batch(&output, at(5000), 0).expect("a batch");
    assert_eq!(batch.lost_before, 600);
    assert_eq!(batch.bytes.len(), CAPACITY - 600 + 500);
    feed.completed(AppendResult::Written, batch, at(5001));
    assert_eq!(feed.next_batch(&output, at(5001), 0), None);
    assert_eq!(events(&mut feed), [FeedEvent::Recovered { lost: 600 }]);
}

#[test]
fn the_rest_of_a_lost_line_is_lost_too() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, false, Stall::After(Duration::ZERO));
    output.write(Stdout, b"first\n", 0);
    assert!(feed.next_batch(&output, at(0), 0).is_some());
    for n in 0..1000 {
        output.write(Stdout, format!("line {n:04}\n").as_bytes(), 0);
        output.write(Stderr, b"other\n", 0);
    }
    feed.completed(AppendResult::Written, Batch::default(), at(1));
    let batch = feed.next_batch(&output, at(1), 0).expect("the rest");
    assert_eq!(batch.bytes.len() % 10, 0);
    assert!(batch.bytes.starts_with(b"line 0"));
    assert_eq!(batch.bytes.len() as u64 + batch.lost_before, 10_000);
}

#[test]
fn stall_never_pauses_indefinitely_and_zero_never_pauses() {
    let mut output = Output::new(CAPACITY);
    let mut waits = feed(&output, false, Stall::Never);
    let mut drops = feed(&output, false, Stall::After(Duration::ZERO));
    output.write(Stdout, b"x", 0);
    for feed in [&mut waits, &mut drops] {
        assert!(feed.next_batch(&output, at(0), 0).is_some());
    }
    output.write(Stdout, &[b'b'; CAPACITY], 0);
    assert_eq!(waits.gate(&output, at(1 << 40)), Gate::Pause(None));
    assert_eq!(drops.gate(&output, at(0)), Gate::Read(usize::MAX));
    waits.configure(Stall::After(Duration::ZERO));
    assert_eq!(waits.gate(&output, at(0)), Gate::Read(usize::MAX));
}

#[test]
fn a_full_disk_is_retried_until_it_works() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, false, SECOND);
    output.write(Stdout, b"one\n", 77);
    assert!(feed.next_batch(&output, at(0), 0).is_some());
    feed.completed(AppendResult::Held(full()), Batch::default(), at(1));
    assert_eq!(events(&mut feed), [FeedEvent::Failing(full())]);
    assert_eq!(feed.deadline(Time::default()), Some(at(1001)));
    output.write(Stdout, b"two\n", 78);
    assert_eq!(feed.next_batch(&output, at(1000), 0), None);
    let batch = feed.next_batch(&output, at(1001), 0).expect("retried");
    assert_eq!(batch.bytes, b"two\n");
    feed.completed(AppendResult::Refused(full()), batch.clone(), at(1002));
    assert_eq!(events(&mut feed), []);
    assert!(!feed.is_drained(&output));
    assert_eq!(
        feed.next_batch(&output, at(2002), 0),
        Some(batch),
        "the very same"
    );
    feed.completed(AppendResult::Held(full()), Batch::default(), at(2003));
    let empty = feed
        .next_batch(&output, at(3003), 0)
        .expect("the held bytes are to be written");
    assert_eq!(empty.bytes, b"");
    feed.completed(AppendResult::Written, Batch::default(), at(3004));
    assert_eq!(events(&mut feed), [FeedEvent::Working]);
    assert!(feed.is_drained(&output));
}

/// A slow disk that fails at random and keeps the bytes that it takes.
#[derive(Default)]
struct FakeDisk {
    written: Vec<u8>,
    lost: u64,
    held: Vec<u8>,
    refused: bool,
    in_flight: VecDeque<Batch>,
    behind: u64,
}

impl FakeDisk {
    fn answer(&mut self, luck: u64) -> Option<(AppendResult, Batch)> {
        let mut batch = self.in_flight.pop_front()?;
        let works = luck > 2;
        let overtakes = self.refused && batch.follows;
        self.refused = overtakes || (!self.held.is_empty() && !works);
        if self.refused {
            return Some((AppendResult::Refused(full()), batch));
        }
        self.lost += batch.lost_before;
        self.held.append(&mut batch.bytes);
        if !works {
            let part = self.held.len() / 2;
            self.written.extend(self.held.drain(..part));
            return Some((AppendResult::Held(full()), batch));
        }
        self.written.append(&mut self.held);
        Some((AppendResult::Written, batch))
    }
}

/// A process, its output, its log and its disk, moved by a random sequence.
struct World {
    state: u64,
    output: Output,
    feed: LogFeed,
    disk: FakeDisk,
    wrote: Vec<u8>,
    announced: u64,
    now: u64,
}

impl World {
    fn new(seed: u64, shared: bool, stall: Stall) -> World {
        let output = Output::new(CAPACITY);
        World {
            state: seed,
            feed: feed(&output, shared, stall),
            output,
            disk: FakeDisk::default(),
            wrote: Vec::new(),
            announced: 0,
            now: 0,
        }
    }

    fn next(&mut self, n: u64) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(4321);
        (self.state >> 33) % n
    }

    fn write(&mut self) {
        let Gate::Read(room) = self.feed.gate(&self.output, at(self.now)) else {
            return;
        };
        let n = self.next(1500).min(room as u64);
        let byte = |world: &mut World| match world.next(40) {
            0 => b'\n',
            _ => b'a' + world.next(26) as u8,
        };
        let bytes: Vec<u8> = (0..n).map(|_| byte(self)).collect();
        let stream = if self.next(4) == 0 { Stderr } else { Stdout };
        self.output.write(stream, &bytes, self.now * 1_000_000);
        if stream == Stdout {
            self.wrote.extend(bytes);
        }
    }

    fn step(&mut self, ending: bool) {
        self.now += self.next(300);
        match ending {
            true => self.feed.finish(),
            false => self.write(),
        }
        if let Some(batch) = self.feed.next_batch(&self.output, at(self.now), 0) {
            assert_eq!(batch.follows, !self.disk.in_flight.is_empty());
            self.disk.behind += u64::from(batch.follows);
            self.disk.in_flight.push_back(batch);
            assert!(self.disk.in_flight.len() <= 2, "three at once");
        }
        if self.next(4) == 0 || ending {
            let luck = if ending { 9 } else { self.next(6) };
            if let Some((result, batch)) = self.disk.answer(luck) {
                self.feed.completed(result, batch, at(self.now));
            }
        }
        for event in events(&mut self.feed) {
            if let FeedEvent::Recovered { lost } = event {
                self.announced += lost;
            }
        }
    }
}

#[test]
fn a_second_batch_goes_behind_the_first_only_when_it_is_large_and_all_is_well() {
    let mut output = Output::new(CAPACITY);
    let mut feed = feed(&output, false, SECOND);
    output.write(Stdout, b"first", 0);
    assert!(feed.next_batch(&output, at(0), 0).is_some());
    output.write(Stdout, &[b'b'; CAPACITY / 2 - 1], 0);
    assert_eq!(feed.next_batch(&output, at(0), 0), None, "too little");
    output.write(Stdout, b"c", 0);
    let second = feed.next_batch(&output, at(0), 0).expect("a second");
    assert_eq!((second.bytes.len(), second.follows), (CAPACITY / 2, true));
    output.write(Stdout, &[b'd'; CAPACITY / 2], 0);
    assert_eq!(feed.next_batch(&output, at(0), 0), None, "no third");
    feed.completed(AppendResult::Held(full()), Batch::default(), at(1));
    assert_eq!(feed.next_batch(&output, at(1), 0), None, "it fails");
    feed.completed(AppendResult::Refused(full()), second.clone(), at(1));
    let again = feed.next_batch(&output, at(1001), 0).expect("again");
    assert_eq!((&again.bytes, again.follows), (&second.bytes, false));
    assert_eq!(feed.next_batch(&output, at(1001), 0), None, "one at a time");
    feed.completed(AppendResult::Written, Batch::default(), at(1002));
    assert_eq!(
        text(feed.next_batch(&output, at(1002), 0)).len(),
        CAPACITY / 2
    );
}

#[test]
fn a_small_batch_behind_a_large_one_waits_unless_the_run_has_ended() {
    let mut output = Output::new(8 * COALESCE_FROM);
    let mut feed = feed(&output, false, SECOND);
    output.write(Stdout, &[b'x'; COALESCE_FROM], 0);
    let large = feed.next_batch(&output, at(0), 0).expect("a batch");
    feed.completed(AppendResult::Written, large, at(0));
    output.write(Stdout, b"small", 0);
    assert_eq!(feed.next_batch(&output, at(0), 0), None);
    assert_eq!(feed.deadline(at(0)), Some(at(1)));
    feed.flush_now();
    assert_eq!(text(feed.next_batch(&output, at(0), 0)), "small");
}

#[test]
fn every_byte_is_written_once_in_order_or_counted_as_lost() {
    let mut behind = 0;
    for seed in 1..300u64 {
        let stall = match seed % 3 {
            0 => Stall::Never,
            1 => Stall::After(Duration::ZERO),
            _ => SECOND,
        };
        let mut world = World::new(seed, seed % 2 == 0, stall);
        (0..4000).for_each(|step| world.step(step > 2000));
        assert!(world.feed.is_drained(&world.output), "seed {seed}");
        behind += world.disk.behind;
        let (wrote, disk) = (&world.wrote, &mut world.disk);
        if disk.written.len() as u64 + disk.lost > wrote.len() as u64 {
            assert_eq!(
                disk.written.pop(),
                Some(b'\n'),
                "seed {seed}: the newline we added"
            );
        }
        assert_eq!(
            disk.written.len() as u64 + disk.lost,
            wrote.len() as u64,
            "seed {seed}"
        );
        assert_eq!(world.announced, disk.lost, "seed {seed}");
        let mut rest = wrote.iter();
        let in_order = disk
            .written
            .iter()
            .all(|byte| rest.any(|other| other == byte));
        assert!(in_order, "seed {seed}");
        if stall == Stall::Never {
            assert_eq!(&disk.written, wrote, "seed {seed}");
        }
    }
    assert!(behind > 1000, "only {behind} batches went behind another");
}
