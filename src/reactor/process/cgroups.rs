//! The cgroup of each process, where the daemon may make some.

use crate::supervisor::ProcessId;
use crate::sys::cgroup::CgroupBase;
use std::ffi::CString;

/// The leaves of the daemon's cgroup, one for each process.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    /// `None` where the kernel or the system offers none.
    base: Option<CgroupBase>,
    /// A process was started without a leaf.
    incomplete: bool,
}

impl Cgroups {
    /// Makes the daemon's cgroup, if that is possible.
    pub(crate) fn create() -> Cgroups {
        let base = CgroupBase::create();
        let base = base.inspect_err(|error| log::debug!("no cgroups: {error}"));
        Cgroups {
            base: base.ok(),
            incomplete: false,
        }
    }

    /// Whether every process has a leaf, so that no other mark is needed.
    pub(crate) fn is_complete(&self) -> bool {
        self.base.is_some() && !self.incomplete
    }

    /// Makes the leaf of a process, if it has none. Returns the `cgroup.procs` through which it is
    /// entered.
    pub(crate) fn enter(&mut self, id: ProcessId, name: &str) -> Option<CString> {
        let leaf = self.base.as_ref()?.leaf(&leaf_name(id, name));
        leaf.inspect_err(|error| {
            if !std::mem::replace(&mut self.incomplete, true) {
                log::warn!("{name}: no cgroup: {error}");
            }
        })
        .ok()
    }

    /// The process whose leaf a pid is in, or below.
    pub(crate) fn owner(&self, pid: i32) -> Option<ProcessId> {
        let leaf = self.base.as_ref()?.leaf_of(pid)?;
        leaf.rsplit_once('.')?.1.parse().ok().map(ProcessId)
    }

    /// Removes the leaf of a process, unless something lives in it.
    pub(crate) fn remove(&self, id: ProcessId, name: &str) {
        if let Some(base) = &self.base {
            base.remove_leaf(&leaf_name(id, name));
        }
    }

    /// Removes everything in which nothing lives.
    pub(crate) fn remove_all(&self) {
        if let Some(base) = &self.base {
            base.remove();
        }
    }
}

/// A process that is removed from the config and added again has another number.
fn leaf_name(id: ProcessId, name: &str) -> String {
    format!("{name}.{}", id.0)
}
