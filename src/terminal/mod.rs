//! What a process's terminal would look like, without being one.
//!
//! The [`Tracker`] watches all output, cheaply, and knows the modes. A [`Terminal`] has one and
//! makes a snapshot when somebody attaches, from the bytes that are kept and, where those do not
//! say it all, from a model of the screens that was brought along.

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
mod screen_text;
mod scroll;
mod scrollback;
mod snapshot;
mod state;
mod tabs;
mod tracker;

pub use emulator::{RetainedBytes, Terminal};
pub use overlay::Overlay;
pub use query::Query;
pub use scanner::{Handler, Scanner};
pub use screen_text::ScreenText;
pub use tracker::Tracker;
