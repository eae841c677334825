//! Splits a stream of bytes into lines of bounded length.

use std::fmt;

/// Longest line that a peer may send, newline included, in bytes.
pub(crate) const LINE_MAX: usize = 1024 * 1024;

/// Splits a stream into lines. Holds at most one incomplete line and the bytes that came with it.
#[derive(Debug)]
pub struct LineDecoder {
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    limit: usize,
}

/// A line exceeds this number of bytes. The stream cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineError(pub usize);

impl Default for LineDecoder {
    fn default() -> Self {
        LineDecoder::with_limit(LINE_MAX)
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line is longer than {} bytes", self.0)
    }
}

impl LineDecoder {
    /// Lines of at most `limit` bytes. A client accepts more than `LINE_MAX` from its daemon: the
    /// status of thousands of processes is one reply.
    pub fn with_limit(limit: usize) -> Self {
        LineDecoder {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            limit,
        }
    }

    /// Adds received bytes, of any length.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            (self.start, self.scanned) = (0, 0);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next complete line, without its newline and a carriage return before it.
    ///
    /// # Errors
    /// The incomplete line exceeds the limit.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            self.compact();
            return if self.buffer.len() > self.limit {
                Err(LineError(self.limit))
            } else {
                Ok(None)
            };
        };
        let end = self.scanned + at;
        let mut line = &self.buffer[self.start..end];
        if line.len() >= self.limit {
            return Err(LineError(self.limit));
        }
        if let [rest @ .., b'\r'] = line {
            line = rest;
        }
        let taken = line.to_vec();
        self.start = end + 1;
        self.scanned = self.start;
        Ok(Some(taken))
    }

    /// Changes the limit for the next lines.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Number of buffered bytes.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Takes the bytes after the last line: the first ones after a switch to frames.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.start);
        *self = LineDecoder::with_limit(self.limit);
        rest
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 4096 {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let text = b"one\r\ntwo\n\nthree";
        for size in 1..text.len() {
            let mut decoder = LineDecoder::default();
            let mut lines = Vec::new();
            for chunk in text.chunks(size) {
                decoder.push(chunk);
                while let Ok(Some(line)) = decoder.next_line() {
                    lines.push(line);
                }
            }
            assert_eq!(lines, [b"one".to_vec(), b"two".to_vec(), b"".to_vec()]);
            assert_eq!(decoder.take_rest(), b"three");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = LineDecoder::default();
        decoder.push(&vec![b'x'; LINE_MAX]);
        assert_eq!(decoder.next_line(), Ok(None));
        decoder.push(b"y");
        assert_eq!(decoder.next_line(), Err(LineError(LINE_MAX)));
    }
}
