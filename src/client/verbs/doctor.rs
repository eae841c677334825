//! `doctor`: kernel features and the fallbacks in use.

use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{display_width, pad};
use crate::sys::checks;
use crate::wire::{Call, DoctorReply, HelloParams, PROTOCOL};

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
        context.notice("daemon not reachable; showing local checks only");
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
    let mut lines = vec![format!("kernel {}", reply.kernel)];
    let width = reply
        .checks
        .iter()
        .map(|check| display_width(&check.name))
        .max()
        .unwrap_or(0);
    lines.extend(reply.checks.iter().map(|check| {
        let mark = match check.ok {
            true => style.paint(Paint::Green, "ok      "),
            false => style.paint(Paint::Yellow, "fallback"),
        };
        let line = format!("{mark}  {}  {}", pad(&check.name, width), check.detail);
        line.trim_end().to_string()
    }));
    lines
}
