//! The three forms in which merged output is printed: as it came, as lines with prefixes, or as
//! JSON objects.
//!
//! Pure.

use crate::client::cli::copied_commands::with_selection;
use crate::client::ui::bottom_line::BottomLine;
use crate::client::ui::held_line::{HeldLine, OutputSource, pieces};
use crate::client::ui::json_lines::JsonWriter;
use crate::client::ui::style::{Paint, Style, with_colours};
use crate::client::ui::table::{display_width, pad, visible_width, wrap};
use crate::text::full_screen::{FullScreenFilter, full_screen_notice};
use crate::text::printable::{printable, printable_json};
use crate::text::strip::{Keep, Strip};
use crate::text::timestamp::rfc3339;
use std::collections::HashMap;

/// How output is shown.
#[derive(Debug, Clone)]
pub(crate) struct MergeOptions {
    /// Colour of prefixes and notices.
    pub(crate) style: Style,
    /// The processes. Lines have a prefix if there are several, or with `always_prefix`.
    pub(crate) names: Vec<String>,
    /// Those of them that draw on the alternate screen at the start.
    pub(crate) full_screen: Vec<String>,
    pub(crate) always_prefix: bool,
    /// Put the time before each line.
    pub(crate) timestamps: bool,
    /// Remove control sequences.
    pub(crate) strip: bool,
    /// Columns of the terminal, if output goes to one.
    pub(crate) columns: Option<usize>,
    /// Print each line as an object.
    pub(crate) json: bool,
    /// Hold an unfinished line until it is complete: no person waits for a prompt.
    pub(crate) whole_lines: bool,
    /// The flags that select the daemon, for commands within notices; empty for none.
    pub(crate) selection: String,
}

/// Prints output in one form. Sources are known by their index.
#[derive(Debug)]
pub(crate) enum Writer {
    /// Bytes of a single process, unchanged and at once.
    Verbatim(VerbatimWriter),
    /// Whole lines with a prefix, a time or without control sequences.
    Lines(Box<LineWriter>),
    /// An object for each line.
    Json(JsonWriter),
}

impl Writer {
    pub(crate) fn new(options: MergeOptions) -> Writer {
        if options.json {
            return Writer::Json(JsonWriter::default());
        }
        let prefixed = options.always_prefix || options.names.len() != 1;
        let unchanged = !(prefixed || options.timestamps || options.strip);
        if unchanged && !options.whole_lines {
            return Writer::Verbatim(VerbatimWriter {
                style: options.style,
                open: None,
            });
        }
        Writer::Lines(Box::new(LineWriter {
            labels: Labels {
                prefixed,
                width: options
                    .names
                    .iter()
                    .map(|name| display_width(name))
                    .max()
                    .unwrap_or(0),
                colours: (0..)
                    .zip(options.names)
                    .map(|(at, name)| (name, at))
                    .collect(),
                style: options.style,
            },
            full_screen: options.full_screen,
            timestamps: options.timestamps,
            strip: options.strip,
            selection: options.selection,
            unchanged,
            lines: Vec::new(),
            open: None,
            columns: options.columns,
            bottom: BottomLine::new(options.columns.filter(|_| options.strip)),
            last: None,
        }))
    }

    pub(crate) fn add_source(&mut self, process: &str) {
        match self {
            Writer::Verbatim(_) => {}
            Writer::Lines(writer) => writer.add_source(process),
            Writer::Json(writer) => writer.lines.push(HeldLine::default()),
        }
    }

    pub(crate) fn data(
        &mut self,
        index: usize,
        source: &OutputSource,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) {
        match self {
            Writer::Verbatim(writer) => writer.data(index, bytes, out),
            Writer::Lines(writer) => writer.data(index, source, bytes, out),
            Writer::Json(writer) => writer.data(index, source, bytes, out),
        }
    }

