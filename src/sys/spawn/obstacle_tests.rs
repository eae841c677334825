//! Children that are stopped or killed at each step, and files that the child opens.

use super::*;
use crate::sys::pidfd::{self, ExitStatus};
use crate::sys::testing::*;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::AsFd;

/// The steps of a child with everything.
const STEPS: [SpawnStep; 17] = [
    SpawnStep::CloseRange,
    SpawnStep::Setsid,
    SpawnStep::Stdio,
    SpawnStep::Rlimit,
    SpawnStep::Nice,
    SpawnStep::OomScore,
    SpawnStep::Cgroup,
    SpawnStep::Groups,
    SpawnStep::Gid,
    SpawnStep::Uid,
    SpawnStep::VerifyCredentials,
    SpawnStep::Chdir,
    SpawnStep::OpenStdin,
    SpawnStep::OpenStdout,
    SpawnStep::OpenStderr,
    SpawnStep::NoNewPrivs,
    SpawnStep::Exec,
];

/// The steps of a child that keeps the daemon's user, and may share its memory.
const OWN_STEPS: [SpawnStep; 7] = [
    SpawnStep::CloseRange,
    SpawnStep::Setsid,
    SpawnStep::Stdio,
    SpawnStep::Rlimit,
    SpawnStep::Nice,
    SpawnStep::Chdir,
    SpawnStep::Exec,
];

/// A command that goes through all of `STEPS`.
fn command_with_everything(folder: &std::path::Path) -> Command {
    let path = |name: &str| CString::new(folder.join(name).to_str().unwrap()).unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder, everyone).unwrap();
    std::fs::write(folder.join("in"), "").unwrap();
    std::fs::write(folder.join("cgroup.procs"), "").unwrap();
    let mut command = own_command();
    command.oom_score_adj = Some(500);
    command.credentials = Some(Credentials {
        uid: 4242,
        gid: 4343,
        groups: vec![4444],
    });
    command.no_new_privs = true;
    command.files = [Some(path("in")), Some(path("out")), Some(path("err"))];
    command.cgroup = Some(path("cgroup.procs"));
    command
}

fn own_command() -> Command {
    let mut command = piped(&["/bin/true"]).command;
    command.nofile = Some((64, 64));
    command.nice = Some(5);
    command
}

/// Waits for the next report of a start.
fn next_report(start: &Starting) {
    readable(start.report());
}

/// Waits until the child is stopped at its step.
fn stopped(start: &Starting) {
    let id = libc::id_t::try_from(start.pid()).unwrap();
    // SAFETY: plain data for which all zeroes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo_t to a live variable.
    let waited = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) };
    assert_eq!((waited, info.si_code), (0, libc::CLD_STOPPED));
}

fn start(launcher: &mut Launcher, command: Command) -> Starting {
    let started = launcher.start(command);
    started.map_err(|failed| failed.0).expect("a child")
}

/// Runs a start to its end.
fn finish(launcher: &mut Launcher, mut start: Starting) -> (StartProgress, ExitStatus) {
    let progress = loop {
        match launcher.poll(&mut start) {
            StartProgress::Pending => next_report(&start),
            progress => break progress,
        }
    };
    let exit = pidfd::wait_blocking(start.pidfd()).unwrap();
    launcher.release(start);
    (progress, exit)
}

/// A child that stops at `step` is pending, its step is known, and other starts go past it.
fn stop_at(launcher: &mut Launcher, step: SpawnStep, command: Command) {
    launcher.obstacle = Some((step, libc::SIGSTOP));
    let mut held = start(launcher, command);
    launcher.obstacle = None;
    stopped(&held);
    assert_eq!(launcher.poll(&mut held), StartProgress::Pending, "{step:?}");
    assert_eq!(launcher.step(&held), step);
    let other = start(launcher, own_command());
    let ran = (StartProgress::Executed, ExitStatus::Code(0));
    // The end of its report pipe must not depend on the child that is held.
    assert_eq!(finish(launcher, other), ran, "beside {step:?}");
    pidfd::signal(held.pidfd(), libc::SIGCONT).unwrap();
    assert_eq!(finish(launcher, held), ran, "{step:?}");
}

