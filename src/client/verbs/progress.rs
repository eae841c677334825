//! The progress of starting all processes, each from `STARTING` to its outcome.

use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{cut, display_width, pad};
use crate::config::Config;
use crate::text::plural::plural;
use crate::text::printable::printable;
use crate::wire::ProcessState;
use crate::wire::{EventInfo, ExitInfo, ProcessStatus};
use std::collections::{BTreeMap, BTreeSet};

/// The event of a process that a reload removed.
const REMOVED: &str = "process_removed";

/// The event of a process with `starttime` 0 whose start has succeeded.
const STARTED: &str = "process_started";

/// Follows the states of all processes. An event costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    /// Expected exit codes by program.
    expected: BTreeMap<String, Vec<i32>>,
    /// Programs with `starttime` 0: RUNNING alone does not mean that their start has succeeded.
    at_once: BTreeSet<String>,
    /// The place of each process in `starts`.
    places: BTreeMap<String, usize>,
    /// In the order of the config.
    starts: Vec<StartStatus>,
    /// The wanted processes by verdict.
    wanted: [BTreeSet<usize>; VERDICTS],
    /// The processes that are not down.
    alive: BTreeSet<usize>,
    /// The width of the longest name.
    width: usize,
}

#[derive(Debug, Clone)]
struct StartStatus {
    name: String,
    state: ProcessState,
    wanted: bool,
    verdict: Verdict,
}

/// The outcome of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not known yet.
    Pending,
    /// Running.
    Up,
    /// Exited as expected, not to be restarted.
    Done,
    /// Failed; another attempt follows.
    Retrying,
    /// Failed for good.
    Failed,
    /// Another client stopped it.
    Stopped,
}

const VERDICTS: usize = 6;

/// The most names that a live line can show.
const NAMES_MAX: usize = 100;

impl Progress {
    /// Starts with the states of all processes.
    pub(crate) fn new(style: Style, config: &Config, processes: &[ProcessStatus]) -> Progress {
        let programs = config.programs.iter();
        let codes = programs.map(|p| (p.name.clone(), p.policy.exitcodes.clone()));
        let at_once = config.programs.iter();
        let at_once = at_once.filter(|p| p.policy.starttime.is_zero());
        let mut progress = Progress {
            style,
            expected: codes.collect(),
            at_once: at_once.map(|p| p.name.clone()).collect(),
            places: BTreeMap::new(),
            starts: Vec::new(),
            wanted: Default::default(),
            alive: BTreeSet::new(),
            width: 0,
        };
        for process in processes {
            let wanted = process.desired == "up" || process.state == ProcessState::Exited;
            progress.add(&process.name, process.state.clone(), wanted);
        }
        progress
    }

    fn add(&mut self, name: &str, state: ProcessState, wanted: bool) -> usize {
        let place = self.starts.len();
        self.width = self.width.max(display_width(name));
        self.places.insert(name.to_string(), place);
        self.starts.push(StartStatus {
            name: name.to_string(),
            state: ProcessState::Stopped,
            wanted: false,
            verdict: Verdict::Pending,
        });
        self.set(place, state, wanted, Verdict::Pending);
        place
    }

    /// Changes a process, and the sets that it is in.
    fn set(&mut self, place: usize, state: ProcessState, wanted: bool, verdict: Verdict) {
        let Some(start) = self.starts.get_mut(place) else {
            return;
        };
        if let Some(set) = self.wanted.get_mut(start.verdict as usize) {
            set.remove(&place);
        }
        match state.is_down() {
            true => self.alive.remove(&place),
            false => self.alive.insert(place),
        };
        (start.state, start.wanted, start.verdict) = (state, wanted, verdict);
        if let Some(set) = self.wanted.get_mut(verdict as usize).filter(|_| wanted) {
            set.insert(place);
        }
    }

