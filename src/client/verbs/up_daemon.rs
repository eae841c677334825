//! The daemon of `up`: the one that runs, or a new one.

use crate::client::cli::command::UpArgs;
use crate::client::context::Context;
use crate::client::daemon::by_config;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::lifecycle::{EXIT_TIMEOUT, ends_within, start_daemon};
use crate::client::daemon::survivors::{self, OnSurvivors};
use crate::client::error::ClientError;
use crate::config::Config;
use crate::sys::pidfd;
use std::path::Path;
use std::time::Duration;

/// How often daemons may end before they greet.
const ENDED_MAX: usize = 10;

/// Connects to the daemon of the config, which is started if none runs. Waits for the end of one
/// that is shutting down. Returns whether the daemon is new.
///
/// # Errors
/// Of the connection or the start, or when there are survivors.
pub(crate) fn find_or_start(
    context: &Context,
    config: &Config,
    args: &UpArgs,
) -> Result<(DaemonConnection, bool), ClientError> {
    if let Some(connection) = running(context, config)? {
        return Ok((connection, false));
    }
    let socket = context.global.socket.as_deref();
    let sockets = by_config::sockets_of(config, socket);
    if socket.is_some() {
        by_config::refuse_lost(&sockets)?;
    }
    let action = match (args.replace, args.ignore_survivors) {
        (true, _) => OnSurvivors::Replace,
        (false, true) => OnSurvivors::Ignore,
        (false, false) => OnSurvivors::Ask,
    };
    let survivors = survivors::look(config, &sockets, action);
    // Another client may have started a daemon before the look, to which these belong.
    if survivors.exist()
        && let Some(connection) = running(context, config)?
    {
        return Ok((connection, false));
    }
    survivors::settle(config, survivors, action, |text| context.notice(text))?;
    match start_daemon(&config.path, socket)? {
        Ok(()) => Ok((find(context, config)?, true)),
        // Another client may have started it in the meantime.
        Err(failed) => match running(context, config) {
            Ok(Some(connection)) => Ok((connection, false)),
            _ => Err(failed.report()),
        },
    }
}

/// The daemon that runs and stays.
fn running(context: &Context, config: &Config) -> Result<Option<DaemonConnection>, ClientError> {
    for _ in 0..ENDED_MAX {
        let mut connection = match find(context, config) {
            Err(ClientError::NotRunning(_)) => return Ok(None),
            found => found?,
        };
        // Before the greeting: afterwards its pid may belong to another process.
        let process = connection.peer_pid().and_then(|pid| pidfd::open(pid).ok());
        let hello = match connection.hello() {
            Err(ClientError::Disconnected) => None,
            hello => Some(hello?),
        };
        match hello {
            Some(hello) if !hello.shutting_down => {
                let pid = hello.pid;
                context.notice(&format!("the daemon is already running (pid {pid})"));
                return Ok(Some(connection));
            }
            Some(hello) => context.notice(&format!(
                "the daemon is shutting down (pid {}); waiting for its end…",
                hello.pid
            )),
            None => {}
        }
        drop(connection);
        let time = stop_time(config) + EXIT_TIMEOUT;
        if process.is_some_and(|process| !ends_within(&process, time)) {
            return Err(ClientError::Failed(format!(
                "the daemon that is shutting down did not exit within {} s",
                time.as_secs()
            )));
        }
    }
    Err(ClientError::Disconnected)
}

/// The time that the processes of a config may take to stop.
fn stop_time(config: &Config) -> Duration {
    let times = config.programs.iter().map(|one| one.policy.stoptime);
    times.max().unwrap_or_default()
}

/// Connects to the daemon of this config, at `--socket` if that is given.
fn find(context: &Context, config: &Config) -> Result<DaemonConnection, ClientError> {
    let trust = context.trust()?;
    let at = |socket: &Path| {
        let connection = DaemonConnection::open(socket, &trust)?;
        by_config::verify_config(connection, &config.path)
    };
    match &context.global.socket {
        Some(socket) => at(socket),
        None => by_config::daemon_of(&config.path, &trust),
    }
}
