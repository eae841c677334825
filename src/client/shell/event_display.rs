//! The events above the prompt of the control shell.

use crate::client::ui::style::Style;
use crate::client::ui::table::wrap;
use crate::client::verbs::events::event_line;
use crate::wire::EventInfo;
use jiff::Timestamp;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most news that wait for the end of a verb. The daemon keeps earlier ones.
const WAITING_MAX: usize = 20;

/// Decides when news of the daemon are shown. While a verb runs, the terminal is its own: news wait
/// for its end. An event that the verb itself has reported is not shown again.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventDisplay {
    state: Arc<Mutex<DisplayState>>,
}

#[derive(Debug, Default)]
struct DisplayState {
    verb_runs: bool,
    waiting: VecDeque<News>,
    /// How many were too many to wait.
    dropped: usize,
    reported: ReportedProcesses,
    /// When the last verb ended, in the form of an event's time.
    ended: String,
}

/// The processes whose changes the last verb has reported.
#[derive(Debug)]
enum ReportedProcesses {
    Only(BTreeSet<String>),
    All,
}

impl Default for ReportedProcesses {
    fn default() -> ReportedProcesses {
        ReportedProcesses::Only(BTreeSet::new())
    }
}

/// Something to show.
#[derive(Debug)]
pub(crate) enum News {
    Event(Box<EventInfo>),
    /// A line about the daemon.
    Text(String),
}

impl EventDisplay {
    fn state(&self) -> MutexGuard<'_, DisplayState> {
        // A thread that panicked leaves nothing half-done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a verb: news wait from now on.
    pub(crate) fn begin_verb(&self) {
        let mut state = self.state();
        state.verb_runs = true;
        state.reported = ReportedProcesses::default();
    }

    /// Records that the running verb has reported the changes of these processes.
    pub(crate) fn report(&self, processes: impl Iterator<Item = String>) {
        if let ReportedProcesses::Only(names) = &mut self.state().reported {
            names.extend(processes);
        }
    }

    /// Records that the running verb reports every event.
    pub(crate) fn report_all(&self) {
        self.state().reported = ReportedProcesses::All;
    }

    /// Ends the verb. Returns the lines that have waited.
    pub(crate) fn end_verb(&self, style: Style, width: usize) -> Vec<String> {
        self.end_verb_at(format!("{:.3}", Timestamp::now()), style, width)
    }

    fn end_verb_at(&self, time: String, style: Style, width: usize) -> Vec<String> {
        let mut state = self.state();
        state.verb_runs = false;
        state.ended = time;
        let waiting = std::mem::take(&mut state.waiting);
        let mut lines = Vec::new();
        match std::mem::take(&mut state.dropped) {
            _ if matches!(state.reported, ReportedProcesses::All) => {}
            0 => {}
            1 => lines.push("1 earlier event; to see it: events".to_string()),
            count => lines.push(format!("{count} earlier events; to see them: events")),
        }
        for news in waiting.iter().filter(|news| !state.is_reported(news)) {
            lines.extend(news_lines(news, style, width));
        }
        lines
    }

    /// The lines to show now. News of a running verb wait.
    pub(crate) fn take(&self, news: News, style: Style, width: usize) -> Vec<String> {
        let mut state = self.state();
        if !state.verb_runs {
            return match state.is_reported(&news) {
                true => Vec::new(),
                false => news_lines(&news, style, width),
            };
        }
        // Only the end of the verb tells which of these it has reported.
        if state.waiting.len() == WAITING_MAX {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        state.waiting.push_back(news);
        Vec::new()
    }
}

impl DisplayState {
    /// Whether the last verb has reported it. An event may arrive after the verb's own answer.
    fn is_reported(&self, news: &News) -> bool {
        let News::Event(event) = news else {
            return false;
        };
        let reported = match (&self.reported, &event.process) {
            (ReportedProcesses::All, _) => true,
            (ReportedProcesses::Only(names), Some(process)) => names.contains(process),
            (ReportedProcesses::Only(_), None) => false,
        };
        // Both times are in UTC with milliseconds, so that their text has their order.
        reported && event.ts <= self.ended
    }
}

fn news_lines(news: &News, style: Style, width: usize) -> Vec<String> {
    match news {
        News::Event(event) => wrap(&event_line(style, event), width),
        News::Text(text) => vec![text.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(process: &str, ts: &str) -> News {
        News::Event(Box::new(EventInfo {
            ts: ts.to_string(),
            event: "removed".to_string(),
            process: Some(process.to_string()),
            ..EventInfo::default()
        }))
    }

    fn take(display: &EventDisplay, news: News) -> usize {
        display.take(news, Style::plain(), 80).len()
    }

    fn end(display: &EventDisplay, time: &str) -> usize {
        let lines = display.end_verb_at(time.to_string(), Style::plain(), 80);
        lines.len()
    }

    #[test]
    fn news_wait_for_the_end_of_a_verb() {
        let display = EventDisplay::default();
        assert_eq!(take(&display, event("a:0", "1")), 1);
        display.begin_verb();
        assert_eq!(take(&display, event("a:0", "2")), 0);
        assert_eq!(take(&display, News::Text("gone".to_string())), 0);
        assert_eq!(end(&display, "3"), 2);
        assert_eq!(take(&display, event("a:0", "2")), 1);
    }

    #[test]
    fn what_the_verb_has_reported_is_not_shown_again() {
        let display = EventDisplay::default();
        display.begin_verb();
        display.report(std::iter::once("a:0".to_string()));
        take(&display, event("a:0", "1"));
        take(&display, event("b:0", "1"));
        assert_eq!(end(&display, "2"), 1);
        // Late news of the time of the verb, and news of later.
        assert_eq!(take(&display, event("a:0", "2")), 0);
        assert_eq!(take(&display, event("a:0", "3")), 1);
        display.begin_verb();
        display.report_all();
        take(&display, event("b:0", "4"));
        assert_eq!(end(&display, "4"), 0);
    }

    #[test]
    fn very_many_news_are_counted() {
        let display = EventDisplay::default();
        display.begin_verb();
        for _ in 0..WAITING_MAX + 5 {
            take(&display, event("a:0", "1"));
        }
        let lines = display.end_verb_at("2".to_string(), Style::plain(), 80);
        assert_eq!(lines.len(), WAITING_MAX + 1);
        assert_eq!(lines[0], "5 earlier events; to see them: events");
    }
}
