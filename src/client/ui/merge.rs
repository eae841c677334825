//! Output of several processes in one stream: whole lines, each with its source.
//!
//! Pure: the contents of frames in, bytes to print out. Data passes two stages:
//! ```text
//!   frames ──► GapFilter ──► Writer ──► bytes
//!              drops the rest of a line      verbatim, lines with prefixes, or JSON
//!              that began in lost output
//! ```

use crate::client::ui::gap_filter::{EndedGap, Filtered, GapFilter};
use crate::client::ui::held_line::OutputSource;
use crate::client::ui::line_writers::{MergeOptions, Writer};
use crate::wire::SourceInfo;
use std::collections::HashMap;

/// Sources that are remembered: two streams of each of the most processes that a daemon has.
const SOURCES_MAX: usize = 200_000;

/// Bytes of their names that are remembered.
const NAMES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of unfinished lines that are held, all together. They are counted each time that as many
/// have come in.
const HELD_MAX: usize = 16 * 1024 * 1024;

/// Merges the output of all sources.
#[derive(Debug)]
pub(crate) struct Merger {
    sources: Vec<OutputSource>,
    /// The sources by process and stream.
    index: HashMap<(String, String), usize>,
    /// Bytes of their names.
    names: usize,
    /// Bytes of data since the unfinished lines were last counted.
    uncounted: usize,
    current: usize,
    gaps: GapFilter,
    writer: Writer,
    /// The only process, whose data may come without a source.
    default_process: String,
    whole_lines: bool,
}

impl Merger {
    /// Creates a merger without sources.
    pub(crate) fn new(options: MergeOptions) -> Merger {
        Merger {
            sources: Vec::new(),
            index: HashMap::new(),
            names: 0,
            uncounted: 0,
            current: 0,
            gaps: GapFilter::default(),
            default_process: options.names.first().cloned().unwrap_or_default(),
            whole_lines: options.json || options.whole_lines,
            writer: Writer::new(options),
        }
    }

    /// The data that follows is of this source.
    pub(crate) fn source(&mut self, info: &SourceInfo, out: &mut Vec<u8>) {
        let key = (info.process.clone(), info.stream.clone());
        self.current = match self.index.get(&key) {
            Some(index) => *index,
            None => {
                if self.sources.len() >= SOURCES_MAX || self.names >= NAMES_MAX {
                    self.forget_sources(out);
                }
                self.names += info.process.len() + info.stream.len();
                self.sources.push(OutputSource {
                    process: info.process.clone(),
                    stream: info.stream.clone(),
                    time_ns: info.time_ns,
                    line_closed: false,
                });
                self.writer.add_source(&info.process);
                let index = self.sources.len() - 1;
                self.index.insert(key, index);
                index
            }
        };
        self.sources[self.current].time_ns = info.time_ns;
    }

    /// Ends all lines, and forgets where they came from. No daemon has that many sources; this
    /// keeps another one from filling the memory.
    fn forget_sources(&mut self, out: &mut Vec<u8>) {
        self.end_all(out);
        self.writer.forget_sources();
        self.sources.clear();
        self.index.clear();
        self.names = 0;
    }

    /// Prints and ends all unfinished lines.
    fn end_all(&mut self, out: &mut Vec<u8>) {
        for gap in self.gaps.end_all(|_| true) {
            self.report(gap, out);
        }
        for (index, source) in self.sources.iter().enumerate() {
            self.writer.close_line(index, source, out);
        }
    }

    /// Appends to `out` what can be printed of the current source's output.
    pub(crate) fn data(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.sources.is_empty() {
            let info = SourceInfo {
                process: self.default_process.clone(),
                stream: "stdout".to_string(),
                time_ns: 0,
            };
            self.source(&info, out);
        }
        let index = self.current;
        match self.gaps.filter(index, &self.sources[index].process, bytes) {
            Filtered::Passed => {
                // When a new run starts, the daemon ends the line as well.
                let closed = std::mem::take(&mut self.sources[index].line_closed);
                let bytes = match closed {
                    true => without_line_end(bytes),
                    false => bytes,
                };
                self.write(index, bytes, out);
            }
            Filtered::Held => {}
            Filtered::Ended { gap, rest } => {
                self.report(gap, out);
                self.write(index, rest, out);
            }
        }
        self.limit_held(bytes.len(), out);
    }

    /// Output of the current source's process was lost. It is reported with the next whole line.
    pub(crate) fn skipped(&mut self, bytes: u64, out: &mut Vec<u8>) {
        let source = self.sources.get(self.current);
        let process = source.map_or(String::new(), |source| source.process.clone());
        if self.gaps.begin(&process, bytes) {
            // The rest of these lines is lost.
            self.close_lines(&process, out);
            for (index, source) in self.sources.iter().enumerate() {
                if source.process == process {
                    self.writer.reset_sequences(index);
                }
            }
        }
    }

    /// A run of a process has ended, and with it its unfinished line.
    pub(crate) fn ended(&mut self, process: &str, out: &mut Vec<u8>) {
        for gap in self.gaps.end_all(|gap| gap.process == process) {
            self.report(gap, out);
        }
        for index in self.close_lines(process, out) {
            self.sources[index].line_closed = true;
        }
    }

    /// Prints a notice about a process.
    pub(crate) fn notice(&mut self, process: &str, text: &str, out: &mut Vec<u8>) {
        self.writer.notice(process, text, out);
    }

    /// Whether unfinished lines are held that should be printed soon.
    pub(crate) fn has_partial(&self) -> bool {
        !self.whole_lines && (self.writer.has_partial() || self.gaps.has_torn())
    }

    /// Prints the unfinished lines, since no more output came for a while.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        if self.whole_lines {
            return;
        }
        for gap in self.gaps.end_all(|gap| !gap.torn.is_empty()) {
            self.report(gap, out);
        }
        self.writer.flush(&self.sources, out);
    }

    /// Prints and ends the unfinished lines, since no more output will come.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        for gap in self.gaps.end_all(|_| true) {
            self.report(gap, out);
        }
        self.writer.flush(&self.sources, out);
        self.writer.finish(out);
    }

    fn write(&mut self, index: usize, bytes: &[u8], out: &mut Vec<u8>) {
        if let Some(source) = self.sources.get(index) {
            self.writer.data(index, source, bytes, out);
        }
    }

    /// Ends unfinished lines when they take too much memory. A prompt is short.
    fn limit_held(&mut self, len: usize, out: &mut Vec<u8>) {
        self.uncounted += len;
        if self.uncounted < HELD_MAX {
            return;
        }
        self.uncounted = 0;
        if self.writer.held() + self.gaps.held() >= HELD_MAX {
            self.end_all(out);
        }
    }

    /// Reports a gap, and prints what was held behind it.
    fn report(&mut self, gap: EndedGap, out: &mut Vec<u8>) {
        self.writer.gap(&gap.process, gap.skipped, out);
        if let Some(index) = gap.source {
            self.write(index, &gap.torn, out);
        }
    }

    /// Prints and ends the unfinished lines of a process. Returns their sources.
    fn close_lines(&mut self, process: &str, out: &mut Vec<u8>) -> Vec<usize> {
        let sources = self.sources.iter().enumerate();
        let closed = sources.filter(|(index, source)| {
            source.process == process && self.writer.close_line(*index, source, out)
        });
        closed.map(|(index, _)| index).collect()
    }
}

/// The bytes behind the line end at the start.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let ends = [&b"\r\n"[..], b"\n"];
    let rest = ends.iter().find_map(|end| bytes.strip_prefix(*end));
    rest.unwrap_or(bytes)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
