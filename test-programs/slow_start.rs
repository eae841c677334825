//! `slow_start [MS]`: prints `starting`, and `ready` after MS milliseconds (1000), then waits to be
//! killed.
#![allow(
    clippy::disallowed_methods,
    reason = "tests choose its end and its delay"
)]
#![allow(unsafe_code)]

use std::time::Duration;

fn main() {
    let delay = std::env::args()
        .nth(1)
        .map_or(1000, |ms| ms.parse().expect("MS is a number"));
    println!("starting");
    std::thread::sleep(Duration::from_millis(delay));
    println!("ready");
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}
