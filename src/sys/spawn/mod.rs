//! Starts a child: one `clone` with a pidfd, all preparation in the parent, and on failure the
//! exact step and errno.
//!
//! A child of the daemon's own user shares the daemon's memory until it execs (`CLONE_VM`), which
//! takes a few microseconds at any daemon size. A child that changes its user gets a copy of the
//! memory: an unprivileged process must never share memory with a privileged one, and changing
//! ids in shared memory would clear the daemon's dumpable flag. Both run the same code (see
//! `child`) and both suspend the caller until exec (`CLONE_VFORK`).

mod child;
mod descriptors;
mod step;
mod workspace;

#[cfg(test)]
mod tests;

use super::pidfd;
use child::ExecPlan;
use descriptors::CloseMethod;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use workspace::{Memory, Workspace};

pub(crate) use descriptors::{close_all_above_stdio, close_range_available};
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

/// A child that has exec'd.
#[derive(Debug)]
pub struct Spawned {
    /// The process id, also the process group and (with `session`) the session.
    pub pid: i32,
    /// The handle for signals and reaping.
    pub pidfd: OwnedFd,
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

/// Starts `command` and returns once it has exec'd or failed.
///
/// The caller is suspended meanwhile, typically for tens of microseconds; a working directory or
/// program on a dead network mount suspends it for longer. A failed child is already reaped. The
/// caller's signal mask does not change.
pub fn spawn(command: &Command) -> Result<Spawned, SpawnError> {
    spawn_closing(command, CloseMethod::pick())
}

fn spawn_closing(command: &Command, close: CloseMethod) -> Result<Spawned, SpawnError> {
    let program = Arguments::new(command)?;
    let oom_score_adj = command.oom_score_adj.map(|score| score.to_string());
    workspace::with(|Workspace { memory, slots }| {
        let stdio = slots.fill(command)?;
        let signals = SignalsBlocked::new();
        let plan = ExecPlan {
            report: memory.report(),
            argv: program.argv.as_ptr(),
            envp: program.envp.as_ptr(),
            candidates: &program.candidates,
            workingdir: command.workingdir.as_ptr(),
            umask: command.umask,
            stdio: stdio.raw(),
            highest: stdio.highest(),
            tty: matches!(command.stdio, Stdio::Tty(_)),
            session: command.session,
            credentials: command.credentials.as_ref(),
            nofile: command.nofile,
            no_new_privs: command.no_new_privs,
            oom_score_adj: oom_score_adj.as_deref(),
            nice: command.nice,
            close,
            dispositions: changed_dispositions(),
        };
        let result = clone_and_wait(memory, &plan);
        drop(signals);
        result
    })
}

fn clone_and_wait(memory: &Memory, plan: &ExecPlan) -> Result<Spawned, SpawnError> {
    memory.report().clear();
    let mut flags = libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    if plan.credentials.is_none() {
        flags |= libc::CLONE_VM;
    }
    if matches!(plan.close, CloseMethod::Range) {
        flags |= libc::CLONE_FILES;
    }
    let mut raw_pidfd: c_int = -1;
    // SAFETY: `child::run` is an `extern "C"` function that never returns and touches only `plan`
    // and its own stack by raw system calls. The stack is a private mapping of this thread with a
    // guard page below, and CLONE_VFORK suspends this thread until the child has exec'd or
    // ended, so nothing else uses that stack and `plan` outlives the child's use of it.
    // CLONE_PIDFD stores one descriptor through the pointer to `raw_pidfd`. All signals are
    // blocked, so no handler runs on the shared memory.
    let pid = unsafe {
        libc::clone(
            child::run,
            memory.stack_top(),
            flags,
            ptr::from_ref(plan).cast_mut().cast::<c_void>(),
            ptr::from_mut(&mut raw_pidfd),
        )
    };
    if pid < 0 {
        return Err(SpawnError {
            step: SpawnStep::Clone,
            errno: last_errno(),
        });
    }
    // SAFETY: clone succeeded, so the kernel stored a fresh descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(raw_pidfd) };
    let Some((code, errno)) = memory.report().take() else {
        return Ok(Spawned { pid, pidfd });
    };
    reap_failed(pidfd.as_fd());
    let step = SpawnStep::from_code(code).unwrap_or(SpawnStep::Exec);
    Err(SpawnError { step, errno })
}

/// Reaps a child that has reported its failure and is exiting.
fn reap_failed(child: BorrowedFd<'_>) {
    // An error means that the kernel has already reaped it (SIGCHLD ignored).
    let _ = pidfd::wait_blocking(child);
}

/// The pointer arrays for execve, borrowed from a command.
struct Arguments {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    candidates: Vec<*const c_char>,
}

impl Arguments {
    fn new(command: &Command) -> Result<Self, SpawnError> {
        if command.argv.is_empty() {
            return Err(SpawnError {
                step: SpawnStep::Exec,
                errno: libc::EINVAL,
            });
        }
        Ok(Arguments {
            argv: terminated(&command.argv),
            envp: terminated(&command.envp),
            candidates: command
                .candidates
                .iter()
                .map(|path| path.as_ptr())
                .collect(),
        })
    }
}

fn terminated(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
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
