//! `bench_micro NAME` runs one pass of a small piece of work; `bench/micro` counts its
//! instructions. `nothing` measures the start alone. Without a name, all names are printed.

use std::hint::black_box;
use taskmaster::client::attach::detach_keys::{ChordDecoder, DetachKeys};
use taskmaster::ring::Ring;
use taskmaster::terminal::{Terminal, Tracker};
use taskmaster::wire::{Frame, Message};
use taskmaster::wire::{FrameDecoder, HEADER_LEN, Kind, LineDecoder};

/// Bytes of input in one pass.
const VOLUME: usize = 4 << 20;

type Input = fn() -> Vec<u8>;

type Work = fn(&[u8]);

/// Name, input, work.
const WORKS: [(&str, Input, Work); 11] = [
    ("ring_write", plain_lines, ring_write),
    ("ring_read", plain_lines, ring_read),
    ("frame_decode", frames, frame_decode),
    ("line_decode", requests, line_decode),
    ("request_parse", requests, request_parse),
    ("chord_typed", plain_lines, chord_typed),
    ("chord_keys", encoded_keys, chord_keys),
    ("tracker_plain", plain_lines, tracker_feed),
    ("tracker_screen", screens, tracker_feed),
    ("model_screen", screens, model_feed),
    ("snapshot_lines", coloured_lines, snapshot),
];

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "nothing" {
        return;
    }
    let prepare_only = std::env::args().nth(2).as_deref() == Some("input");
    match WORKS.iter().find(|(known, _, _)| *known == name) {
        // The cost of preparing the input is counted on its own and subtracted.
        Some((_, input, _)) if prepare_only => drop(black_box(input())),
        Some((_, input, work)) => work(&black_box(input())),
        None => WORKS.iter().for_each(|(known, _, _)| println!("{known}")),
    }
}

fn ring_write(input: &[u8]) {
    let mut ring = Ring::new(256 << 10);
    for chunk in input.chunks(4096) {
        ring.write(black_box(chunk));
    }
    black_box(ring.head());
}

/// Reads slightly behind the writer, as an attached client does.
fn ring_read(input: &[u8]) {
    let mut ring = Ring::new(256 << 10);
    let mut offset = 0;
    for chunk in input.chunks(64) {
        ring.write(chunk);
        let read = ring.read(offset);
        offset = read.offset + black_box(read).len() as u64;
    }
}

fn frame_decode(input: &[u8]) {
    let mut decoder = FrameDecoder::default();
    for chunk in input.chunks(16 << 10) {
        decoder.push(chunk);
        while let Ok(Some(frame)) = decoder.next_frame() {
            black_box(frame);
        }
    }
}

fn line_decode(input: &[u8]) {
    let mut decoder = LineDecoder::default();
    for chunk in input.chunks(1500) {
        decoder.push(chunk);
        while let Ok(Some(line)) = decoder.next_line() {
            black_box(line);
        }
    }
}

fn request_parse(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n').take(4000) {
        black_box(Message::parse(line).is_ok());
    }
}

fn chord_typed(input: &[u8]) {
    let mut decoder = ChordDecoder::new(DetachKeys::standard());
    for chunk in input[..VOLUME / 16].chunks(16) {
        black_box(decoder.feed(chunk, false));
    }
}

fn chord_keys(input: &[u8]) {
    let mut decoder = ChordDecoder::new(DetachKeys::standard());
    for chunk in input.chunks(7) {
        black_box(decoder.feed(chunk, false));
    }
}

fn tracker_feed(input: &[u8]) {
    let mut tracker = Tracker::new(0);
    for chunk in input.chunks(4096) {
        tracker.feed(black_box(chunk));
    }
    black_box(tracker.offset());
}

/// Feeds evicted bytes to the model, as with a small ring.
fn model_feed(input: &[u8]) {
    let mut terminal = Terminal::new(0, 24, 80);
    let mut ring = Ring::new(64 << 10);
    for chunk in input.chunks(4096) {
        terminal.before_evict(ring.read(0).slices, 64 << 10, chunk.len());
        terminal.feed(black_box(chunk));
        ring.write(chunk);
    }
    black_box(terminal.memory());
}

/// Renders a full ring for an attaching client, once per 256 KiB.
fn snapshot(input: &[u8]) {
    for kept in input.chunks(256 << 10) {
        let mut terminal = Terminal::new(0, 24, 80);
        terminal.feed(kept);
        black_box(terminal.snapshot((kept, b""), 1000));
    }
}

fn coloured_lines() -> Vec<u8> {
    repeated(
        b"\x1b[0;35m00005611\x1b[m a line of output of a usual length, with some colour\r\n",
        VOLUME,
    )
}

fn plain_lines() -> Vec<u8> {
    repeated(
        b"2026-01-02 03:04:05 INFO request handled in 12 ms, 200, 4711 bytes\r\n",
        VOLUME,
    )
}

/// Output of a program that draws its screen: moves, colours, modes, titles.
fn screens() -> Vec<u8> {
    let line = b"\x1b[12;1H\x1b[1;32mname\x1b[0m  \x1b[38;5;208m12.5%\x1b[m\x1b[K plain text here";
    let mut frame = b"\x1b[?25l\x1b[H".to_vec();
    frame.extend(repeated(line, 24 * line.len()));
    frame.extend(b"\x1b]2;a title\x07\x1b[?25h\x1b[?2004h");
    repeated(&frame, VOLUME)
}

fn frames() -> Vec<u8> {
    let mut one = Frame::header(Kind::Data, 0, 1008).to_vec();
    one.resize(HEADER_LEN + 1008, b'.');
    repeated(&one, VOLUME)
}

fn requests() -> Vec<u8> {
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"status","params":{"targets":["web:0"]}}"#;
    let mut line = request.to_vec();
    line.push(b'\n');
    repeated(&line, VOLUME)
}

/// Keys as kitty and xterm encode them, including the first key of the chord.
fn encoded_keys() -> Vec<u8> {
    repeated(
        b"\x1b[97;5u\x1b[120u\x1b[27;5;98~\x1b[A\x1bOPx\x1b[1;5C",
        VOLUME / 16,
    )
}

fn repeated(piece: &[u8], length: usize) -> Vec<u8> {
    piece.iter().copied().cycle().take(length).collect()
}
