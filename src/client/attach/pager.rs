//! What is shown between two attachments, on the main screen, until a key is pressed.

use crate::client::attach::session::asked_to_end;
use crate::client::context::Context;
use crate::client::error::ClientError;
use crate::client::ui::style::Paint;
use crate::sys::tty;
use crate::wire::{Call, PeekParams, PeekReply};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook_mio::v1_0::Signals;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Lines of history that are asked for.
const LINES: u32 = 5000;

/// What ended the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A key.
    Key,
    /// A signal that asks to end.
    Signal(i32),
}

/// Shows the help; attaching again then repaints the screen.
pub(crate) fn help(text: &str, signals: &mut Signals) -> Seen {
    show(&format!("{text}\npress any key to continue "));
    let seen = await_key(signals);
    show("\n");
    seen
}

/// Prints what has left the process's screen, and the screen when it is the main one, so that the
/// terminal's own scrollback, search and selection serve as the pager. Then all of it is scrolled
/// out of view, since the screen is drawn anew.
///
/// # Errors
/// Of the connection or the request.
pub(crate) fn history(
    context: &Context,
    process: &str,
    signals: &mut Signals,
) -> Result<Seen, ClientError> {
    let call = Call::Peek(PeekParams {
        process: process.to_string(),
        ansi: true,
        history: LINES,
    });
    let reply: PeekReply = context.connect()?.call(&call)?;
    let mut text = String::new();
    for line in &reply.history {
        text.push_str(line);
        text.push('\n');
    }
    if !reply.alternate_screen {
        for line in &reply.lines {
            text.push_str(line);
            text.push_str("\x1b[m\n");
        }
    }
    let count = reply.history.len();
    let words = match count {
        0 => format!("[nothing has scrolled off the screen of {process} yet; press any key]"),
        _ => format!("[history of {process}, {count} lines: scroll up to read; press any key]"),
    };
    text.push_str(&format!("{} ", context.style.paint(Paint::Dim, &words)));
    show(&text);
    let seen = await_key(signals);
    // The last page of the history goes into the scrollback; the screen itself is drawn anew.
    let rows = tty::window_size(std::io::stdout().as_fd()).map_or(24, |(rows, _)| rows.into());
    let shown = match reply.alternate_screen {
        true => 0,
        false => reply.lines.len(),
    };
    let push = match count + shown >= rows {
        true => rows.saturating_sub(shown + 1),
        false => rows,
    };
    show(&format!("\r\x1b[K{}", "\n".repeat(push.min(1000))));
    Ok(seen)
}

fn show(text: &str) {
    let mut out = std::io::stdout();
    // A terminal that is gone ends the next attachment.
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Waits for one key, however many bytes it sends.
fn await_key(signals: &mut Signals) -> Seen {
    // Without a terminal there is nobody to wait for.
    key_or_signal(signals).unwrap_or(Seen::Key)
}

fn key_or_signal(signals: &mut Signals) -> io::Result<Seen> {
    let terminal = tty::open()?;
    let _raw = tty::RawMode::enter(terminal.as_fd())?;
    let mut poll = Poll::new()?;
    let (key, signal) = (Token(0), Token(1));
    let fd = terminal.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), key, Interest::READABLE)?;
    poll.registry()
        .register(signals, signal, Interest::READABLE)?;
    let seen = first_of(&mut poll, key, signals, &terminal);
    poll.registry().deregister(signals)?;
    seen
}

fn first_of(
    poll: &mut Poll,
    key: Token,
    signals: &mut Signals,
    terminal: &OwnedFd,
) -> io::Result<Seen> {
    let mut events = Events::with_capacity(4);
    loop {
        // One may have come before there was a poll.
        if let Some(signal) = asked_to_end(signals) {
            return Ok(Seen::Signal(signal));
        }
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if events.iter().any(|event| event.token() == key) {
            let _ = crate::sys::io::read(terminal.as_fd(), &mut [0; 64])?;
            return Ok(Seen::Key);
        }
    }
}
