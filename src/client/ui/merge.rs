//! Output of several processes in one stream: whole lines, each with its source.
//!
//! Pure: frames' contents in, bytes to print out.

use crate::client::ui::style::{Paint, Style};
use crate::text::strip::{Keep, Strip};
use crate::text::timestamp::rfc3339;
use crate::wire::{LogLine, SourceInfo};

/// Longest line that is waited for, in bytes; a longer one is printed in parts.
const MAX_LINE: usize = 64 * 1024;

/// How output is shown.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Colour of prefixes.
    pub style: Style,
    /// The processes; a prefix is shown when there is more than one, or when `always_prefix`.
    pub names: Vec<String>,
    /// Also for a single process.
    pub always_prefix: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Take control sequences out.
    pub strip: bool,
    /// Each line as an object.
    pub json: bool,
    /// An unfinished line is kept until it is whole: nobody waits for a prompt there.
    pub whole_lines: bool,
}

/// Merges.
#[derive(Debug)]
pub struct Merger {
    options: MergeOptions,
    width: usize,
    prefixed: bool,
    sources: Vec<Source>,
    current: usize,
    /// The source whose unfinished line is on the screen.
    open: Option<usize>,
    gaps: Vec<Gap>,
}

/// Output of a process that was lost, until it is told.
#[derive(Debug)]
struct Gap {
    process: String,
    skipped: u64,
    /// What comes behind it, likely the rest of a line that began in it, and of which source.
    torn: Vec<u8>,
    source: Option<usize>,
}

#[derive(Debug)]
struct Source {
    process: String,
    stream: String,
    label: String,
    /// When the bytes that come now were written.
    time_ns: u64,
    /// The same of the line's first byte.
    line_time_ns: u64,
    line: Vec<u8>,
    /// Its run has ended, within a line that we have ended.
    ended: bool,
    strip: Option<Strip>,
}

impl Merger {
    /// Nothing yet.
    pub fn new(options: MergeOptions) -> Merger {
        let widths = options.names.iter().map(|name| name.chars().count());
        let width = widths.max().unwrap_or(0);
        let prefixed = options.always_prefix || options.names.len() != 1;
        Merger {
            options,
            width,
            prefixed,
            sources: Vec::new(),
            current: 0,
            open: None,
            gaps: Vec::new(),
        }
    }

    /// The data that follows is of this source.
    pub fn source(&mut self, info: &SourceInfo) {
        let same = |source: &Source| source.process == info.process && source.stream == info.stream;
        self.current = match self.sources.iter().position(same) {
            Some(index) => index,
            None => self.add_source(info),
        };
        let source = &mut self.sources[self.current];
        source.time_ns = info.time_ns;
    }

    /// Takes in output of the current source and appends what can be printed.
    pub fn data(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.sources.is_empty() {
            let process = self.options.names.first().cloned().unwrap_or_default();
            self.source(&SourceInfo {
                process,
                stream: "stdout".to_string(),
                time_ns: 0,
            });
        }
        if let Some(gap) = self.gap_of_current() {
            return self.data_after_gap(gap, bytes, out);
        }
        let index = self.current;
        // The daemon ends the line, too, once a new run begins.
        let bytes = match std::mem::take(&mut self.sources[index].ended) {
            true => without_line_end(bytes),
            false => bytes,
        };
        self.data_of(index, bytes, out);
    }

    fn data_of(&mut self, index: usize, bytes: &[u8], out: &mut Vec<u8>) {
        if self.is_verbatim() && !self.options.whole_lines {
            if let Some(last) = bytes.last() {
                self.open = (*last != b'\n').then_some(index);
            }
            return out.extend_from_slice(bytes);
        }
        let mut clean = Vec::new();
        let bytes = match &mut self.sources[index].strip {
            Some(strip) => {
                strip.feed(bytes, &mut clean);
                &clean
            }
            None => bytes,
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let source = &mut self.sources[index];
            if source.line.is_empty() {
                source.line_time_ns = source.time_ns;
            }
            source.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || source.line.len() > MAX_LINE {
                self.print(index, out);
            }
        }
    }

