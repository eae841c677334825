//! `crash`: dies of SIGSEGV at once.
#![allow(unsafe_code)]

fn main() {
    println!("about to crash");
    // SAFETY: both calls take numbers only. Rust's own handler is removed first, so that the
    // signal kills as it does in any program.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::raise(libc::SIGSEGV);
    }
    unreachable!("SIGSEGV kills");
}
