//! Failures of comparable programs, which must not happen here.

#[path = "../support/mod.rs"]
mod support;

mod dekit;
mod overmind;
mod process_compose;
mod supervisord;
