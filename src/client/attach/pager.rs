//! Help and history, shown on the main screen between two attachments until a key is pressed.

use crate::client::attach::session::asked_to_end;
use crate::client::context::Context;
use crate::client::daemon::received::parse_as_sent;
use crate::client::error::ClientError;
use crate::client::ui::event_loop::{FdWatch, SignalSource, wait};
use crate::client::ui::style::Paint;
use crate::client::ui::style::with_colours;
use crate::sys::tty;
use crate::text::printable::{printable, printable_lines};
use crate::wire::{Call, PeekParams, PeekReply};
use std::io::{self, Write};
use std::os::fd::AsFd;

/// How many lines of history are requested.
const HISTORY_LINES: u32 = 5000;

/// The reason why the pager ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PagerExit {
    /// A key. These bytes were typed for the process, or begin the detach keys.
    Key(Vec<u8>),
    /// A signal that asks the client to end.
    Signal(i32),
}

/// Shows the help. Attaching again repaints the screen.
pub(crate) fn help(text: &str, signals: &mut SignalSource) -> PagerExit {
    show(&format!("{}\n", printable_lines(text)));
    let exit = await_key(
        signals,
        "press space to continue; other keys go to the process ",
        after_dismissal,
    );
    show("\n");
    exit
}

/// Prints the lines that scrolled off the process's screen, and the screen if it is the main one,
/// so that the terminal's own scrollback, search and selection serve as the pager. Afterwards the
/// text is scrolled out of view, because attaching again draws the screen.
///
/// # Errors
/// Of the connection or the request.
pub(crate) fn history(
    context: &Context,
    process: &str,
    signals: &mut SignalSource,
) -> Result<PagerExit, ClientError> {
    let call = Call::Peek(PeekParams {
        process: process.to_string(),
        ansi: true,
        history: HISTORY_LINES,
    });
    let reply: PeekReply = parse_as_sent(context.connect()?.call_value(&call)?)?;
    let mut text = String::new();
    for line in &reply.history {
        text.push_str(&with_colours(line));
        text.push('\n');
    }
    if !reply.alternate_screen {
        for line in &reply.lines {
            text.push_str(&with_colours(line));
            text.push('\n');
        }
    }
    let count = reply.history.len();
    let words = match count {
        0 => format!("[nothing has scrolled off the screen of {process} yet; press any key]"),
        _ => format!("[history of {process}, {count} lines: scroll up to read; press any key]"),
    };
    show(&text);
    let prompt = format!("{} ", context.style.paint(Paint::Dim, &printable(&words)));
    let exit = await_key(signals, &prompt, after_any_key);
    // The last page of the history moves to the scrollback; the screen itself is redrawn.
    let rows = tty::window_size(io::stdout().as_fd()).map_or(24, |(rows, _)| rows.into());
    let shown = match reply.alternate_screen {
        true => 0,
        false => reply.lines.len(),
    };
    let push = match count + shown >= rows {
        true => rows.saturating_sub(shown + 1),
        false => rows,
    };
    show(&format!("\r\x1b[K{}", "\n".repeat(push.min(1000))));
    Ok(exit)
}

/// The bytes after the key that only ends the help: space, enter, escape or ctrl-c.
fn after_dismissal(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b' ' | b'\r' | b'\n' | 0x03, rest @ ..] => rest,
        [0x1b] => &[],
        bytes => bytes,
    }
}

/// The bytes after the key that only ends the history. Keys with ctrl may begin the detach keys.
fn after_any_key(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0x1b, ..] => &[],
        [0x20..=0xff, ..] => {
            let next = bytes.iter().skip(1).position(|byte| byte & 0xc0 != 0x80);
            next.map_or(&[], |at| &bytes[at + 1..])
        }
        bytes => after_dismissal(bytes),
    }
}

fn show(text: &str) {
    let mut out = io::stdout();
    // A failure here ends the next attachment.
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Takes the bytes of a key, and returns those that are for the process.
type Dismissal = fn(&[u8]) -> &[u8];

/// Shows the prompt and waits for one key, which may send several bytes.
fn await_key(signals: &mut SignalSource, prompt: &str, rest: Dismissal) -> PagerExit {
    // Without a terminal no key will come.
    key_or_signal(signals, prompt, rest).unwrap_or(PagerExit::Key(Vec::new()))
}

fn key_or_signal(
    signals: &mut SignalSource,
    prompt: &str,
    rest: Dismissal,
) -> io::Result<PagerExit> {
    let terminal = tty::open()?;
    // Before the prompt: keys that are typed at it are not echoed.
    let _raw = tty::RawMode::enter(terminal.as_fd())?;
    show(prompt);
    loop {
        let watches = [FdWatch::readable(&terminal), FdWatch::readable(signals)];
        let [key, signal] = wait(watches, None)?;
        if signal.is_readable()
            && let Some(signal) = asked_to_end(signals)
        {
            return Ok(PagerExit::Signal(signal));
        }
        if key.is_readable() {
            let mut bytes = [0; 4096];
            let count = crate::sys::io::read(terminal.as_fd(), &mut bytes)?;
            return Ok(PagerExit::Key(rest(&bytes[..count]).to_vec()));
        }
    }
}
