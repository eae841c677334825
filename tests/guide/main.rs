//! The requirements of the taskmaster subject, each with a test of the real binaries.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod launch;
mod life;
mod reload;
mod shell;
mod stop;
mod words;
