use super::*;
use crate::sys::pidfd::{self, ExitStatus};
use crate::sys::testing::*;
use crate::sys::{descendants, privileges, pty, rlimit};
use std::os::fd::{AsFd, AsRawFd};

fn error_of(change: impl FnOnce(&mut Command)) -> (SpawnError, String) {
    let mut piped = piped(&["/bin/true"]);
    change(&mut piped.command);
    let error = spawn(&piped.command).expect_err("it cannot start");
    let text = step_text(error.step, &piped.command);
    (error, text)
}

fn exec_of(program: &str) -> (i32, String) {
    let (error, text) = error_of(|command| {
        command.argv = vec![CString::new(program).unwrap()];
        command.candidates = candidates(program, Some("/nowhere:/etc/passwd:/usr/bin"));
    });
    assert_eq!(error.step, SpawnStep::Exec);
    (error.errno, text)
}

fn own_mask() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn exit_codes_come_back() {
    for code in [0, 1, 7, 255] {
        let (_, exit) = run(piped(&["sh", "-c", &format!("exit {code}")]));
        assert_eq!(exit, ExitStatus::Code(code));
    }
}

#[test]
fn signals_come_back_with_their_number() {
    for signal in [libc::SIGTERM, libc::SIGKILL, 37, 64] {
        let cat = cat(|_| {});
        pidfd::signal(cat.child.pidfd.as_fd(), signal).unwrap();
        assert_eq!(
            exit_of(&cat.child),
            ExitStatus::Signal {
                signal,
                core: false
            }
        );
    }
}

#[test]
fn arguments_and_environment_arrive() {
    let script = "echo \"$0 $1|$GREETING\"; env | sort; pwd; umask";
    let mut piped = piped(&["sh", "-c", script, "zero", "o ne"]);
    piped.command.envp = vec![c"GREETING=hi there".into()];
    piped.command.workingdir = c"/usr".into();
    piped.command.umask = 0o027;
    let (output, _) = run(piped);
    assert_eq!(
        output,
        "zero o ne|hi there\nGREETING=hi there\nPWD=/usr\n/usr\n0027\n"
    );
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let (error, text) = error_of(|command| command.workingdir = c"/nope".into());
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::Chdir,
            errno: libc::ENOENT
        }
    );
    assert_eq!(text, "chdir /nope");
    let (error, _) = error_of(|command| command.workingdir = c"/etc/passwd".into());
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::Chdir,
            errno: libc::ENOTDIR
        }
    );
    assert_eq!(error.to_string(), "chdir: Not a directory (os error 20)");
}

#[test]
fn a_program_that_cannot_run_says_why() {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        exec_of("no-such-program"),
        (libc::ENOENT, "exec no-such-program".into())
    );
    assert_eq!(exec_of("/no/such"), (libc::ENOENT, "exec /no/such".into()));
    assert_eq!(exec_of("/usr"), (libc::EACCES, "exec /usr".into()));
    assert_eq!(
        exec_of("/etc/passwd"),
        (libc::EACCES, "exec /etc/passwd".into())
    );
    assert_eq!(exec_of("").0, libc::ENOENT);
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    std::fs::write(&script, "echo no shebang\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(exec_of(script.to_str().unwrap()).0, libc::ENOEXEC);
    let (error, _) = error_of(|command| command.argv.clear());
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::Exec,
            errno: libc::EINVAL
        }
    );
}

#[test]
fn the_path_is_tried_in_order() {
    let found = candidates("x", Some("/a:/b/::c"));
    assert_eq!(
        found,
        [
            c"/a/x".into(),
            c"/b/x".into(),
            c"./x".into(),
            CString::from(c"c/x")
        ]
    );
    assert_eq!(candidates("a/x", Some("/b")), [CString::from(c"a/x")]);
    assert!(candidates("x\0y", None).is_empty());
    assert_eq!(candidates("x", None).len(), DEFAULT_PATH.split(':').count());

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("true"), "not executable").unwrap();
    let mut piped = piped(&["true"]);
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    piped.command.candidates = candidates("true", Some(&path));
    assert_eq!(
        run(piped).1,
        ExitStatus::Code(0),
        "what may not be run is passed over"
    );
    let (error, _) = error_of(|command| {
        let path = format!("{}:/nowhere", directory.path().display());
        command.candidates = candidates("true", Some(&path));
    });
    assert_eq!(error.errno, libc::EACCES, "and remembered");
}

