//! Notices of `up` in the foreground about the life of processes, in order with their output.
//!
//! Events and output come on different connections. The notice about the end of a run belongs
//! behind the last output of that run, and before the first output of the next one.

use crate::client::ui::merge::Merger;
use crate::client::verbs::logs;
use crate::wire::{Frame, Kind, SourceInfo};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the notice of an end waits for output that belongs before it.
const NOTICE_DELAY: Duration = Duration::from_millis(20);

/// A notice that is still to be printed.
struct WaitingNotice {
    due: Instant,
    process: String,
    text: String,
    /// It reports the end of a run.
    ends_run: bool,
    /// The offset behind the last output of that run, if known.
    output_end: Option<u64>,
}

/// The notices that are still to be printed, and the source of the output that arrives.
#[derive(Default)]
pub(crate) struct RunNotices {
    waiting: VecDeque<WaitingNotice>,
    source: String,
}

impl RunNotices {
    /// Adds the notice of an end. `output_end` is the offset behind its output, if known.
    pub(crate) fn add_end(&mut self, process: &str, text: String, output_end: Option<u64>) {
        self.waiting.push_back(WaitingNotice {
            due: Instant::now() + NOTICE_DELAY,
            process: process.to_string(),
            text,
            ends_run: true,
            output_end,
        });
    }

    /// Adds another notice. Output that has arrived goes before it.
    pub(crate) fn add(&mut self, process: &str, text: String) {
        self.waiting.push_back(WaitingNotice {
            due: Instant::now(),
            process: process.to_string(),
            text,
            ends_run: false,
            output_end: None,
        });
    }

    /// When the next notice has to be printed.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|notice| notice.due)
    }

    /// Prints the notices that are due.
    pub(crate) fn print_due(&mut self, merger: &mut Merger, out: &mut Vec<u8>) {
        let now = Instant::now();
        while let Some(notice) = self.waiting.pop_front_if(|notice| notice.due <= now) {
            print(&notice, merger, out);
        }
    }

    /// Prints all notices.
    pub(crate) fn print_all(&mut self, merger: &mut Merger, out: &mut Vec<u8>) {
        for notice in self.waiting.drain(..) {
            print(&notice, merger, out);
        }
    }

    /// Prints output, and before that of a new run the notices about the end of the last one.
    pub(crate) fn take_frame(&mut self, merger: &mut Merger, frame: &Frame, out: &mut Vec<u8>) {
        match (frame.kind, frame.offset_and_bytes()) {
            (Kind::Data, Some((offset, bytes))) => self.take_data(merger, offset, bytes, out),
            (Kind::Source, _) => {
                if let Ok(info) = serde_json::from_slice::<SourceInfo>(&frame.payload) {
                    self.source = info.process;
                }
                logs::take_frame(merger, frame, out);
            }
            _ => logs::take_frame(merger, frame, out),
        }
    }

    fn take_data(&mut self, merger: &mut Merger, offset: u64, bytes: &[u8], out: &mut Vec<u8>) {
        let (mut offset, mut bytes) = (offset, bytes);
        while let Some((index, end)) = self.next_end()
            && end < offset + bytes.len() as u64
        {
            let of_old_run = usize::try_from(end.saturating_sub(offset)).unwrap_or(bytes.len());
            let (before, behind) = bytes.split_at(of_old_run);
            if !before.is_empty() {
                merger.data(before, out);
            }
            for notice in self.waiting.drain(..=index) {
                print(&notice, merger, out);
            }
            offset = offset.max(end);
            bytes = behind;
        }
        merger.data(bytes, out);
    }

    /// The next end of a run of the present source: its place among the notices, and its offset.
    fn next_end(&self) -> Option<(usize, u64)> {
        let mut notices = self.waiting.iter().enumerate();
        notices.find_map(|(index, notice)| {
            let end = notice.output_end?;
            // A single process needs no source.
            let of_source = self.source.is_empty() || notice.process == self.source;
            of_source.then_some((index, end))
        })
    }
}

fn print(notice: &WaitingNotice, merger: &mut Merger, out: &mut Vec<u8>) {
    if notice.ends_run {
        merger.ended(&notice.process, out);
    }
    merger.notice(&notice.process, &notice.text, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ui::line_writers::MergeOptions;
    use crate::client::ui::style::Style;

    fn merger() -> Merger {
        Merger::new(MergeOptions {
            style: Style::plain(),
            names: vec!["a:0".to_string(), "b:0".to_string()],
            full_screen: Vec::new(),
            always_prefix: true,
            timestamps: false,
            strip: false,
            columns: None,
            json: false,
            whole_lines: true,
            selection: String::new(),
        })
    }

    fn source(process: &str) -> Frame {
        let payload = format!("{{\"process\":\"{process}\",\"stream\":\"stdout\",\"time_ns\":1}}");
        Frame::new(Kind::Source, payload.into_bytes())
    }

    fn data(offset: u64, text: &str) -> Frame {
        let payload = offset.to_be_bytes().into_iter().chain(text.bytes());
        Frame::new(Kind::Data, payload.collect::<Vec<u8>>())
    }

    fn shown(notices: &mut RunNotices, frames: &[Frame]) -> Vec<String> {
        let (mut merger, mut out) = (merger(), Vec::new());
        for frame in frames {
            notices.take_frame(&mut merger, frame, &mut out);
        }
        notices.print_all(&mut merger, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        let words = text
            .lines()
            .filter_map(|line| line.split_whitespace().last());
        words.map(str::to_string).collect()
    }

    #[test]
    fn the_end_of_a_run_stands_between_its_output_and_that_of_the_next() {
        let mut notices = RunNotices::default();
        notices.add_end("a:0", "[ended]".to_string(), Some(6));
        notices.add("a:0", "[up]".to_string());
        let frames = [source("a:0"), data(0, "dying\nrun\n")];
        assert_eq!(
            shown(&mut notices, &frames),
            ["dying", "[ended]", "run", "[up]"]
        );
        let mut notices = RunNotices::default();
        notices.add_end("a:0", "[ended]".to_string(), Some(6));
        let frames = [
            source("a:0"),
            data(0, "dying\n"),
            source("b:0"),
            data(90, "other\n"),
            source("a:0"),
            data(6, "run\n"),
        ];
        assert_eq!(
            shown(&mut notices, &frames),
            ["dying", "other", "[ended]", "run"]
        );
    }
}
