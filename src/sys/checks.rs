//! The kernel features that the daemon uses and their active fallbacks, for `tm doctor`.
//!
//! A check is here only if the daemon behaves differently when it fails.

use super::cgroup::OwnCgroup;
use super::{pidfd, pty, rlimit, spawn};
use std::fs;
use std::os::fd::AsFd;

/// The name of a check, whether the feature is available, and a line about what the daemon uses.
pub(crate) type Check = (&'static str, bool, String);

/// Marks what an ordinary user does without.
pub(crate) const NORMAL: &str = "normal without root";

/// The oldest supported kernel.
const KERNEL_MIN: (u32, u32) = (5, 10);

/// A lower hard limit of open files is reported.
const NOFILE_WANTED: u64 = 4096;

/// Runs all checks. Starts no process and changes nothing.
pub(crate) fn run() -> Vec<Check> {
    vec![
        kernel(),
        pidfd_open(),
        close_range(),
        terminals(),
        children_lists(),
        cgroups(),
        open_files(),
        privileges(),
    ]
}

/// The kernel's release, such as `6.1.0-18-amd64`.
pub(crate) fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn kernel() -> Check {
    let release = kernel_release();
    let ok = release_number(&release) >= KERNEL_MIN;
    let (major, minor) = KERNEL_MIN;
    let detail = match ok {
        true => release,
        false => format!("{release}; at least {major}.{minor} is needed"),
    };
    ("kernel", ok, detail)
}

fn release_number(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

fn pidfd_open() -> Check {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let result = pidfd::open(own).and_then(|fd| pidfd::signal(fd.as_fd(), 0));
    let detail = match &result {
        Ok(()) => "exact exits and signals".to_string(),
        Err(error) => format!("{}; no process can be supervised", super::error_text(error)),
    };
    ("pidfd", result.is_ok(), detail)
}

fn close_range() -> Check {
    let ok = spawn::close_range_available();
    let detail = match ok {
        true => "one call closes the files that a child must not inherit",
        false => "missing or forbidden; files are closed one by one",
    };
    ("close_range", ok, detail.to_string())
}

fn terminals() -> Check {
    let result = pty::open(24, 80);
    let detail = match &result {
        Ok(_) => "/dev/ptmx works".to_string(),
        Err(error) => format!(
            "{}; programs with `tty` cannot start",
            super::error_text(error)
        ),
    };
    ("pty", result.is_ok(), detail)
}

fn children_lists() -> Check {
    let ok = fs::metadata("/proc/thread-self/children").is_ok();
    let detail = match ok {
        true => "processes that outlive their parent are found in /proc/PID/task/TID/children",
        false => "missing in /proc; processes that outlive their parent are found by a scan of all",
    };
    ("children lists", ok, detail.to_string())
}

fn cgroups() -> Check {
    match OwnCgroup::find() {
        Ok(own) => {
            let directory = own.directory.display();
            (
                "cgroup",
                true,
                format!("each process has its own below {directory}"),
            )
        }
        Err(error) => {
            let is_user = super::runtime::effective_uid() != 0;
            let normal = match error.raw_os_error() {
                Some(libc::EACCES | libc::EPERM) if is_user => format!(", {NORMAL}"),
                _ => String::new(),
            };
            let error = super::error_text(&error);
            let detail = format!(
                "{error}{normal}; a process that leaves its parent is recognised by its session, \
                 group, memory layout and environment"
            );
            ("cgroup", false, detail)
        }
    }
}

fn open_files() -> Check {
    let (soft, hard) = rlimit::nofile();
    let raised = rlimit::raised_nofile(soft, hard);
    let ok = hard >= NOFILE_WANTED;
    let detail = match ok {
        true => format!("the daemon can open {raised}"),
        false => format!("the daemon can open {raised}; each process needs up to 4"),
    };
    ("open files", ok, detail)
}

fn privileges() -> Check {
    let uid = super::runtime::effective_uid();
    let detail = match uid {
        0 => "root: programs can run as other users".to_string(),
        uid => format!("user {uid}, {NORMAL}: every program runs as this user"),
    };
    ("privileges", uid == 0, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(release_number("6.1.0-18-amd64"), (6, 1));
        assert_eq!(release_number("5.10"), (5, 10));
        assert_eq!(release_number("odd"), (0, 0));
        assert!(release_number("5.9.99") < KERNEL_MIN);
    }

    #[test]
    fn every_check_has_a_name_and_a_detail_and_the_needed_ones_pass() {
        let checks = run();
        for (name, _, detail) in &checks {
            assert!(!name.is_empty() && !detail.is_empty(), "{name} {detail}");
        }
        for needed in ["kernel", "pidfd", "pty"] {
            let check = checks.iter().find(|(name, ..)| *name == needed);
            assert!(check.expect("it is checked").1, "{check:?}");
        }
    }
}
