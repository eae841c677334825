//! `doctor`: kernel features and the fallbacks in use.

use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{display_width, pad, wrap};
use crate::sys::checks;
use crate::wire::{Call, DoctorCheck, DoctorReply, HelloParams, PROTOCOL};

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context) -> Result<i32, ClientError> {
    let columns = context.line_width();
    let call = Call::Doctor(HelloParams {
        protocol: PROTOCOL,
        client: "tm".to_string(),
    });
    let answer = context.ask(&call, |reply| render(context.style, reply, columns));
    if let Err(ClientError::NoDaemon(_) | ClientError::NotRunning(_)) = answer {
        context.notice("no daemon was reached; these are the checks of this machine");
        let reply = DoctorReply::new(checks::kernel_release(), checks::run());
        if context.global.json {
            context.print_json(&reply)?;
        } else {
            context.print_lines(&render(context.style, &reply, columns))?;
        }
        return Ok(exit::DONE);
    }
    answer.map(|_: DoctorReply| exit::DONE)
}

/// A row for each check. A long detail continues below itself.
fn render(style: Style, reply: &DoctorReply, columns: Option<usize>) -> Vec<String> {
    let names = reply.checks.iter().map(|check| display_width(&check.name));
    let width = names.max().unwrap_or(0);
    let beside = MARK_WIDTH + 2 + width + 2;
    let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(beside));
    let lines = reply.checks.iter().flat_map(|check| {
        let name = pad(&check.name, width);
        let details = wrap(&check.detail, room.max(ROOM_MIN))
            .into_iter()
            .enumerate();
        details.map(move |(index, detail)| match index {
            0 => format!("{}  {name}  {detail}", mark(style, check))
                .trim_end()
                .to_string(),
            _ => format!("{:beside$}{detail}", ""),
        })
    });
    lines.collect()
}

/// The width of a mark.
const MARK_WIDTH: usize = 8;

/// The least room for a detail.
const ROOM_MIN: usize = 16;

fn mark(style: Style, check: &DoctorCheck) -> String {
    let (word, paint) = match (check.ok, check.name.as_str()) {
        (true, _) => ("ok", Paint::Green),
        (false, _) if check.detail.contains(checks::NORMAL) => ("limited", Paint::Yellow),
        (false, "close_range" | "children lists") => ("fallback", Paint::Yellow),
        (false, "privileges" | "open files") => ("limited", Paint::Yellow),
        (false, _) => ("missing", Paint::Red),
    };
    style.paint(paint, &pad(word, MARK_WIDTH))
}
