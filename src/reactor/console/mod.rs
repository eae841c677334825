//! Consoles: clients attached to a process's terminal or pipes.

pub(crate) mod attachment;
pub(crate) mod notices;
pub(crate) mod terminal_size;
