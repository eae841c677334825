//! `status`: the table of processes, once or live.

use crate::client::cli::command::StatusArgs;
use crate::client::context::{Context, or_all, write_stdout};
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::lifecycle::{SHUT_DOWN, SHUTDOWN_EVENT};
use crate::client::daemon::received::parse;
use crate::client::error::{ClientError, exit};
use crate::client::ui::live_view::{LiveView, ViewTurn};
use crate::client::ui::style::{Paint, Style, state_paint};
use crate::client::ui::table::{self, Cell, Columns};
use crate::text::duration::approximate;
use crate::text::plural::plural;
use crate::wire::ProcessState;
use crate::wire::{Call, EventsParams, ProcessStatus, StatusReply, TargetsParams};
use serde_json::Value;
use std::time::Duration;

const HEADER: [&str; 6] = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "DETAIL"];
const RIGHT: [usize; 3] = [2, 3, 4];

/// RESTARTS, UPTIME and PID give way on a narrow terminal, in this order.
const OPTIONAL: [usize; 3] = [4, 3, 2];

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context, args: &StatusArgs) -> Result<i32, ClientError> {
    let call = Call::Status(TargetsParams {
        targets: or_all(&args.targets),
    });
    if args.watch {
        return watch(context, &call, !args.targets.is_empty());
    }
    let value = context.connect()?.call_value(&call)?;
    if context.global.json {
        context.print_json(&value)?;
    }
    let reply: StatusReply = parse(value)?;
    if !context.global.json && !context.global.quiet {
        if reply.processes.is_empty() {
            context.notice("no processes: the config has no programs, or only with numprocs: 0");
        } else {
            let width = context.line_width();
            context.print_lines(&render(context.style, &reply, width, true))?;
        }
    }
    Ok(exit_code(&reply, !args.targets.is_empty()))
}

/// 0 when everything that is wanted up is RUNNING, or has ended as expected. Processes that were
/// `named` must be RUNNING.
fn exit_code(reply: &StatusReply, named: bool) -> i32 {
    let good = |process: &ProcessStatus| match process.state {
        ProcessState::Running => true,
        _ if named => false,
        ProcessState::Exited => process.expected == Some(true),
        _ => process.desired == "down",
    };
    match reply.processes.iter().all(good) {
        true => exit::DONE,
        false => exit::NOT_RUNNING,
    }
}

/// The table. It fits the width: a long DETAIL `wraps` or is cut.
fn render(style: Style, reply: &StatusReply, width: Option<usize>, wraps: bool) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = reply.processes.iter().map(row).collect();
    let columns = Columns {
        header: &HEADER,
        right: &RIGHT,
        optional: &OPTIONAL,
        width,
        wraps,
    };
    table::render(style, columns, &rows)
}

fn row(process: &ProcessStatus) -> Vec<Cell> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_string());
    let restarts = match process.restarts {
        0 => Cell::painted("0", Paint::Dim),
        count => count.to_string().into(),
    };
    vec![
        process.name.as_str().into(),
        Cell::painted(process.state.as_str(), state_paint(&process.state)),
        or_dash(process.pid.map(|pid| pid.to_string())).into(),
        or_dash(process.uptime_s.map(uptime)).into(),
        restarts,
        detail(process).into(),
    ]
}

