//! The child's code between clone and exec.
//!
//! The child may share the parent's memory, and its copy may hold locks of other threads. So it
//! makes only raw system calls: no allocation, no panic, no libc wrapper with internal state
//! (those of the user ids have some). The steps have the order of [`SpawnStep`].

use super::workspace::Report;
use super::{CloseMethod, Credentials, SIGNAL_SET_BYTES, SpawnStep};
use crate::sys::privileges::raw as ids;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::os::fd::RawFd;

/// The child's parameters, prepared by the parent.
pub(crate) struct ExecPlan<'a> {
    pub report: &'a Report,
    /// Null-terminated.
    pub argv: *const *const c_char,
    /// Null-terminated.
    pub envp: *const *const c_char,
    pub candidates: &'a [*const c_char],
    pub workingdir: *const c_char,
    pub umask: u32,
    /// None is below 3.
    pub stdio: [RawFd; 3],
    /// The highest of `stdio`.
    pub highest: RawFd,
    pub tty: bool,
    pub session: bool,
    pub credentials: Option<&'a Credentials>,
    pub nofile: Option<(u64, u64)>,
    pub no_new_privs: bool,
    pub oom_score_adj: Option<&'a str>,
    pub nice: Option<i32>,
    pub close: CloseMethod,
    /// Signals to set to their default, bit 0 is signal 1.
    pub dispositions: u64,
}

/// The child's entry point; `plan` is an [`ExecPlan`]. Never returns.
pub(crate) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: the parent passes an ExecPlan that lives until this child has exec'd or ended.
    let plan = unsafe { &*plan.cast::<ExecPlan<'_>>() };
    let Err(failure) = prepare_and_exec(plan);
    plan.report.set(failure.step, failure.errno);
    loop {
        // SAFETY: ends this process only; no destructor or atexit handler runs.
        unsafe { libc::syscall(libc::SYS_exit_group, 127) };
    }
}

struct StepFailure {
    step: SpawnStep,
    errno: i32,
}

fn prepare_and_exec(plan: &ExecPlan<'_>) -> Result<std::convert::Infallible, StepFailure> {
    own_descriptors(plan)?;
    reset_dispositions(plan.dispositions);
    enter_session(plan)?;
    place_stdio(plan.stdio)?;
    close_rest(plan.close)?;
    set_limits(plan)?;
    if let Some(credentials) = plan.credentials {
        become_user(credentials)?;
    }
    enter_directory(plan)?;
    unblock_signals();
    exec(plan)
}

/// Gives the child its own descriptor table. Before this call the table is the parent's and must
/// not change. The copy omits all descriptors above the child's.
fn own_descriptors(plan: &ExecPlan<'_>) -> Result<(), StepFailure> {
    let CloseMethod::Range = plan.close else {
        return Ok(());
    };
    let (first, unshare) = (plan.highest + 1, libc::CLOSE_RANGE_UNSHARE);
    // SAFETY: no memory is involved; descriptors are closed in this process's copy only.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, unshare) };
    check(SpawnStep::CloseRange, result)
}

fn reset_dispositions(dispositions: u64) {
    let default = [0_usize; 8];
    for signal in 1..=64_u32 {
        if dispositions >> (signal - 1) & 1 == 1 {
            let none = std::ptr::null_mut::<c_void>();
            // SAFETY: an all-zero sigaction is the default disposition on every architecture, and
            // the table of dispositions is this process's own (no CLONE_SIGHAND).
            unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    none,
                    SIGNAL_SET_BYTES,
                )
            };
        }
    }
}

fn enter_session(plan: &ExecPlan<'_>) -> Result<(), StepFailure> {
    if plan.session {
        // SAFETY: no memory is involved.
        check(SpawnStep::Setsid, unsafe {
            libc::syscall(libc::SYS_setsid)
        })?;
    } else {
        // SAFETY: no memory is involved.
        check(SpawnStep::Setsid, unsafe {
            libc::syscall(libc::SYS_setpgid, 0, 0)
        })?;
    }
    if plan.tty {
        let slave = plan.stdio[0];
        // SAFETY: TIOCSCTTY takes an integer.
        let result = unsafe { libc::syscall(libc::SYS_ioctl, slave, libc::TIOCSCTTY, 0_usize) };
        check(SpawnStep::ControllingTerminal, result)?;
    }
    Ok(())
}

fn place_stdio(stdio: [RawFd; 3]) -> Result<(), StepFailure> {
    for (source, target) in stdio.into_iter().zip(0..3) {
        // SAFETY: the descriptor table is now this process's own; no source is below 3, so none is
        // overwritten before use.
        let result = unsafe { libc::syscall(libc::SYS_dup3, source, target, 0) };
        check(SpawnStep::Stdio, result)?;
    }
    Ok(())
}

