//! `tm attach`, end to end: a daemon, a process with a terminal, and clients on terminals of
//! their own, whose every byte and mode is watched.

#[path = "../support/mod.rs"]
mod support;

mod company;
mod consoles;
mod emulator;
mod entry;
mod false_daemon;
mod flow;
mod keys;
mod leaving;
mod life;
mod pipes;
mod shell;
mod sizes;
mod view;