    /// So many bytes of the current source's process were lost. That is told once it is known
    /// where the next line begins.
    pub fn skipped(&mut self, bytes: u64, out: &mut Vec<u8>) {
        let source = self.sources.get(self.current);
        let process = source.map_or(String::new(), |source| source.process.clone());
        if let Some(gap) = self.gaps.iter_mut().find(|gap| gap.process == process) {
            gap.skipped += bytes + gap.torn.len() as u64;
            gap.torn.clear();
            gap.source = None;
            return;
        }
        // What they began will never be finished.
        self.end_lines(&process, out);
        for source in &mut self.sources {
            if source.process == process
                && let Some(strip) = &mut source.strip
            {
                strip.finish();
            }
        }
        self.gaps.push(Gap {
            process,
            skipped: bytes,
            torn: Vec::new(),
            source: None,
        });
    }

    /// A run of a process is over, and so is its unfinished line.
    pub fn ended(&mut self, process: &str, out: &mut Vec<u8>) {
        self.end_gaps(|gap| gap.process == process, out);
        for index in self.end_lines(process, out) {
            self.sources[index].ended = true;
        }
    }

    /// A line of ours about a process.
    pub fn notice(&mut self, process: &str, text: &str, out: &mut Vec<u8>) {
        let label = if self.prefixed {
            self.label(process)
        } else {
            String::new()
        };
        self.own_line(&label, text, out);
    }

    /// Whether unfinished lines wait that should not wait for long.
    pub fn has_partial(&self) -> bool {
        let waits = self.sources.iter().any(|source| !source.line.is_empty())
            || self.gaps.iter().any(|gap| !gap.torn.is_empty());
        waits && !self.keeps_partial()
    }

