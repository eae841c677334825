//! System calls without libc: no errno, no thread-local storage, no lock.
//!
//! A child that shares the daemon's memory runs beside the daemon. libc would write such a child's
//! errors over the daemon's errno.

use std::ffi::c_long;

/// Whether a child may share the daemon's memory: only where [`call`] does without libc.
pub(crate) const WITHOUT_LIBC: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
));

/// Makes a system call. Returns its result, which is not negative, or its errno.
///
/// # Safety
/// As for the call itself: pointers among the arguments must be valid for it.
pub(crate) unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, i32> {
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { trap(number, arguments) };
    match result {
        0.. => Ok(result.cast_unsigned()),
        // The kernel's errors are -4095 to -1; no call that is made here returns an address.
        _ => Err((result as i32).wrapping_neg()),
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn trap(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result;
    // SAFETY: the registers of the system call interface; the kernel overwrites rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn trap(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result;
    // SAFETY: the registers of the system call interface.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    result
}

#[cfg(target_arch = "riscv64")]
unsafe fn trap(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result;
    // SAFETY: the registers of the system call interface.
    unsafe {
        std::arch::asm!(
            "ecall",
            in("a7") number,
            inlateout("a0") a => result,
            in("a1") b, in("a2") c, in("a3") d, in("a4") e, in("a5") f,
            options(nostack)
        );
    }
    result
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
unsafe fn trap(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    // SAFETY: the caller vouches for the arguments. The child has its own memory here.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    match result {
        // SAFETY: the address of this thread's errno is always valid.
        -1 => unsafe { -(*libc::__errno_location() as isize) },
        result => result as isize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_back_as_numbers_and_leave_errno_alone() {
        // SAFETY: the address of this thread's errno is always valid.
        unsafe { *libc::__errno_location() = 77 };
        // SAFETY: takes numbers only.
        let error = unsafe { call(libc::SYS_close, [usize::MAX, 0, 0, 0, 0, 0]) };
        assert_eq!(error, Err(libc::EBADF));
        if WITHOUT_LIBC {
            // SAFETY: as above.
            assert_eq!(unsafe { *libc::__errno_location() }, 77);
        }
        // SAFETY: takes nothing.
        let pid = unsafe { call(libc::SYS_getpid, [0; 6]) };
        assert_eq!(pid, Ok(std::process::id() as usize));
    }
}
