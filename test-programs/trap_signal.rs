//! `trap_signal [NAME] [CODE] [AFTER_MS]`: prints `ready` and waits for the signal (TERM; a name
//! without SIG, or a number). Then it prints `got NAME`, and exits with CODE (0)
//! AFTER_MS (0) later.
#![allow(
    clippy::disallowed_methods,
    reason = "tests choose its end and its delay"
)]
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "TERM".to_string());
    let code = arguments
        .next()
        .map_or(0, |code| code.parse().expect("CODE is a number"));
    let after = arguments
        .next()
        .map_or(0, |after| after.parse().expect("AFTER_MS is a number"));
    let signal = number(&name);
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by sigemptyset before its use.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        assert_eq!(
            libc::sigaddset(set.as_mut_ptr(), signal),
            0,
            "no signal: {name}"
        );
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
    println!("ready");
    let mut got = 0;
    // SAFETY: waits for a signal of an initialised set.
    unsafe { libc::sigwait(set.as_ptr(), &raw mut got) };
    println!("got {name}");
    std::thread::sleep(Duration::from_millis(after));
    std::process::exit(code);
}

fn number(name: &str) -> i32 {
    match name {
        "HUP" => libc::SIGHUP,
        "INT" => libc::SIGINT,
        "QUIT" => libc::SIGQUIT,
        "USR1" => libc::SIGUSR1,
        "USR2" => libc::SIGUSR2,
        "TERM" => libc::SIGTERM,
        "WINCH" => libc::SIGWINCH,
        number => number
            .parse()
            .expect("NAME is HUP, INT, QUIT, USR1, USR2, TERM, WINCH or N"),
    }
}
