//! Faults that users met in the field, one test for each kind, named after the right behaviour.

#[path = "../support/mod.rs"]
mod support;

mod attach;
mod client;
mod lineage;
mod output;
mod restarts;
mod supervision;
