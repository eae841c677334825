//! Whole lines for a log that several feeds write to.

use memchr::memrchr;

/// Decides where a batch ends. In a shared log it ends with a line.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    shared: bool,
    /// The last byte that was sent is not a newline.
    in_line: bool,
}

impl LineCutter {
    /// Sets whether other feeds write to the log.
    pub(super) fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }

    /// Continues at the start of a line.
    pub(super) fn reset(&mut self) {
        self.in_line = false;
    }

    /// Returns how many of `bytes` to send: an incomplete last line waits. It does not wait at the
    /// end of the stream (`last`), nor when it leaves no room for more output (`full`).
    pub(super) fn cut(&self, bytes: &[u8], full: bool, last: bool) -> usize {
        if !self.shared || last {
            return bytes.len();
        }
        match memrchr(b'\n', bytes) {
            Some(newline) => newline + 1,
            None if full => bytes.len(),
            None => 0,
        }
    }

    /// Notes the bytes that are sent.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.in_line = *last != b'\n';
        }
    }

    /// Ends an incomplete line at the end of the stream, so that other feeds start a new one. In a
    /// log of its own the line stays as it is.
    pub(super) fn end_line(&mut self, bytes: &mut Vec<u8>) {
        if self.shared && std::mem::take(&mut self.in_line) {
            bytes.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> LineCutter {
        let mut lines = LineCutter::default();
        lines.set_shared(true);
        lines
    }

    #[test]
    fn an_unshared_log_is_never_cut() {
        let mut lines = LineCutter::default();
        assert_eq!(lines.cut(b"one\ntwo", false, false), 7);
        lines.sent(b"one\ntwo");
        let mut bytes = Vec::new();
        lines.end_line(&mut bytes);
        assert_eq!(bytes, b"");
    }

    #[test]
    fn an_incomplete_line_waits_unless_it_is_too_long_or_the_last() {
        let lines = shared();
        assert_eq!(lines.cut(b"one\ntwo", false, false), 4);
        assert_eq!(lines.cut(b"one\ntwo", true, false), 4);
        assert_eq!(lines.cut(b"one\ntwo", false, true), 7);
        assert_eq!(lines.cut(b"two", false, false), 0);
        assert_eq!(lines.cut(b"two", true, false), 3);
        assert_eq!(lines.cut(b"", true, true), 0);
    }

    #[test]
    fn an_incomplete_line_is_ended_once() {
        let mut lines = shared();
        lines.sent(b"two");
        lines.sent(b"");
        let mut bytes = Vec::new();
        lines.end_line(&mut bytes);
        lines.end_line(&mut bytes);
        assert_eq!(bytes, b"\n");
        lines.sent(b"three");
        lines.reset();
        lines.end_line(&mut bytes);
        assert_eq!(bytes, b"\n");
    }
}
