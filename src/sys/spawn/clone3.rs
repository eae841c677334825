//! `clone3`, which starts a child in a cgroup. libc has no wrapper for it.

use libc::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;

/// The child's entry point.
pub(crate) type EntryPoint = extern "C" fn(*mut c_void) -> c_int;

/// The arguments of the call. The kernel reads them, and nothing else of this.
#[derive(Debug)]
pub(crate) struct CloneIntoCgroup {
    /// Flags of `clone`, without a signal.
    pub flags: c_int,
    /// The directory of the cgroup.
    pub cgroup: RawFd,
    /// The start and the size of the child's stack.
    pub stack: (*mut c_void, usize),
    /// Where the kernel stores the pidfd.
    pub pidfd: *mut c_int,
    /// The number that the kernel clears when the child releases its memory.
    pub child_tid: *mut u32,
}

/// Starts a child. Returns its pid, or an errno.
///
/// # Safety
/// As for `clone`: `entry` never returns, and with `CLONE_VM` the stack, which nothing else uses,
/// and all that `entry` reads live as long as the child uses them. The pointers of `call` are valid
/// for the kernel's writes.
pub(crate) unsafe fn clone_into_cgroup(
    call: &CloneIntoCgroup,
    entry: EntryPoint,
    argument: *mut c_void,
) -> Result<i32, i32> {
    // SAFETY: plain data for which all zeroes are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(call.flags.cast_unsigned()) | CLONE_INTO_CGROUP;
    arguments.pidfd = call.pidfd as u64;
    arguments.child_tid = call.child_tid as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.stack = call.stack.0 as u64;
    arguments.stack_size = call.stack.1 as u64;
    arguments.cgroup = call.cgroup as u64;
    // SAFETY: the caller vouches for the rest; the arguments live until the call returns.
    let result = unsafe { trap(ptr::from_ref(&arguments), entry, argument) };
    match result {
        0.. => i32::try_from(result).map_err(|_| libc::EOVERFLOW),
        _ => Err((result as i32).wrapping_neg()),
    }
}

/// The flag of `clone3`; libc's constant has a type of its own on some targets.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const SIZE: usize = size_of::<libc::clone_args>();

/// Makes the call. The child begins on its own stack, so it must not return from here: it calls
/// `entry` at once.
#[cfg(target_arch = "x86_64")]
unsafe fn trap(
    arguments: *const libc::clone_args,
    entry: EntryPoint,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: as for `clone_into_cgroup`. In the parent, the kernel changes rax, rcx and r11 only.
    // The child has the registers of the parent, and the end of its stack, aligned to 16 bytes, as
    // rsp.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") SIZE,
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn trap(
    arguments: *const libc::clone_args,
    entry: EntryPoint,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: as for `clone_into_cgroup`. In the parent, the kernel changes x0 only. The child has
    // the registers of the parent, and the end of its stack as sp.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            inlateout("x0") arguments => result,
            in("x1") SIZE,
            in("x8") libc::SYS_clone3,
            in("x20") argument,
            in("x21") entry,
            options(nostack),
        );
    }
    result
}

/// There is no such call here: the child writes itself to its cgroup.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn trap(_: *const libc::clone_args, _: EntryPoint, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}