    /// The lines for starts whose outcome is already known.
    pub(crate) fn first_lines(&mut self, processes: &[ProcessStatus]) -> Vec<String> {
        let lines = processes.iter().filter_map(|process| {
            let mut verdict = self.verdict(&process.program, &process.state, process.exit);
            let young = process.uptime_s.is_some_and(|uptime| uptime < 1.0);
            if verdict == Verdict::Up && young && self.at_once.contains(&process.program) {
                verdict = Verdict::Pending;
            }
            let place = self.places.get(&process.name).copied()?;
            self.record(place, verdict, process.pid, &process.detail)
        });
        lines.collect()
    }

    /// Handles an event. Returns a line when a start has a new outcome.
    pub(crate) fn take(&mut self, event: &EventInfo) -> Option<String> {
        let process = event.process.as_ref()?;
        let known = self.places.get(process).copied();
        let started = (event.event == STARTED).then_some(&ProcessState::Running);
        let Some(to) = event.to.as_ref().or(started) else {
            if let Some(place) = known.filter(|_| event.event == REMOVED) {
                self.set(place, ProcessState::Stopped, false, Verdict::Pending);
            }
            return None;
        };
        let program = process.split(':').next().unwrap_or_default();
        let verdict = match (event.started, self.verdict(program, to, event.exit)) {
            (None, Verdict::Up) if self.at_once.contains(program) => Verdict::Pending,
            (Some(false), Verdict::Retrying) => Verdict::Failed,
            (_, verdict) => verdict,
        };
        let place = known.unwrap_or_else(|| self.add(process, to.clone(), false));
        let start = self.starts.get(place)?;
        let wanted = start.wanted || *to == ProcessState::Starting;
        // Another client has started it again.
        let again = start.verdict == Verdict::Stopped && *to == ProcessState::Starting;
        let known = if again {
            Verdict::Pending
        } else {
            start.verdict
        };
        self.set(place, to.clone(), wanted, known);
        self.record(place, verdict, event.pid, &event.detail)
    }

    /// Whether every wanted process has an outcome, perhaps not the last one.
    pub(crate) fn is_settled(&self) -> bool {
        self.count(Verdict::Pending) == 0
    }

