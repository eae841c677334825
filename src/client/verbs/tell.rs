//! Verbs that only tell: `why`, `events`, `clients`, `peek`, `doctor`, `daemons`, `version`,
//! `check`.

use crate::client::cli::command::{CheckArgs, EventsArgs, PeekArgs, ProcessArgs, TargetsArgs};
use crate::client::context::{Context, or_all, parse};
use crate::client::daemon::select;
use crate::client::error::{ClientError, exit};
use crate::client::ui::local_time::{clock_time, date_time};
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{self, Cell};
use crate::config::{self, Environment};
use crate::sys::checks;
use crate::text::printable::printable;
use crate::wire::{
    Call, ClientsReply, DoctorReply, EventInfo, EventsParams, EventsReply, HelloParams, PROTOCOL,
    PeekParams, PeekReply, ProcessParams, TargetsParams, WhyReply,
};
use serde_json::json;
use signal_hook::consts::SIGINT;

/// The event that announces an orderly end of the daemon.
pub const SHUTDOWN: &str = "shutdown";

/// Runs `why`.
///
/// # Errors
/// Of the connection, the request or the output.
pub fn why(context: &Context, args: &ProcessArgs) -> Result<i32, ClientError> {
    let call = Call::Why(ProcessParams {
        process: args.process.clone(),
    });
    let _: WhyReply = context.ask(&call, |reply| render_why(context.style, reply))?;
    Ok(exit::DONE)
}

/// The answer of `why` for people.
pub fn render_why(style: Style, reply: &WhyReply) -> Vec<String> {
    let process = &reply.process;
    let name = style.paint(Paint::Bold, &printable(&process.name));
    let state = style.state(&process.state);
    let heading = format!("{name} is {state}");
    // The summary begins with the same words, without their colours.
    let same = format!("{} has been {}", process.name, process.state);
    let mut lines = match reply.summary.strip_prefix(&same) {
        Some(rest) => vec![format!("{name} has been {state}{}", printable(rest))],
        None if reply.summary.is_empty() => vec![heading],
        None => vec![heading, format!("  {}", printable(&reply.summary))],
    };
    let mut part = |heading: &str, texts: &[String]| {
        for (index, text) in texts.iter().enumerate() {
            let heading = if index == 0 { heading } else { "" };
            lines.push(format!(
                "{} {}",
                style.paint(Paint::Bold, &format!("{heading:<8}")),
                text
            ));
        }
    };
    let clean = |texts: &[String]| texts.iter().map(|text| printable(text)).collect::<Vec<_>>();
    part("because", &clean(&reply.causes));
    if !reply.next.is_empty() {
        part("next", &[printable(&reply.next)]);
    }
    let pids: Vec<String> = reply
        .process
        .clients
        .iter()
        .map(|client| format!("client pid {}", client.pid))
        .collect();
    part("attached", &pids);
    part("left", &clean(&reply.process.stragglers));
    if let Some(remedy) = &reply.remedy {
        part("remedy", &[style.paint(Paint::Yellow, &printable(remedy))]);
    }
    let output = clean(&reply.output);
    part("output", &output);
    lines
}

/// Runs `events`.
///
/// # Errors
/// Of the connection, the request or the output.
pub fn events(context: &Context, args: &EventsArgs) -> Result<i32, ClientError> {
    let mut connection = context.connect()?;
    let call = Call::Events(EventsParams {
        follow: args.follow,
    });
    let reply: EventsReply = connection.call(&call)?;
    for event in &reply.events {
        print_event(context, event)?;
    }
    if !args.follow {
        return Ok(exit::DONE);
    }
    let announces_end = |event: &EventInfo| event.event == SHUTDOWN;
    let mut announced = reply.events.iter().any(announces_end);
    connection.guard(&[SIGINT]);
    connection.watch_output();
    while let Some((_, params)) = connection.next_notification()? {
        let event = parse(params)?;
        announced |= announces_end(&event);
        print_event(context, &event)?;
    }
    match announced || connection.is_interrupted() {
        true => Ok(exit::DONE),
        false => Err(ClientError::Lost),
    }
}

fn print_event(context: &Context, event: &EventInfo) -> Result<(), ClientError> {
    if context.global.json {
        return context.print_json(event);
    }
    context.print_lines(&[event_line(context.style, event)])
}

