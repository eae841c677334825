//! What a process's terminal would look like, without being one.
//!
//! The [`Tracker`] watches all output, cheaply, and knows the modes. A [`Terminal`] has one and
//! makes a snapshot when somebody attaches, from the bytes that are kept and, where those do not
//! say it all, from a model of the screens that was brought along.

mod cell;
mod emulation;
mod history;
mod model;
mod modes;
mod overlay;
mod params;
mod peek;
mod picture;
mod resize;
mod row;
mod scan;
mod screen;
mod scroll;
mod scrollback;
mod snapshot;
mod state;
mod strings;
mod tabs;
mod tracker;

pub use emulation::{Kept, Terminal};
pub use overlay::Overlay;
pub use peek::Look;
pub use scan::{Scanner, Sink};
pub use tracker::{Query, Tracker};