    /// How many wanted processes have this outcome.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.wanted.get(verdict as usize).map_or(0, BTreeSet::len)
    }

    fn first_names<'a>(&'a self, places: &'a BTreeSet<usize>) -> Vec<&'a str> {
        let starts = places.iter().filter_map(|place| self.starts.get(*place));
        let names = starts.map(|start| start.name.as_str());
        names.take(NAMES_MAX).collect()
    }

    /// The first process whose start failed, at least so far.
    pub(crate) fn first_failed(&self) -> Option<&str> {
        let sets = [Verdict::Failed, Verdict::Retrying].map(|verdict| verdict as usize);
        let sets = sets.iter().filter_map(|set| self.wanted.get(*set));
        let first = sets.filter_map(BTreeSet::first).next()?;
        self.starts.get(*first).map(|start| start.name.as_str())
    }

    /// The names of the first processes that are not down.
    pub(crate) fn still_up(&self) -> Vec<&str> {
        self.first_names(&self.alive)
    }

    /// How many processes are not down.
    pub(crate) fn alive(&self) -> usize {
        self.alive.len()
    }

    /// The line of the live display.
    pub(crate) fn live_line(&self, width: usize) -> String {
        let pending = self.count(Verdict::Pending);
        let wanted: usize = self.wanted.iter().map(BTreeSet::len).sum();
        let done = wanted - pending;
        let names = self.first_names(&self.wanted[Verdict::Pending as usize]);
        let line = format!("starting {done}/{wanted}: {}", names.join(" "));
        self.style
            .paint(Paint::Dim, &cut(&line, width.saturating_sub(1)))
    }

    /// The last line of a start.
    pub(crate) fn summary(&self) -> String {
        let mut parts = vec![format!("{} up", self.count(Verdict::Up))];
        for (verdict, word) in [
            (Verdict::Done, "done"),
            (Verdict::Pending, "starting"),
            (Verdict::Retrying, "retrying"),
            (Verdict::Failed, "failed"),
            (Verdict::Stopped, "stopped"),
        ] {
            match self.count(verdict) {
                0 => {}
                count => parts.push(format!("{count} {word}")),
            }
        }
        parts.join(", ")
    }

    fn verdict(&self, program: &str, state: &ProcessState, exit: Option<ExitInfo>) -> Verdict {
        match state {
            ProcessState::Running => Verdict::Up,
            ProcessState::Fatal => Verdict::Failed,
            ProcessState::Backoff => Verdict::Retrying,
            ProcessState::Exited => {
                let code = exit.and_then(|exit| exit.code);
                let codes = self.expected.get(program);
                let expected = |code| codes.map_or(code == 0, |codes| codes.contains(&code));
                if code.is_some_and(expected) {
                    Verdict::Done
                } else {
                    Verdict::Failed
                }
            }
            ProcessState::Stopped => Verdict::Stopped,
            ProcessState::Waiting
            | ProcessState::Starting
            | ProcessState::Stopping
            | ProcessState::Other(_) => Verdict::Pending,
        }
    }

    /// Returns a line when the outcome is new.
    fn record(
        &mut self,
        place: usize,
        verdict: Verdict,
        pid: Option<i32>,
        detail: &str,
    ) -> Option<String> {
        let start = self.starts.get(place)?.clone();
        let news = verdict != Verdict::Pending && start.verdict != verdict && start.wanted;
        if !news {
            return None;
        }
        self.set(place, start.state.clone(), start.wanted, verdict);
        let (mark, paint) = match verdict {
            Verdict::Up | Verdict::Done => ("✓", Paint::Green),
            Verdict::Retrying | Verdict::Stopped => ("!", Paint::Yellow),
            Verdict::Failed | Verdict::Pending => ("✗", Paint::Red),
        };
        let state = self.style.state(&start.state);
        let up = pid.filter(|_| verdict == Verdict::Up);
        let pid = up.map_or(String::new(), |pid| format!("  pid {pid}"));
        let detail = printable(detail);
        let mark = self.style.paint(paint, mark);
        let name = pad(&start.name, self.width);
        Some(
            format!("{mark} {name}  {state}{pid}  {detail}")
                .trim_end()
                .to_string(),
        )
    }
}

