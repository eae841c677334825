//! Limits that the daemon raises for itself and must not pass to its children: open files, and
//! its protection from the kernel's out-of-memory killer.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// The largest soft limit to set. Some kernels allow a billion, and tables grow with the limit.
const NOFILE_MAX: u64 = 1 << 20;

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// RLIMIT_NOFILE as (soft, hard); `u64::MAX` is unlimited.
pub(crate) fn nofile() -> (u64, u64) {
    let limit = getrlimit(Resource::Nofile);
    (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    )
}

/// The soft limit after [`raise_nofile`].
pub(crate) fn raised_nofile(soft: u64, hard: u64) -> u64 {
    soft.max(hard.min(NOFILE_MAX))
}

/// Raises the soft limit and returns the previous (soft, hard), which children get back.
pub(crate) fn raise_nofile() -> io::Result<(u64, u64)> {
    let (soft, hard) = nofile();
    let wanted = raised_nofile(soft, hard);
    if wanted > soft {
        let maximum = (hard != u64::MAX).then_some(hard);
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum,
            },
        )?;
    }
    Ok((soft, hard))
}

/// The `oom_score_adj` to give to children so that they do not inherit the daemon's. `None` when
/// the daemon's is 0 anyway, or cannot be changed (lowering it needs a privilege).
pub(crate) fn oom_score_of_children() -> Option<i32> {
    let own = std::fs::read_to_string(OOM_SCORE_ADJ).ok()?;
    let score: i32 = own.trim().parse().ok()?;
    if score == 0 {
        return None;
    }
    // Raising is always allowed, so a score lowered as a test can be restored.
    let may = score < 0 || std::fs::write(OOM_SCORE_ADJ, "0").is_ok();
    if score > 0 && may {
        std::fs::write(OOM_SCORE_ADJ, own.trim()).ok()?;
    }
    may.then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::alone;

    #[test]
    fn the_soft_limit_goes_up_and_the_old_one_is_returned() {
        alone(
            "sys::rlimit::tests::the_soft_limit_goes_up_and_the_old_one_is_returned",
            || {
                let (_, hard) = nofile();
                let low = Rlimit {
                    current: Some(64),
                    maximum: (hard != u64::MAX).then_some(hard),
                };
                setrlimit(Resource::Nofile, low).unwrap();
                assert_eq!(raise_nofile().unwrap(), (64, hard));
                assert_eq!(nofile(), (hard.min(NOFILE_MAX), hard));
                raise_nofile().unwrap();
                assert_eq!(
                    nofile(),
                    (hard.min(NOFILE_MAX), hard),
                    "again changes nothing"
                );
            },
        );
    }
}
