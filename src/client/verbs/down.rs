//! `down` and `shutdown`.

use crate::client::cli::command::DownArgs;
use crate::client::context::Context;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::lifecycle::{EXIT_TIMEOUT, wait_for_end};
use crate::client::daemon::received::parse;
use crate::client::daemon::survivors;
use crate::client::error::{ClientError, exit};
use crate::client::ui::event_loop::{FdWatch, wait};
use crate::client::verbs::act_live::WaitingLine;
use crate::config::{self, Environment};
use crate::sys::pidfd;
use crate::sys::privileges::open_as;
use crate::text::plural::plural;
use crate::wire::{Call, EventsParams, ShutdownParams};
use serde_json::Value;
use signal_hook::consts::SIGINT;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs `down` (with `until_end`) and `shutdown`.
///
/// # Errors
/// Of the connection or the request.
pub(crate) fn down(
    context: &Context,
    args: &DownArgs,
    until_end: bool,
) -> Result<i32, ClientError> {
    let mut connection = match context.connect() {
        Err(ClientError::NotRunning(missing)) if !context.global.json => {
            context.notice(&format!("tm: {missing}"));
            return Ok(exit::NO_DAEMON);
        }
        connection => connection?,
    };
    let hello = connection.hello()?;
    let daemon = pidfd::open(hello.pid).ok();
    let (hello_config, socket) = (connection.config()?, real_path(connection.path()));
    let events = follow(context);
    let processes = context.status_of_all()?.processes;
    let alive = processes.iter().filter(|process| process.pid.is_some());
    let alive = alive.count();
    match connection.call_value(&Call::Shutdown(ShutdownParams { now: args.now })) {
        // The daemon may exit before it answers.
        Ok(_) | Err(ClientError::Disconnected) => {}
        Err(error) => return Err(error),
    }
    context.reports_events();
    let counted = match alive {
        0 => String::new(),
        _ => format!("{} and ", plural(alive, "process", "processes")),
    };
    context.notice(&format!(
        "stopping {counted}the daemon (pid {})…",
        hello.pid
    ));
    if until_end {
        let open = processes.into_iter().filter(|one| !one.state.is_down());
        let line = WaitingLine::new(context, open.map(|one| one.name));
        match (daemon, events) {
            (Some(daemon), Ok(events)) => wait_for_processes(context, &daemon, events, line)?,
            (daemon, _) => wait_for_end(daemon)?,
        }
        context.notice("the daemon has ended");
        notice_left(context, &hello_config, &socket);
    }
    if context.global.json {
        context.print_json(&serde_json::json!({ "stopped": alive, "pid": hello.pid }))?;
    }
    Ok(exit::DONE)
}

/// The socket, if the path of it is the link that the daemon leaves.
fn real_path(socket: &Path) -> PathBuf {
    socket.read_link().unwrap_or_else(|_| socket.to_path_buf())
}

/// Names the processes that the daemon has left running on purpose.
fn notice_left(context: &Context, config: &Path, socket: &Path) {
    let config = config::load(config, &Environment::current(open_as)).ok();
    let left = config.and_then(|config| survivors::left_by_stops(&config, socket));
    if let Some(text) = left {
        context.notice(&text);
    }
}

/// Follows the events of the daemon. A caller that may not only waits without a line.
fn follow(context: &Context) -> Result<DaemonConnection, ClientError> {
    let mut events = context.connect()?;
    let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
    Ok(events)
}

/// Waits until the daemon's process has exited: as long as its processes need to stop, and a time
/// of its own.
fn wait_for_processes(
    context: &Context,
    daemon: &OwnedFd,
    mut events: DaemonConnection,
    mut line: WaitingLine<'_>,
) -> Result<(), ClientError> {
    if context.shell.is_none() {
        events.guard(&[SIGINT]);
    }
    let mut following = true;
    let mut limit = None;
    loop {
        if line.is_empty() || !following {
            limit.get_or_insert_with(|| Instant::now() + EXIT_TIMEOUT);
        }
        let until = [line.due(), limit].into_iter().flatten().min();
        let watches = [
            FdWatch::readable(daemon),
            FdWatch::new(&events, following, false),
        ];
        let ready = wait(watches, until);
        let [ended, event] =
            ready.map_err(|error| ClientError::Failed(format!("poll: {error}")))?;
        if ended.is_readable() {
            return line.clear();
        }
        if event.is_readable() && following {
            following = events.receive().is_ok();
            while let Some((_, params)) = events.buffered_notification()? {
                line.take(&parse(params)?, true);
            }
        }
        let interrupt = events.is_interrupted().then_some(SIGINT);
        if let Some(signal) = context.interrupted().or(interrupt) {
            line.clear()?;
            return Err(ClientError::Interrupted {
                signal,
                continues: true,
            });
        }
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            line.clear()?;
            let seconds = EXIT_TIMEOUT.as_secs();
            return Err(ClientError::Failed(format!(
                "the daemon did not exit within {seconds} s after its last process"
            )));
        }
        line.draw_if_due()?;
    }
}
