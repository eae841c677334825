//! The client `tm`: its verbs, control shell, `attach` and user interface.

pub mod attach;
pub mod cli;
mod context;
mod daemon;
mod error;
mod shell;
mod ui;
mod verbs;

use crate::wire::Call;
use clap::FromArgMatches;
use cli::command::{Cli, Global, Verb};
use cli::usage::{TypedIn, report};
use context::Context;
use daemon::select::Impact;
use error::{ClientError, exit};

/// Runs `tm` with the arguments of this process; returns its exit code.
pub fn main() -> i32 {
    crate::sys::signalfd::restore_sigchld();
    let matches = cli::command::tm_command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return reject(&error),
    };
    let context = Context::new(cli.global);
    match cli.verb {
        Some(verb) => {
            ui::fatal_signals::end_at_quit();
            run_verb(&context, &verb)
        }
        None => finish(&context, shell::run(&context)),
    }
}

/// Prints help, or a usage error. The flags were not parsed, so `--json` is searched for.
fn reject(error: &clap::Error) -> i32 {
    let arguments = std::env::args().take_while(|argument| argument != "--");
    let context = Context::new(Global {
        json: arguments.into_iter().any(|argument| argument == "--json"),
        ..Global::default()
    });
    finish(&context, report(error, TypedIn::CommandLine))
}

/// Runs a verb, prints its error and returns its exit code.
fn run_verb(context: &Context, verb: &Verb) -> i32 {
    let result = dispatch(context, verb).map_err(|error| match (error, context.interrupted()) {
        (ClientError::Disconnected, Some(signal)) => ClientError::Interrupted {
            signal,
            continues: is_mutation(verb),
        },
        (error, _) => error.about_files(),
    });
    finish(context, result)
}

/// Whether the daemon continues with the verb after the client has disconnected.
fn is_mutation(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Up(_)
            | Verb::Down(_)
            | Verb::Shutdown(_)
            | Verb::Reload(_)
            | Verb::Scale(_)
            | Verb::Start(_)
            | Verb::Stop(_)
            | Verb::Restart(_)
    )
}

fn finish(context: &Context, result: Result<i32, ClientError>) -> i32 {
    result.unwrap_or_else(|error| {
        context.report(&error);
        error.exit_code()
    })
}

fn dispatch(context: &Context, verb: &Verb) -> Result<i32, ClientError> {
    let context = &context.clone().with_impact(impact(verb));
    match verb {
        Verb::Up(args) => verbs::up::up(context, args),
        Verb::Down(args) => verbs::down::down(context, args, true),
        Verb::Shutdown(args) => verbs::down::down(context, args, false),
        Verb::Reload(args) => verbs::reload::reload(context, args),
        Verb::Scale(args) => verbs::reload::scale(context, args),
        Verb::Status(args) => verbs::status::run(context, args),
        Verb::Start(args) => verbs::start_stop::start(context, args, Call::Start),
        Verb::Stop(args) => verbs::start_stop::act(context, args, Call::Stop),
        Verb::Restart(args) => verbs::start_stop::start(context, args, Call::Restart),
        Verb::Signal(args) => verbs::start_stop::signal(context, args),
        Verb::Wait(args) => verbs::start_stop::wait(context, args),
        Verb::Why(args) => verbs::why::run(context, args),
        Verb::Logs(args) => verbs::logs::run(context, args),
        Verb::Attach(args) => attach::run(context, args),
        Verb::Detach(args) => verbs::start_stop::detach(context, args),
        Verb::Clients(args) => verbs::clients::run(context, args),
        Verb::Peek(args) => verbs::peek::run(context, args),
        Verb::Send(args) => verbs::start_stop::send(context, args),
        Verb::Events(args) => verbs::events::run(context, args),
        Verb::Check(args) => verbs::check::run(context, args),
        Verb::Daemons => verbs::daemons::run(context),
        Verb::Doctor => verbs::doctor::run(context),
        Verb::Version => verbs::version::run(context),
        Verb::Completions(args) => cli::complete::completions(args.shell),
        Verb::Help(args) => help(context, args.verb.as_deref()),
        Verb::CompleteNames { verb, line } => {
            cli::complete::complete_names(context, verb.as_deref(), line.as_deref())
        }
        Verb::Man(args) => cli::man::man(&args.directory),
    }
}

/// Returns the effect of a verb on the daemon.
fn impact(verb: &Verb) -> Impact {
    match verb {
        Verb::Reload(args) if args.dry_run => Impact::ReadOnly,
        Verb::Attach(args) if args.read_only => Impact::ReadOnly,
        Verb::Signal(_) | Verb::Attach(_) | Verb::Detach(_) | Verb::Send(_) => Impact::Modifies,
        verb if is_mutation(verb) => Impact::Modifies,
        _ => Impact::ReadOnly,
    }
}

fn help(context: &Context, verb: Option<&str>) -> Result<i32, ClientError> {
    let mut command = cli::command::tm_command();
    command.build();
    let text = match verb.and_then(|verb| command.find_subcommand_mut(verb)) {
        Some(verb) => verb.render_help(),
        None => command.render_help(),
    };
    let text = if context.style.is_coloured() {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    // Its colours are clap's.
    context::write_stdout(format!("{}\n", text.trim_end()).as_bytes())?;
    Ok(exit::DONE)
}
