//! The progress of starting all processes, each from `STARTING` to its outcome.

use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{cut, display_width, pad};
use crate::config::Config;
use crate::text::printable::printable;
use crate::wire::ProcessState;
use crate::wire::{EventInfo, ExitInfo, ProcessStatus};
use std::collections::BTreeMap;

/// Follows the states of all processes.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    /// Expected exit codes by program.
    expected: BTreeMap<String, Vec<i32>>,
    /// In the order of the config.
    names: Vec<String>,
    states: BTreeMap<String, StartStatus>,
}

#[derive(Debug)]
struct StartStatus {
    state: ProcessState,
    wanted: bool,
    verdict: Verdict,
}

/// The outcome of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not known yet.
    Pending,
    /// Running, or exited as expected.
    Up,
    /// Failed; another attempt follows.
    Retrying,
    /// Failed for good.
    Failed,
}

impl Progress {
    /// Starts with the states of all processes.
    pub(crate) fn new(style: Style, config: &Config, processes: &[ProcessStatus]) -> Progress {
        let programs = config.programs.iter();
        let codes = programs.map(|p| (p.name.clone(), p.policy.exitcodes.clone()));
        let mut progress = Progress {
            style,
            expected: codes.collect(),
            names: processes
                .iter()
                .map(|process| process.name.clone())
                .collect(),
            states: BTreeMap::new(),
        };
        for process in processes {
            let wanted = process.desired == "up" || process.state == ProcessState::Exited;
            let seen = StartStatus {
                state: process.state.clone(),
                wanted,
                verdict: Verdict::Pending,
            };
            progress.states.insert(process.name.clone(), seen);
        }
        progress
    }

    /// The lines for starts whose outcome is already known.
    pub(crate) fn first_lines(&mut self, processes: &[ProcessStatus]) -> Vec<String> {
        let lines = processes.iter().filter_map(|process| {
            let verdict = self.verdict(&process.program, &process.state, process.exit);
            self.record(&process.name, verdict, process.pid, &process.detail)
        });
        lines.collect()
    }

    /// Handles an event. Returns a line when a start has a new outcome.
    pub(crate) fn take(&mut self, event: &EventInfo) -> Option<String> {
        let (Some(process), Some(to)) = (&event.process, &event.to) else {
            return None;
        };
        let program = process.split(':').next().unwrap_or_default();
        let verdict = self.verdict(program, to, event.exit);
        match self.states.get_mut(process) {
            Some(seen) => {
                seen.state = to.clone();
                seen.wanted |= *to == ProcessState::Starting;
            }
            None => {
                let wanted = *to == ProcessState::Starting;
                let seen = StartStatus {
                    state: to.clone(),
                    wanted,
                    verdict: Verdict::Pending,
                };
                self.names.push(process.clone());
                self.states.insert(process.clone(), seen);
            }
        }
        self.record(process, verdict, event.pid, &event.detail)
    }

    /// The names of the processes that are wanted up and have no outcome.
    pub(crate) fn pending(&self, or_retrying: bool) -> Vec<&str> {
        let pending = |name: &&String| {
            self.states.get(*name).is_some_and(|seen| {
                let retrying = or_retrying && seen.verdict == Verdict::Retrying;
                seen.wanted && (seen.verdict == Verdict::Pending || retrying)
            })
        };
        self.names
            .iter()
            .filter(pending)
            .map(String::as_str)
            .collect()
    }

