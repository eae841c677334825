//! `echo_tty [raw|line]`: prints `ready`, then returns its input. `line` (default) answers each
//! line with `echo: LINE`. `raw` puts the terminal in raw mode and returns each byte at once;
//! ctrl-c (3) ends it. Both print `size ROWS COLS` at the start and on every SIGWINCH.
#![allow(unsafe_code)]

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

static RESIZED: AtomicBool = AtomicBool::new(true);

extern "C" fn resized(_signal: libc::c_int) {
    RESIZED.store(true, Ordering::Relaxed);
}

fn main() -> io::Result<()> {
    let raw = std::env::args().nth(1).as_deref() == Some("raw");
    listen_for_resize();
    if raw && let Ok(mut modes) = rustix::termios::tcgetattr(io::stdin()) {
        modes.make_raw();
        let now = rustix::termios::OptionalActions::Now;
        rustix::termios::tcsetattr(io::stdin(), now, &modes)?;
    }
    // A raw terminal does not add the carriage return.
    let end = if raw { "\r\n" } else { "\n" };
    print(format!("ready{end}").as_bytes())?;
    let mut line = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        if RESIZED.swap(false, Ordering::Relaxed) {
            print_size(end)?;
        }
        if !wait_for_input() {
            continue;
        }
        let typed = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => return Ok(()),
            Ok(length) => &buffer[..length],
            Err(error) => return Err(error.into()),
        };
        if raw {
            print(typed)?;
            if typed.contains(&3) {
                return Ok(());
            }
            continue;
        }
        for byte in typed {
            line.push(*byte);
            if *byte == b'\n' {
                print(&[b"echo: ", line.as_slice()].concat())?;
                line.clear();
            }
        }
    }
}

/// SIGWINCH is handled, but only while waiting: see `wait_for_input`.
fn listen_for_resize() {
    // SAFETY: the handler only stores to an atomic; the action and the set are initialised before
    // they are used.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = resized as *const () as usize;
        libc::sigaction(libc::SIGWINCH, &raw const action, std::ptr::null_mut());
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGWINCH);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Waits for input (true) or a change of size (false), whichever comes first; neither is missed.
fn wait_for_input() -> bool {
    let mut fds = [libc::pollfd {
        fd: 0,
        events: libc::POLLIN,
        revents: 0,
    }];
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: one live pollfd; the set is initialised before it is used; no timeout.
    let ready = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::ppoll(fds.as_mut_ptr(), 1, std::ptr::null(), none.as_ptr())
    };
    ready > 0
}

fn print_size(end: &str) -> io::Result<()> {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) => print(format!("size {} {}{end}", size.ws_row, size.ws_col).as_bytes()),
        Err(_) => print(format!("no terminal{end}").as_bytes()),
    }
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}
