//! `logs`: output from memory, then new output.

use crate::client::cli::command::LogsArgs;
use crate::client::context::{Context, or_all, write_stdout};
use crate::client::daemon::frames::{FrameRead, Frames};
use crate::client::daemon::lifecycle::SHUT_DOWN;
use crate::client::daemon::received::frame_text;
use crate::client::error::{ClientError, exit};
use crate::client::ui::line_writers::MergeOptions;
use crate::client::ui::merge::Merger;
use crate::wire::{
    Call, END_REMOVED, Frame, Kind, LogsParams, SourceInfo, StatusReply, TargetsParams,
};
use serde_json::Value;
use signal_hook::consts::SIGINT;
use std::io::IsTerminal;
use std::time::Duration;

/// How long an unfinished line is held before it is printed.
pub(crate) const PARTIAL_LINE_DELAY: Duration = Duration::from_millis(100);

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context, args: &LogsArgs) -> Result<i32, ClientError> {
    let targets = or_all(&args.targets);
    let mut connection = context.connect()?;
    let status = connection.call_value(&Call::Status(TargetsParams {
        targets: targets.clone(),
    }))?;
    let status: StatusReply = context.read(status)?;
    // A scale or a reload may add processes to what a program, pattern or group stands for.
    let fixed = !args.follow || matches!(&targets[..], [one] if is_process(one));
    let stream = match (args.stdout, args.stderr) {
        (true, _) => Some("stdout".to_string()),
        (_, true) => Some("stderr".to_string()),
        _ => None,
    };
    let params = LogsParams {
        targets,
        follow: args.follow,
        frames: true,
        lines: args.lines,
        since_s: args.since.map(|since| since.as_secs_f64()),
        stream: stream.clone(),
    };
    let _: Value = connection.call(&Call::Logs(params))?;
    let is_terminal = std::io::stdout().is_terminal();
    // No other output can interrupt a line of a single stream.
    let alone = matches!(&status.processes[..], [one] if one.tty || stream.is_some()) && fixed;
    let drawing = status.processes.iter().filter(|one| one.full_screen);
    let mut merger = Merger::new(MergeOptions {
        style: context.style,
        full_screen: drawing.map(|one| one.name.clone()).collect(),
        names: status
            .processes
            .into_iter()
            .map(|process| process.name)
            .collect(),
        always_prefix: false,
        timestamps: args.timestamps,
        strip: !args.raw && !context.global.json && is_terminal,
        columns: context.line_width(),
        json: context.global.json,
        whole_lines: !is_terminal && !alone,
        selection: context.selection(),
    });
    if args.follow {
        connection.guard(&[SIGINT]);
    }
    let guard = connection.take_guard();
    let mut frames = Frames::new(connection.into_frames());
    if args.follow {
        frames.watch_output();
    }
    let end = follow(&mut frames, &mut merger)?;
    if end == LogsEnd::Whole && args.follow {
        context.notice(SHUT_DOWN);
    }
    match end != LogsEnd::Broken || guard.is_some_and(|guard| guard.fired()) {
        true => Ok(exit::DONE),
        false => Err(ClientError::Disconnected),
    }
}

/// Whether a target names exactly one process.
fn is_process(target: &str) -> bool {
    target.contains(':') && !target.contains(['*', '?', '['])
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogsEnd {
    /// Everything requested is printed, or everything up to the end of the daemon.
    Whole,
    /// All processes were removed from the config, as notices say.
    Removed,
    /// The connection broke off.
    Broken,
}

/// Prints until the stream ends.
fn follow(frames: &mut Frames, merger: &mut Merger) -> Result<LogsEnd, ClientError> {
    let mut out = Vec::new();
    let mut end = None;
    while end.is_none() {
        while let Some(frame) = frames.next_frame()? {
            if frame.kind == Kind::End {
                end = Some(match frame.payload == END_REMOVED {
                    true => LogsEnd::Removed,
                    false => LogsEnd::Whole,
                });
            }
            take_frame(merger, &frame, &mut out);
        }
        write_stdout(&out)?;
        out.clear();
        if end.is_none() {
            match frames.fill(merger.has_partial().then_some(PARTIAL_LINE_DELAY)) {
                FrameRead::Bytes => {}
                FrameRead::Idle => merger.flush(&mut out),
                FrameRead::End => end = Some(LogsEnd::Broken),
                FrameRead::OutputClosed => return Err(ClientError::OutputClosed),
            }
        }
    }
    merger.finish(&mut out);
    write_stdout(&out)?;
    Ok(end.unwrap_or(LogsEnd::Broken))
}

/// Hands one frame to the merger.
pub(crate) fn take_frame(merger: &mut Merger, frame: &Frame, out: &mut Vec<u8>) {
    match frame.kind {
        Kind::Source => {
            if let Ok(info) = serde_json::from_slice::<SourceInfo>(&frame.payload) {
                merger.source(&info, out);
            }
        }
        Kind::Data | Kind::Snapshot => {
            if let Some((_, bytes)) = frame.offset_and_bytes() {
                merger.data(bytes, out);
            }
        }
        Kind::Skipped => {
            if let Some(bytes) = frame.payload.first_chunk::<8>() {
                merger.skipped(u64::from_be_bytes(*bytes), out);
            }
        }
        Kind::Notice => {
            merger.notice("", &frame_text(&frame.payload), out);
        }
        Kind::Input
        | Kind::Resize
        | Kind::Role
        | Kind::Exit
        | Kind::Detach
        | Kind::End
        | Kind::InputEnd
        | Kind::Redraw => {}
    }
}