/// A child that is killed at `step` has ended, and nothing of it is left.
fn kill_at(launcher: &mut Launcher, step: SpawnStep, command: Command) {
    launcher.obstacle = Some((step, libc::SIGKILL));
    let mut killed = start(launcher, command);
    launcher.obstacle = None;
    readable(killed.pidfd());
    assert!(
        !crate::sys::descendants::has_executed(killed.pid()),
        "{step:?}"
    );
    let progress = launcher.poll(&mut killed);
    assert!(
        !matches!(progress, StartProgress::Failed(_)),
        "{step:?}: {progress:?}"
    );
    assert_eq!(launcher.step(&killed), step);
    let exit = pidfd::wait_blocking(killed.pidfd()).unwrap();
    let signal = libc::SIGKILL;
    assert_eq!(
        exit,
        ExitStatus::Signal {
            signal,
            core: false
        }
    );
    launcher.release(killed);
}

#[test]
fn a_child_may_stop_or_die_at_each_step() {
    alone(
        "sys::spawn::obstacle_tests::a_child_may_stop_or_die_at_each_step",
        || {
            let mut launcher = Launcher::new().unwrap();
            for _ in 0..3 {
                for step in OWN_STEPS {
                    stop_at(&mut launcher, step, own_command());
                    kill_at(&mut launcher, step, own_command());
                }
            }
            let folder = tempfile::tempdir().unwrap();
            let steps = if is_root() { &STEPS[..] } else { &[] };
            for step in steps {
                stop_at(&mut launcher, *step, command_with_everything(folder.path()));
                kill_at(&mut launcher, *step, command_with_everything(folder.path()));
            }
            assert_eq!(pidfd::peek_any_zombie().unwrap(), None);
        },
    );
}

#[test]
fn many_children_may_hang_before_they_have_their_own_descriptors() {
    alone(
        "sys::spawn::obstacle_tests::many_children_may_hang_before_they_have_their_own_descriptors",
        || {
            let mut launcher = Launcher::new().unwrap();
            launcher.obstacle = Some((SpawnStep::CloseRange, libc::SIGSTOP));
            let held: Vec<Starting> = (0..40)
                .map(|_| start(&mut launcher, own_command()))
                .collect();
            launcher.obstacle = None;
            held.iter().for_each(stopped);
            let ran = (StartProgress::Executed, ExitStatus::Code(0));
            for _ in 0..10 {
                let other = start(&mut launcher, own_command());
                assert_eq!(finish(&mut launcher, other), ran);
            }
            // All of them: each may hold a copy of the report pipes of those before it.
            for start in &held {
                pidfd::signal(start.pidfd(), libc::SIGCONT).unwrap();
            }
            for start in held {
                assert_eq!(finish(&mut launcher, start), ran);
            }
        },
    );
}

#[test]
fn a_child_that_hangs_changes_nothing_in_the_daemon() {
    alone(
        "sys::spawn::obstacle_tests::a_child_that_hangs_changes_nothing_in_the_daemon",
        || {
            let mut launcher = Launcher::new().unwrap();
            let score = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
            let before = (score(), std::env::current_dir().unwrap());
            launcher.obstacle = Some((SpawnStep::Exec, libc::SIGSTOP));
            let mut command = own_command();
            let own: i32 = before.0.trim().parse().unwrap();
            command.oom_score_adj = Some((own + 10).min(1000));
            let scored = start(&mut launcher, command);
            let shared = start(&mut launcher, own_command());
            launcher.obstacle = None;
            stopped(&scored);
            stopped(&shared);
            assert_eq!((score(), std::env::current_dir().unwrap()), before);
            // A failed call of a child that shares the memory must not reach our errno.
            // SAFETY: the address of this thread's errno is always valid.
            unsafe { *libc::__errno_location() = 77 };
            pidfd::signal(shared.pidfd(), libc::SIGKILL).unwrap();
            pidfd::signal(scored.pidfd(), libc::SIGKILL).unwrap();
            for child in [scored, shared] {
                pidfd::wait_blocking(child.pidfd()).unwrap();
                launcher.release(child);
            }
        },
    );
}

