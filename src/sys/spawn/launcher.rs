//! Starts children and reads their reports.

use super::child;
use super::clone3::{CloneIntoCgroup, clone_into_cgroup};
use super::descriptors::{self, FilledSlots, SLOTS, Slots};
use super::exec_plan::{ExecPlan, OWN_DESCRIPTORS, Report};
use super::memory::{ChildStack, StackPool, StepBoard};
use super::raw_calls::WITHOUT_LIBC;
use super::{CloseMethod, Command, SignalsBlocked, SpawnError, SpawnStep, Stdio};
use super::{changed_dispositions, last_errno};
use rustix::fs::{Mode, OFlags};
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Starts children, one call each, and waits for none.
///
/// A child reports through a pipe. It writes once when it has a descriptor table of its own (until
/// then it shares the daemon's, so the daemon keeps the child's descriptors in its slots), and a
/// second time if a step fails. The end of the pipe without such a report means that the kernel
/// has closed it: the child has exec'd, or was killed.
#[derive(Debug)]
pub struct Launcher {
    slots: Slots,
    stacks: StackPool,
    board: StepBoard,
    close: CloseMethod,
    /// Signals that this process handles or ignores, and that a child sets to their default.
    dispositions: u64,
    /// The signal that children send themselves at a step.
    #[cfg(test)]
    pub(crate) obstacle: Option<(SpawnStep, c_int)>,
}

/// A child that has not exec'd, as far as is known.
///
/// It owns what the child uses. Return it through [`Launcher::release`] once the child has
/// exec'd or is reaped.
#[derive(Debug)]
pub struct Starting {
    pid: i32,
    pidfd: OwnedFd,
    report: OwnedFd,
    /// The child's slots, while it shares the descriptor table.
    slots: Option<usize>,
    /// The child's cell on the board.
    cell: usize,
    memory: SharedMemory,
}

/// How far a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartProgress {
    /// Nothing is known yet.
    Pending,
    /// The child has exec'd, or was killed before that.
    Executed,
    /// A step failed, and the child exits.
    Failed(SpawnError),
}

/// Everything that a child reads or writes in memory that it shares with the daemon.
#[derive(Debug)]
struct SharedMemory {
    parts: Option<Box<SharedParts>>,
}

#[derive(Debug)]
#[allow(
    dead_code,
    reason = "the child uses them through the pointers of `plan`"
)]
struct SharedParts {
    plan: ExecPlan,
    command: Command,
    arrays: Arrays,
    oom_score_adj: Option<CString>,
    /// `None` if the child has a copy of the memory.
    stack: Option<ChildStack>,
    /// Not 0 while the child shares the memory. The kernel writes it (`CLONE_CHILD_CLEARTID`).
    in_use: AtomicU32,
}

/// Pointer arrays for execve, into the strings of a command. Each ends with a null pointer.
#[derive(Debug)]
struct Arrays {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    candidates: Vec<*const c_char>,
}

impl Launcher {
    /// A launcher for this process.
    ///
    /// # Errors
    /// When descriptors or memory are exhausted.
    pub fn new() -> Result<Launcher, SpawnError> {
        Launcher::closing(CloseMethod::pick())
    }

    pub(crate) fn closing(close: CloseMethod) -> Result<Launcher, SpawnError> {
        Ok(Launcher {
            slots: Slots::new()?,
            stacks: StackPool::default(),
            board: StepBoard::new()?,
            close,
            dispositions: changed_dispositions(),
            #[cfg(test)]
            obstacle: None,
        })
    }

    /// Starts a child and returns at once. The command's descriptors are closed here.
    ///
    /// # Errors
    /// The command comes back with the error.
    pub fn start(&mut self, command: Command) -> Result<Starting, Box<(SpawnError, Command)>> {
        let mut parts = SharedParts::new(command)?;
        match self.start_parts(&mut parts) {
            Ok((pid, pidfd, report, slots, cell)) => Ok(Starting {
                pid,
                pidfd,
                report,
                slots,
                cell,
                memory: SharedMemory { parts: Some(parts) },
            }),
            Err(error) => Err(Box::new((error, parts.command))),
        }
    }