    /// Prints a notice about a process. JSON has no notices.
    pub(crate) fn notice(&mut self, process: &str, text: &str, out: &mut Vec<u8>) {
        match self {
            Writer::Verbatim(writer) => writer.notice(text, out),
            Writer::Lines(writer) => writer.notice(process, text, out),
            Writer::Json(_) => {}
        }
    }

    /// Reports lost output.
    pub(crate) fn gap(&mut self, process: &str, skipped: u64, out: &mut Vec<u8>) {
        if let Writer::Json(_) = self {
            let gap = serde_json::json!({"process": process, "skipped": skipped});
            let gap = printable_json(&gap.to_string());
            out.extend_from_slice(format!("{gap}\n").as_bytes());
        } else {
            self.notice(process, &format!("[{skipped} bytes skipped]"), out);
        }
    }

    /// Forgets a control sequence of this source whose rest is lost.
    pub(crate) fn reset_sequences(&mut self, index: usize) {
        if let Writer::Lines(writer) = self {
            writer.reset_sequences(index);
        }
    }

    /// Forgets all sources. Their lines must have been ended.
    pub(crate) fn forget_sources(&mut self) {
        match self {
            Writer::Verbatim(writer) => writer.open = None,
            Writer::Lines(writer) => {
                writer.lines.clear();
                writer.labels.colours.clear();
                (writer.open, writer.last) = (None, None);
            }
            Writer::Json(writer) => writer.lines.clear(),
        }
    }

    /// Bytes of unfinished lines.
    pub(crate) fn held(&self) -> usize {
        match self {
            Writer::Verbatim(_) => 0,
            Writer::Lines(writer) => writer.lines.iter().map(|line| line.held.bytes.len()).sum(),
            Writer::Json(writer) => writer.lines.iter().map(|line| line.bytes.len()).sum(),
        }
    }

    /// Prints and ends the unfinished line of a source; false when there is none.
    pub(crate) fn close_line(
        &mut self,
        index: usize,
        source: &OutputSource,
        out: &mut Vec<u8>,
    ) -> bool {
        match self {
            Writer::Verbatim(writer) => writer.open == Some(index) && writer.close(out),
            Writer::Lines(writer) => writer.close_line(index, out),
            Writer::Json(writer) => writer.print_held(index, source, out),
        }
    }

    /// Whether unfinished lines are held.
    pub(crate) fn has_partial(&self) -> bool {
        match self {
            Writer::Verbatim(_) => false,
            Writer::Lines(writer) => writer.lines.iter().any(|line| !line.held.bytes.is_empty()),
            Writer::Json(writer) => writer.lines.iter().any(|line| !line.bytes.is_empty()),
        }
    }

    /// Prints the unfinished lines.
    pub(crate) fn flush(&mut self, sources: &[OutputSource], out: &mut Vec<u8>) {
        for (index, source) in sources.iter().enumerate() {
            match self {
                Writer::Verbatim(_) => {}
                Writer::Lines(writer) => drop(writer.print_held(index, out)),
                Writer::Json(writer) => drop(writer.print_held(index, source, out)),
            }
        }
    }

    /// Ends the line on the screen, except that of a single process's unchanged output.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Writer::Lines(writer) = self
            && !writer.unchanged
        {
            writer.close(out);
        }
    }
}

/// Erases the rest of a line on a terminal.
const ERASE_LINE: &[u8] = b"\x1b[K";

/// Prints bytes as they came.
#[derive(Debug)]
pub(crate) struct VerbatimWriter {
    style: Style,
    /// The source whose unfinished line is on the screen.
    open: Option<usize>,
}

impl VerbatimWriter {
    fn data(&mut self, index: usize, bytes: &[u8], out: &mut Vec<u8>) {
        if let Some(last) = bytes.last() {
            self.open = (*last != b'\n').then_some(index);
        }
        out.extend_from_slice(bytes);
    }

    fn notice(&mut self, text: &str, out: &mut Vec<u8>) {
        self.close(out);
        let text = self.style.paint(Paint::Dim, &printable(text));
        out.extend_from_slice(format!("{text}\n").as_bytes());
    }

