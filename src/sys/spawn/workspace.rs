//! The memory for a start: the child's stack, and the page in which it reports a failure.

use super::descriptors::Slots;
use super::{SpawnError, SpawnStep, last_errno};
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};

/// Runs `body` with this thread's workspace, created on first use.
pub(crate) fn with<R>(
    body: impl FnOnce(&mut Workspace) -> Result<R, SpawnError>,
) -> Result<R, SpawnError> {
    thread_local! {
        static WORKSPACE: RefCell<Option<Workspace>> = const { RefCell::new(None) };
    }
    WORKSPACE.with_borrow_mut(|slot| {
        let workspace = match slot.take() {
            Some(workspace) => workspace,
            None => Workspace::new()?,
        };
        body(slot.insert(workspace))
    })
}

/// A failing child's report to its parent, in memory that both share.
#[repr(C)]
pub(crate) struct Report {
    step: AtomicI32,
    errno: AtomicI32,
}

impl Report {
    /// Called by the parent before a start.
    pub(crate) fn clear(&self) {
        self.errno.store(0, Ordering::Relaxed);
        self.step.store(0, Ordering::Release);
    }

    /// Called by the child: reports the failed step and its error.
    pub(crate) fn set(&self, step: SpawnStep, errno: i32) {
        self.errno.store(errno, Ordering::Relaxed);
        self.step.store(step as i32, Ordering::Release);
    }

    /// Called by the parent: the step's code and the errno; `None` after a success.
    pub(crate) fn take(&self) -> Option<(i32, i32)> {
        let step = self.step.load(Ordering::Acquire);
        (step != 0).then(|| (step, self.errno.load(Ordering::Relaxed)))
    }
}

/// One thread's child stack, report page and descriptor slots.
pub(crate) struct Workspace {
    pub memory: Memory,
    pub slots: Slots,
}

/// The memory that a child writes to.
pub(crate) struct Memory {
    stack: Mapping,
    report: Mapping,
}

const STACK_BYTES: usize = 128 * 1024;
/// The largest page size of Linux, so that a guard page fits on every machine.
const PAGE_BYTES: usize = 64 * 1024;

impl Workspace {
    fn new() -> Result<Self, SpawnError> {
        Ok(Workspace {
            memory: Memory::new()?,
            slots: Slots::new()?,
        })
    }
}

impl Memory {
    fn new() -> Result<Self, SpawnError> {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        let stack = Mapping::new(STACK_BYTES + PAGE_BYTES, private)?;
        stack.guard(PAGE_BYTES)?;
        let report = Mapping::new(PAGE_BYTES, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
        Ok(Memory { stack, report })
    }

    /// The start of the child's stack (it grows down).
    pub(crate) fn stack_top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping, which is page- and so 16-byte-aligned.
        unsafe { self.stack.start.as_ptr().byte_add(self.stack.length) }
    }

    /// The page shared with the child.
    pub(crate) fn report(&self) -> &Report {
        // SAFETY: the mapping is zeroed, aligned, larger than a Report and lives as long as self;
        // a Report is all atomics, so writes by a child are allowed behind a shared reference.
        unsafe { self.report.start.cast::<Report>().as_ref() }
    }
}

/// An anonymous mapping, unmapped when dropped.
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    fn new(length: usize, flags: i32) -> Result<Self, SpawnError> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping at an address that the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        let failed = || SpawnError {
            step: SpawnStep::Clone,
            errno: last_errno(),
        };
        if start == libc::MAP_FAILED {
            return Err(failed());
        }
        let start = NonNull::new(start).ok_or_else(failed)?;
        Ok(Mapping { start, length })
    }

    /// Removes all access to the lowest `bytes`, so that an overflow faults.
    fn guard(&self, bytes: usize) -> Result<(), SpawnError> {
        // SAFETY: the range is the start of this mapping, which nothing uses yet.
        let result = unsafe { libc::mprotect(self.start.as_ptr(), bytes, libc::PROT_NONE) };
        match result {
            0 => Ok(()),
            _ => Err(SpawnError {
                step: SpawnStep::Clone,
                errno: last_errno(),
            }),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and no borrow is left.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}