    fn start_parts(
        &mut self,
        parts: &mut SharedParts,
    ) -> Result<(i32, OwnedFd, OwnedFd, Option<usize>, usize), SpawnError> {
        let stdio = std::mem::replace(&mut parts.command.stdio, Stdio::Closed);
        let [stdin, stdout, stderr] = descriptors::sources(&stdio)?;
        let (report, theirs) = descriptors::report_pipe()?;
        let ends = [stdin, stdout, stderr, theirs.as_fd()];
        if let Some(user) = &parts.command.credentials {
            ends[..3]
                .iter()
                .for_each(|fd| descriptors::give_to(*fd, user));
        }
        let filled = match self.close {
            CloseMethod::Range => self.slots.fill(&ends)?,
            CloseMethod::Each(_) => None,
        };
        let copies = match &filled {
            Some(_) => [const { None }; SLOTS],
            None => descriptors::copies_of_low(&ends)?,
        };
        self.place(parts, &filled, &ends, &copies);
        let (cell, address) = self.board.take();
        parts.plan.step = address;
        let cloned = self.clone_child(parts, filled.is_some());
        match cloned {
            Ok((pid, pidfd)) => {
                let slots = filled.map(|filled| filled.number);
                Ok((pid, pidfd, report, slots, cell))
            }
            Err(error) => {
                self.board.give_back(cell);
                if let Some(filled) = filled {
                    self.slots.clear(filled.number);
                }
                Err(error)
            }
        }
    }