/// One event for people: `12:00:01.123  worker:0  STARTING → RUNNING  pid 12`.
pub fn event_line(style: Style, event: &EventInfo) -> String {
    let time = style.paint(Paint::Dim, &clock_time(&event.ts));
    let mut parts = vec![time];
    match &event.process {
        Some(process) => parts.push(printable(process)),
        None => parts.push(printable(&event.event)),
    }
    if let (Some(from), Some(to)) = (&event.from, &event.to) {
        parts.push(format!("{} → {}", style.state(from), style.state(to)));
    } else if event.process.is_some() {
        parts.push(event.event.clone());
    }
    let mut rest = Vec::new();
    if let Some(pid) = event.pid.filter(|_| !event.detail.contains("pid ")) {
        rest.push(format!("pid {pid}"));
    }
    if !event.detail.is_empty() {
        rest.push(printable(&event.detail));
    }
    if !rest.is_empty() {
        parts.push(rest.join(", "));
    }
    parts.join("  ")
}

/// Runs `clients`.
///
/// # Errors
/// Of the connection, the request or the output.
pub fn clients(context: &Context, args: &TargetsArgs) -> Result<i32, ClientError> {
    let call = Call::Clients(TargetsParams {
        targets: or_all(&args.targets),
    });
    let reply: ClientsReply = context.ask(&call, |reply: &ClientsReply| {
        if reply.clients.is_empty() {
            Vec::new()
        } else {
            render_clients(context.style, reply)
        }
    })?;
    if reply.clients.is_empty() {
        context.notice("nobody is attached");
    }
    Ok(exit::DONE)
}

