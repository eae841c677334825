//! reactor
pub mod output;
