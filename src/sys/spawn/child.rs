//! The child's code between clone and exec.
//!
//! The child may share the daemon's memory and run beside the daemon; a child with a copy may hold
//! copies of locks that are taken. So it makes only raw system calls: no allocation, no panic, no
//! libc wrapper, no errno. The steps have the order of [`SpawnStep`].
//!
//! Anyone who may signal or trace the child can hold it at any step. Until its user changes, that
//! is only who may do the same to the daemon. From then on it holds nothing of the daemon that its
//! new user could reach: its memory cannot be read (not dumpable), and its only descriptors are its
//! own and the pipe for its report.

use super::exec_plan::{ExecPlan, OWN_DESCRIPTORS, Report};
use super::raw_calls::call;
use super::{CloseMethod, SIGNAL_SET_BYTES, SpawnStep};
use crate::sys::privileges::raw as ids;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

/// The errno of a file that is neither regular nor, for input, a character device.
pub(crate) const WRONG_KIND: i32 = -1;

/// The descriptor of the report pipe from [`SpawnStep::CloseRange`] on.
const REPORT_FD: RawFd = 3;

/// The child's entry point; `plan` is an [`ExecPlan`]. Never returns.
pub(crate) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: the parent passes an ExecPlan that lives until this child has exec'd or ended.
    let plan = unsafe { &*plan.cast::<ExecPlan>() };
    let mut report = plan.report;
    let Err(failure) = prepare_and_exec(plan, &mut report);
    send(report, [failure.step as i32, failure.errno]);
    loop {
        // SAFETY: ends this process only; no destructor or atexit handler runs.
        let _ = unsafe { call(libc::SYS_exit_group, [127, 0, 0, 0, 0, 0]) };
    }
}

struct StepFailure {
    step: SpawnStep,
    errno: i32,
}

enum Never {}

fn prepare_and_exec(plan: &ExecPlan, report: &mut RawFd) -> Result<Never, StepFailure> {
    own_descriptors(plan)?;
    reset_dispositions(plan.dispositions);
    enter_session(plan)?;
    place_stdio(plan)?;
    close_rest(plan, report)?;
    set_limits(plan)?;
    enter_cgroup(plan)?;
    become_user(plan)?;
    enter_directory(plan)?;
    open_files(plan)?;
    forbid_privileges(plan)?;
    unblock_signals();
    exec(plan)
}

/// Shows the step and makes its system call.
///
/// # Safety
/// As for the call itself.
unsafe fn perform(
    plan: &ExecPlan,
    step: SpawnStep,
    number: c_long,
    arguments: [usize; 6],
) -> Result<usize, StepFailure> {
    show(plan, step);
    // SAFETY: the caller vouches for the arguments.
    match unsafe { call(number, arguments) } {
        Ok(result) => Ok(result),
        Err(errno) => Err(StepFailure { step, errno }),
    }
}

fn show(plan: &ExecPlan, step: SpawnStep) {
    // SAFETY: the cell lies in a page that is mapped as long as the daemon lives.
    unsafe { (*plan.step).store(step as i32, Ordering::Relaxed) };
    #[cfg(test)]
    if let Some((at, signal)) = plan.obstacle
        && at as i32 == step as i32
        && !plan.obstacle_met.swap(true, Ordering::Relaxed)
    {
        // SAFETY: takes nothing.
        let own = unsafe { call(libc::SYS_getpid, [0; 6]) }.unwrap_or(usize::MAX);
        // SAFETY: takes numbers only.
        let _ = unsafe { call(libc::SYS_kill, [own, fd(signal), 0, 0, 0, 0]) };
    }
}

/// Writes to the report pipe, which has room for more than a child ever writes.
fn send(report: RawFd, message: Report) {
    let (address, length) = (message.as_ptr() as usize, size_of::<Report>());
    // SAFETY: the kernel reads `length` bytes of a live array.
    let _ = unsafe { call(libc::SYS_write, [fd(report), address, length, 0, 0, 0]) };
}

/// A descriptor as an argument.
fn fd(number: RawFd) -> usize {
    number.cast_unsigned() as usize
}

