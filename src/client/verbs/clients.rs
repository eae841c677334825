//! `clients`: the attached clients.

use crate::client::cli::command::TargetsArgs;
use crate::client::context::{Context, or_all};
use crate::client::error::{ClientError, exit};
use crate::client::ui::local_time::date_time;
use crate::client::ui::style::Style;
use crate::client::ui::table::{self, Cell, Columns};
use crate::wire::{Call, ClientInfo, ClientsReply, TargetsParams};

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context, args: &TargetsArgs) -> Result<i32, ClientError> {
    let call = Call::Clients(TargetsParams {
        targets: or_all(&args.targets),
    });
    let reply: ClientsReply = context.ask(&call, |reply: &ClientsReply| {
        if reply.clients.is_empty() {
            Vec::new()
        } else {
            render(context.style, reply)
        }
    })?;
    if reply.clients.is_empty() {
        context.notice("no clients attached");
    }
    Ok(exit::DONE)
}

fn render(style: Style, reply: &ClientsReply) -> Vec<String> {
    let row = |client: &ClientInfo| -> Vec<Cell> {
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
    let columns = Columns {
        header: &header,
        right: &[1, 2],
        ..Columns::default()
    };
    table::render(style, columns, &rows)
}
