use super::*;
use std::time::Duration;

/// A supervisor with a clock and the effects since the last check.
struct Bench {
    supervisor: Supervisor,
    now: Time,
}

const LEADER: SignalScope = SignalScope::Leader;
const GROUP: SignalScope = SignalScope::Group;

impl Bench {
    fn new(programs: Vec<Program>) -> Bench {
        let mut bench = Bench {
            supervisor: Supervisor::new(),
            now: Time::default(),
        };
        bench.event(Event::Configure(programs));
        bench
    }

    /// One program `a` with one process, RUNNING as pid 100.
    fn running(edit: impl FnOnce(&mut Program)) -> (Bench, ProcessId) {
        let (mut bench, id) = Bench::starting(edit);
        bench.spawned(id, 100);
        bench.pass(1000);
        bench.expect(id, State::Running);
        bench.effects();
        (bench, id)
    }

    fn starting(edit: impl FnOnce(&mut Program)) -> (Bench, ProcessId) {
        let mut bench = Bench::new(vec![program("a", edit)]);
        let id = bench.id("a:0");
        bench.effects();
        (bench, id)
    }

    fn event(&mut self, event: Event) {
        self.supervisor.handle_event(event, self.now);
        self.supervisor.check_invariants();
    }

    /// Advances the clock, stopping at each timeout on the way.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.supervisor.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.supervisor.handle_timeout(self.now);
            self.supervisor.check_invariants();
            assert!(
                self.supervisor
                    .poll_timeout()
                    .is_none_or(|next| next > self.now)
            );
        }
        self.now = end;
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.supervisor.poll_effect()).collect()
    }

    /// The effects without the notifications.
    fn deeds(&mut self) -> Vec<Effect> {
        let mut effects = self.effects();
        effects.retain(|effect| !matches!(effect, Effect::Notify(_)));
        effects
    }

    fn id(&self, name: &str) -> ProcessId {
        self.supervisor.find(name).unwrap()
    }

    fn process(&self, id: ProcessId) -> &Process {
        self.supervisor.process(id).unwrap()
    }

    #[track_caller]
    fn expect(&self, id: ProcessId, state: State) {
        assert_eq!(self.process(id).state, state);
    }

    fn spawned(&mut self, id: ProcessId, pid: i32) {
        self.event(Event::Spawned { id, pid });
    }

    fn exited(&mut self, id: ProcessId, code: i32) {
        let exit = Exit::Code(code);
        self.event(Event::Exited { id, exit });
    }

    fn remains(&mut self, id: ProcessId, stragglers: u32) {
        self.event(Event::Remains { id, stragglers });
    }

    /// The leader exits and leaves no stragglers.
    fn ended(&mut self, id: ProcessId, code: i32) {
        self.exited(id, code);
        self.remains(id, 0);
    }

    fn gone(&mut self, id: ProcessId) {
        self.ended(id, 0);
    }

    fn reload(&mut self, programs: Vec<Program>) {
        self.event(Event::Configure(programs));
    }
}

fn program(name: &str, edit: impl FnOnce(&mut Program)) -> Program {
    let mut program = Program {
        name: name.to_string(),
        numprocs: 1,
        autostart: Autostart::Yes,
        policy: Policy {
            restart: RestartDelays {
                jitter: 0.0,
                ..RestartDelays::default()
            },
            ..Policy::default()
        },
        launch: Launch::default(),
        vars: BTreeMap::new(),
    };
    edit(&mut program);
    program
}

fn same(_: &mut Program) {}

fn signal(id: ProcessId, signal: i32, scope: SignalScope) -> Effect {
    Effect::Signal { id, signal, scope }
}

fn kill(id: ProcessId, scope: SignalScope) -> Effect {
    Effect::Kill { id, scope }
}

fn chdir_failure() -> SpawnFailure {
    SpawnFailure {
        step: "chdir /nope".to_string(),
        error: "No such file or directory".to_string(),
        errno: 2,
    }
}

mod clearing;
mod life;
mod reloads;
mod stop;
