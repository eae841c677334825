//! `hold_lease FILE`: holds a lease on FILE, so that opening it for an exec blocks. Prints `ready`,
//! and `held` as soon as a process opens it. Gives the lease up when its standard input ends.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

fn main() {
    let path = std::env::args().nth(1).expect("FILE");
    let file = File::open(path).expect("FILE can be opened");
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by sigemptyset before its use; fcntl takes numbers.
    let leased = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGIO);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
    };
    assert_eq!(leased, 0, "{}", std::io::Error::last_os_error());
    println!("ready");
    let mut signal = 0;
    // SAFETY: waits for a signal of an initialised set.
    unsafe { libc::sigwait(set.as_ptr(), &raw mut signal) };
    println!("held");
    let mut rest = Vec::new();
    std::io::stdin()
        .read_to_end(&mut rest)
        .expect("its input ends");
}
