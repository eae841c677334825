//! The exit of a leader.

use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::Exit;
use crate::sys;
use crate::sys::pidfd::ExitStatus;
use std::os::fd::AsFd;

/// Takes the exit status of the leader, which reaps it. Returns `None` if it has not exited.
pub(crate) fn take_exit(io: &ProcessIo) -> Option<Exit> {
    let leader = io.live_leader()?;
    let status = match sys::pidfd::wait(leader.pidfd.as_fd()) {
        Ok(Some(status)) => status,
        Ok(None) => return None,
        Err(error) => {
            // Its status is lost, but its exit is a fact.
            log::error!("pid {}: cannot take its exit status: {error}", leader.pid);
            ExitStatus::Code(255)
        }
    };
    Some(match status {
        ExitStatus::Code(code) => Exit::Code(code),
        ExitStatus::Signal { signal, core } => Exit::Signal { signal, core },
    })
}