/// Gives the child its own descriptor table. Before this call the table is the parent's and must
/// not change. The copy omits all descriptors above the child's.
fn own_descriptors(plan: &ExecPlan) -> Result<(), StepFailure> {
    if !plan.shares_table {
        return Ok(());
    }
    let flags = libc::CLOSE_RANGE_UNSHARE as usize;
    let range = [fd(plan.highest) + 1, u32::MAX as usize, flags, 0, 0, 0];
    // SAFETY: no memory is involved; descriptors are closed in this process's copy only.
    unsafe { perform(plan, SpawnStep::CloseRange, libc::SYS_close_range, range)? };
    // At once: the copy may hold the report pipes of other children, which wait for their end.
    let range = [3, fd(plan.lowest).wrapping_sub(1), 0, 0, 0, 0];
    if plan.lowest > 3 {
        // SAFETY: as above, and nothing below the child's own is needed.
        unsafe { perform(plan, SpawnStep::CloseRange, libc::SYS_close_range, range)? };
    }
    send(plan.report, [OWN_DESCRIPTORS, 0]);
    Ok(())
}

fn reset_dispositions(dispositions: u64) {
    let default = [0_usize; 8];
    for signal in 1..=64_usize {
        if dispositions >> (signal - 1) & 1 == 1 {
            let action = [signal, default.as_ptr() as usize, 0, SIGNAL_SET_BYTES, 0, 0];
            // SAFETY: an all-zero sigaction is the default disposition on every architecture, and
            // the table of dispositions is this process's own (no CLONE_SIGHAND).
            let _ = unsafe { call(libc::SYS_rt_sigaction, action) };
        }
    }
}

fn enter_session(plan: &ExecPlan) -> Result<(), StepFailure> {
    let number = match plan.session {
        true => libc::SYS_setsid,
        // With zeroes: this process leads a group of its own.
        false => libc::SYS_setpgid,
    };
    // SAFETY: no memory is involved.
    unsafe { perform(plan, SpawnStep::Setsid, number, [0; 6])? };
    if plan.tty {
        let control = [fd(plan.stdio[0]), libc::TIOCSCTTY as usize, 0, 0, 0, 0];
        // SAFETY: TIOCSCTTY takes an integer.
        unsafe {
            perform(
                plan,
                SpawnStep::ControllingTerminal,
                libc::SYS_ioctl,
                control,
            )?
        };
    }
    Ok(())
}

fn place_stdio(plan: &ExecPlan) -> Result<(), StepFailure> {
    for (target, source) in plan.stdio.iter().enumerate() {
        let copy = [fd(*source), target, 0, 0, 0, 0];
        // SAFETY: the descriptor table is now this process's own; no source is below 3, so none is
        // overwritten before use.
        unsafe { perform(plan, SpawnStep::Stdio, libc::SYS_dup3, copy)? };
    }
    Ok(())
}

/// Closes everything but 0, 1, 2 and the report pipe.
fn close_rest(plan: &ExecPlan, report: &mut RawFd) -> Result<(), StepFailure> {
    match plan.close {
        CloseMethod::Range => {
            if *report != REPORT_FD {
                let copy = [
                    fd(*report),
                    fd(REPORT_FD),
                    libc::O_CLOEXEC as usize,
                    0,
                    0,
                    0,
                ];
                // SAFETY: the descriptor table is this process's own; the sources of 0, 1 and 2
                // are placed, so nothing needs the one that is replaced.
                unsafe { perform(plan, SpawnStep::CloseRange, libc::SYS_dup3, copy)? };
                *report = REPORT_FD;
            }
            let range = [fd(REPORT_FD) + 1, u32::MAX as usize, 0, 0, 0, 0];
            // SAFETY: as above.
            unsafe { perform(plan, SpawnStep::CloseRange, libc::SYS_close_range, range)? };
        }
        CloseMethod::Each(highest) => {
            for number in 3..=highest {
                if number != *report {
                    // SAFETY: as above; most descriptors are not open, which is no error here.
                    let _ = unsafe { call(libc::SYS_close, [fd(number), 0, 0, 0, 0, 0]) };
                }
            }
        }
    }
    Ok(())
}