    /// Prints the unfinished lines: nothing more came for a while.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.keeps_partial() {
            return;
        }
        self.end_gaps(|gap| !gap.torn.is_empty(), out);
        self.print_partial(out);
    }

    /// Prints the unfinished lines and ends them: nothing more comes at all.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_gaps(|_| true, out);
        self.print_partial(out);
        // The bytes of one process alone are not ours to change.
        if !self.is_verbatim() {
            self.close(out);
        }
    }

    fn print_partial(&mut self, out: &mut Vec<u8>) {
        for index in 0..self.sources.len() {
            if !self.sources[index].line.is_empty() {
                self.print(index, out);
            }
        }
    }

    fn keeps_partial(&self) -> bool {
        self.options.json || self.options.whole_lines
    }

    /// Whether bytes are shown as they came.
    fn is_verbatim(&self) -> bool {
        let options = &self.options;
        !(self.prefixed || options.timestamps || options.strip || options.json)
    }

    /// Prints and ends the unfinished lines of a process. Whose they were.
    fn end_lines(&mut self, process: &str, out: &mut Vec<u8>) -> Vec<usize> {
        let mut ended = Vec::new();
        for index in 0..self.sources.len() {
            let source = &self.sources[index];
            let begun = !source.line.is_empty() || self.open == Some(index);
            if source.process != process || !begun {
                continue;
            }
            if !source.line.is_empty() {
                self.print(index, out);
            }
            self.close(out);
            ended.push(index);
        }
        ended
    }

    fn gap_of_current(&self) -> Option<usize> {
        let process = &self.sources.get(self.current)?.process;
        self.gaps.iter().position(|gap| gap.process == *process)
    }

    /// Leaves out what is left of a line that began in the gap, unless that is too long.
    fn data_after_gap(&mut self, at: usize, bytes: &[u8], out: &mut Vec<u8>) {
        let gap = &mut self.gaps[at];
        if *gap.source.get_or_insert(self.current) != self.current {
            // The other stream of the process goes on: no line can be awaited.
            self.end_gap(at, out);
            return self.data_of(self.current, bytes, out);
        }
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if gap.torn.len() + end < MAX_LINE => {
                gap.skipped += (gap.torn.len() + end + 1) as u64;
                gap.torn.clear();
                self.end_gap(at, out);
                self.data_of(self.current, &bytes[end + 1..], out);
            }
            _ => {
                gap.torn.extend_from_slice(bytes);
                if gap.torn.len() >= MAX_LINE {
                    self.end_gap(at, out);
                }
            }
        }
    }

    fn end_gaps(&mut self, wanted: impl Fn(&Gap) -> bool, out: &mut Vec<u8>) {
        while let Some(at) = self.gaps.iter().position(&wanted) {
            self.end_gap(at, out);
        }
    }

    /// Tells of a gap, and shows what has been kept of what comes behind it.
    fn end_gap(&mut self, at: usize, out: &mut Vec<u8>) {
        let gap = self.gaps.remove(at);
        let (process, skipped) = (&gap.process, gap.skipped);
        if self.options.json {
            let gap = serde_json::json!({"process": process, "skipped": skipped});
            out.extend_from_slice(format!("{gap}\n").as_bytes());
        } else {
            self.notice(process, &format!("[{skipped} bytes skipped]"), out);
        }
        if let Some(index) = gap.source {
            self.data_of(index, &gap.torn, out);
        }
    }

    fn add_source(&mut self, info: &SourceInfo) -> usize {
        let keep = match self.options.style.is_coloured() {
            true => Keep::Colours,
            false => Keep::Text,
        };
        let label = if self.prefixed {
            self.label(&info.process)
        } else {
            String::new()
        };
        self.sources.push(Source {
            process: info.process.clone(),
            stream: info.stream.clone(),
            label,
            time_ns: info.time_ns,
            line_time_ns: info.time_ns,
            line: Vec::new(),
            ended: false,
            strip: self.options.strip.then(|| Strip::new(keep)),
        });
        self.sources.len() - 1
    }

    fn label(&mut self, process: &str) -> String {
        let known = self.options.names.iter().position(|name| name == process);
        let index = known.unwrap_or_else(|| {
            self.options.names.push(process.to_string());
            self.options.names.len() - 1
        });
        self.width = self.width.max(process.chars().count());
        let padded = format!("{process:width$} |", width = self.width);
        format!(
            "{} ",
            self.options.style.paint(Paint::Source(index), &padded)
        )
    }

    /// Prints the line of a source, finished or not.
    fn print(&mut self, index: usize, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.sources[index].line);
        if self.options.json {
            return self.print_json(index, &line, out);
        }
        let continued = self.open == Some(index);
        if !continued {
            self.close(out);
        }
        let source = &self.sources[index];
        if !continued {
            if self.options.timestamps {
                let time = rfc3339(source.line_time_ns);
                out.extend_from_slice(self.options.style.paint(Paint::Dim, &time).as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(source.label.as_bytes());
        }
        let finished = line.ends_with(b"\n");
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = if self.options.strip {
            last_version(text)
        } else {
            text
        };
        out.extend_from_slice(text);
        if self.options.strip && text.contains(&0x1b) {
            out.extend_from_slice(b"\x1b[0m");
        }
        self.open = (!finished).then_some(index);
        if finished {
            out.push(b'\n');
        }
    }

    fn print_json(&self, index: usize, line: &[u8], out: &mut Vec<u8>) {
        let source = &self.sources[index];
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let line = LogLine {
            process: source.process.clone(),
            stream: source.stream.clone(),
            ts: rfc3339(source.line_time_ns),
            text: String::from_utf8_lossy(text).into_owned(),
        };
        // Plain strings always are JSON.
        out.extend(serde_json::to_vec(&line).unwrap_or_default());
        out.push(b'\n');
    }

    fn own_line(&mut self, label: &str, text: &str, out: &mut Vec<u8>) {
        if self.options.json {
            return;
        }
        self.close(out);
        let text = self.options.style.paint(Paint::Dim, text);
        out.extend_from_slice(format!("{label}{text}\n").as_bytes());
    }

    /// Ends the unfinished line on the screen.
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.push(b'\n');
        }
    }
}

/// What is left behind the end of a line at the begin.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let ends = [&b"\r\n"[..], b"\n"];
    let rest = ends.iter().find_map(|end| bytes.strip_prefix(*end));
    rest.unwrap_or(bytes)
}

/// What a terminal would show of a line that overwrites itself: the text after the last carriage
/// return that has some.
fn last_version(line: &[u8]) -> &[u8] {
    let mut versions = line.rsplit(|byte| *byte == b'\r');
    versions
        .find(|version| !version.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
