//! Merged output as JSON objects, one for each line.
//!
//! Pure.

use crate::client::ui::held_line::{HeldLine, OutputSource, pieces};
use crate::text::printable::printable_json;
use crate::text::timestamp::rfc3339;
use crate::wire::LogLine;

/// Prints objects.
#[derive(Debug, Default)]
pub(crate) struct JsonWriter {
    pub(super) lines: Vec<HeldLine>,
}

impl JsonWriter {
    pub(super) fn data(
        &mut self,
        index: usize,
        source: &OutputSource,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) {
        for piece in pieces(bytes) {
            if self.lines[index].push(piece, source.time_ns) {
                self.print_held(index, source, out);
            }
        }
    }

    /// Prints the held line of a source, finished or not; false when there is none.
    pub(super) fn print_held(
        &mut self,
        index: usize,
        source: &OutputSource,
        out: &mut Vec<u8>,
    ) -> bool {
        let held = std::mem::take(&mut self.lines[index]);
        if held.bytes.is_empty() {
            return false;
        }
        let text = held.bytes.strip_suffix(b"\n").unwrap_or(&held.bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let line = LogLine {
            process: source.process.clone(),
            stream: source.stream.clone(),
            ts: rfc3339(held.time_ns),
            text: String::from_utf8_lossy(text).into_owned(),
        };
        // Strings always convert to JSON.
        let json = serde_json::to_string(&line).unwrap_or_default();
        out.extend(printable_json(&json).into_bytes());
        out.push(b'\n');
        true
    }
}
