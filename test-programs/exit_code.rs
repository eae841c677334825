//! `exit_code [CODE] [AFTER_MS]`: exits with CODE (0) after AFTER_MS milliseconds (0).
#![allow(
    clippy::disallowed_methods,
    reason = "tests choose its end and its delay"
)]

use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let code = arguments
        .next()
        .map_or(0, |code| code.parse().expect("CODE is a number"));
    let after = arguments
        .next()
        .map_or(0, |after| after.parse().expect("AFTER_MS is a number"));
    std::thread::sleep(Duration::from_millis(after));
    std::process::exit(code);
}
