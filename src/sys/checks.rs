//! What the kernel offers and which fallback is in use, for `tm doctor`.

use super::{pidfd, pty, rlimit, spawn};
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// What was found, or what is used instead.
    pub detail: String,
}

/// The oldest kernel everything works on.
const KERNEL_FLOOR: (u32, u32) = (5, 10);

/// All checks. Starts no process and changes nothing.
pub fn checks() -> Vec<Check> {
    vec![
        kernel(),
        pidfd_open(),
        pidfd_group_signal(),
        close_range(),
        terminals(),
        children_lists(),
        open_files(),
        cgroup(),
        user_namespaces(),
        privileges(),
        pressure(),
    ]
}

/// The kernel's release, such as `6.1.0-18-amd64`.
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn kernel() -> Check {
    let release = kernel_release();
    let ok = release_number(&release) >= KERNEL_FLOOR;
    let (major, minor) = KERNEL_FLOOR;
    let detail = match ok {
        true => release,
        false => format!("{release}; at least {major}.{minor} is needed"),
    };
    Check {
        name: "kernel",
        ok,
        detail,
    }
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
        Err(error) => format!("{error}; nothing can be supervised without it"),
    };
    Check {
        name: "pidfd",
        ok: result.is_ok(),
        detail,
    }
}

fn pidfd_group_signal() -> Check {
    let ok = pidfd::group_signal_available();
    let detail = match ok {
        true => "signals to a group whose leader is gone are exact",
        false => "not offered (Linux 6.9 has it); groups are signalled by number",
    };
    Check {
        name: "pidfd group signal",
        ok,
        detail: detail.to_string(),
    }
}

fn close_range() -> Check {
    let ok = spawn::close_range_available();
    let detail = match ok {
        true => "one call closes what a child must not have",
        false => "not offered or forbidden; descriptors are closed one by one",
    };
    Check {
        name: "close_range",
        ok,
        detail: detail.to_string(),
    }
}

fn terminals() -> Check {
    let result = pty::open(24, 80);
    let detail = match &result {
        Ok(_) => "/dev/ptmx works".to_string(),
        Err(error) => format!("{error}; programs with `tty` cannot start"),
    };
    Check {
        name: "pty",
        ok: result.is_ok(),
        detail,
    }
}

fn children_lists() -> Check {
    let ok = fs::metadata("/proc/thread-self/children").is_ok();
    let detail = match ok {
        true => "/proc/PID/task/TID/children",
        false => "no children lists in /proc; stragglers are found by scanning all of it",
    };
    Check {
        name: "children lists",
        ok,
        detail: detail.to_string(),
    }
}

fn open_files() -> Check {
    let (soft, hard) = rlimit::nofile();
    let ok = hard >= 4096;
    let detail = match ok {
        true => format!("limit {soft}, can be raised to {hard}"),
        false => format!("limit {soft}:{hard}; each process takes up to 4 descriptors"),
    };
    Check {
        name: "open files",
        ok,
        detail,
    }
}

fn cgroup() -> Check {
    let name = "cgroup v2";
    let Some(own) = own_cgroup() else {
        return Check {
            name,
            ok: false,
            detail: "not mounted; no resource limits".to_string(),
        };
    };
    let writable = rustix::fs::access(&own, rustix::fs::Access::WRITE_OK).is_ok();
    let controllers = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
    let controllers = controllers.trim();
    let detail = match writable {
        true => format!("{} is writable; controllers: {controllers}", own.display()),
        false => format!("{} is not writable; no resource limits", own.display()),
    };
    Check {
        name,
        ok: writable,
        detail,
    }
}

/// The directory of the cgroup this process is in.
fn own_cgroup() -> Option<PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let below = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })?;
    Some(mount.join(below))
}

fn user_namespaces() -> Check {
    let exists = fs::metadata("/proc/self/ns/user").is_ok();
    let text = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    let maximum: u64 = text.trim().parse().unwrap_or(0);
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let inside = map.split_whitespace().nth(2) != Some("4294967295");
    let place = if inside {
        "this is one"
    } else {
        "this is the first one"
    };
    let detail = match exists {
        true => format!("up to {maximum}; {place}"),
        false => "not in this kernel".to_string(),
    };
    Check {
        name: "user namespaces",
        ok: exists && maximum > 0,
        detail,
    }
}

fn privileges() -> Check {
    let uid = rustix::process::geteuid().as_raw();
    let detail = match uid {
        0 => "root: programs can run as other users".to_string(),
        uid => format!("user {uid}: every program runs as this user"),
    };
    Check {
        name: "privileges",
        ok: uid == 0,
        detail,
    }
}

fn pressure() -> Check {
    let ok = fs::metadata("/proc/pressure/memory").is_ok();
    let detail = if ok {
        "/proc/pressure"
    } else {
        "no pressure figures in this kernel"
    };
    Check {
        name: "pressure",
        ok,
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(release_number("6.1.0-18-amd64"), (6, 1));
        assert_eq!(release_number("5.10"), (5, 10));
        assert_eq!(release_number("odd"), (0, 0));
        assert!(release_number("5.9.99") < KERNEL_FLOOR);
    }

    #[test]
    fn every_check_says_something_and_leaves_nothing_open() {
        let checks = checks();
        for check in &checks {
            assert!(
                !check.name.is_empty() && !check.detail.is_empty(),
                "{check:?}"
            );
        }
        for needed in ["kernel", "pidfd", "pty"] {
            let check = checks
                .iter()
                .find(|check| check.name == needed)
                .expect("it is looked at");
            assert!(check.ok, "{check:?}");
        }
    }
}