    /// How many wanted processes have this outcome.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.states
            .values()
            .filter(|seen| seen.wanted && seen.verdict == verdict)
            .count()
    }

    /// The first process whose start failed.
    pub(crate) fn first_failed(&self) -> Option<&str> {
        let failed = |name: &&String| {
            let seen = self.states.get(*name);
            seen.is_some_and(|seen| seen.wanted && seen.verdict == Verdict::Failed)
        };
        self.names.iter().find(failed).map(String::as_str)
    }

    /// The names of the processes that are not down.
    pub(crate) fn still_up(&self) -> Vec<&str> {
        let up = |name: &&String| {
            let seen = self.states.get(*name);
            seen.is_some_and(|seen| !seen.state.is_down())
        };
        self.names.iter().filter(up).map(String::as_str).collect()
    }

    /// How many processes are not down.
    pub(crate) fn alive(&self) -> usize {
        self.states
            .values()
            .filter(|seen| !seen.state.is_down())
            .count()
    }

    /// The line of the live display.
    pub(crate) fn live_line(&self, width: usize) -> String {
        let pending = self.pending(false);
        let wanted = self.states.values().filter(|seen| seen.wanted).count();
        let done = wanted - pending.len();
        let line = format!("starting {done}/{wanted}: {}", pending.join(" "));
        self.style
            .paint(Paint::Dim, &cut(&line, width.saturating_sub(1)))
    }

    /// The last line of a start.
    pub(crate) fn summary(&self) -> String {
        let mut parts = vec![format!("{} up", self.count(Verdict::Up))];
        for (verdict, word) in [
            (Verdict::Pending, "starting"),
            (Verdict::Retrying, "retrying"),
            (Verdict::Failed, "failed"),
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
                    Verdict::Up
                } else {
                    Verdict::Failed
                }
            }
            ProcessState::Stopped
            | ProcessState::Waiting
            | ProcessState::Starting
            | ProcessState::Stopping
            | ProcessState::Other(_) => Verdict::Pending,
        }
    }

    /// Returns a line when the outcome is new.
    fn record(
        &mut self,
        name: &str,
        verdict: Verdict,
        pid: Option<i32>,
        detail: &str,
    ) -> Option<String> {
        let seen = self.states.get_mut(name)?;
        let news = verdict != Verdict::Pending && seen.verdict != verdict && seen.wanted;
        if !news {
            return None;
        }
        seen.verdict = verdict;
        let (mark, paint) = match verdict {
            Verdict::Up => ("✓", Paint::Green),
            Verdict::Retrying => ("!", Paint::Yellow),
            Verdict::Failed | Verdict::Pending => ("✗", Paint::Red),
        };
        let width = self
            .names
            .iter()
            .map(|name| display_width(name))
            .max()
            .unwrap_or(0);
        let state = self.style.state(&seen.state);
        let up = pid.filter(|_| verdict == Verdict::Up);
        let pid = up.map_or(String::new(), |pid| format!("  pid {pid}"));
        let detail = if verdict == Verdict::Up {
            String::new()
        } else {
            printable(detail)
        };
        let mark = self.style.paint(paint, mark);
        Some(
            format!("{mark} {}  {state}{pid}  {detail}", pad(name, width))
                .trim_end()
                .to_string(),
        )
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
            detail: "why".to_string(),
            ..EventInfo::default()
        }
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
        assert_eq!(progress.pending(false), ["a:0", "bad:0", "once:0"]);
        let line = progress.take(&event("a:0", "RUNNING", None));
        assert_eq!(line.as_deref(), Some("✓ a:0     RUNNING"));
        let line = progress.take(&event("bad:0", "BACKOFF", Some(1)));
        assert_eq!(line.as_deref(), Some("! bad:0   BACKOFF  why"));
        assert!(progress.take(&event("once:0", "EXITED", Some(0))).is_some());
        assert!(progress.pending(false).is_empty());
        assert_eq!(progress.pending(true), ["bad:0"]);
        assert!(progress.take(&event("bad:0", "FATAL", Some(1))).is_some());
        assert_eq!(progress.count(Verdict::Failed), 1);
        assert_eq!(progress.summary(), "2 up, 1 failed");
        assert_eq!(progress.alive(), 1);
        assert_eq!(progress.still_up(), ["a:0"]);
        assert_eq!(progress.first_failed(), Some("bad:0"));
    }
}
