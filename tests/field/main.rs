//! Faults that users met in the field, one test for each kind, named after the right behaviour.

#[path = "../places/home.rs"]
#[allow(dead_code, reason = "the tests of places use all of it")]
mod home;
#[path = "../support/mod.rs"]
mod support;

#[path = "../attach/consoles.rs"]
#[expect(dead_code, reason = "tests/attach uses the rest")]
mod consoles;
#[path = "../attach/emulator.rs"]
mod emulator;

mod attach;
mod background;
mod checks;
mod client;
mod interrupts;
mod leftovers;
mod lineage;
mod output;
mod restarts;
mod shells;
mod supervision;
mod tips;
mod up;
mod verbs;
mod why;