fn set_limits(plan: &ExecPlan) -> Result<(), StepFailure> {
    if let Some((soft, hard)) = plan.nofile {
        let limit = [soft, hard];
        let resource = libc::RLIMIT_NOFILE as usize;
        let set = [0, resource, limit.as_ptr() as usize, 0, 0, 0];
        // SAFETY: the kernel reads two 64-bit numbers.
        unsafe { perform(plan, SpawnStep::Rlimit, libc::SYS_prlimit64, set)? };
    }
    if let Some(nice) = plan.nice {
        let set = [libc::PRIO_PROCESS as usize, 0, nice as usize, 0, 0, 0];
        // SAFETY: no memory is involved.
        unsafe { perform(plan, SpawnStep::Nice, libc::SYS_setpriority, set)? };
    }
    if !plan.oom_score_adj.is_null() {
        let path = c"/proc/self/oom_score_adj".as_ptr();
        write_file(plan, SpawnStep::OomScore, path, plan.oom_score_adj)?;
    }
    // SAFETY: the mask is this process's own (no CLONE_FS); the call cannot fail.
    let _ = unsafe { call(libc::SYS_umask, [plan.umask as usize, 0, 0, 0, 0, 0]) };
    Ok(())
}

/// Enters a cgroup with the daemon's rights.
fn enter_cgroup(plan: &ExecPlan) -> Result<(), StepFailure> {
    match plan.cgroup.is_null() {
        true => Ok(()),
        // 0 is the writer itself.
        false => write_file(plan, SpawnStep::Cgroup, plan.cgroup, c"0".as_ptr()),
    }
}

/// Writes a text to a file of the kernel's. Both pointers are terminated strings.
fn write_file(
    plan: &ExecPlan,
    step: SpawnStep,
    path: *const c_char,
    text: *const c_char,
) -> Result<(), StepFailure> {
    let file = open(plan, step, path, libc::O_WRONLY | libc::O_CLOEXEC)?;
    // SAFETY: the text is a terminated string.
    let length = unsafe { length_of(text) };
    // SAFETY: the kernel reads `length` bytes of that string.
    unsafe {
        perform(
            plan,
            step,
            libc::SYS_write,
            [file, text as usize, length, 0, 0, 0],
        )?
    };
    // SAFETY: the descriptor was opened above.
    let _ = unsafe { call(libc::SYS_close, [file, 0, 0, 0, 0, 0]) };
    Ok(())
}

/// # Safety
/// `text` is a terminated string.
unsafe fn length_of(text: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: no byte beyond the terminator is read.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    length
}

fn open(
    plan: &ExecPlan,
    step: SpawnStep,
    path: *const c_char,
    flags: c_int,
) -> Result<usize, StepFailure> {
    let here = fd(libc::AT_FDCWD);
    let arguments = [here, path as usize, flags as usize, 0o644, 0, 0];
    // SAFETY: the path is a terminated string.
    unsafe { perform(plan, step, libc::SYS_openat, arguments) }
}

/// Changes the user. Such a child has a copy of the daemon's memory, so the wrappers of
/// `privileges` may set errno.
fn become_user(plan: &ExecPlan) -> Result<(), StepFailure> {
    if plan.credentials.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and kept by the parent or in this process's copy.
    let user = unsafe { &*plan.credentials };
    check(plan, SpawnStep::Groups, || ids::set_groups(&user.groups))?;
    check(plan, SpawnStep::Gid, || ids::set_res_gid(user.gid))?;
    check(plan, SpawnStep::Uid, || ids::set_res_uid(user.uid))?;
    // The kernel does the same, unless `fs.suid_dumpable` is 1. The memory is a copy of the
    // daemon's, which that user must not read; exec replaces it and sets the flag again.
    let hide = [libc::PR_SET_DUMPABLE as usize, 0, 0, 0, 0, 0];
    // SAFETY: the option takes integers only.
    unsafe { perform(plan, SpawnStep::VerifyCredentials, libc::SYS_prctl, hide)? };
    let exact = ids::is_exactly(user.uid, user.gid, user.groups.len());
    if exact && !ids::root_can_return(user.uid, user.gid) {
        return Ok(());
    }
    Err(StepFailure {
        step: SpawnStep::VerifyCredentials,
        errno: libc::EPERM,
    })
}

fn check(
    plan: &ExecPlan,
    step: SpawnStep,
    change: impl FnOnce() -> c_long,
) -> Result<(), StepFailure> {
    show(plan, step);
    match change() {
        0.. => Ok(()),
        _ => {
            // SAFETY: the address of this thread's errno is always valid, and its memory is a copy.
            let errno = unsafe { *libc::__errno_location() };
            Err(StepFailure { step, errno })
        }
    }
}

