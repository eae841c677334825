//! The kernel's process table, as a survey reads it.

use crate::sys::descendants::{self, Stat};

/// The kernel's process table, as far as a survey reads it.
pub(crate) trait ProcessTable {
    /// The pids of the daemon's children, zombies included.
    fn children(&self) -> Vec<i32>;
    /// One process.
    fn stat(&self, pid: i32) -> Option<Stat>;
    /// The pids of the children of another process, zombies included.
    fn children_of(&self, pid: i32) -> Vec<i32>;
    /// Whether a process has an environment that can be read.
    fn has_environment(&self, pid: i32) -> bool;
    /// A variable of a process's environment.
    fn variable(&self, pid: i32, name: &str) -> Option<String>;
}

/// `/proc`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelTable;

impl ProcessTable for KernelTable {
    fn children(&self) -> Vec<i32> {
        descendants::direct_children()
    }

    fn stat(&self, pid: i32) -> Option<Stat> {
        descendants::stat(pid)
    }

    fn children_of(&self, pid: i32) -> Vec<i32> {
        descendants::children(pid)
    }

    fn has_environment(&self, pid: i32) -> bool {
        descendants::has_environ(pid)
    }

    fn variable(&self, pid: i32, name: &str) -> Option<String> {
        descendants::environ_value(pid, name)
    }
}
