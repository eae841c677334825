//! Verbs that act on processes: `start`, `stop`, `restart`, `signal`, `wait`, `send`, `detach`.

use crate::client::cli::command::{ActArgs, DetachArgs, Goal, SendArgs, SignalArgs, WaitArgs};
use crate::client::context::Context;
use crate::client::daemon::received::parse;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::{Paint, Style};
use crate::client::verbs::act_live::call_live;
use crate::client::verbs::reload::notice_unapplied;
use crate::config::signal_names;
use crate::text::printable::printable;
use crate::wire::{
    ActParams, ActReply, Call, DetachParams, DetachReply, Outcome, ProcessState, SendParams,
    SendReply, SignalParams, WaitFor, WaitParams,
};

/// Runs `start`, `stop` or `restart`, whichever `call` makes.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn act(
    context: &Context,
    args: &ActArgs,
    call: impl FnOnce(ActParams) -> Call,
) -> Result<i32, ClientError> {
    let params = ActParams {
        targets: args.targets.clone(),
        wait: !args.no_wait,
        timeout_s: args.timeout.map(|timeout| timeout.as_secs_f64()),
    };
    if params.wait && context.is_terminal() && !context.global.quiet {
        let call = call(params.clone());
        let reply: ActReply = parse(call_live(context, &params, &call)?)?;
        context.print_wrapped(&rendered(context, &reply))?;
        return Ok(exit_code(&reply));
    }
    ask(context, &call(params))
}

/// Makes a call and prints its outcomes.
fn ask(context: &Context, call: &Call) -> Result<i32, ClientError> {
    let render = |reply: &ActReply| context.wrapped(&rendered(context, reply));
    let reply = context.ask(call, render)?;
    Ok(exit_code(&reply))
}

/// Runs `start` or `restart`. Prints a notice if the processes still have an older config.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn start(
    context: &Context,
    args: &ActArgs,
    call: impl FnOnce(ActParams) -> Call,
) -> Result<i32, ClientError> {
    let code = act(context, args, call)?;
    notice_unapplied(context, false);
    Ok(code)
}

/// Runs `signal`.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn signal(context: &Context, args: &SignalArgs) -> Result<i32, ClientError> {
    let signal = args
        .signal
        .strip_prefix('-')
        .unwrap_or(&args.signal)
        .to_string();
    if let Some(meant) = args.targets.iter().find(|target| is_signal(target))
        && !is_signal(&signal)
    {
        return Err(ClientError::Usage(format!(
            "the signal comes first: tm signal {meant} {signal}"
        )));
    }
    let call = Call::Signal(SignalParams {
        signal,
        targets: args.targets.clone(),
    });
    ask(context, &call)
}

/// Whether a word is a signal: its name, with or without SIG, or its number.
fn is_signal(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    word.parse::<u8>().is_ok() || signal_names().any(|known| known == name)
}

/// Runs `wait`. With `--for exited` the exit code is that of the process.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn wait(context: &Context, args: &WaitArgs) -> Result<i32, ClientError> {
    let wait_for = match args.goal {
        Goal::Running => WaitFor::Running,
        Goal::Stopped => WaitFor::Stopped,
        Goal::Exited => WaitFor::Exited,
        Goal::Fatal => WaitFor::Fatal,
        Goal::Healthy => WaitFor::Healthy,
    };
    let timeout_s = args.timeout.map(|timeout| timeout.as_secs_f64());
    let call = Call::Wait(WaitParams {
        targets: args.targets.clone(),
        wait_for,
        timeout_s,
    });
    // No operation continues in the background.
    let render = |reply: &ActReply| match reply.timed_out && !context.global.quiet {
        true => {
            let lines = outcome_lines(context.style, reply);
            let over = context.style.paint(Paint::Yellow, "timed out");
            lines.into_iter().chain([over]).collect()
        }
        false => context.wrapped(&rendered(context, reply)),
    };
    let reply: ActReply = context.ask(&call, render)?;
    if args.goal == Goal::Exited && !reply.timed_out {
        // Of several processes, the first that failed decides.
        let codes = reply.processes.iter().filter_map(|process| process.exit);
        let code = codes.map(|exit| exit.shell_code()).find(|code| *code != 0);
        return Ok(code.unwrap_or_else(|| exit_code(&reply)));
    }
    Ok(exit_code(&reply))
}

/// Runs `send`.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn send(context: &Context, args: &SendArgs) -> Result<i32, ClientError> {
    let mut text = args.text.join(" ");
    if !args.no_newline {
        text.push('\n');
    }
    let call = Call::Send(SendParams {
        process: args.process.clone(),
        text,
    });
    let _: SendReply = context.ask(&call, |_| Vec::new())?;
    Ok(exit::DONE)
}