    /// Tells the child the numbers of its descriptors.
    fn place(
        &self,
        parts: &mut SharedParts,
        filled: &Option<FilledSlots>,
        ends: &[BorrowedFd<'_>; SLOTS],
        copies: &[Option<OwnedFd>; SLOTS],
    ) {
        let mut numbers = [0; SLOTS];
        match filled {
            Some(filled) => numbers = filled.numbers,
            None => {
                for ((number, end), copy) in numbers.iter_mut().zip(ends).zip(copies) {
                    *number = copy.as_ref().map_or(end.as_raw_fd(), AsRawFd::as_raw_fd);
                }
            }
        }
        let plan = &mut parts.plan;
        plan.stdio = [numbers[0], numbers[1], numbers[2]];
        plan.report = numbers[3];
        plan.lowest = numbers.into_iter().fold(RawFd::MAX, RawFd::min);
        plan.highest = numbers.into_iter().fold(0, RawFd::max);
        plan.close = match self.close {
            CloseMethod::Range => CloseMethod::Range,
            // More may be open than at the last start.
            CloseMethod::Each(_) => CloseMethod::one_by_one(),
        };
        plan.dispositions = self.dispositions;
        #[cfg(test)]
        {
            plan.obstacle = self.obstacle;
        }
    }

    fn clone_child(
        &mut self,
        parts: &mut SharedParts,
        slots: bool,
    ) -> Result<(i32, OwnedFd), SpawnError> {
        let stack = self.stacks.take()?;
        let mut flags = libc::CLONE_PIDFD | libc::SIGCHLD;
        if slots {
            flags |= libc::CLONE_FILES;
        }
        let shared = parts.may_share_memory();
        if shared {
            flags |= libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID;
        }
        parts.plan.shares_table = slots;
        parts.in_use.store(u32::from(shared), Ordering::Release);
        let signals = SignalsBlocked::new();
        let cloned = clone_raw(parts, &stack, flags);
        drop(signals);
        let (pid, pidfd) = match cloned {
            Ok(child) => child,
            Err(errno) => {
                parts.in_use.store(0, Ordering::Release);
                self.stacks.give_back(stack);
                let step = SpawnStep::Clone;
                return Err(SpawnError { step, errno });
            }
        };
        match shared {
            true => parts.stack = Some(stack),
            false => self.stacks.give_back(stack),
        }
        Ok((pid, pidfd))
    }

    /// Reads a child's report. Never waits.
    pub fn poll(&mut self, start: &mut Starting) -> StartProgress {
        loop {
            let mut bytes = [0; size_of::<Report>()];
            match crate::sys::io::read(start.report.as_fd(), &mut bytes) {
                Ok(0) => return StartProgress::Executed,
                Ok(_) => {
                    let [a, b, c, d, e, f, g, h] = bytes;
                    let code = i32::from_ne_bytes([a, b, c, d]);
                    let errno = i32::from_ne_bytes([e, f, g, h]);
                    if code != OWN_DESCRIPTORS {
                        let step = SpawnStep::from_code(code).unwrap_or(SpawnStep::Exec);
                        return StartProgress::Failed(SpawnError { step, errno });
                    }
                    self.clear_slots(start);
                }
                Err(_) => return StartProgress::Pending,
            }
        }
    }

    fn clear_slots(&mut self, start: &mut Starting) {
        if let Some(number) = start.slots.take() {
            self.slots.clear(number);
        }
    }

    /// The step that a child has reached.
    pub fn step(&self, start: &Starting) -> SpawnStep {
        self.board.step(start.cell)
    }

    /// Takes back what a child used: it has exec'd or is reaped. Returns its pid and pidfd.
    pub fn release(&mut self, mut start: Starting) -> (i32, OwnedFd) {
        self.clear_slots(&mut start);
        self.board.give_back(start.cell);
        if let Some(stack) = start.memory.take_stack() {
            self.stacks.give_back(stack);
        }
        (start.pid, start.pidfd)
    }
}

impl Starting {
    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The handle for signals and reaping.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Readable when there is news for [`Launcher::poll`].
    pub fn report(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// The command, its descriptors closed.
    pub fn command(&self) -> Option<&Command> {
        self.memory.parts.as_ref().map(|parts| &parts.command)
    }
}

impl SharedMemory {
    fn take_stack(&mut self) -> Option<ChildStack> {
        let parts = self.parts.as_mut()?;
        match parts.is_in_use() {
            true => None,
            false => parts.stack.take(),
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take()
            && parts.is_in_use()
        {
            // A child still uses it: rather a leak than a child on freed memory.
            std::mem::forget(parts);
        }
    }
}

impl SharedParts {
    fn new(command: Command) -> Result<Box<Self>, Box<(SpawnError, Command)>> {
        if command.argv.is_empty() {
            let error = SpawnError {
                step: SpawnStep::Exec,
                errno: libc::EINVAL,
            };
            return Err(Box::new((error, command)));
        }
        let arrays = Arrays {
            argv: terminated(&command.argv),
            envp: terminated(&command.envp),
            candidates: terminated(&command.candidates),
        };
        let score = command.oom_score_adj.map(|score| score.to_string());
        let oom_score_adj = score.and_then(|score| CString::new(score).ok());
        let mut parts = Box::new(SharedParts {
            plan: ExecPlan::of(&command),
            command,
            arrays,
            oom_score_adj,
            stack: None,
            in_use: AtomicU32::new(0),
        });
        // From here on nothing moves, except the box itself.
        let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |s| s.as_ptr());
        parts.plan.argv = parts.arrays.argv.as_ptr();
        parts.plan.envp = parts.arrays.envp.as_ptr();
        parts.plan.candidates = parts.arrays.candidates.as_ptr();
        parts.plan.workingdir = parts.command.workingdir.as_ptr();
        parts.plan.files = parts.command.files.each_ref().map(pointer);
        parts.plan.oom_score_adj = pointer(&parts.oom_score_adj);
        parts.plan.cgroup = pointer(&parts.command.cgroup);
        let user = parts.command.credentials.as_ref();
        parts.plan.credentials = user.map_or(ptr::null(), ptr::from_ref);
        Ok(parts)
    }

    /// Whether the child may share the daemon's memory until it execs.
    fn may_share_memory(&self) -> bool {
        // While a process shares memory, its `oom_score_adj` is that of everybody who shares it.
        // Its cgroup has no memory limit, so no kill in there ends the daemon too.
        let keeps_score = self.command.oom_score_adj.is_none();
        WITHOUT_LIBC && self.command.credentials.is_none() && keeps_score
    }

    fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Acquire) != 0
    }
}

