//! The parameters of a child, and its report.

#[cfg(test)]
use super::SpawnStep;
use super::{CloseMethod, Credentials};
use std::ffi::c_char;
#[cfg(test)]
use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicI32;

/// The child's parameters, prepared by the parent. All pointers stay valid until the child has
/// exec'd or ended, or point into its own copy of the memory.
#[derive(Debug)]
pub(crate) struct ExecPlan {
    /// Where the child shows its step.
    pub step: *const AtomicI32,
    /// The pipe for the report, above 2.
    pub report: RawFd,
    /// Null-terminated.
    pub argv: *const *const c_char,
    /// Null-terminated.
    pub envp: *const *const c_char,
    /// Null-terminated.
    pub candidates: *const *const c_char,
    pub workingdir: *const c_char,
    pub umask: u32,
    /// None is below 3.
    pub stdio: [RawFd; 3],
    /// Files that the child opens as 0, 1 and 2; null for none.
    pub files: [*const c_char; 3],
    /// The lowest of `stdio` and `report`.
    pub lowest: RawFd,
    /// The highest of them.
    pub highest: RawFd,
    pub tty: bool,
    pub session: bool,
    /// Null to keep the daemon's.
    pub credentials: *const Credentials,
    pub nofile: Option<(u64, u64)>,
    pub no_new_privs: bool,
    /// The text for `oom_score_adj`, terminated; null for none.
    pub oom_score_adj: *const c_char,
    pub nice: Option<i32>,
    /// The `cgroup.procs` of the cgroup to enter, terminated; null for none.
    pub cgroup: *const c_char,
    pub close: CloseMethod,
    /// Whether the descriptor table is the daemon's until the child makes its own.
    pub shares_table: bool,
    /// Signals to set to their default, bit 0 is signal 1.
    pub dispositions: u64,
    /// The signal that the child sends itself at a step.
    #[cfg(test)]
    pub obstacle: Option<(SpawnStep, c_int)>,
    #[cfg(test)]
    pub obstacle_met: std::sync::atomic::AtomicBool,
}

/// A message on the report pipe: a step's code and its errno. The code 0 says that the child has
/// its own descriptor table.
pub(crate) type Report = [i32; 2];

/// The code of a [`Report`] that is no failure.
pub(crate) const OWN_DESCRIPTORS: i32 = 0;