    fn close(&mut self, out: &mut Vec<u8>) -> bool {
        let open = self.open.take().is_some();
        if open {
            out.push(b'\n');
        }
        open
    }
}

/// The least width of a notice behind its prefix.
const NOTICE_WIDTH_MIN: usize = 20;

/// The prefixes of lines.
#[derive(Debug)]
struct Labels {
    prefixed: bool,
    style: Style,
    /// The colours of names.
    colours: HashMap<String, usize>,
    width: usize,
}

impl Labels {
    fn label(&mut self, process: &str) -> String {
        if !self.prefixed {
            return String::new();
        }
        let process = &printable(process);
        let next = self.colours.len();
        let index = *self.colours.entry(process.to_string()).or_insert(next);
        self.width = self.width.max(display_width(process));
        let padded = format!("{} |", pad(process, self.width));
        format!("{} ", self.style.paint(Paint::Source(index), &padded))
    }
}

/// Prints whole lines.
#[derive(Debug)]
pub(crate) struct LineWriter {
    labels: Labels,
    full_screen: Vec<String>,
    timestamps: bool,
    strip: bool,
    selection: String,
    /// The width of the terminal.
    columns: Option<usize>,
    /// Lines are only held back, not changed.
    unchanged: bool,
    lines: Vec<PrefixedLine>,
    /// The source whose unfinished line is on the screen.
    open: Option<usize>,
    bottom: BottomLine,
    /// The source that was printed last.
    last: Option<usize>,
}

#[derive(Debug)]
struct PrefixedLine {
    label: String,
    held: HeldLine,
    /// The part of the line that was printed ended with a carriage return: the next text
    /// replaces it.
    returned: bool,
    strip: Option<(FullScreenFilter, Strip)>,
}

impl LineWriter {
    fn add_source(&mut self, process: &str) {
        if !self.labels.prefixed && !self.labels.colours.contains_key(process) {
            self.begin_prefixes();
        }
        let keep = match self.labels.style.is_coloured() {
            true => Keep::Colours,
            false => Keep::Text,
        };
        let full_screen = self.full_screen.iter().any(|name| name == process);
        let filter = || (FullScreenFilter::new(full_screen), Strip::new(keep));
        self.lines.push(PrefixedLine {
            label: self.labels.label(process),
            held: HeldLine::default(),
            returned: false,
            strip: self.strip.then(filter),
        });
    }

    /// Gives lines their prefix: a second process has come to the only one.
    fn begin_prefixes(&mut self) {
        self.labels.prefixed = true;
        self.unchanged = false;
        let only = self.labels.colours.keys().next().cloned();
        let label = self.labels.label(&only.unwrap_or_default());
        for line in &mut self.lines {
            line.label.clone_from(&label);
        }
    }

    fn reset_sequences(&mut self, index: usize) {
        if let Some((_, strip)) = &mut self.lines[index].strip {
            strip.finish();
        }
    }

    fn data(&mut self, index: usize, source: &OutputSource, bytes: &[u8], out: &mut Vec<u8>) {
        let mut clean = Vec::new();
        let mut hidden = false;
        let bytes = match &mut self.lines[index].strip {
            Some((filter, strip)) => {
                let mut kept = Vec::new();
                hidden = filter.feed(bytes, &mut kept);
                strip.feed(&kept, &mut clean);
                &clean
            }
            None => bytes,
        };
        for piece in pieces(bytes) {
            if self.lines[index].held.push(piece, source.time_ns) {
                self.print_held(index, out);
            }
        }
        if hidden {
            self.print_held(index, out);
            let process = &source.process;
            let notice = with_selection(&full_screen_notice(process), &self.selection);
            self.notice(process, &notice, out);
        }
        // A line that renews itself may never pause. Where it cannot stay at the bottom, it is not
        // shown between lines of others.
        let held = &self.lines[index].held.bytes;
        let free = self.open.is_none_or(|open| open == index);
        if self.strip && free && held.contains(&b'\r') {
            let alone = self.last.is_none_or(|last| last == index);
            let line = [self.lines[index].label.as_bytes(), last_version(held)].concat();
            if alone || self.bottom.has_room(&line) {
                self.print_held(index, out);
            }
        }
    }