#[test]
fn nothing_unwanted_is_inherited() {
    alone("sys::spawn::tests::nothing_unwanted_is_inherited", || {
        // SAFETY: takes numbers only; this process is this test's own.
        unsafe {
            libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            libc::signal(37, libc::SIG_IGN);
        }
        let signals = [libc::SIGTERM, libc::SIGCHLD, libc::SIGHUP];
        let _signalfd = crate::sys::signalfd::SignalFd::new(&signals).unwrap();
        let leaked = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
        let (old, hard) = rlimit::raise_nofile().unwrap();
        let mask = own_mask();
        let cat = cat(|command| command.nofile = Some((old.min(512), hard)));
        assert_eq!(own_mask(), mask, "the caller's mask is as before");
        for mask in ["SigBlk", "SigIgn", "SigCgt", "SigPnd"] {
            assert_eq!(cat.status(mask), "0000000000000000", "{mask}");
        }
        assert_eq!(cat.descriptors(), [0, 1, 2]);
        let stat = descendants::stat(cat.child.pid).unwrap();
        assert_eq!((stat.pgid, stat.sid), (stat.pid, stat.pid));
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", stat.pid)).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        assert_eq!(
            line.split_whitespace().nth(3),
            Some(&*old.min(512).to_string())
        );
        cat.end();
    });
}

#[test]
fn descriptors_are_closed_one_by_one_where_need_be() {
    alone(
        "sys::spawn::tests::descriptors_are_closed_one_by_one_where_need_be",
        || {
            let leaked = std::fs::File::open("/dev/null").unwrap();
            rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
            let script = format!("test ! -e /proc/self/fd/{}", leaked.as_raw_fd());
            let piped = piped(&["sh", "-c", &script]);
            let mut launcher = Launcher::closing(CloseMethod::one_by_one()).unwrap();
            let child = blocking::spawn_with(&mut launcher, &piped.command).unwrap();
            assert_eq!(exit_of(&child), ExitStatus::Code(0));
        },
    );
}

#[test]
fn a_group_of_its_own_without_a_session() {
    let cat = cat(|command| command.session = false);
    let stat = descendants::stat(cat.child.pid).unwrap();
    // Read the same way: a session begun outside this pid namespace has the id 0.
    let own = descendants::stat(std::process::id().cast_signed())
        .unwrap()
        .sid;
    assert_eq!((stat.pgid, stat.sid), (stat.pid, own));
    cat.end();
}

#[test]
fn limits_and_scores_are_set() {
    let own_score = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let before: i32 = own_score().trim().parse().unwrap();
    // Raising needs no privilege, lowering does.
    let score = (before + 10).min(1000);
    let cat = cat(|command| {
        command.nofile = Some((100, 200));
        command.nice = Some(7);
        command.oom_score_adj = Some(score);
        command.no_new_privs = true;
    });
    let pid = cat.child.pid;
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    assert!(file("limits").contains("Max open files            100                  200"));
    assert_eq!(file("oom_score_adj"), format!("{score}\n"));
    assert_eq!(
        file("stat").rsplit(')').next().unwrap().split(' ').nth(17),
        Some("7")
    );
    assert_eq!(cat.status("NoNewPrivs"), "1");
    assert_eq!(own_score().trim(), before.to_string(), "ours is untouched");
    cat.end();
}

