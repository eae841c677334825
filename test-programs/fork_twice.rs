//! `fork_twice`: goes to the background like a classic daemon. Forks and exits, calls setsid, forks
//! and exits again, all as fast as it can. The last child prints `pid PID sid SID` and waits to be
//! killed.
#![allow(unsafe_code)]

fn main() {
    fork_and_exit();
    // SAFETY: takes nothing; a forked child leads no group.
    unsafe { libc::setsid() };
    fork_and_exit();
    // SAFETY: takes this process's own id.
    let sid = unsafe { libc::getsid(0) };
    println!("pid {} sid {sid}", std::process::id());
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Returns only in the child.
fn fork_and_exit() {
    // SAFETY: there is one thread, and the parent ends without running anything of the child's.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {}
        // SAFETY: takes a number.
        _ => unsafe { libc::_exit(0) },
    }
}
