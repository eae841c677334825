//! `fork_tree [DEPTH] [--leader-exits] [--ignore-term]`: a tree of processes that all wait to be
//! killed. Each process down to DEPTH (2) starts a child in its own process group and one that
//! calls setsid. Each prints `pid PID ppid PPID pgid PGID sid SID` once, in one write; the leader
//! prints `ready COUNT` after all of them and then waits, or exits with 0 at once. With
//! `--ignore-term` all of them ignore SIGTERM.
#![allow(unsafe_code)]

use std::io::{Read, Write};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let depth = arguments
        .iter()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(2_u32);
    if has("--ignore-term") {
        // SAFETY: takes numbers only; children inherit it.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    if !grow(depth) {
        drop(reader);
        report(writer);
        wait_forever();
    }
    report(writer);
    // Every process holds the writing end until it has reported.
    let mut reports = String::new();
    reader.read_to_string(&mut reports).expect("reports");
    println!("{reports}ready {}", reports.lines().count());
    if !has("--leader-exits") {
        wait_forever();
    }
}

/// Forks the tree below this process. Returns true in the leader, false in all others.
fn grow(depth: u32) -> bool {
    let mut leader = true;
    let mut level = 0;
    let mut own_session = false;
    while level < depth {
        // SAFETY: there is one thread.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                if own_session {
                    // SAFETY: takes nothing; a forked child leads no group.
                    unsafe { libc::setsid() };
                }
                leader = false;
                own_session = false;
                level += 1;
            }
            _ if own_session => break,
            _ => own_session = true,
        }
    }
    leader
}

fn report(mut writer: std::io::PipeWriter) {
    // SAFETY: takes nothing, or this process's own id.
    let (ppid, pgid, sid) = unsafe { (libc::getppid(), libc::getpgid(0), libc::getsid(0)) };
    let pid = std::process::id();
    let line = format!("pid {pid} ppid {ppid} pgid {pgid} sid {sid}\n");
    writer.write_all(line.as_bytes()).expect("the leader reads");
}

fn wait_forever() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}
