//! `up`.

use crate::client::cli::command::UpArgs;
use crate::client::cli::copied_commands;
use crate::client::context::{Context, Shell};
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::lifecycle::{SHUT_DOWN, SHUTDOWN_EVENT};
use crate::client::daemon::paths;
use crate::client::daemon::received::parse;
use crate::client::error::{ClientError, exit};
use crate::client::ui::messages::for_stderr;
use crate::client::verbs::foreground;
use crate::client::verbs::foreground::ownership::Ownership;
use crate::client::verbs::progress::{Progress, Verdict};
use crate::client::verbs::reload::notice_unapplied;
use crate::client::verbs::up_daemon::find_or_start;
use crate::config::{self, Autostart, Config, Environment};
use crate::sys::privileges::open_as;
use crate::text::printable::{printable, printable_lines};
use crate::wire::{
    ActParams, ActReply, Call, EventInfo, EventsParams, ProcessState, ProcessStatus,
};
use serde_json::Value;
use signal_hook::consts::SIGINT;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Runs `up`.
///
/// # Errors
/// Of the config, the daemon's start or the connection.
pub(crate) fn up(context: &Context, args: &UpArgs) -> Result<i32, ClientError> {
    let mut context = context.clone();
    if let Some(file) = named_file(&context, args)? {
        context.global.config = Some(file);
        context.selection = copied_commands::selection(&context.global);
    }
    let path = paths::find_config(context.global.config.as_deref())?;
    check_shell(&context, &path)?;
    notice_config(&context, &path);
    let config = load(&context, &path)?;
    let (connection, fresh) = find_or_start(&context, &config, args)?;
    context.global.socket = Some(connection.path().to_path_buf());
    // Its user was trusted for a reason that the path alone does not give.
    context.global.daemon_user = connection.peer_uid().map(|uid| uid.to_string());
    drop(connection);
    // Use this daemon, not that of the control shell. The foreground handles signals itself.
    let ownership = match (&context.shell, fresh) {
        (Some(_), _) => Ownership::ControlShell,
        (None, true) => Ownership::Owner,
        (None, false) => Ownership::Visitor,
    };
    context.reports_events();
    let shell = context.shell.take().filter(|_| args.detach);
    context.shell = shell.as_ref().map(Shell::unpinned);
    // Before the first status, so that no event is missed between the two.
    let mut events = context.connect()?;
    let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
    // A shutdown from now on is an event.
    if context.connect()?.hello()?.shutting_down {
        return Err(ClientError::Failed(SHUT_DOWN.to_string()));
    }
    if !fresh {
        start_what_is_down(&context, &config, args)?;
    }
    let processes = context.status_of_all()?.processes;
    let mut progress = Progress::new(context.style, &config, &processes);
    if args.detach {
        return wait_for_all(&context, &mut progress, &processes, events);
    }
    foreground::run(&context, progress, &processes, events, ownership)
}

/// The config of `tm up FILE`.
fn named_file(context: &Context, args: &UpArgs) -> Result<Option<PathBuf>, ClientError> {
    let Some(file) = &args.file else {
        return Ok(None);
    };
    let shown = file.display();
    if context.global.config.is_some() {
        let text = "up takes one config: FILE or -c FILE, not both";
        return Err(ClientError::Usage(text.to_string()));
    }
    if file.exists() {
        return Ok(Some(file.clone()));
    }
    let is_path = shown.to_string().contains(['/', '.']);
    let advice = match is_path {
        true => "check its path".to_string(),
        false => format!("to start a program of a daemon that runs: tm start {shown}"),
    };
    Err(ClientError::Failed(format!(
        "there is no config file '{shown}'; {advice}"
    )))
}

/// Refuses to start another daemon than that of the control shell, unless the line names it.
fn check_shell(context: &Context, path: &Path) -> Result<(), ClientError> {
    let of_shell = context.shell.as_ref().and_then(Shell::config);
    let other = of_shell.filter(|of_shell| !config::is_same_file(of_shell, path));
    match other.filter(|_| context.global.config.is_none()) {
        None => Ok(()),
        Some(of_shell) => Err(ClientError::NoDaemon(format!(
            "this shell uses the daemon of '{}'; to start that of this folder, name its config: \
             up -c {}",
            printable(&of_shell.to_string_lossy()),
            paths::relative(path).display()
        ))),
    }
}

