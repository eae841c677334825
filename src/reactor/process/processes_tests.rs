//! Tests of the lists of processes.

use super::*;
use crate::reactor::output::Stream;
use crate::supervisor::{Autostart, Launch, Policy, Program, Time};
use crate::sys;
use std::collections::BTreeMap;

const WEB: ProcessId = ProcessId(0);

/// One process with a channel, and the other end of its pipe.
fn processes(poller: &mut Poller) -> (Processes, u32, std::os::fd::OwnedFd) {
    let program = Program {
        name: "web".to_string(),
        numprocs: 1,
        autostart: Autostart::Yes,
        policy: Policy::default(),
        launch: Launch::default(),
        vars: BTreeMap::new(),
    };
    let process = Process::new(WEB, &program, 0, Time::default());
    let mut processes = Processes::default();
    assert!(processes.add(&process));
    assert!(!processes.add(&process));
    let (ours, theirs) = sys::io::pipe().expect("a pipe");
    let io = processes.io_mut(WEB).expect("added");
    let opened = io.open_channel(ours, Stream::Stdout, false, poller);
    (processes, opened.expect("watched"), theirs)
}

#[test]
fn a_channel_is_on_the_list_once() {
    let mut poller = Poller::new().expect("an epoll instance");
    let (mut processes, number, _pipe) = processes(&mut poller);
    processes.queue_output(WEB, number, false);
    processes.queue_output(WEB, number, true);
    assert_eq!(processes.next_output(), Some((WEB, number)));
    assert_eq!(processes.next_output(), None);
    // It counts as queued until its read is finished.
    processes.queue_output(WEB, number, false);
    assert!(!processes.has_output_ready());
    processes.output_read(WEB, number, Reading::Idle);
    processes.queue_output(WEB, number, false);
    assert!(processes.has_output_ready());
}

#[test]
fn only_paused_channels_are_resumed() {
    let mut poller = Poller::new().expect("an epoll instance");
    let (mut processes, number, _pipe) = processes(&mut poller);
    processes.resume_reading(WEB);
    assert!(!processes.has_output_ready());
    processes.output_read(WEB, number, Reading::Paused);
    processes.resume_reading(WEB);
    processes.resume_reading(WEB);
    assert_eq!(processes.next_output(), Some((WEB, number)));
    assert!(!processes.has_output_ready());
}

#[test]
fn a_process_is_dirty_once() {
    let mut poller = Poller::new().expect("an epoll instance");
    let (mut processes, _, _pipe) = processes(&mut poller);
    processes.mark_dirty(WEB);
    processes.mark_dirty(WEB);
    processes.mark_dirty(ProcessId(9));
    assert_eq!(processes.take_dirty(), [WEB]);
    assert_eq!(processes.take_dirty(), []);
    processes.mark_dirty(WEB);
    assert_eq!(processes.take_dirty(), [WEB]);
}

#[test]
fn a_reaped_leader_is_remembered_by_its_group_only() {
    let mut poller = Poller::new().expect("an epoll instance");
    let (mut processes, _, _pipe) = processes(&mut poller);
    let pid = sys::runtime::own_pid();
    let pidfd = sys::pidfd::open(pid).expect("a pidfd");
    let source = crate::reactor::poller::EventSource::Leader(WEB);
    let token = poller.add(&pidfd, source, mio::Interest::READABLE);
    let token = token.expect("watched");
    processes.set_leader(WEB, LiveLeader { pid, pidfd, token });
    assert_eq!(processes.by_leader(pid), Some(WEB));
    processes.leader_exited(WEB, &mut poller);
    assert_eq!(processes.by_leader(pid), None);
    assert_eq!(poller.source(token), None);
    let io = processes.io(WEB).expect("added");
    assert_eq!(io.past_leaders, [pid]);
    assert!(io.live_leader().is_none());
}
