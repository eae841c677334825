//! `doctor`: kernel features and the fallbacks in use.

use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{display_width, pad};
use crate::sys::checks;
use crate::wire::{Call, DoctorCheck, DoctorReply, HelloParams, PROTOCOL};

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context) -> Result<i32, ClientError> {
    let call = Call::Doctor(HelloParams {
        protocol: PROTOCOL,
        client: "tm".to_string(),
    });
    let answer = context.ask(&call, |reply| render(context.style, reply));
    if let Err(ClientError::NoDaemon(_) | ClientError::NotRunning(_)) = answer {
        context.notice("no daemon was reached; these are the checks of this machine");
        let reply = DoctorReply::new(checks::kernel_release(), checks::run());
        if context.global.json {
            context.print_json(&reply)?;
        } else {
            context.print_lines(&render(context.style, &reply))?;
        }
        return Ok(exit::DONE);
    }
    answer.map(|_: DoctorReply| exit::DONE)
}

fn render(style: Style, reply: &DoctorReply) -> Vec<String> {
    let width = reply
        .checks
        .iter()
        .map(|check| display_width(&check.name))
        .max()
        .unwrap_or(0);
    let line = |check: &DoctorCheck| {
        let mark = match (check.ok, check.name.as_str()) {
            (true, _) => style.paint(Paint::Green, "ok      "),
            (false, "close_range" | "children lists") => style.paint(Paint::Yellow, "fallback"),
            (false, "privileges" | "open files") => style.paint(Paint::Yellow, "limited "),
            (false, _) => style.paint(Paint::Red, "missing "),
        };
        let line = format!("{mark}  {}  {}", pad(&check.name, width), check.detail);
        line.trim_end().to_string()
    };
    reply.checks.iter().map(line).collect()
}