#[test]
fn limits_that_cannot_be_set_are_named() {
    let (error, text) = error_of(|command| command.nofile = Some((20, 10)));
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::Rlimit,
            errno: libc::EINVAL
        }
    );
    assert_eq!(text, "setrlimit nofile 20:10");
    let (error, text) = error_of(|command| command.oom_score_adj = Some(4000));
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::OomScore,
            errno: libc::EINVAL
        }
    );
    assert_eq!(text, "oom_score_adj 4000");
}

#[test]
fn the_terminal_controls_the_session() {
    let script = "tty; stty size; : < /dev/tty && echo controlled; ps -o tpgid= -p $$; echo $$";
    let (command, master) = on_terminal(&["sh", "-c", script]);
    let device = pty::device(master.as_fd()).unwrap();
    let child = spawn(&command).unwrap();
    drop(command);
    let output = output_of(&master);
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(
        lines[0],
        format!("/dev/pts/{}", device & 0xff | device >> 12 & 0xfff_ff00)
    );
    assert_eq!(lines[1..3], ["31 97", "controlled"]);
    assert_eq!(lines[3], lines[4], "the leader is in the foreground");
    assert_eq!(lines[4], child.pid.to_string());
    assert_eq!(exit_of(&child), ExitStatus::Code(0));
}

#[test]
fn a_terminal_in_use_is_refused() {
    let (mut command, _master) = on_terminal(&["cat"]);
    let child = spawn(&command).unwrap();
    command.credentials = is_root().then(|| credentials(&[]));
    let error = spawn(&command).expect_err("it controls another session");
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::ControllingTerminal,
            errno: libc::EPERM
        }
    );
    pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL).unwrap();
    exit_of(&child);
}

#[test]
fn standard_descriptors_that_are_closed_here_do_not_matter() {
    alone(
        "sys::spawn::tests::standard_descriptors_that_are_closed_here_do_not_matter",
        || {
            // SAFETY: this process is this test's own and reads nothing.
            unsafe { libc::close(0) };
            // The worst case: the source of 1 is at 0, where 0 would overwrite it.
            let (stdout, child_out) = reversed_pipe();
            assert_eq!(child_out.as_raw_fd(), 0, "the pipe took the free number");
            let mut piped = Piped {
                stdout,
                ..piped(&["cat"])
            };
            let Stdio::Fds { stdout, .. } = &mut piped.command.stdio else {
                unreachable!()
            };
            *stdout = child_out;
            crate::sys::io::write(piped.stdin.as_fd(), b"through").unwrap();
            assert_eq!(run(piped), ("through".to_string(), ExitStatus::Code(0)));
        },
    );
}

/// A pipe whose write end has the lower number.
fn reversed_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = crate::sys::io::pipe().unwrap();
    let moved = rustix::io::fcntl_dupfd_cloexec(&read, 3).unwrap();
    drop(read);
    (moved, rustix::io::fcntl_dupfd_cloexec(&write, 0).unwrap())
}

