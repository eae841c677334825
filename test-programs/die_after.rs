//! `die_after MS [CODE|SIGNAL]`: prints `ready`, lives MS milliseconds, then exits with CODE (1),
//! or dies of a signal given as `-9`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests choose its end and its delay"
)]
#![allow(unsafe_code)]

use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let delay = arguments
        .next()
        .map_or(1000, |ms| ms.parse().expect("MS is a number"));
    let end = arguments
        .next()
        .map_or(1, |end| end.parse().expect("a code, or -SIGNAL"));
    println!("ready");
    std::thread::sleep(Duration::from_millis(delay));
    if end >= 0 {
        std::process::exit(end);
    }
    // SAFETY: takes a number.
    unsafe { libc::raise(-end) };
}
