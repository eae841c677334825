//! The state of a process's terminal, derived from the process's output.
//!
//! The [`Tracker`] scans all output cheaply and knows the modes. A [`Terminal`] has a tracker and
//! renders a snapshot when a client attaches. It replays the retained bytes; where those are not
//! enough, it starts with a model of the screens.

mod cell;
mod checkpoints;
mod csi_params;
mod emulator;
mod history;
mod model;
mod modes;
mod osc;
mod overlay;
mod painter;
mod query;
mod render;
mod resize;
mod row;
mod scanner;
mod screen;
mod screen_memory;
mod screen_text;
mod scroll;
mod scrollback;
mod shortcut;
mod snapshot;
mod state;
mod tabs;
mod tracker;

pub use emulator::{RetainedBytes, Terminal};
pub(crate) use overlay::Overlay;
pub use query::Query;
pub use scanner::{Handler, Scanner};
pub use screen_text::ScreenText;
pub use tracker::Tracker;