/// A thread of another user tries everything that would reveal the memory or the descriptors of a
/// child that has become that user.
#[test]
fn the_new_user_cannot_look_into_a_child_before_its_exec() {
    if !is_root() {
        return skipped("needs root");
    }
    alone(
        "sys::spawn::obstacle_tests::the_new_user_cannot_look_into_a_child_before_its_exec",
        || {
            let mut launcher = Launcher::new().unwrap();
            let folder = tempfile::tempdir().unwrap();
            for step in [SpawnStep::Chdir, SpawnStep::OpenStderr, SpawnStep::Exec] {
                launcher.obstacle = Some((step, libc::SIGSTOP));
                let held = start(&mut launcher, command_with_everything(folder.path()));
                stopped(&held);
                let pid = held.pid();
                let thread = std::thread::spawn(move || look_into(pid));
                thread.join().unwrap();
                pidfd::signal(held.pidfd(), libc::SIGKILL).unwrap();
                pidfd::wait_blocking(held.pidfd()).unwrap();
                launcher.release(held);
            }
        },
    );
}

fn look_into(pid: i32) {
    use rustix::thread::{Gid, Uid};
    let (uid, gid) = (Uid::from_raw(4242), Gid::from_raw(4343));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
    let target = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(target).expect("it may be signalled");
    for name in ["mem", "environ", "fd", "maps", "cwd", "exe", "root", "auxv"] {
        let path = format!("/proc/{pid}/{name}");
        let opened = std::fs::read_link(&path).is_ok()
            || std::fs::read_dir(&path).is_ok()
            || std::fs::read(&path).is_ok_and(|bytes| !bytes.is_empty());
        assert!(!opened, "{path}");
    }
    // SAFETY: takes numbers only.
    let attached = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) };
    assert_eq!(attached, -1, "ptrace");
    let pidfd = pidfd::open(pid).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
    for fd in 0..5 {
        // SAFETY: takes numbers only.
        let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, number, fd, 0) };
        assert_eq!(taken, -1, "descriptor {fd}");
    }
}

#[test]
fn files_are_opened_by_the_child() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| CString::new(folder.path().join(name).to_str().unwrap()).unwrap();
    std::fs::write(folder.path().join("in"), "from a file").unwrap();
    let mut piped = piped(&["sh", "-c", "cat; echo trouble >&2"]);
    piped.command.files = [Some(path("in")), Some(path("out")), Some(path("out"))];
    assert_eq!(run(piped), (String::new(), ExitStatus::Code(0)));
    let written = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert_eq!(written, "from a filetrouble\n");

    let fifo = folder.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::os::unix::fs::symlink("out", folder.path().join("link")).unwrap();
    for (number, name, words) in [
        (0, "none", "No such file or directory"),
        (0, "", "Is a directory"),
        (0, "fifo", "neither a regular file nor a character device"),
        (1, "fifo", "No such device or address"),
        (2, "link", "Too many levels of symbolic links"),
    ] {
        let mut piped = crate::sys::testing::piped(&["true"]);
        piped.command.files[number] = Some(path(name));
        let error = spawn(&piped.command).expect_err("no such file");
        let file = ["stdin", "stdout", "stderr"][number];
        let step = step_text(error.step, &piped.command);
        assert!(
            step.starts_with(&format!("{file}: open {}", folder.path().display())),
            "{step}"
        );
        let text = io::Error::from(error).to_string();
        assert!(text.starts_with(words), "{name}: {text}");
    }
}

/// Nothing is left of a launcher's children in its descriptors once they have exec'd.
#[test]
fn a_burst_leaves_no_descriptor_open() {
    alone(
        "sys::spawn::obstacle_tests::a_burst_leaves_no_descriptor_open",
        || {
            let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let mut launcher = Launcher::new().unwrap();
            let before = count();
            let starts: Vec<Starting> = (0..100)
                .map(|_| start(&mut launcher, own_command()))
                .collect();
            for start in starts {
                let ran = (StartProgress::Executed, ExitStatus::Code(0));
                assert_eq!(finish(&mut launcher, start), ran);
            }
            assert_eq!(count(), before);
            let piped = piped(&["/bin/true"]);
            let start = start(&mut launcher, piped.command);
            let end = PollFd::from_borrowed_fd(piped.stdout.as_fd(), PollFlags::IN);
            finish(&mut launcher, start);
            let patience = Timespec {
                tv_sec: 30,
                tv_nsec: 0,
            };
            let hung_up = rustix::event::poll(&mut [end], Some(&patience));
            assert_eq!(hung_up, Ok(1), "the pipe has no writer left");
        },
    );
}
