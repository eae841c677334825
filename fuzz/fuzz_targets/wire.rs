//! Any client input: lines, requests, frames. Nothing panics or grows without bound. The decoders
//! find the same lines and frames as a simple parser, however the input is split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use taskmaster::wire::{
    Call, Frame, FrameDecoder, FrameError, HEADER_LEN, Kind, LineDecoder, Message, PAYLOAD_MAX,
    flags,
};

/// The lines or frames found, and the error that ended parsing.
type Found<T, E> = (Vec<T>, Option<E>);

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (cut, limit, bytes) = (usize::from(input.0) + 1, usize::from(input.1), input.2);
    assert_eq!(lines(bytes, cut, limit), plain_lines(bytes, limit));
    assert_eq!(frames(bytes, cut), plain_frames(bytes));
    for line in bytes.split(|byte| *byte == b'\n') {
        request(line);
    }
});

fn lines(bytes: &[u8], cut: usize, limit: usize) -> Found<Vec<u8>, ()> {
    let mut decoder = LineDecoder::with_limit(limit);
    let mut found = Vec::new();
    for chunk in bytes.chunks(cut) {
        decoder.push(chunk);
        loop {
            match decoder.next_line() {
                Ok(Some(line)) => found.push(line),
                Ok(None) => break,
                Err(_) => return (found, Some(())),
            }
        }
        assert!(decoder.pending() <= limit, "more than a line is buffered");
    }
    let rest = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or(b"");
    assert_eq!(decoder.take_rest(), rest, "the rest after the last line");
    (found, None)
}

fn plain_lines(bytes: &[u8], limit: usize) -> Found<Vec<u8>, ()> {
    let mut found = Vec::new();
    let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(piece) = pieces.next() {
        let ended = pieces.peek().is_some();
        // The limit includes the line end.
        if piece.len() + usize::from(ended) > limit {
            return (found, Some(()));
        }
        if ended {
            found.push(piece.strip_suffix(b"\r").unwrap_or(piece).to_vec());
        }
    }
    (found, None)
}

fn frames(bytes: &[u8], cut: usize) -> Found<Frame, FrameError> {
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
        assert!(
            decoder.pending() < HEADER_LEN + PAYLOAD_MAX,
            "more than a frame is buffered"
        );
    }
    (found, None)
}

fn plain_frames(bytes: &[u8]) -> Found<Frame, FrameError> {
    let (mut rest, mut found) = (bytes, Vec::new());
    while let [kind, flag_bits, a, b, c, d, after @ ..] = rest {
        let len = u32::from_be_bytes([*a, *b, *c, *d]);
        if len as usize > PAYLOAD_MAX {
            return (found, Some(FrameError::TooLong(len)));
        }
        let known = Kind::from_u8(*kind);
        if known.is_none() && flag_bits & flags::IGNORABLE == 0 {
            return (found, Some(FrameError::UnknownKind(*kind)));
        }
        let Some((payload, after)) = after.split_at_checked(len as usize) else {
            break;
        };
        if let Some(kind) = known {
            let mut frame = Frame::new(kind, payload);
            frame.flags = *flag_bits;
            let length = HEADER_LEN + payload.len();
            assert_eq!(
                frame.to_bytes(),
                rest[..length],
                "encoding differs from the input"
            );
            if let Some((offset, bytes)) = frame.offset_and_bytes() {
                assert_eq!([&offset.to_be_bytes(), bytes].concat(), payload);
            }
            if let Some((rows, cols)) = frame.size() {
                assert_eq!(Frame::resize(rows, cols).payload, payload);
            }
            found.push(frame);
        }
        rest = after;
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
        "the message changes on the wire"
    );
    if let Message::Request { method, params, .. } = message
        && let Ok(call) = Call::parse(&method, params)
    {
        call.access();
        let (method, params) = call.to_parts();
        assert_eq!(Call::parse(&method, params), Ok(call));
    }
}