fn enter_directory(plan: &ExecPlan) -> Result<(), StepFailure> {
    let arguments = [plan.workingdir as usize, 0, 0, 0, 0, 0];
    // SAFETY: the path is a terminated string that the parent keeps.
    unsafe { perform(plan, SpawnStep::Chdir, libc::SYS_chdir, arguments)? };
    Ok(())
}

/// Opens the files that are stdin, stdout and stderr, with the rights of the new user.
fn open_files(plan: &ExecPlan) -> Result<(), StepFailure> {
    let steps = [
        SpawnStep::OpenStdin,
        SpawnStep::OpenStdout,
        SpawnStep::OpenStderr,
    ];
    for ((target, path), step) in plan.files.iter().enumerate().zip(steps) {
        if path.is_null() {
            continue;
        }
        let access = match target {
            0 => libc::O_RDONLY,
            _ => libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NOFOLLOW,
        };
        let flags = access | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
        let file = open(plan, step, *path, flags)?;
        check_kind(plan, step, file, target == 0)?;
        let blocking = [
            file,
            libc::F_SETFL as usize,
            (access & libc::O_APPEND) as usize,
            0,
            0,
            0,
        ];
        // SAFETY: the command takes integers only.
        unsafe { perform(plan, step, libc::SYS_fcntl, blocking)? };
        // SAFETY: no memory is involved; the target is this process's own.
        unsafe { perform(plan, step, libc::SYS_dup3, [file, target, 0, 0, 0, 0])? };
        // SAFETY: the descriptor was opened above.
        let _ = unsafe { call(libc::SYS_close, [file, 0, 0, 0, 0, 0]) };
    }
    Ok(())
}

/// Only a regular file may be output. Input may be a character device too.
fn check_kind(
    plan: &ExecPlan,
    step: SpawnStep,
    file: usize,
    input: bool,
) -> Result<(), StepFailure> {
    // SAFETY: plain data for which all zeroes are valid.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let (empty, flags) = (c"".as_ptr() as usize, libc::AT_EMPTY_PATH as usize);
    let mask = libc::STATX_TYPE as usize;
    let buffer = (&raw mut status) as usize;
    // SAFETY: the kernel writes one statx to a live variable.
    unsafe {
        perform(
            plan,
            step,
            libc::SYS_statx,
            [file, empty, flags, mask, buffer, 0],
        )?
    };
    let errno = match u32::from(status.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => return Ok(()),
        libc::S_IFCHR if input => return Ok(()),
        libc::S_IFDIR => libc::EISDIR,
        _ => WRONG_KIND,
    };
    Err(StepFailure { step, errno })
}

fn forbid_privileges(plan: &ExecPlan) -> Result<(), StepFailure> {
    if plan.no_new_privs {
        let option = [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0, 0];
        // SAFETY: the option takes integers only.
        unsafe { perform(plan, SpawnStep::NoNewPrivs, libc::SYS_prctl, option)? };
    }
    Ok(())
}

fn unblock_signals() {
    let none = 0_u64;
    let set = [
        libc::SIG_SETMASK as usize,
        (&raw const none) as usize,
        0,
        SIGNAL_SET_BYTES,
        0,
        0,
    ];
    // SAFETY: the kernel reads 8 bytes. All dispositions are now the default, so a signal that
    // arrives here ends or stops this child and runs no handler on shared memory.
    let _ = unsafe { call(libc::SYS_rt_sigprocmask, set) };
}

/// Tries the candidates as a shell does: skips missing files, remembers EACCES, and fails with any
/// other error at once.
fn exec(plan: &ExecPlan) -> Result<Never, StepFailure> {
    let step = SpawnStep::Exec;
    show(plan, step);
    let mut answer = libc::ENOENT;
    let mut next = plan.candidates;
    loop {
        // SAFETY: the array ends with a null pointer, beyond which nothing is read.
        let path = unsafe { *next };
        if path.is_null() {
            return Err(StepFailure {
                step,
                errno: answer,
            });
        }
        let program = [
            path as usize,
            plan.argv as usize,
            plan.envp as usize,
            0,
            0,
            0,
        ];
        // SAFETY: path, argv and envp are terminated and kept by the parent.
        match unsafe { call(libc::SYS_execve, program) } {
            Err(libc::EACCES) => answer = libc::EACCES,
            Ok(_)
            | Err(libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT) => {
            }
            Err(errno) => return Err(StepFailure { step, errno }),
        }
        // SAFETY: this element was not the last.
        next = unsafe { next.add(1) };
    }
}
