//! `daemonise [PORT | hide]`: goes to the background when a line arrives on standard input, as
//! nginx does at once. Prints `ready` before that. Then it forks, the leader exits with 0, and the
//! rest calls setsid and writes a title over its environment. Prints `master PID` and `worker PID`
//! when a master, which holds PORT, and its worker wait to be killed. With `hide`, users other than
//! root may not inspect them.
#![allow(unsafe_code)]

use std::net::{Ipv4Addr, TcpListener};

unsafe extern "C" {
    static environ: *const *mut libc::c_char;
}

fn main() {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    let hides = std::env::args().nth(1).is_some_and(|word| word == "hide");
    let (mut hidden, hiding) = std::io::pipe().expect("a pipe");
    // SAFETY: there is one thread, and the parent ends without running anything of the child's.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {}
        _ => {
            drop(hiding);
            if hides {
                // The supervisor never sees the rest in the group of its leader.
                let _ = std::io::Read::read(&mut hidden, &mut [0]);
            }
            // SAFETY: takes a number.
            unsafe { libc::_exit(0) }
        }
    }
    if hides {
        // SAFETY: takes numbers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    }
    // SAFETY: takes nothing; a forked child leads no group.
    unsafe { libc::setsid() };
    drop(hiding);
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let listener = port.map(|port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let _listener = listener.map(|bound| bound.expect("a free port"));
    overwrite_environment();
    let master = std::process::id();
    // SAFETY: there is one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => println!("master {master}\nworker {}", std::process::id()),
        _ => {}
    }
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Writes a title over the environment, as servers do that show their state in `ps`.
fn overwrite_environment() {
    // SAFETY: there is one thread, and nothing reads the environment afterwards. Each entry is a
    // terminated string that this process may write to.
    unsafe {
        let mut entry = environ;
        while !(*entry).is_null() {
            std::ptr::write_bytes(*entry, b' ', libc::strlen(*entry));
            entry = entry.add(1);
        }
    }
}
