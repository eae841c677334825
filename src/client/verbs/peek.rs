//! `peek`: a process's screen as text.

use crate::client::cli::command::PeekArgs;
use crate::client::context::{Context, write_stdout};
use crate::client::daemon::received::parse_as_sent;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::with_colours;
use crate::wire::{Call, PeekParams, PeekReply};

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context, args: &PeekArgs) -> Result<i32, ClientError> {
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
        lines.to_vec()
    };
    if !args.ansi || context.global.json {
        let _: PeekReply = context.ask(&call, render)?;
        return Ok(exit::DONE);
    }
    let reply: PeekReply = parse_as_sent(context.connect()?.call_value(&call)?)?;
    // The colours are those of the process.
    let lines = render(&reply).into_iter();
    let text: String = lines.map(|line| with_colours(&line) + "\n").collect();
    write_stdout(text.as_bytes())?;
    Ok(exit::DONE)
}
