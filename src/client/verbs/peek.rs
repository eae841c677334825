//! `peek`: a process's screen as text.

use crate::client::cli::command::PeekArgs;
use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::text::printable::printable;
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
        if args.ansi {
            lines.to_vec()
        } else {
            lines.iter().map(|line| printable(line)).collect()
        }
    };
    let _: PeekReply = context.ask(&call, render)?;
    Ok(exit::DONE)
}
