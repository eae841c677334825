//! `up`, `down` and `shutdown`.

use crate::client::cli::command::{DownArgs, UpArgs};
use crate::client::context::{Context, Shell};
use crate::client::daemon::by_config;
use crate::client::daemon::daemon_connection::{DaemonConnection, parse};
use crate::client::daemon::lifecycle::{start_daemon, wait_for_end};
use crate::client::daemon::paths;
use crate::client::error::{ClientError, exit};
use crate::client::verbs::foreground;
use crate::client::verbs::progress::{Progress, Verdict};
use crate::config::{self, Autostart, Config, Environment};
use crate::sys::pidfd;
use crate::sys::privileges::open_as;
use crate::text::plural::plural;
use crate::text::printable::printable_lines;
use crate::wire::{
    ActParams, ActReply, Call, EventsParams, ProcessStatus, ReloadParams, ShutdownParams,
};
use serde_json::Value;
use std::path::Path;

/// Runs `up`.
///
/// # Errors
/// Of the config, the daemon's start or the connection.
pub(crate) fn up(context: &Context, args: &UpArgs) -> Result<i32, ClientError> {
    let path = paths::find_config(context.global.config.as_deref())?;
    let config = load(context, &path)?;
    let mut context = context.clone();
    let found = match find_daemon(&context, &config) {
        Ok(mut connection) => {
            let pid = connection.hello()?.pid;
            context.notice(&format!("the daemon is already running (pid {pid})"));
            Some(connection)
        }
        Err(ClientError::NotRunning(_)) => None,
        Err(error) => return Err(error),
    };
    let fresh = found.is_none();
    let connection = match found {
        Some(connection) => connection,
        None => {
            start_daemon(&config.path, context.global.socket.as_deref())?;
            find_daemon(&context, &config)?
        }
    };
    context.global.socket = Some(connection.path().to_path_buf());
    // Its user was trusted for a reason that the path alone does not give.
    context.global.daemon_user = connection.peer_uid().map(|uid| uid.to_string());
    drop(connection);
    // Use this daemon, not that of the control shell. The foreground handles signals itself.
    let shell = context.shell.take().filter(|_| args.detach);
    context.shell = shell.as_ref().map(Shell::unpinned);
    // Before the first status, so that no event is missed between the two.
    let mut events = context.connect()?;
    let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
    if !fresh {
        start_what_is_down(&context, &config)?;
    }
    let processes = context.status_of_all()?.processes;
    let mut progress = Progress::new(context.style, &config, &processes);
    if args.detach {
        return wait_for_all(&context, &mut progress, &processes, events);
    }
    foreground::run(&context, progress, &processes, events, fresh)
}

/// Connects to the daemon of this config, at `--socket` if that is given.
fn find_daemon(context: &Context, config: &Config) -> Result<DaemonConnection, ClientError> {
    let trust = context.trust()?;
    match &context.global.socket {
        Some(socket) => {
            let connection = DaemonConnection::open(socket, &trust)?;
            by_config::verify_config(connection, &config.path)
        }
        None => by_config::daemon_of(&config.path, &trust),
    }
}

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
    let alive = context
        .status_of_all()?
        .processes
        .iter()
        .filter(|process| process.pid.is_some())
        .count();
    match connection.call_value(&Call::Shutdown(ShutdownParams { now: args.now })) {
        // The daemon may exit before it answers.
        Ok(_) | Err(ClientError::Disconnected) => {}
        Err(error) => return Err(error),
    }
    let processes = match alive {
        0 => String::new(),
        _ => format!("{} and ", plural(alive, "process", "processes")),
    };
    context.notice(&format!(
        "stopping {processes}the daemon (pid {})…",
        hello.pid
    ));
    if until_end {
        wait_for_end(daemon)?;
        context.notice("the daemon has ended");
    }
    if context.global.json {
        context.print_json(&serde_json::json!({ "stopped": alive, "pid": hello.pid }))?;
    }
    Ok(exit::DONE)
}

/// Loads the config and prints its errors or warnings.
fn load(context: &Context, path: &Path) -> Result<Config, ClientError> {
    match config::load(path, &Environment::current(open_as)) {
        Ok(config) => {
            if !config.warnings.is_empty() {
                context.notice(&config::render(&config.warnings));
            }
            Ok(config)
        }
        Err(error) if context.global.json => Err(ClientError::Failed(error.to_string())),
        Err(error) => {
            eprintln!("{}", printable_lines(&error.to_string()));
            Err(ClientError::AlreadyReported(exit::FAILED))
        }
    }
}

/// Starts the processes that the config wants up and that are down. Prints a notice when the
/// running processes differ from the config.
fn start_what_is_down(context: &Context, config: &Config) -> Result<(), ClientError> {
    let mut connection = context.connect()?;
    let call = Call::Reload(ReloadParams { dry_run: true });
    let plan: Result<crate::wire::PlanReply, _> = connection.call(&call);
    let changed = |plan: &crate::wire::PlanReply| {
        plan.entries.iter().any(|entry| entry.action != "unchanged")
    };
    if plan.as_ref().is_ok_and(changed) {
        context.notice("the running processes differ from the config; apply it with tm reload");
    }
    let wanted = |program: &str| {
        let mut programs = config.programs.iter();
        programs.any(|p| p.name == program && p.autostart != Autostart::No)
    };
    let processes = context.status_of_all()?.processes.into_iter();
    let targets: Vec<String> = processes
        .filter(|process| process.state.is_down() && wanted(&process.program))
        .map(|process| process.name)
        .collect();
    if targets.is_empty() {
        return Ok(());
    }
    let params = ActParams {
        targets,
        wait: false,
        timeout_s: None,
    };
    let _: ActReply = connection.call(&Call::Start(params))?;
    Ok(())
}

/// Waits until all processes are up or one has failed.
fn wait_for_all(
    context: &Context,
    progress: &mut Progress,
    processes: &[ProcessStatus],
    mut events: DaemonConnection,
) -> Result<i32, ClientError> {
    let say = |line: &str| match context.global.quiet || context.global.json {
        true => Ok(()),
        false => context.print_lines(&[line]),
    };
    for line in progress.first_lines(processes) {
        say(&line)?;
    }
    while !progress.pending(true).is_empty() && progress.count(Verdict::Failed) == 0 {
        let Some((_, params)) = events.next_notification()? else {
            return Err(ClientError::Disconnected);
        };
        if let Some(line) = progress.take(&parse(params)?) {
            say(&line)?;
        }
    }
    if context.global.json {
        context.print_json(&context.status_of_all()?)?;
    } else {
        say(&progress.summary())?;
        if let Some(name) = progress.first_failed() {
            context.notice(&format!("to see why: tm why {name}"));
        }
    }
    let failed = progress.count(Verdict::Failed) > 0;
    Ok(if failed { exit::FAILED } else { exit::DONE })
}
