//! `echo_tty [raw|line]`: says `ready`, then gives back what is typed: `line` (default) answers
//! each line with `echo: LINE`, `raw` puts the terminal in raw mode and gives back each byte at
//! once, ctrl-c (3) ends it. Both print `size ROWS COLS` at the start and on every SIGWINCH.
#![allow(unsafe_code)]

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

static RESIZED: AtomicBool = AtomicBool::new(true);

extern "C" fn resized(_signal: libc::c_int) {
    RESIZED.store(true, Ordering::Relaxed);
}

fn main() -> io::Result<()> {
    let raw = std::env::args().nth(1).as_deref() == Some("raw");
    // SAFETY: the handler only stores to an atomic; no SA_RESTART, so that read returns.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = resized as *const () as usize;
        libc::sigaction(libc::SIGWINCH, &raw const action, std::ptr::null_mut());
    }
    if raw && let Ok(mut modes) = rustix::termios::tcgetattr(io::stdin()) {
        modes.make_raw();
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &modes)?;
    }
    print("ready\r\n")?;
    let mut line = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        if RESIZED.swap(false, Ordering::Relaxed) {
            print_size()?;
        }
        let read = match rustix::io::read(io::stdin().as_fd(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => return Ok(()),
            Ok(read) => &buffer[..read],
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if raw {
            io::stdout().write_all(read)?;
            io::stdout().flush()?;
            if read.contains(&3) {
                return Ok(());
            }
            continue;
        }
        for byte in read {
            line.push(*byte);
            if *byte == b'\n' {
                print(&format!("echo: {}", String::from_utf8_lossy(&line)))?;
                line.clear();
            }
        }
    }
}

fn print_size() -> io::Result<()> {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) => print(&format!("size {} {}\r\n", size.ws_row, size.ws_col)),
        Err(_) => print("no terminal\r\n"),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
