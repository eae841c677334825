//! Reload: compares two sets of programs and applies only the difference.

mod configure;
mod diff;
pub(crate) mod succession;

pub use diff::{Change, Plan, PlanAction, PlanEntry};