/// Names a config that was found outside of this folder. Other verbs prefer one above it.
fn notice_config(context: &Context, path: &Path) {
    if context.global.config.is_some() || paths::is_here(path) {
        return;
    }
    let mut text = format!("using the config '{}'", path.display());
    if let Some(above) = paths::project_files().first() {
        let above = paths::relative(above);
        let above = above.display();
        text.push_str(&format!("; to use '{above}': tm up -c {above}"));
    }
    context.notice(&text);
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
            eprintln!("{}", for_stderr(&printable_lines(&error.to_string())));
            Err(ClientError::AlreadyReported(exit::FAILED))
        }
    }
}

/// Starts the processes that the config wants up and that are down, except those that are down on
/// purpose. Prints a notice about these, and when the running processes differ from the config.
fn start_what_is_down(
    context: &Context,
    config: &Config,
    args: &UpArgs,
) -> Result<(), ClientError> {
    let mut connection = context.connect()?;
    notice_unapplied(context, true);
    let processes = context.status_of_all()?.processes;
    let (targets, left) = what_is_down(config, &processes, args.all);
    if !left.is_empty() {
        let again = if args.detach { "tm up -d" } else { "tm up" };
        context.notice(&format!(
            "not started, since they were stopped or are done: {}; to start them: {again} --all",
            left.join(", ")
        ));
    }
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

/// The processes that are down and wanted up: those to start, and those that are down on purpose,
/// because they were stopped or have done their work.
fn what_is_down(
    config: &Config,
    processes: &[ProcessStatus],
    all: bool,
) -> (Vec<String>, Vec<String>) {
    let programs = config.programs.iter();
    let programs = programs.filter(|program| program.autostart != Autostart::No);
    let programs: BTreeSet<&str> = programs.map(|program| program.name.as_str()).collect();
    let wanted = processes
        .iter()
        .filter(|process| process.state.is_down() && programs.contains(process.program.as_str()));
    let (left, start): (Vec<_>, Vec<_>) = wanted.partition(|process| {
        !all && match process.state {
            ProcessState::Stopped => !never_started(process),
            ProcessState::Exited => process.expected == Some(true),
            _ => false,
        }
    });
    let names = |found: Vec<&ProcessStatus>| {
        let names = found.into_iter().map(|process| process.name.clone());
        names.collect()
    };
    (names(start), names(left))
}

/// Whether a STOPPED process was not started since it is known, so that no request stopped it.
fn never_started(process: &ProcessStatus) -> bool {
    process.exit.is_none() && process.detail.starts_with("not started")
}

/// How long `up -d` watches starts that fail and are retried.
const RETRIES_WATCHED: Duration = Duration::from_secs(10);

/// Waits until every process is up or has failed. One that is still retried after some time counts
/// as failed.
fn wait_for_all(
    context: &Context,
    progress: &mut Progress,
    processes: &[ProcessStatus],
    mut events: DaemonConnection,
) -> Result<i32, ClientError> {
    let say = |line: &str| match context.global.quiet || context.global.json {
        true => Ok(()),
        false => context.print_wrapped(&[line]),
    };
    for line in progress.first_lines(processes) {
        say(&line)?;
    }
    if context.shell.is_none() {
        events.guard(&[SIGINT]);
    }
    let until = Instant::now() + RETRIES_WATCHED;
    loop {
        let settled = progress.is_settled();
        if settled && (progress.count(Verdict::Retrying) == 0 || Instant::now() >= until) {
            break;
        }
        let news = events.notification_before(settled.then_some(until));
        let news = match context.shell {
            Some(_) => news,
            None => news.map_err(|error| events.or_interrupted(error)),
        };
        let Some((_, params)) = news? else {
            continue;
        };
        let event: EventInfo = parse(params)?;
        if event.event == SHUTDOWN_EVENT {
            return Err(ClientError::Failed(SHUT_DOWN.to_string()));
        }
        if let Some(line) = progress.take(&event) {
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
    Ok(match progress.first_failed() {
        Some(_) => exit::FAILED,
        None if progress.count(Verdict::Stopped) > 0 => exit::FAILED,
        None => exit::DONE,
    })
}
