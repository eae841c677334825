//! What a client can send: lines, requests, frames. Nothing panics, grows without bound, or
//! depends on how the bytes were cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use taskmaster::wire::{Call, Frame, FrameDecoder, FrameError, LineDecoder, MAX_LINE, Message};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = (usize::from(input.0) + 1, input.1);
    assert_eq!(lines(bytes, cut), lines(bytes, bytes.len().max(1)));
    assert_eq!(frames(bytes, cut), frames(bytes, bytes.len().max(1)));
    for line in bytes.split(|byte| *byte == b'\n') {
        request(line);
    }
});

fn lines(bytes: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let mut decoder = LineDecoder::default();
    let mut found = Vec::new();
    for chunk in bytes.chunks(cut) {
        decoder.push(chunk);
        while let Ok(Some(line)) = decoder.next_line() {
            assert!(line.len() < MAX_LINE);
            found.push(line);
        }
    }
    let whole: usize = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(found.len(), whole);
    found
}

fn frames(bytes: &[u8], cut: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::default();
    let mut found = Vec::new();
    for chunk in bytes.chunks(cut) {
        decoder.push(chunk);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn request(line: &[u8]) {
    let Ok(message) = Message::parse(line) else {
        return;
    };
    assert_eq!(
        Message::parse(&message.to_line()),
        Ok(message.clone()),
        "it survives the wire"
    );
    if let Message::Request { method, params, .. } = message
        && let Ok(call) = Call::parse(&method, params)
    {
        call.access();
        let (method, params) = call.to_parts();
        assert_eq!(Call::parse(&method, params), Ok(call));
    }
}
