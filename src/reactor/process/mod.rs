//! Supervised processes: start, descriptors, input, exit, stragglers, pidfile.

pub(crate) mod allowance;
pub(crate) mod asking;
pub(crate) mod cgroups;
pub(crate) mod channel;
pub(crate) mod failure;
pub(crate) mod input;
pub(crate) mod input_switch;
pub(crate) mod leader_exit;
pub(crate) mod lineage;
pub(crate) mod pidfile;
pub(crate) mod process_io;
pub(crate) mod process_table;
pub(crate) mod processes;
pub(crate) mod spawner;
pub(crate) mod start;
pub(crate) mod starts;
pub(crate) mod stragglers;
pub(crate) mod survey;
