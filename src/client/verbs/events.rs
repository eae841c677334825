//! `events`: the daemon's history, then new events.

use crate::client::cli::command::EventsArgs;
use crate::client::context::Context;
use crate::client::daemon::lifecycle::SHUTDOWN_EVENT;
use crate::client::error::{ClientError, exit};
use crate::client::ui::local_time::clock_time;
use crate::client::ui::style::{Paint, Style};
use crate::text::printable::printable;
use crate::wire::{Call, EventInfo, EventsParams, EventsReply};
use signal_hook::consts::SIGINT;

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context, args: &EventsArgs) -> Result<i32, ClientError> {
    let mut connection = context.connect()?;
    context.reports_events();
    let call = Call::Events(EventsParams {
        follow: args.follow,
    });
    let reply: EventsReply = context.read(connection.call_value(&call)?)?;
    for event in &reply.events {
        print_event(context, event)?;
    }
    if !args.follow {
        return Ok(exit::DONE);
    }
    let announces_end = |event: &EventInfo| event.event == SHUTDOWN_EVENT;
    let mut announced = reply.events.iter().any(announces_end);
    connection.guard(&[SIGINT]);
    connection.watch_output();
    while let Some((_, params)) = connection.next_notification()? {
        let event = context.read(params)?;
        announced |= announces_end(&event);
        print_event(context, &event)?;
    }
    match announced || connection.is_interrupted() {
        true => Ok(exit::DONE),
        false => Err(ClientError::Disconnected),
    }
}

fn print_event(context: &Context, event: &EventInfo) -> Result<(), ClientError> {
    if context.global.json {
        return context.print_json(event);
    }
    context.print_wrapped(&[event_line(context.style, event)])
}

/// One event for people: `12:00:01.123  worker:0  STARTING → RUNNING  pid 12`.
pub(crate) fn event_line(style: Style, event: &EventInfo) -> String {
    let time = style.paint(Paint::Dim, &clock_time(&event.ts));
    let mut parts = vec![time];
    match &event.process {
        Some(process) => parts.push(printable(process)),
        None => parts.push(printable(&in_words(&event.event))),
    }
    if let (Some(from), Some(to)) = (&event.from, &event.to) {
        parts.push(format!("{} → {}", style.state(from), style.state(to)));
    } else if event.process.is_some() {
        parts.push(printable(&in_words(&event.event)));
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

/// The name of an event as words: `process_removed` is `removed`.
pub(crate) fn in_words(event: &str) -> String {
    event
        .strip_prefix("process_")
        .unwrap_or(event)
        .replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ProcessState;

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
        let removed = EventInfo {
            event: "process_removed".to_string(),
            from: None,
            detail: String::new(),
            ..event
        };
        let line = event_line(Style::plain(), &removed);
        assert_eq!(line, "not a time  a:0  removed");
    }
}
