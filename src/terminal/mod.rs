//! What a process's terminal would look like, without being one.
//!
//! The [`Tracker`] watches all output, cheaply, and knows the modes; the [`snapshot`] is made when
//! somebody attaches, from the bytes that are kept and what the tracker knows.

mod history;
mod modes;
mod peek;
mod replay;
mod scan;
mod snapshot;
mod state;
mod tracker;

pub use history::history;
pub use peek::{Screen, answers, peek};
pub use scan::{Scanner, Sink};
pub use snapshot::{cursor, plain_text, snapshot};
pub use tracker::{Query, Tracker};
