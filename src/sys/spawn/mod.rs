//! Starts a child without waiting for it: one `clone` with a pidfd, all preparation in the parent,
//! and on failure the exact step and errno.
//!
//! A child of the daemon's own user shares the daemon's memory until it execs (`CLONE_VM`), which
//! takes a few microseconds at any daemon size. A child that changes its user gets a copy of the
//! memory: an unprivileged process must never share memory with a privileged one, and changing
//! ids in shared memory would clear the daemon's dumpable flag. Both run the same code (see
//! `child`), beside the caller. Both report through a pipe that exec closes: see [`Launcher`].

mod blocking;
mod child;
mod clone3;
mod descriptors;
mod exec_plan;
mod launcher;
mod memory;
mod raw_calls;
mod step;

#[cfg(test)]
#[path = "obstacle_tests.rs"]
mod obstacle_tests;
#[cfg(test)]
mod tests;

use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::OwnedFd;
use std::ptr;

pub use blocking::{Spawned, spawn};
use descriptors::CloseMethod;
pub(crate) use descriptors::{close_all_above_stdio, close_range_available};
pub use launcher::{Launcher, StartProgress, Starting};
pub(crate) use step::unsearchable;
pub use step::{SpawnError, SpawnStep, step_text};

/// All parameters of a start. Names are already resolved.
#[derive(Debug)]
pub struct Command {
    /// The argument vector, starting with the program's name; never empty.
    pub argv: Vec<CString>,
    /// Paths to try in order: see [`candidates`].
    pub candidates: Vec<CString>,
    /// The complete environment, `NAME=value`.
    pub envp: Vec<CString>,
    /// The working directory, entered as the target user.
    pub workingdir: CString,
    /// File mode creation mask.
    pub umask: u32,
    /// Descriptors 0, 1 and 2.
    pub stdio: Stdio,
    /// Files that the child opens as 0, 1 and 2 in place of those, as the target user: the first
    /// to read, the others to append to.
    pub files: [Option<CString>; 3],
    /// Whether to start a session; otherwise the child only leads a process group.
    pub session: bool,
    /// The user to become; `None` keeps the daemon's.
    pub credentials: Option<Credentials>,
    /// RLIMIT_NOFILE (soft, hard) to set.
    pub nofile: Option<(u64, u64)>,
    /// Whether to forbid that an exec gains privileges.
    pub no_new_privs: bool,
    /// The value for `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Nice value, absolute.
    pub nice: Option<i32>,
    /// The `cgroup.procs` of the cgroup to start in, entered with the daemon's rights. No
    /// controller limits its memory.
    pub cgroup: Option<CString>,
}

/// The sources of descriptors 0, 1 and 2.
#[derive(Debug)]
pub enum Stdio {
    /// The slave of a pty for all three, as controlling terminal.
    Tty(OwnedFd),
    /// One descriptor each.
    Fds {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// Given to a child.
    Closed,
}

/// A user's numeric ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// All supplementary groups.
    pub groups: Vec<u32>,
}

/// The search path when the environment has no `PATH`.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The paths that exec tries for `program`: itself if it has a slash, else one for each directory
/// of `path`. An empty directory means the working directory. An empty name or one with a NUL
/// yields no path, which a start reports as "no such file".
pub fn candidates(program: &str, path: Option<&str>) -> Vec<CString> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains('/') {
        return CString::new(program).into_iter().collect();
    }
    let directories = path.unwrap_or(DEFAULT_PATH).split(':');
    let paths = directories.map(|directory| match directory {
        "" => format!("./{program}"),
        directory => format!("{}/{program}", directory.trim_end_matches('/')),
    });
    paths.filter_map(|path| CString::new(path).ok()).collect()
}

/// The size of the kernel's signal set, an argument of the raw calls.
const SIGNAL_SET_BYTES: usize = 8;

/// Blocks every signal for this thread; dropping the value restores the old mask.
struct SignalsBlocked {
    before: u64,
}

impl SignalsBlocked {
    fn new() -> Self {
        let mut before = 0;
        set_mask(&u64::MAX, Some(&mut before));
        SignalsBlocked { before }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        set_mask(&self.before, None);
    }
}

/// The raw call, because libc's excludes two signals that it uses.
fn set_mask(mask: &u64, before: Option<&mut u64>) {
    let before = before.map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: both pointers are valid for the 8 bytes of the kernel's signal set, or null; the
    // call cannot fail with valid arguments.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            mask,
            before,
            SIGNAL_SET_BYTES,
        )
    };
}

/// The signals that this process handles or ignores, as a mask (bit 0 is signal 1).
fn changed_dispositions() -> u64 {
    let mut changed = 0;
    for signal in 1..=64_i32 {
        let mut action = [0_usize; 8];
        // SAFETY: a query only; the buffer is larger than the kernel's sigaction on every
        // architecture, whose first word is the handler (0: default).
        let result = unsafe {
            let none = ptr::null::<c_void>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                none,
                action.as_mut_ptr(),
                SIGNAL_SET_BYTES,
            )
        };
        if result == 0 && action[0] != libc::SIG_DFL {
            changed |= 1_u64 << (signal - 1);
        }
    }
    changed
}

fn last_errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}
