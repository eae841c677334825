//! `partial_line [TEXT] [CODE]`: prints one complete line, then TEXT (`no newline`) without a final
//! newline, and exits with CODE (0).
#![allow(
    clippy::disallowed_methods,
    reason = "tests choose its end and its delay"
)]

use std::io::Write;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().unwrap_or_else(|| "no newline".to_string());
    let code = arguments
        .next()
        .map_or(0, |code| code.parse().expect("CODE is a number"));
    println!("a whole line");
    print!("{text}");
    std::io::stdout().flush().expect("stdout is there");
    std::process::exit(code);
}
