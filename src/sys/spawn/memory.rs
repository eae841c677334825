//! The memory of a start: the child's stack, and the board on which children show their steps.

use super::{SpawnError, SpawnStep, last_errno};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};

const STACK_BYTES: usize = 128 * 1024;
/// The largest page size of Linux, so that a guard page fits on every machine.
const PAGE_BYTES: usize = 64 * 1024;

/// Stacks that are kept for the next starts.
const KEPT_MAX: usize = 16;

/// A child's stack, with a guard page below.
#[derive(Debug)]
pub(crate) struct ChildStack(Mapping);

impl ChildStack {
    fn new() -> Result<Self, SpawnError> {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        let mapping = Mapping::new(STACK_BYTES + PAGE_BYTES, private)?;
        mapping.guard(PAGE_BYTES)?;
        Ok(ChildStack(mapping))
    }

    /// The start of the stack (it grows down).
    pub(crate) fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping, which is page- and so 16-byte-aligned.
        unsafe { self.0.start.as_ptr().byte_add(self.0.length) }
    }

    /// The lowest address and the size, guard page included.
    pub(crate) fn range(&self) -> (*mut c_void, usize) {
        (self.0.start.as_ptr(), self.0.length)
    }
}

/// Stacks that no child uses.
#[derive(Debug, Default)]
pub(crate) struct StackPool(Vec<ChildStack>);

impl StackPool {
    /// Takes a stack.
    pub(crate) fn take(&mut self) -> Result<ChildStack, SpawnError> {
        match self.0.pop() {
            Some(stack) => Ok(stack),
            None => ChildStack::new(),
        }
    }

    /// Takes a stack back that no child uses any longer.
    pub(crate) fn give_back(&mut self, stack: ChildStack) {
        if self.0.len() < KEPT_MAX {
            self.0.push(stack);
        }
    }
}

/// The steps that children have reached, in a page that all of them share with the daemon.
///
/// A number in it only words a message, so it does not matter who writes it.
#[derive(Debug)]
pub(crate) struct StepBoard {
    page: Mapping,
    free: Vec<usize>,
}

const CELLS: usize = 1024;

impl StepBoard {
    pub(crate) fn new() -> Result<Self, SpawnError> {
        let bytes = CELLS * size_of::<AtomicI32>();
        let page = Mapping::new(bytes, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
        Ok(StepBoard {
            page,
            // The last cell is for all starts beyond the others.
            free: (0..CELLS - 1).rev().collect(),
        })
    }

    /// Takes a cell, and the address at which its child writes.
    pub(crate) fn take(&mut self) -> (usize, *const AtomicI32) {
        let cell = self.free.pop().unwrap_or(CELLS - 1);
        self.at(cell)
            .store(SpawnStep::Clone as i32, Ordering::Relaxed);
        (cell, ptr::from_ref(self.at(cell)))
    }

    /// Takes a cell back.
    pub(crate) fn give_back(&mut self, cell: usize) {
        if cell < CELLS - 1 {
            self.free.push(cell);
        }
    }

    /// The step that a child has reached.
    pub(crate) fn step(&self, cell: usize) -> SpawnStep {
        let code = self.at(cell).load(Ordering::Relaxed);
        SpawnStep::from_code(code).unwrap_or(SpawnStep::Exec)
    }

    fn at(&self, cell: usize) -> &AtomicI32 {
        let cells = self.page.start.cast::<AtomicI32>();
        // SAFETY: the mapping is zeroed, aligned, holds CELLS atomics and lives as long as self;
        // `cell` is below CELLS; other processes only write atomics.
        unsafe { cells.add(cell.min(CELLS - 1)).as_ref() }
    }
}

/// An anonymous mapping, unmapped when dropped.
#[derive(Debug)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_beyond_the_board_share_its_last_cell() {
        let mut board = StepBoard::new().unwrap();
        let taken: Vec<usize> = (0..CELLS + 3).map(|_| board.take().0).collect();
        assert_eq!(taken[..3], [0, 1, 2]);
        assert_eq!(taken[CELLS - 1..], [CELLS - 1; 4]);
        board
            .at(5)
            .store(SpawnStep::Chdir as i32, Ordering::Relaxed);
        assert_eq!(board.step(5), SpawnStep::Chdir);
        board.at(5).store(-7, Ordering::Relaxed);
        assert_eq!(board.step(5), SpawnStep::Exec, "a number that is no step");
        taken.into_iter().for_each(|cell| board.give_back(cell));
        assert_eq!(board.free.len(), CELLS - 1);
    }
}
