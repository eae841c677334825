//! Frames: `u8 kind, u8 flags, u32 big-endian length, payload`.

use std::fmt;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 6;

/// Longest payload, in bytes.
pub const PAYLOAD_MAX: usize = 64 * 1024;

/// Payload of the `End` frame of `logs` whose processes were all removed from the config.
pub const END_REMOVED: &[u8] = b"removed";

/// Bits of the flags byte.
pub mod flags {
    /// A peer that does not know the kind can skip the frame.
    pub const IGNORABLE: u8 = 1;
    /// Data from standard error.
    pub const STDERR: u8 = 2;
}

/// The kind of a frame. Payloads are raw bytes, big-endian numbers, or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To the client: `u64 offset` in the ring, then output bytes.
    Data = 1,
    /// To the daemon: bytes for the process's input.
    Input = 2,
    /// To the daemon: `u16 rows, u16 cols` of the client's terminal.
    Resize = 3,
    /// To the client: `u64 offset`, then bytes that draw the screen as of that offset.
    Snapshot = 4,
    /// To the client: `u64 bytes` were skipped. With `attach` a snapshot follows.
    Skipped = 5,
    /// To the client: one line of text about the process, such as its exit and restart.
    Notice = 6,
    /// To the client: JSON `RoleInfo`, its role.
    Role = 7,
    /// To the client: JSON `ExitInfo`. The process ended permanently, and with it the stream.
    Exit = 8,
    /// To the client: text, the reason why it was detached. To the daemon: empty, the client
    /// detaches.
    Detach = 9,
    /// To the client: JSON `SourceInfo`, the source of the next data (with several targets).
    Source = 10,
    /// To the client: the end of `logs` without follow.
    End = 11,
    /// To the daemon: the client's input ended. The daemon closes the process's input pipe, if any.
    InputEnd = 12,
    /// To the daemon: the client discards all data until the next snapshot, and requests it with
    /// this frame. Only valid if `AttachReply` announces support.
    Redraw = 13,
}

impl Kind {
    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Kind> {
        use Kind::*;
        let kinds = [
            Data, Input, Resize, Snapshot, Skipped, Notice, Role, Exit, Detach, Source, End,
            InputEnd, Redraw,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The capacity that a decoder keeps, in bytes.
const CAPACITY_KEPT: usize = 4096;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The frame's kind.
    pub kind: Kind,
    /// Bits of [`flags`].
    pub flags: u8,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame without flags.
    pub fn new(kind: Kind, payload: impl Into<Vec<u8>>) -> Self {
        Frame {
            kind,
            flags: 0,
            payload: payload.into(),
        }
    }

    /// The header of a frame whose payload of `len` bytes is written separately.
    pub fn header(kind: Kind, flags: u8, len: usize) -> [u8; HEADER_LEN] {
        debug_assert!(len <= PAYLOAD_MAX);
        let len = (len as u32).to_be_bytes();
        [kind as u8, flags, len[0], len[1], len[2], len[3]]
    }

    /// The frame as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Frame::header(self.kind, self.flags, self.payload.len());
        [&header[..], &self.payload].concat()
    }

    /// The ring offset and the bytes of `Data` and `Snapshot`.
    pub fn offset_and_bytes(&self) -> Option<(u64, &[u8])> {
        let (offset, bytes) = self.payload.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*offset), bytes))
    }

    /// The size in `Resize`.
    pub fn size(&self) -> Option<(u16, u16)> {
        match *self.payload.as_slice() {
            [r1, r0, c1, c0] => Some((u16::from_be_bytes([r1, r0]), u16::from_be_bytes([c1, c0]))),
            _ => None,
        }
    }

    /// A `Resize` frame.
    pub fn resize(rows: u16, cols: u16) -> Frame {
        Frame::new(
            Kind::Resize,
            [rows.to_be_bytes(), cols.to_be_bytes()].concat(),
        )
    }
}

/// An error after which a stream of frames cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The header announces more than [`PAYLOAD_MAX`].
    TooLong(u32),
    /// A kind this build does not know, not marked as ignorable.
    UnknownKind(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong(len) => write!(f, "a frame of {len} bytes is too long"),
            FrameError::UnknownKind(kind) => write!(f, "unknown frame kind {kind}"),
        }
    }
}

/// Splits a stream into frames. Holds at most one incomplete frame and the bytes that came with it.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameDecoder {
    /// Adds received bytes, of any length.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * bytes.len().max(CAPACITY_KEPT) {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Number of buffered bytes.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Takes the next complete frame. Skips unknown frames that are ignorable.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let rest = &self.buffer[self.start..];
            let Some((header, rest)) = rest.split_first_chunk::<HEADER_LEN>() else {
                return Ok(None);
            };
            let [kind, flag_bits, len @ ..] = *header;
            let len = u32::from_be_bytes(len);
            if len as usize > PAYLOAD_MAX {
                return Err(FrameError::TooLong(len));
            }
            let known = Kind::from_u8(kind);
            if known.is_none() && flag_bits & flags::IGNORABLE == 0 {
                return Err(FrameError::UnknownKind(kind));
            }
            let Some(payload) = rest.get(..len as usize) else {
                return Ok(None);
            };
            let payload = payload.to_vec();
            self.start += HEADER_LEN + payload.len();
            if let Some(kind) = known {
                return Ok(Some(Frame {
                    kind,
                    flags: flag_bits,
                    payload,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let frames = [
            Frame::new(Kind::Input, *b"ls\n"),
            Frame::resize(24, 80),
            Frame {
                kind: Kind::Data,
                flags: flags::STDERR,
                payload: vec![0; 100],
            },
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        for size in 1..bytes.len() {
            let mut decoder = FrameDecoder::default();
            let mut found = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().expect("the frames are sound") {
                    found.push(frame);
                }
            }
            assert_eq!(found, frames);
        }
    }

    #[test]
    fn an_older_peer_skips_only_what_it_may() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&[99, flags::IGNORABLE, 0, 0, 0, 1, b'x']);
        decoder.push(&Frame::new(Kind::Detach, []).to_bytes());
        assert_eq!(decoder.next_frame(), Ok(Some(Frame::new(Kind::Detach, []))));
        decoder.push(&[99, 0, 0, 0, 0, 1, b'x']);
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownKind(99)));
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&[2, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(u32::MAX)));
    }
}
