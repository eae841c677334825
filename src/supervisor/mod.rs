//! The pure heart: states, policies, timers and the reload diff.
//!
//! Nothing here touches a file descriptor, a clock or a signal. Facts come in through
//! [`Supervisor::handle_event`], decisions leave through [`Supervisor::poll_effect`].

mod effect;
mod event;
mod exit;
mod process;
mod program;
mod time;

pub use effect::{Effect, SignalScope, Transition};
pub use event::{Event, SpawnFailure};
pub use exit::{Exit, signal_name, signal_names, signal_number};
pub use process::{Desired, Process, ProcessId, State};
pub use program::{
    Autorestart, Autostart, FileSink, Identity, KillMode, Launch, Policy, Program, RestartDelays,
    Sink, SizePolicy, Stall, Stdin, Tty,
};
pub use time::Time;