    /// Prints the held line of a source, finished or not; false when there is none.
    fn print_held(&mut self, index: usize, out: &mut Vec<u8>) -> bool {
        let held = std::mem::take(&mut self.lines[index].held);
        if held.bytes.is_empty() {
            return false;
        }
        let finished = held.bytes.ends_with(b"\n");
        let text = held.bytes.strip_suffix(b"\n").unwrap_or(&held.bytes);
        let continues = self.open == Some(index);
        let renews = continues && self.strip && self.renews(index, text);
        let below = match self.open {
            Some(open) if finished && !continues && self.bottom.erase(out) => Some(open),
            _ => None,
        };
        if renews {
            out.push(b'\r');
        } else if !continues && below.is_none() {
            self.close(out);
        }
        let start = out.len();
        if renews || !continues {
            self.begin_line(index, held.time_ns, out);
        }
        if self.strip {
            let text = with_colours(&String::from_utf8_lossy(last_version(text)));
            out.extend_from_slice(text.as_bytes());
        } else {
            out.extend_from_slice(text);
        }
        match renews || !continues {
            _ if finished => {}
            true => self.bottom.begin(&out[start..]),
            false => self.bottom.extend(&out[start..]),
        }
        if renews {
            out.extend_from_slice(ERASE_LINE);
        }
        self.lines[index].returned = !finished && text.ends_with(b"\r");
        self.last = Some(index);
        self.open = (!finished).then_some(index).or(below);
        if finished {
            out.push(b'\n');
        }
        if below.is_some() {
            self.bottom.draw(out);
        }
        true
    }

    /// Whether a text replaces the part of its line that is on the screen.
    fn renews(&self, index: usize, text: &[u8]) -> bool {
        let shown = last_version(text);
        let returns = text.iter().position(|byte| *byte == b'\r');
        let behind_return = returns.is_some_and(|at| text[at..].iter().any(|byte| *byte != b'\r'));
        !shown.is_empty() && (behind_return || self.lines[index].returned)
    }

    /// Prints the time and the label of a line.
    fn begin_line(&self, index: usize, time_ns: u64, out: &mut Vec<u8>) {
        if self.timestamps {
            let time = self.labels.style.paint(Paint::Dim, &rfc3339(time_ns));
            out.extend_from_slice(format!("{time} ").as_bytes());
        }
        out.extend_from_slice(self.lines[index].label.as_bytes());
    }

    fn close_line(&mut self, index: usize, out: &mut Vec<u8>) -> bool {
        let begun = self.print_held(index, out) || self.open == Some(index);
        if begun {
            self.close(out);
        }
        begun
    }

    fn notice(&mut self, process: &str, text: &str, out: &mut Vec<u8>) {
        let below = self.open.filter(|_| self.bottom.erase(out));
        if below.is_none() {
            self.close(out);
        }
        let label = self.labels.label(process);
        let room = self
            .columns
            .map(|columns| columns.saturating_sub(visible_width(&label)));
        let room = room.map_or(usize::MAX, |room| room.max(NOTICE_WIDTH_MIN));
        for line in wrap(&printable(text), room) {
            let line = self.labels.style.paint(Paint::Dim, &line);
            out.extend_from_slice(format!("{label}{line}\n").as_bytes());
        }
        if below.is_some() {
            self.bottom.draw(out);
        }
    }

    /// Ends the unfinished line on the screen.
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.push(b'\n');
        }
    }
}

/// The visible text of a line that overwrites itself: that behind the last carriage return, unless
/// nothing follows it.
fn last_version(line: &[u8]) -> &[u8] {
    let mut versions = line.rsplit(|byte| *byte == b'\r');
    versions
        .find(|version| !version.is_empty())
        .unwrap_or_default()
}