#[test]
fn threads_start_children_at_once() {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                for round in 0..25 {
                    let code = thread * 25 + round;
                    let (_, exit) = run(piped(&["sh", "-c", &format!("exit {code}")]));
                    assert_eq!(exit, ExitStatus::Code(code));
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn two_thousand_starts_leak_nothing() {
    alone(
        "sys::spawn::tests::two_thousand_starts_leak_nothing",
        || {
            let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let mappings = || {
                std::fs::read_to_string("/proc/self/maps")
                    .unwrap()
                    .lines()
                    .count()
            };
            run(piped(&["/bin/true"]));
            let before = (descriptors(), mappings());
            for _ in 0..1000 {
                let mut piped = piped(&["/bin/true"]);
                let child = spawn(&piped.command).unwrap();
                piped.command.workingdir = c"/nope".into();
                assert_eq!(spawn(&piped.command).unwrap_err().step, SpawnStep::Chdir);
                assert_eq!(exit_of(&child), ExitStatus::Code(0));
            }
            assert_eq!(descriptors(), before.0);
            // The allocator may add a few mappings; a thousand stacks must not stay.
            assert!(
                mappings() < before.1 + 10,
                "{} mappings, {} before",
                mappings(),
                before.1
            );
            assert_eq!(pidfd::peek_any_zombie().unwrap(), None);
        },
    );
}

fn credentials(groups: &[u32]) -> Credentials {
    Credentials {
        uid: 4242,
        gid: 4343,
        groups: groups.to_vec(),
    }
}

#[test]
fn another_user_is_that_user_alone() {
    if !is_root() {
        return skipped("needs root");
    }
    alone("sys::spawn::tests::another_user_is_that_user_alone", || {
        let cat = cat(|command| command.credentials = Some(credentials(&[4545, 4444])));
        assert_eq!(cat.status("Uid"), "4242 4242 4242 4242");
        assert_eq!(cat.status("Gid"), "4343 4343 4343 4343");
        assert_eq!(cat.status("Groups"), "4444 4545");
        for mask in ["CapPrm", "CapEff", "CapAmb", "SigBlk", "SigIgn"] {
            assert_eq!(cat.status(mask), "0000000000000000", "{mask}");
        }
        assert_eq!(cat.descriptors(), [0, 1, 2]);
        cat.end();
        // SAFETY: takes nothing else.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 1);
        assert!(rustix::process::getuid().is_root());
        let many: Vec<u32> = (10_000..10_200).collect();
        let cat =
            crate::sys::testing::cat(|command| command.credentials = Some(credentials(&many)));
        assert_eq!(cat.status("Groups").split(' ').count(), 200);
        cat.end();
    });
}

#[test]
fn the_directory_and_program_are_reached_as_that_user() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return skipped("needs root");
    }
    let directory = tempfile::tempdir().unwrap();
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(directory.path(), private).unwrap();
    let path = CString::new(directory.path().to_str().unwrap()).unwrap();
    let (error, _) = error_of(|command| {
        command.credentials = Some(credentials(&[]));
        command.workingdir = path.clone();
    });
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::Chdir,
            errno: libc::EACCES
        }
    );
    let program = directory.path().join("true");
    std::fs::copy("/bin/true", &program).unwrap();
    let (error, _) = error_of(|command| {
        command.credentials = Some(credentials(&[]));
        command.candidates = candidates(program.to_str().unwrap(), None);
    });
    assert_eq!(
        error,
        SpawnError {
            step: SpawnStep::Exec,
            errno: libc::EACCES
        }
    );
    let wide = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), wide).unwrap();
    let mut piped = piped(&[
        "sh",
        "-c",
        "echo hello > /dev/stdout; echo $(cat /dev/stdin)",
    ]);
    piped.command.credentials = Some(credentials(&[]));
    piped.command.workingdir = path;
    assert_eq!(run(piped), ("hello\n\n".to_string(), ExitStatus::Code(0)));
}

#[test]
fn another_user_owns_its_terminal() {
    if !is_root() {
        return skipped("needs root");
    }
    let script = "stat -c %u $(tty); : < $(tty) && echo opened";
    let (mut command, master) = on_terminal(&["sh", "-c", script]);
    command.credentials = Some(credentials(&[]));
    let child = spawn(&command).unwrap();
    drop(command);
    assert_eq!(output_of(&master), "4242\r\nopened\r\n");
    assert_eq!(exit_of(&child), ExitStatus::Code(0));
}

#[test]
fn an_ordinary_user_cannot_become_another() {
    alone(
        "sys::spawn::tests::an_ordinary_user_cannot_become_another",
        || {
            if is_root() {
                privileges::drop_for_good(4242, 4343, &[]).unwrap();
            }
            let (error, text) =
                error_of(|command| command.credentials = Some(credentials(&[1, 2])));
            assert_eq!(
                error,
                SpawnError {
                    step: SpawnStep::Groups,
                    errno: libc::EPERM
                }
            );
            assert_eq!(text, "setgroups 1,2");
            assert_eq!(run(piped(&["true"])).1, ExitStatus::Code(0));
        },
    );
}
