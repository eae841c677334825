//! The order of a reload: what it adds starts when everything that it removes has ended. A renamed
//! server then finds its port free.

use crate::supervisor::process::process_input::ProcessInput;
use crate::supervisor::{ProcessId, State, Supervisor, Time};
use crate::text::plural::plural;
use std::collections::BTreeSet;

/// The removed and the added processes of one reload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Succession {
    /// Removed, and not down yet.
    ends: BTreeSet<ProcessId>,
    /// Added, WAITING until all of those are down.
    starts: Vec<ProcessId>,
}

impl Supervisor {
    /// Starts the processes that a reload has added, now or once those that it has removed are
    /// down.
    pub(crate) fn succeed(&mut self, removed: Vec<ProcessId>, added: Vec<ProcessId>, now: Time) {
        let leaving = |id: &ProcessId| self.processes.get(id).is_some_and(|p| p.removed);
        let ends: BTreeSet<ProcessId> = removed.into_iter().filter(leaving).collect();
        let Some(first) = ends.first().and_then(|id| self.processes.get(id)) else {
            for id in added {
                self.step(id, ProcessInput::Start, now);
            }
            return;
        };
        let awaited = match ends.len() {
            1 => first.name.clone(),
            count => {
                let others = plural(count - 1, "other", "others");
                format!("{} and {others}", first.name)
            }
        };
        for id in &added {
            self.step(*id, ProcessInput::Await(awaited.clone()), now);
        }
        let starts = added;
        self.successions.push(Succession { ends, starts });
    }

    /// A process is down, or no longer leaves. Those that waited for it alone are due.
    pub(crate) fn has_left(&mut self, id: ProcessId) {
        for succession in &mut self.successions {
            succession.ends.remove(&id);
        }
        let over = |succession: &mut Succession| succession.ends.is_empty();
        let over = self.successions.extract_if(.., over);
        self.successors
            .extend(over.flat_map(|succession| succession.starts));
    }

    /// Starts the processes that are due.
    pub(crate) fn start_successors(&mut self, now: Time) {
        while let Some(id) = self.successors.pop_front() {
            let waiting = |id| self.process(id).is_some_and(|p| p.state == State::Waiting);
            if waiting(id) {
                self.step(id, ProcessInput::Start, now);
            }
        }
    }
}
