//! `daemons`: the running daemons of this user.

use crate::client::context::Context;
use crate::client::daemon::select::{self, RunningDaemon};
use crate::client::error::{ClientError, exit};
use crate::client::ui::local_time::date_time;
use crate::client::ui::table::{self, Cell, Columns};
use serde_json::json;

/// Runs the verb.
///
/// # Errors
/// Of the output; `NoDaemon` silently when none runs.
pub(crate) fn run(context: &Context) -> Result<i32, ClientError> {
    let running = select::running(&context.trust()?);
    if context.global.json {
        let object = |daemon: &RunningDaemon| {
            let hello = &daemon.hello_as_sent;
            json!({"pid": hello.pid, "config": hello.config,
                "socket": daemon.socket, "version": hello.version,
                "uid": hello.uid, "started_at": hello.started_at,
                "shutting_down": hello.shutting_down})
        };
        let daemons: Vec<_> = running.iter().map(object).collect();
        context.print_json(&json!({ "daemons": daemons }))?;
    } else if !running.is_empty() {
        let row = |daemon: &RunningDaemon| -> Vec<Cell> {
            vec![
                daemon.hello.pid.to_string().into(),
                daemon.hello.config.as_str().into(),
                date_time(&daemon.hello.started_at).into(),
                daemon.socket.display().to_string().into(),
            ]
        };
        let rows: Vec<Vec<Cell>> = running.iter().map(row).collect();
        let header = ["PID", "CONFIG", "SINCE", "SOCKET"];
        let columns = Columns {
            header: &header,
            right: &[0],
            ..Columns::default()
        };
        // A path is not cut: a narrow terminal gets fewer columns, then longer lines.
        let fits = |lines: &[String]| {
            let width = context.line_width().unwrap_or(usize::MAX);
            lines.iter().all(|line| table::visible_width(line) <= width)
        };
        let mut lines = table::render(context.style, columns, &rows);
        for (kept, header) in [(3, &header[..3]), (2, &header[..2])] {
            if fits(&lines) {
                break;
            }
            let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row[..kept].to_vec()).collect();
            lines = table::render(context.style, Columns { header, ..columns }, &rows);
        }
        context.print_lines(&lines)?;
    }
    if running.is_empty() {
        context.notice("tm: no daemon of this user runs");
        return Ok(exit::NO_DAEMON);
    }
    Ok(exit::DONE)
}