fn render_clients(style: Style, reply: &ClientsReply) -> Vec<String> {
    let row = |client: &crate::wire::ClientInfo| -> Vec<Cell> {
        let role = match (client.driver, client.read_only) {
            (true, _) => "driver",
            (false, true) => "read-only",
            (false, false) => "watcher",
        };
        vec![
            client.process.as_str().into(),
            client.pid.to_string().into(),
            client.uid.to_string().into(),
            role.into(),
            format!("{}x{}", client.cols, client.rows).into(),
            date_time(&client.since).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = reply.clients.iter().map(row).collect();
    let header = ["PROCESS", "PID", "UID", "ROLE", "SIZE", "SINCE"];
    table::render(style, &header, &rows, &[1, 2], None)
}

/// Runs `peek`.
///
/// # Errors
/// Of the connection, the request or the output.
pub fn peek(context: &Context, args: &PeekArgs) -> Result<i32, ClientError> {
    let call = Call::Peek(PeekParams {
        process: args.process.clone(),
        ansi: args.ansi,
        history: 0,
    });
    let render = |reply: &PeekReply| {
        let last = reply
            .lines
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |at| at + 1);
        let lines = &reply.lines[..last];
        if args.ansi {
            lines.to_vec()
        } else {
            lines.iter().map(|line| printable(line)).collect()
        }
    };
    let _: PeekReply = context.ask(&call, render)?;
    Ok(exit::DONE)
}

/// Runs `doctor`.
///
/// # Errors
/// Of the connection, the request or the output.
pub fn doctor(context: &Context) -> Result<i32, ClientError> {
    let call = Call::Doctor(HelloParams {
        protocol: PROTOCOL,
        client: "tm".to_string(),
    });
    let answer = context.ask(&call, |reply| render_doctor(context.style, reply));
    if let Err(ClientError::NoDaemon(_) | ClientError::NotRunning(_)) = answer {
        context.notice("no daemon is reached: this is what tm itself finds");
        let reply = DoctorReply::new(checks::kernel_release(), checks::run());
        if context.global.json {
            context.print_json(&reply)?;
        } else {
            context.print_lines(&render_doctor(context.style, &reply))?;
        }
        return Ok(exit::DONE);
    }
    answer.map(|_: DoctorReply| exit::DONE)
}

fn render_doctor(style: Style, reply: &DoctorReply) -> Vec<String> {
    let mut lines = vec![format!("kernel {}", reply.kernel)];
    let width = reply
        .checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    lines.extend(reply.checks.iter().map(|check| {
        let mark = match check.ok {
            true => style.paint(Paint::Green, "ok      "),
            false => style.paint(Paint::Yellow, "fallback"),
        };
        let line = format!("{mark}  {:width$}  {}", check.name, check.detail);
        line.trim_end().to_string()
    }));
    lines
}

/// Runs `daemons`.
///
/// # Errors
/// Of the output; `NoDaemon` silently when none runs.
pub fn daemons(context: &Context) -> Result<i32, ClientError> {
    let running = select::running();
    if context.global.json {
        let object = |daemon: &select::Daemon| {
            json!({"pid": daemon.hello.pid, "config": daemon.hello.config,
                "socket": daemon.socket, "version": daemon.hello.version,
                "uid": daemon.hello.uid, "started_at": daemon.hello.started_at,
                "shutting_down": daemon.hello.shutting_down})
        };
        let daemons: Vec<_> = running.iter().map(object).collect();
        context.print_json(&json!({ "daemons": daemons }))?;
    } else if !running.is_empty() {
        let row = |daemon: &select::Daemon| -> Vec<Cell> {
            vec![
                daemon.hello.pid.to_string().into(),
                daemon.hello.config.as_str().into(),
                date_time(&daemon.hello.started_at).into(),
                daemon.socket.display().to_string().into(),
            ]
        };
        let rows: Vec<Vec<Cell>> = running.iter().map(row).collect();
        let header = ["PID", "CONFIG", "SINCE", "SOCKET"];
        context.print_lines(&table::render(context.style, &header, &rows, &[0], None))?;
    }
    if running.is_empty() {
        context.notice("no daemon of yours runs");
        return Ok(exit::NO_DAEMON);
    }
    Ok(exit::DONE)
}

/// Runs `version`; a daemon that cannot be reached is no failure.
///
/// # Errors
/// Of the output.
pub fn version(context: &Context) -> Result<i32, ClientError> {
    let own = env!("CARGO_PKG_VERSION");
    let hello = context
        .connect()
        .and_then(|mut connection| connection.hello())
        .ok();
    if context.global.json {
        let daemon = hello.map(|hello| json!(hello));
        let value = json!({"client": {"version": own, "protocol": PROTOCOL}, "daemon": daemon});
        context.print_json(&value)?;
        return Ok(exit::DONE);
    }
    let mut lines = vec![format!("tm {own} (protocol {PROTOCOL})")];
    if let Some(hello) = hello {
        let (version, protocol) = (hello.version, hello.protocol);
        let (pid, config) = (hello.pid, hello.config);
        lines.push(format!(
            "tmd {version} (protocol {protocol}), pid {pid}, {config}"
        ));
    }
    context.print_lines(&lines)?;
    Ok(exit::DONE)
}

/// Runs `check`: the same as `tmd --check`.
///
/// # Errors
/// When no config is found, or of the output.
pub fn check(context: &Context, args: &CheckArgs) -> Result<i32, ClientError> {
    let explicit = args.file.as_deref().or(context.global.config.as_deref());
    let path = select::find_config(explicit)?;
    let (sound, diagnostics) = match config::load(&path, &Environment::current()) {
        Ok(config) => (true, config.warnings),
        Err(error) => (false, error.diagnostics),
    };
    if context.global.json {
        context.print_json(&json!({"ok": sound, "diagnostics": diagnostics}))?;
    } else if !diagnostics.is_empty() {
        eprintln!("{}", config::render(&diagnostics));
    }
    if sound && !context.global.json && !context.global.quiet {
        context.print_lines(&[format!("{}: sound", path.display())])?;
    }
    Ok(if sound { exit::DONE } else { exit::FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ProcessState, ProcessStatus};

    #[test]
    fn why_tells_causes_and_remedy() {
        let reply = WhyReply {
            process: ProcessStatus {
                name: "once:0".to_string(),
                state: ProcessState::Fatal,
                ..ProcessStatus::default()
            },
            summary: "gave up after 4 attempts".to_string(),
            causes: vec![
                "exit 0 after 0.1s".to_string(),
                "starttime is 1s".to_string(),
            ],
            next: "nothing until you start it".to_string(),
            remedy: Some("for a one-shot set starttime: 0".to_string()),
            output: vec!["done\x1b[2J".to_string()],
        };
        assert_eq!(
            render_why(Style::plain(), &reply),
            [
                "once:0 is FATAL",
                "  gave up after 4 attempts",
                "because  exit 0 after 0.1s",
                "         starttime is 1s",
                "next     nothing until you start it",
                "remedy   for a one-shot set starttime: 0",
                "output   done\\u{1b}[2J",
            ]
        );
    }

    #[test]
    fn a_summary_is_not_told_twice() {
        let process = ProcessStatus {
            name: "web:0".to_string(),
            state: ProcessState::Running,
            ..ProcessStatus::default()
        };
        let reply = WhyReply {
            process,
            summary: "web:0 has been RUNNING for 3s, pid 7".to_string(),
            ..WhyReply::default()
        };
        assert_eq!(
            render_why(Style::plain(), &reply),
            ["web:0 has been RUNNING for 3s, pid 7"]
        );
    }

    #[test]
    fn an_event_is_one_line() {
        let event = EventInfo {
            ts: "not a time".to_string(),
            event: "process_state".to_string(),
            process: Some("a:0".to_string()),
            from: Some(ProcessState::Starting),
            to: Some(ProcessState::Backoff),
            detail: "exit 1".to_string(),
            ..EventInfo::default()
        };
        let line = event_line(Style::plain(), &event);
        assert_eq!(line, "not a time  a:0  STARTING → BACKOFF  exit 1");
    }
}
