//! Leaves out what a program draws on the alternate screen: without a terminal of its own, it is
//! not readable.
//!
//! Pure. A sequence may be cut anywhere between two pieces of output.

/// The longest sequence that is looked at, in bytes.
const SEQUENCE_MAX: usize = 64;

/// The modes that switch to the alternate screen.
const ALTERNATE_MODES: [&[u8]; 3] = [b"1049", b"1047", b"47"];

/// Filters the output of one source.
#[derive(Debug, Default)]
pub(crate) struct FullScreenFilter {
    on_alternate: bool,
    /// It began there, which is not reported yet.
    announces: bool,
    /// The start of a sequence whose end has not arrived.
    cut: Vec<u8>,
}

impl FullScreenFilter {
    /// A filter for output that may begin on the alternate screen.
    pub(crate) fn new(on_alternate: bool) -> FullScreenFilter {
        FullScreenFilter {
            on_alternate,
            announces: on_alternate,
            cut: Vec::new(),
        }
    }

    /// A filter for output with a known end: the first switch in it shows where it began, and the
    /// end if there is none.
    pub(crate) fn for_output(bytes: &[u8], ends_on_alternate: bool) -> FullScreenFilter {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(0x1b, rest) {
            rest = &rest[at..];
            let len = sequence_len(rest).unwrap_or(rest.len());
            let (sequence, after) = rest.split_at(len);
            if let Some(on) = switches(sequence) {
                return FullScreenFilter::new(!on);
            }
            rest = after;
        }
        FullScreenFilter::new(ends_on_alternate)
    }

    /// Appends to `kept` what is not drawn on the alternate screen. Returns whether the source
    /// entered that screen.
    pub(crate) fn feed(&mut self, bytes: &[u8], kept: &mut Vec<u8>) -> bool {
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(bytes);
        let mut rest = &joined[..];
        let mut entered = std::mem::take(&mut self.announces);
        while let Some(at) = memchr::memchr(0x1b, rest) {
            self.keep(&rest[..at], kept);
            rest = &rest[at..];
            let Some(len) = sequence_len(rest) else {
                self.cut = rest.to_vec();
                return entered;
            };
            let (sequence, after) = rest.split_at(len);
            match switches(sequence) {
                Some(on) => {
                    entered |= on && !self.on_alternate;
                    self.on_alternate = on;
                }
                None => self.keep(sequence, kept),
            }
            rest = after;
        }
        self.keep(rest, kept);
        entered
    }

    fn keep(&self, bytes: &[u8], kept: &mut Vec<u8>) {
        if !self.on_alternate {
            kept.extend_from_slice(bytes);
        }
    }
}

/// The line that stands for a process's full-screen output.
pub(crate) fn full_screen_notice(process: &str) -> String {
    format!("[full-screen output is left out; see it: tm peek {process}]")
}

/// Returns the length of the control sequence at the start, of 1 for another one; `None` if its
/// end is missing.
fn sequence_len(bytes: &[u8]) -> Option<usize> {
    if *bytes.get(1)? != b'[' {
        return Some(1);
    }
    let is_end = |byte: &u8| !(0x20..=0x3f).contains(byte);
    match bytes[2..].iter().position(is_end) {
        Some(end) => Some(end + 3),
        None if bytes.len() > SEQUENCE_MAX => Some(1),
        None => None,
    }
}

/// Whether a sequence switches to the alternate screen, or away from it.
fn switches(sequence: &[u8]) -> Option<bool> {
    let modes = sequence.strip_prefix(b"\x1b[?")?;
    let (last, modes) = modes.split_last()?;
    let on = match last {
        b'h' => true,
        b'l' => false,
        _ => return None,
    };
    let mut modes = modes.split(|byte| *byte == b';');
    modes
        .any(|mode| ALTERNATE_MODES.contains(&mode))
        .then_some(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &[u8] = b"one\x1b[1mbold\x1b[?1;1049h\x1b[Hgarbage\x1b[?25l\x1b[?1049ltwo\x1b[0m\
                            \x1b[?47hx\x1b[?47lthree";

    fn filtered(pieces: usize) -> (String, usize) {
        let mut filter = FullScreenFilter::default();
        let (mut kept, mut entered) = (Vec::new(), 0);
        for piece in OUTPUT.chunks(pieces) {
            entered += usize::from(filter.feed(piece, &mut kept));
        }
        (String::from_utf8_lossy(&kept).into_owned(), entered)
    }

    #[test]
    fn output_on_the_alternate_screen_is_left_out_wherever_it_is_cut() {
        for pieces in 1..20 {
            let expected = "one\x1b[1mboldtwo\x1b[0mthree".to_string();
            assert_eq!(filtered(pieces), (expected, 2), "{pieces}");
        }
    }

    #[test]
    fn a_source_may_begin_on_the_alternate_screen() {
        let mut filter = FullScreenFilter::new(true);
        let mut kept = Vec::new();
        assert!(filter.feed(b"garbage", &mut kept));
        assert!(!filter.feed(b"garbage\x1b[?1049lshell$ ", &mut kept));
        assert_eq!(kept, b"shell$ ");
    }

    #[test]
    fn the_first_switch_of_known_output_shows_where_it_began() {
        for (bytes, ends_on_alternate, wanted) in [
            (&b"drawn\x1b[1m\x1b[?1049ltext"[..], false, &b"text"[..]),
            (b"text\x1b[?1049hdrawn", true, b"text"),
            (b"text\x1b[?47hdrawn\x1b[?47lmore", false, b"textmore"),
            (b"drawn\x1b[m", true, b""),
            (b"text\x1b[1", false, b"text"),
        ] {
            let mut kept = Vec::new();
            FullScreenFilter::for_output(bytes, ends_on_alternate).feed(bytes, &mut kept);
            assert_eq!(kept, wanted);
        }
    }

    #[test]
    fn a_sequence_without_end_is_given_up() {
        let mut filter = FullScreenFilter::default();
        let mut kept = Vec::new();
        let endless = [b"\x1b[".to_vec(), vec![b'1'; 200]].concat();
        filter.feed(&endless, &mut kept);
        assert_eq!(kept, endless);
    }
}