/// Runs `detach`.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn detach(context: &Context, args: &DetachArgs) -> Result<i32, ClientError> {
    let call = Call::Detach(DetachParams {
        process: args.process.clone(),
        all: args.all,
    });
    let render = |reply: &DetachReply| match context.global.quiet {
        true => Vec::new(),
        false => context.wrapped(&detach_lines(args, reply)),
    };
    let _: DetachReply = context.ask(&call, render)?;
    Ok(exit::DONE)
}

/// The outcome of a detach, and the clients that it left.
fn detach_lines(args: &DetachArgs, reply: &DetachReply) -> Vec<String> {
    // An older daemon does not send the name.
    let name = match reply.process.as_str() {
        "" => args.process.clone(),
        name => printable(name),
    };
    let outcome = match reply.detached {
        0 => format!("no client is attached to {name}"),
        1 => format!("1 client was detached from {name}"),
        count => format!("{count} clients were detached from {name}"),
    };
    let left = match reply.attached {
        0 => None,
        1 => Some("1 more is attached; --all detaches it too".to_string()),
        count => Some(format!(
            "{count} more are attached; --all detaches them too"
        )),
    };
    std::iter::once(outcome).chain(left).collect()
}

/// 124 after a timeout, 1 when one process failed.
pub(crate) fn exit_code(reply: &ActReply) -> i32 {
    match (
        reply.timed_out,
        reply.processes.iter().all(|process| process.ok),
    ) {
        (true, _) => exit::TIMEOUT,
        (false, true) => exit::DONE,
        (false, false) => exit::FAILED,
    }
}

/// A line for each process.
pub(crate) fn render(style: Style, reply: &ActReply) -> Vec<String> {
    let mut lines = outcome_lines(style, reply);
    if reply.timed_out {
        lines.push(style.paint(
            Paint::Yellow,
            "timed out; the operation continues in the background",
        ));
    }
    lines
}

fn outcome_lines(style: Style, reply: &ActReply) -> Vec<String> {
    let outcomes = reply.processes.iter();
    outcomes
        .map(|outcome| outcome_line(style, outcome))
        .collect()
}

/// The lines of a reply. With `-q` only failures are printed.
fn rendered(context: &Context, reply: &ActReply) -> Vec<String> {
    if let Some(shell) = &context.shell {
        let outcomes = reply.processes.iter();
        shell.events.report(outcomes.map(|one| one.name.clone()));
    }
    if !context.global.quiet {
        return render(context.style, reply);
    }
    let failed = reply.processes.iter().filter(|process| !process.ok);
    failed
        .map(|outcome| outcome_line(context.style, outcome))
        .collect()
}

fn outcome_line(style: Style, outcome: &Outcome) -> String {
    let mut message = printable(&outcome.message);
    if message.is_empty() {
        message = outcome.state.to_string();
    }
    let alive = match &outcome.state {
        ProcessState::Running | ProcessState::Starting => true,
        state => state.as_str().is_empty(),
    };
    if let Some(pid) = outcome.pid
        && alive
        && !message.contains("pid ")
    {
        message.push_str(&format!(" (pid {pid})"));
    }
    let paint = if outcome.ok { Paint::Green } else { Paint::Red };
    // A failure must stand out without colour as well.
    let mark = if outcome.ok { "" } else { "failed: " };
    let failures = ["failed", "still "];
    let named = failures.iter().any(|word| message.starts_with(word)) || message.contains("FATAL");
    let mark = if named { "" } else { mark };
    format!(
        "{}: {}",
        printable(&outcome.name),
        style.paint(paint, &format!("{mark}{message}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_has_its_outcome() {
        let outcome = |name: &str, ok, message: &str, pid| Outcome {
            name: name.to_string(),
            ok,
            pid,
            message: message.to_string(),
            ..Outcome::default()
        };
        let processes = vec![
            outcome("worker:0", true, "started", Some(123)),
            outcome("worker:1", false, "exit 1 after 0.2s", None),
        ];
        let reply = ActReply {
            processes,
            timed_out: false,
        };
        let lines = render(Style::plain(), &reply);
        assert_eq!(
            lines,
            [
                "worker:0: started (pid 123)",
                "worker:1: failed: exit 1 after 0.2s"
            ]
        );
        assert_eq!(exit_code(&reply), 1);
        assert_eq!(
            exit_code(&ActReply {
                timed_out: true,
                ..ActReply::default()
            }),
            124
        );
    }
}
