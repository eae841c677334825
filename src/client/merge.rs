//! Output of several processes in one stream: whole lines, each with its source.
//!
//! Pure: frames' contents in, bytes to print out.

use super::sanitise::Sanitiser;
use super::style::{Paint, Style};
use super::time::utc_rfc3339;
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
    sanitiser: Option<Sanitiser>,
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
        let options = &self.options;
        let verbatim = !(self.prefixed || options.timestamps || options.strip || options.json);
        if verbatim {
            return out.extend_from_slice(bytes);
        }
        let index = self.current;
        let mut clean = Vec::new();
        let bytes = match &mut self.sources[index].sanitiser {
            Some(sanitiser) => {
                sanitiser.feed(bytes, &mut clean);
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

    /// A line of ours about the current source: bytes that were lost.
    pub fn skipped(&mut self, bytes: u64, out: &mut Vec<u8>) {
        let label = self
            .sources
            .get(self.current)
            .map(|source| source.label.clone());
        let text = format!("[{bytes} bytes skipped]");
        self.own_line(label.as_deref().unwrap_or(""), &text, out);
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

    /// Whether unfinished lines wait that are not on the screen.
    pub fn has_partial(&self) -> bool {
        !self.options.json && self.sources.iter().any(|source| !source.line.is_empty())
    }

    /// Prints the unfinished lines: nothing more came for a while.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.options.json {
            return;
        }
        for index in 0..self.sources.len() {
            if !self.sources[index].line.is_empty() {
                self.print(index, out);
            }
        }
    }

    /// Prints the unfinished lines and ends them: nothing more comes at all.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        for index in 0..self.sources.len() {
            if !self.sources[index].line.is_empty() {
                self.print(index, out);
            }
        }
        self.close(out);
    }

    fn add_source(&mut self, info: &SourceInfo) -> usize {
        let strip = self.options.strip;
        let keep_colours = self.options.style.is_coloured();
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
            sanitiser: strip.then(|| Sanitiser::new(keep_colours)),
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
                let time = utc_rfc3339(source.line_time_ns);
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
            ts: utc_rfc3339(source.line_time_ns),
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

/// What a terminal would show of a line that overwrites itself: the text after the last carriage
/// return that has some.
fn last_version(line: &[u8]) -> &[u8] {
    let mut versions = line.rsplit(|byte| *byte == b'\r');
    versions
        .find(|version| !version.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merger(names: &[&str]) -> Merger {
        Merger::new(MergeOptions {
            style: Style::plain(),
            names: names.iter().map(ToString::to_string).collect(),
            always_prefix: false,
            timestamps: false,
            strip: true,
            json: false,
        })
    }

    fn source(process: &str) -> SourceInfo {
        SourceInfo {
            process: process.to_string(),
            stream: "stdout".to_string(),
            time_ns: 0,
        }
    }

    #[test]
    fn lines_stay_whole_whatever_comes_between() {
        let mut merger = merger(&["a:0", "long:0"]);
        let mut out = Vec::new();
        merger.source(&source("a:0"));
        merger.data(b"one\ntw", &mut out);
        merger.source(&source("long:0"));
        merger.data(b"other\n", &mut out);
        merger.source(&source("a:0"));
        merger.data(b"o\n", &mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "a:0    | one\nlong:0 | other\na:0    | two\n");
    }

    #[test]
    fn a_prompt_is_shown_and_continued() {
        let mut merger = merger(&["a:0", "b:0"]);
        let mut out = Vec::new();
        merger.source(&source("a:0"));
        merger.data(b"$ ", &mut out);
        assert!(out.is_empty() && merger.has_partial());
        merger.flush(&mut out);
        merger.data(b"ls\n$ ", &mut out);
        merger.flush(&mut out);
        merger.source(&source("b:0"));
        merger.data(b"x\n", &mut out);
        merger.finish(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "a:0 | $ ls\na:0 | $ \nb:0 | x\n");
    }

    #[test]
    fn one_process_has_no_prefix_and_progress_bars_their_last_version() {
        let mut merger = merger(&["a:0"]);
        let mut out = Vec::new();
        merger.source(&source("a:0"));
        merger.data(b"10%\r20%\r\nx\x1b[2J\r\n", &mut out);
        merger.skipped(12345, &mut out);
        merger.data(b"last", &mut out);
        merger.finish(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "20%\nx\n[12345 bytes skipped]\nlast\n");
    }

    #[test]
    fn json_lines_are_objects() {
        let mut merger = merger(&["a:0"]);
        merger.options.json = true;
        let mut out = Vec::new();
        merger.source(&source("a:0"));
        merger.data(b"x\ny", &mut out);
        merger.flush(&mut out);
        merger.finish(&mut out);
        let lines: Vec<LogLine> = String::from_utf8(out)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!((lines[0].text.as_str(), lines[1].text.as_str()), ("x", "y"));
    }

    #[test]
    fn raw_output_of_one_process_is_untouched() {
        let mut merger = merger(&["a:0"]);
        merger.options.strip = false;
        let mut out = Vec::new();
        merger.data(b"\x1b[2Jpart", &mut out);
        merger.finish(&mut out);
        assert_eq!(out, b"\x1b[2Jpart");
    }
}
