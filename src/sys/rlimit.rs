//! What the daemon has for itself and its children shall not have: its limit of open files, and
//! its standing with the kernel's out-of-memory killer.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// The largest soft limit taken; a few kernels allow a billion, and tables grow with it.
const NOFILE_MAX: u64 = 1 << 20;

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// RLIMIT_NOFILE as (soft, hard); `u64::MAX` is unlimited.
pub fn nofile() -> (u64, u64) {
    let limit = getrlimit(Resource::Nofile);
    (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    )
}

/// Raises the soft limit as far as it goes and returns the (soft, hard) from before, which
/// children are to get back.
pub fn raise_nofile() -> io::Result<(u64, u64)> {
    let (soft, hard) = nofile();
    let wanted = hard.min(NOFILE_MAX);
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

/// The `oom_score_adj` that children are to be given, so that they do not have the daemon's:
/// `None` when theirs is right anyway, or cannot be changed (lowering one needs a privilege).
pub fn oom_score_of_children() -> Option<i32> {
    let own = std::fs::read_to_string(OOM_SCORE_ADJ).ok()?;
    let score: i32 = own.trim().parse().ok()?;
    if score == 0 {
        return None;
    }
    // Raising is always allowed; so what was lowered to try it can be put back.
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
    fn the_soft_limit_goes_up_and_the_old_one_is_told() {
        alone(
            "sys::rlimit::tests::the_soft_limit_goes_up_and_the_old_one_is_told",
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
