//! Explains a process to people: the line of the status table and the chain of causes.

mod cause;
mod remedy;
pub(crate) mod status_line;

pub use cause::{Why, why};
pub(crate) use remedy::{sig, spawn_fix};
pub(crate) use status_line::detail;