fn uptime(seconds: f64) -> String {
    approximate(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// The daemon's text, then attached clients and stragglers unless that text names them.
fn detail(process: &ProcessStatus) -> String {
    let mut parts = Vec::new();
    if !process.detail.is_empty() {
        parts.push(process.detail.clone());
    }
    let attached = process.clients.len();
    if attached > 0 && !process.detail.contains("attached") {
        let pids: Vec<String> = process
            .clients
            .iter()
            .map(|client| format!("pid {}", client.pid))
            .collect();
        parts.push(format!("{attached} attached: {}", pids.join(", ")));
    }
    let left = process.stragglers.len();
    if left > 0 && !process.detail.contains("straggler") {
        parts.push(format!(
            "{}: {}",
            plural(left, "straggler", "stragglers"),
            process.stragglers.join(", ")
        ));
    }
    parts.join("; ")
}

/// Redraws the table at every event, and once a second for the uptimes.
fn watch(context: &Context, call: &Call, named: bool) -> Result<i32, ClientError> {
    let mut connection = context.connect()?;
    if !context.is_terminal() {
        return watch_lines(context, &mut connection, call);
    }
    // An event is only a reason to ask for the status again.
    let mut events = context.connect()?;
    let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
    let mut view = LiveView::open(events)?;
    loop {
        let reply: StatusReply = match connection.call(call) {
            Err(ClientError::Disconnected) if view.was_shut_down() => break,
            reply => reply?,
        };
        let (rows, cols) = view.size();
        let mut lines = render(context.style, &reply, Some(cols), false);
        let help = context.style.paint(Paint::Dim, "q quits");
        if lines.len() + 1 >= rows {
            let hidden = lines.len() + 2 - rows.max(3);
            lines.truncate(rows.max(3) - 2);
            lines.push(format!("… {hidden} more; {help}"));
        } else {
            lines.push(help);
        }
        view.draw(&lines)?;
        match view.wait()? {
            ViewTurn::Redraw => {}
            ViewTurn::Left => return Ok(exit_code(&reply, named)),
            ViewTurn::ShutDown => break,
        }
    }
    drop(view);
    context.notice(SHUT_DOWN);
    Ok(exit::DONE)
}

/// Without a terminal: prints a table (or an object) for every event.
fn watch_lines(
    context: &Context,
    connection: &mut DaemonConnection,
    call: &Call,
) -> Result<i32, ClientError> {
    let mut events = context.connect()?;
    let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
    events.watch_output();
    let mut announced = false;
    loop {
        let value = match connection.call_value(call) {
            Err(ClientError::Disconnected) => None,
            value => Some(value?),
        };
        let Some(value) = value else {
            while let Some((_, event)) = events.next_notification()? {
                announced |= event["event"] == SHUTDOWN_EVENT;
            }
            break;
        };
        if context.global.json {
            context.print_json(&value)?;
        } else {
            context.print_lines(&render(context.style, &parse(value)?, None, true))?;
            write_stdout(b"\n")?;
        }
        match events.next_notification()? {
            Some((_, event)) => announced |= event["event"] == SHUTDOWN_EVENT,
            None => break,
        }
    }
    if !announced {
        return Err(ClientError::Disconnected);
    }
    context.notice(SHUT_DOWN);
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ClientInfo;

    fn process(name: &str, state: &str) -> ProcessStatus {
        ProcessStatus {
            name: name.to_string(),
            state: state.into(),
            ..ProcessStatus::default()
        }
    }

    #[test]
    fn the_table_is_that_of_the_manual() {
        let mut up = process("web:0", "RUNNING");
        up.pid = Some(4121);
        up.uptime_s = Some(192.0);
        let mut down = process("worker:1", "BACKOFF");
        down.restarts = 2;
        down.detail = "exit 1 after 0.2s, retry 3 of 3 in 1.8s".to_string();
        let reply = StatusReply {
            processes: vec![up, down],
        };
        let lines = render(Style::plain(), &reply, None, true);
        assert_eq!(
            lines,
            [
                "NAME      STATE     PID  UPTIME  RESTARTS  DETAIL",
                "web:0     RUNNING  4121   3m12s         0",
                concat!(
                    "worker:1  BACKOFF     -       -         2  ",
                    "exit 1 after 0.2s, retry 3 of 3 in 1.8s"
                ),
            ]
        );
        assert_eq!(exit_code(&reply, true), 3);
    }

    #[test]
    fn clients_and_stragglers_are_named() {
        let mut shell = process("shell:0", "RUNNING");
        shell.clients = vec![ClientInfo {
            pid: 7,
            ..ClientInfo::default()
        }];
        shell.stragglers = vec!["4121 node server.js".to_string()];
        assert_eq!(
            detail(&shell),
            "1 attached: pid 7; 1 straggler: 4121 node server.js"
        );
        let reply = StatusReply {
            processes: vec![shell],
        };
        assert_eq!(exit_code(&reply, true), 0);
    }

    #[test]
    fn only_what_is_wanted_up_counts_unless_it_is_named() {
        let code = |state: &str, desired: &str, expected, named| {
            let mut process = process("a:0", state);
            process.desired = desired.to_string();
            process.expected = expected;
            let processes = vec![process];
            exit_code(&StatusReply { processes }, named)
        };
        assert_eq!(code("EXITED", "up", Some(true), false), 0);
        assert_eq!(code("EXITED", "up", Some(false), false), 3);
        assert_eq!(code("EXITED", "up", Some(true), true), 3);
        assert_eq!(code("STOPPED", "down", None, false), 0);
        assert_eq!(code("STOPPED", "down", None, true), 3);
        assert_eq!(code("FATAL", "up", None, false), 3);
        assert_eq!(code("STARTING", "up", None, false), 3);
    }
}
