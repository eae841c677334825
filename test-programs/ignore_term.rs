//! `ignore_term`: ignores TERM, INT, HUP and QUIT, prints `ready` and waits to be killed.
#![allow(unsafe_code)]

fn main() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: takes numbers only.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    println!("ready");
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}