/// The line about a stop of everything, `now` by SIGKILL.
pub(crate) fn stop_text(alive: usize, now: bool) -> String {
    let processes = plural(alive, "process", "processes");
    match (alive, now) {
        (0, _) => "stopping the daemon…".to_string(),
        (_, false) => format!("stopping {processes}… (ctrl-c again kills at once)"),
        (_, true) => format!("killing {processes}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DaemonSettings;

    fn config() -> Config {
        Config {
            path: "/x.yaml".into(),
            daemon: DaemonSettings::default(),
            programs: Vec::new(),
            groups: BTreeMap::new(),
            warnings: Vec::new(),
            files: Vec::new(),
        }
    }

    fn process(name: &str, state: &str, desired: &str) -> ProcessStatus {
        ProcessStatus {
            name: name.to_string(),
            program: name.split(':').next().unwrap_or_default().to_string(),
            state: state.into(),
            desired: desired.to_string(),
            ..ProcessStatus::default()
        }
    }

    fn event(name: &str, to: &str, code: Option<i32>) -> EventInfo {
        EventInfo {
            event: "process_state".to_string(),
            process: Some(name.to_string()),
            from: Some(ProcessState::Starting),
            to: Some(to.into()),
            exit: code.map(|code| ExitInfo {
                code: Some(code),
                signal: None,
            }),
            detail: if to == "RUNNING" { "" } else { "why" }.to_string(),
            ..EventInfo::default()
        }
    }

    #[test]
    fn a_stop_of_nothing_only_stops_the_daemon() {
        let two = "stopping 2 processes… (ctrl-c again kills at once)";
        assert_eq!(stop_text(2, false), two);
        assert_eq!(stop_text(1, true), "killing 1 process…");
        assert_eq!(stop_text(0, false), "stopping the daemon…");
    }

    #[test]
    fn a_start_with_starttime_0_succeeds_when_the_daemon_says_so() {
        let processes = [process("a:0", "STARTING", "up")];
        let mut progress = Progress::new(Style::plain(), &config(), &processes);
        progress.at_once.insert("a".to_string());
        assert_eq!(progress.take(&event("a:0", "RUNNING", None)), None);
        assert!(!progress.is_settled());
        let mut news = event("a:0", "RUNNING", None);
        (news.event, news.to) = ("process_started".to_string(), None);
        news.started = Some(true);
        let line = progress.take(&news);
        assert_eq!(line.as_deref(), Some("✓ a:0  RUNNING"));
        assert!(progress.is_settled());
    }

    #[test]
    fn a_start_is_followed_to_its_end() {
        let processes = [
            process("a:0", "STARTING", "up"),
            process("off:0", "STOPPED", "down"),
            process("bad:0", "STARTING", "up"),
            process("once:0", "STARTING", "up"),
        ];
        let mut progress = Progress::new(Style::plain(), &config(), &processes);
        assert!(progress.first_lines(&processes).is_empty());
        assert_eq!(progress.summary(), "0 up, 3 starting");
        assert_eq!(progress.live_line(80), "starting 0/3: a:0 bad:0 once:0");
        let line = progress.take(&event("a:0", "RUNNING", None));
        assert_eq!(line.as_deref(), Some("✓ a:0     RUNNING"));
        let line = progress.take(&event("bad:0", "BACKOFF", Some(1)));
        assert_eq!(line.as_deref(), Some("! bad:0   BACKOFF  why"));
        assert!(progress.take(&event("once:0", "EXITED", Some(0))).is_some());
        assert!(progress.is_settled());
        assert_eq!(progress.count(Verdict::Retrying), 1);
        assert_eq!(progress.first_failed(), Some("bad:0"));
        assert!(progress.take(&event("bad:0", "FATAL", Some(1))).is_some());
        assert_eq!(progress.count(Verdict::Failed), 1);
        assert_eq!(progress.summary(), "1 up, 1 done, 1 failed");
        assert_eq!(progress.alive(), 1);
        assert_eq!(progress.still_up(), ["a:0"]);
        assert_eq!(progress.first_failed(), Some("bad:0"));
    }

    /// Were the cost of an event to grow with the number of processes, this would take minutes.
    #[test]
    fn very_many_starts_are_followed() {
        let names: Vec<String> = (0..50_000).map(|n| format!("p{n}:0")).collect();
        let processes: Vec<ProcessStatus> = names
            .iter()
            .map(|name| process(name, "STARTING", "up"))
            .collect();
        let began = std::time::Instant::now();
        let mut progress = Progress::new(Style::plain(), &config(), &processes);
        for name in &names {
            assert!(progress.take(&event(name, "RUNNING", None)).is_some());
            progress.live_line(80);
        }
        assert_eq!(progress.summary(), "50000 up");
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    }

    #[test]
    fn a_process_that_is_stopped_or_removed_is_waited_for_no_longer() {
        let processes = ["a:0", "b:0", "c:0"].map(|name| process(name, "STARTING", "up"));
        let mut progress = Progress::new(Style::plain(), &config(), &processes);
        let line = progress.take(&event("a:0", "STOPPED", None));
        assert_eq!(line.as_deref(), Some("! a:0  STOPPED  why"));
        let removed = EventInfo {
            event: REMOVED.to_string(),
            to: None,
            ..event("b:0", "STOPPED", None)
        };
        assert!(progress.take(&removed).is_none());
        assert!(!progress.is_settled());
        assert!(progress.take(&event("c:0", "RUNNING", None)).is_some());
        assert!(progress.is_settled());
        assert_eq!(progress.summary(), "1 up, 1 stopped");
        assert!(progress.take(&event("a:0", "STARTING", None)).is_none());
        assert!(!progress.is_settled());
        assert!(progress.take(&event("a:0", "RUNNING", None)).is_some());
        assert_eq!(progress.summary(), "2 up");
    }
}