fn close_rest(method: CloseMethod) -> Result<(), StepFailure> {
    match method {
        CloseMethod::Range => {
            // SAFETY: the descriptor table is this process's own.
            let result = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            check(SpawnStep::CloseRange, result)?;
        }
        CloseMethod::Each(highest) => {
            for fd in 3..=highest {
                // SAFETY: as above; most descriptors are not open, which is no error here.
                unsafe { libc::syscall(libc::SYS_close, fd) };
            }
        }
    }
    Ok(())
}

fn set_limits(plan: &ExecPlan<'_>) -> Result<(), StepFailure> {
    if let Some((soft, hard)) = plan.nofile {
        let limit = [soft, hard];
        let none = std::ptr::null_mut::<c_void>();
        // SAFETY: the kernel reads two 64-bit numbers.
        let result = unsafe {
            libc::syscall(
                libc::SYS_prlimit64,
                0,
                libc::RLIMIT_NOFILE,
                limit.as_ptr(),
                none,
            )
        };
        check(SpawnStep::Rlimit, result)?;
    }
    if let Some(nice) = plan.nice {
        // SAFETY: no memory is involved.
        let result = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) };
        check(SpawnStep::Nice, result)?;
    }
    if let Some(score) = plan.oom_score_adj {
        write_oom_score(score.as_bytes())?;
    }
    // SAFETY: the mask is this process's own (no CLONE_FS); the call cannot fail.
    unsafe { libc::syscall(libc::SYS_umask, plan.umask) };
    Ok(())
}

fn write_oom_score(score: &[u8]) -> Result<(), StepFailure> {
    let path = c"/proc/self/oom_score_adj";
    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a terminated string.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) };
    check(SpawnStep::OomScore, fd)?;
    // SAFETY: the kernel reads `score.len()` bytes of a live slice.
    let result = unsafe { libc::syscall(libc::SYS_write, fd, score.as_ptr(), score.len()) };
    check(SpawnStep::OomScore, result)?;
    // SAFETY: the descriptor was opened above.
    unsafe { libc::syscall(libc::SYS_close, fd) };
    Ok(())
}

fn become_user(user: &Credentials) -> Result<(), StepFailure> {
    check(SpawnStep::Groups, ids::set_groups(&user.groups))?;
    check(SpawnStep::Gid, ids::set_res_gid(user.gid))?;
    check(SpawnStep::Uid, ids::set_res_uid(user.uid))?;
    let exact = ids::is_exactly(user.uid, user.gid, user.groups.len());
    if exact && !ids::root_can_return(user.uid, user.gid) {
        return Ok(());
    }
    Err(StepFailure {
        step: SpawnStep::VerifyCredentials,
        errno: libc::EPERM,
    })
}

fn enter_directory(plan: &ExecPlan<'_>) -> Result<(), StepFailure> {
    // SAFETY: the path is a terminated string that the parent keeps.
    let result = unsafe { libc::syscall(libc::SYS_chdir, plan.workingdir) };
    check(SpawnStep::Chdir, result)?;
    if plan.no_new_privs {
        let (on, zero) = (1_usize, 0_usize);
        // SAFETY: the option takes integers only.
        let result = unsafe {
            libc::syscall(
                libc::SYS_prctl,
                libc::PR_SET_NO_NEW_PRIVS,
                on,
                zero,
                zero,
                zero,
            )
        };
        check(SpawnStep::NoNewPrivs, result)?;
    }
    Ok(())
}

fn unblock_signals() {
    let none = 0_u64;
    let old = std::ptr::null_mut::<c_void>();
    // SAFETY: the kernel reads 8 bytes. All dispositions are now the default, so a signal that
    // arrives here ends this child and runs no handler on shared memory.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            old,
            SIGNAL_SET_BYTES,
        )
    };
}

/// Tries the candidates as a shell does: skips missing files, remembers EACCES, and fails with any
/// other error at once.
fn exec(plan: &ExecPlan<'_>) -> Result<std::convert::Infallible, StepFailure> {
    let mut answer = libc::ENOENT;
    for path in plan.candidates {
        // SAFETY: path, argv and envp are terminated and kept by the parent.
        unsafe { libc::syscall(libc::SYS_execve, *path, plan.argv, plan.envp) };
        match errno() {
            libc::EACCES => answer = libc::EACCES,
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            other => {
                answer = other;
                break;
            }
        }
    }
    Err(StepFailure {
        step: SpawnStep::Exec,
        errno: answer,
    })
}

fn check(step: SpawnStep, result: c_long) -> Result<(), StepFailure> {
    match result {
        0.. => Ok(()),
        _ => Err(StepFailure {
            step,
            errno: errno(),
        }),
    }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid; when the child shares the
    // parent's, the parent is suspended.
    unsafe { *libc::__errno_location() }
}