/// Clones a child: into its cgroup if there is one and the kernel can do that, else as
/// [`clone_anywhere`]. All signals are blocked meanwhile. Returns an errno.
fn clone_raw(
    parts: &mut SharedParts,
    stack: &ChildStack,
    flags: c_int,
) -> Result<(i32, OwnedFd), i32> {
    let procs = std::mem::replace(&mut parts.plan.cgroup, ptr::null());
    if let Some(directory) = parts.command.cgroup.as_deref().and_then(directory_of)
        && let Ok(child) = clone_inside(parts, stack, flags, directory.as_fd())
    {
        return Ok(child);
    }
    // The child writes itself to the group.
    parts.plan.cgroup = procs;
    clone_anywhere(parts, stack, flags)
}

/// The directory of a `cgroup.procs`.
fn directory_of(procs: &CStr) -> Option<OwnedFd> {
    let path = Path::new(OsStr::from_bytes(procs.to_bytes())).parent()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// Clones a child into a cgroup. It starts there, which costs less than a move: that waits until
/// no process forks or ends.
fn clone_inside(
    parts: &SharedParts,
    stack: &ChildStack,
    flags: c_int,
    cgroup: BorrowedFd<'_>,
) -> Result<(i32, OwnedFd), i32> {
    let mut raw_pidfd: c_int = -1;
    let call = CloneIntoCgroup {
        flags: flags & !libc::SIGCHLD,
        cgroup: cgroup.as_raw_fd(),
        stack: stack.range(),
        pidfd: &raw mut raw_pidfd,
        child_tid: parts.in_use.as_ptr(),
    };
    let plan = ptr::from_ref(&parts.plan).cast_mut().cast::<c_void>();
    // SAFETY: as in `clone_anywhere`.
    let pid = unsafe { clone_into_cgroup(&call, child::run, plan)? };
    // SAFETY: the call succeeded, so the kernel stored a fresh descriptor that nothing else owns.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(raw_pidfd) }))
}

/// Clones a child.
fn clone_anywhere(
    parts: &SharedParts,
    stack: &ChildStack,
    flags: c_int,
) -> Result<(i32, OwnedFd), i32> {
    let mut raw_pidfd: c_int = -1;
    // SAFETY: `child::run` is an `extern "C"` function that never returns and touches only
    // `plan` and its own stack by raw system calls. With CLONE_VM, the plan with all that it
    // points to, the stack and `in_use` stay in `parts`, which is freed only when the kernel
    // has cleared `in_use`; without it, the child has copies. The stack is a private mapping
    // with a guard page below that nothing else uses. CLONE_PIDFD stores one descriptor
    // through the pointer to `raw_pidfd` before the call returns. All signals are blocked, and
    // the child has its own dispositions, so no handler runs on the shared memory.
    let pid = unsafe {
        libc::clone(
            child::run,
            stack.top(),
            flags,
            ptr::from_ref(&parts.plan).cast_mut().cast::<c_void>(),
            ptr::from_mut(&mut raw_pidfd),
            ptr::null_mut::<c_void>(),
            parts.in_use.as_ptr(),
        )
    };
    if pid < 0 {
        return Err(last_errno());
    }
    // SAFETY: clone succeeded, so the kernel stored a fresh descriptor that nothing else owns.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(raw_pidfd) }))
}

fn terminated(strings: &[CString]) -> Vec<*const c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([ptr::null()]).collect()
}

impl ExecPlan {
    /// The plan without pointers and descriptors.
    fn of(command: &Command) -> ExecPlan {
        ExecPlan {
            step: ptr::null::<AtomicI32>(),
            report: -1,
            argv: ptr::null(),
            envp: ptr::null(),
            candidates: ptr::null(),
            workingdir: ptr::null(),
            umask: command.umask,
            stdio: [-1; 3],
            files: [ptr::null(); 3],
            lowest: -1,
            highest: -1,
            tty: matches!(command.stdio, Stdio::Tty(_)),
            session: command.session,
            credentials: ptr::null(),
            nofile: command.nofile,
            no_new_privs: command.no_new_privs,
            oom_score_adj: ptr::null(),
            nice: command.nice,
            cgroup: ptr::null(),
            close: CloseMethod::Range,
            shares_table: false,
            dispositions: 0,
            #[cfg(test)]
            obstacle: None,
            #[cfg(test)]
            obstacle_met: false.into(),
        }
    }
}
