//! `close_stdout`: prints `closing`, closes descriptors 0, 1 and 2, and stays alive.
#![allow(unsafe_code)]

use std::io::Write;

fn main() {
    println!("closing");
    std::io::stdout().flush().expect("stdout is there");
    for fd in 0..3 {
        // SAFETY: nothing uses them afterwards.
        unsafe { libc::close(fd) };
    }
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}
