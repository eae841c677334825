//! How many open files a config needs, next to the limit.

use crate::reactor::control::spare_files::SPARES;
use crate::supervisor::{Launch, Program, Sink, Stdin};
use crate::sys;
use std::io;

/// Files of the daemon itself, and of a few clients.
const OWN: u64 = 64;

/// Descriptors that starts leave to clients, at most, with those that are kept for the owner: a
/// daemon without any could not be asked why.
const RESERVE: u64 = 64;

/// Descriptors of the daemon that a start uses for a moment: both ends of each stream, the report
/// of the child, its pidfd.
const OF_A_START: u64 = 8;

/// Whether a process may be started, while `opening` others open their log files: enough
/// descriptors are left for it and for clients.
///
/// # Errors
/// `EMFILE` if they are not.
pub(crate) fn room_for(launch: &Launch, opening: u64) -> io::Result<()> {
    let (limit, _) = sys::rlimit::nofile();
    let reserve = RESERVE.min(limit / 12).saturating_sub(SPARES as u64);
    let used = sys::io::lowest_free_fd()?;
    let wanted = (opening + 1) * of_process(launch).max(OF_A_START);
    match used + wanted + reserve <= limit {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EMFILE)),
    }
}

/// A warning, if the limit of open files is too low for all processes of these programs. The limit
/// must have been raised already.
pub(crate) fn warning(programs: &[Program]) -> Option<String> {
    let (limit, _) = sys::rlimit::nofile();
    let processes: u64 = programs.iter().map(|one| u64::from(one.numprocs)).sum();
    let needed = needed(programs);
    (needed > limit).then(|| {
        format!(
            "{processes} processes need {needed} open files, and the limit is {limit}: raise it \
             with `ulimit -Hn`, or with LimitNOFILE= in a systemd unit"
        )
    })
}

/// Open files of the daemon while all processes run.
fn needed(programs: &[Program]) -> u64 {
    let of_program = |one: &Program| u64::from(one.numprocs) * of_process(&one.launch);
    programs.iter().map(of_program).sum::<u64>() + OWN
}

/// The pidfd, the daemon's ends of the standard streams, and the log files of one process.
fn of_process(launch: &Launch) -> u64 {
    let stream = |sink: &Sink| match sink {
        Sink::Ring => 1,
        Sink::File(file) if !file.direct => 2,
        Sink::File(_) | Sink::Discard | Sink::Stdout => 0,
    };
    let pipes = match launch.tty {
        Some(_) => stream(&launch.stdout).max(1),
        None => {
            let stdin = u64::from(launch.stdin == Stdin::Pipe);
            stdin + stream(&launch.stdout) + stream(&launch.stderr)
        }
    };
    1 + pipes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{SizePolicy, Tty};

    #[test]
    fn pidfd_streams_and_logs_count() {
        let plain = Launch::default();
        assert_eq!(of_process(&plain), 3);
        let merged = Launch {
            stdin: Stdin::Pipe,
            stderr: Sink::Stdout,
            ..Launch::default()
        };
        assert_eq!(of_process(&merged), 3);
        let console = Launch {
            tty: Some(Tty {
                rows: 24,
                cols: 80,
                size: SizePolicy::Latest,
            }),
            ..Launch::default()
        };
        assert_eq!(of_process(&console), 2);
    }
}
