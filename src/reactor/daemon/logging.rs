//! The daemon's own log: `log` is the front, fern formats and distributes, the disk thread writes.
//! A slow or full disk never stops the reactor.

use crate::config::{LogFormat, LogSettings};
use crate::reactor::clock::unix_ns;
use crate::reactor::disk::LineSender;
use crate::sys;
use crate::text::printable::{printable_json, printable_lines};
use crate::text::timestamp::rfc3339;
use log::{Level, LevelFilter, Record};
use serde_json::json;
use std::os::unix::net::UnixDatagram;

/// The socket of syslog.
const SYSLOG: &str = "/dev/log";

/// Syslog's facility for daemons.
const DAEMON: u8 = 3;

/// Turns a record into a line.
type Formatter = fn(&Record<'_>) -> String;

/// Starts logging. Lines that a sink does not take are dropped, and counted there.
pub(crate) fn start(
    settings: &LogSettings,
    command_line: Option<LevelFilter>,
    sinks: Vec<LineSender>,
) {
    let format = match settings.format {
        LogFormat::Text => text_line,
        LogFormat::Json => json_line,
    };
    let sinks = sinks.into_iter().map(|sink| move |line| sink.send(line));
    let mut dispatch = fern::Dispatch::new().chain(branch(format, sinks));
    if let Some(socket) = settings.syslog.then(connect_syslog).flatten() {
        let send = move |line: String| {
            // If syslog is full or gone the line is lost there; the file has it.
            let _ = socket.send(line.as_bytes());
        };
        dispatch = dispatch.chain(branch(syslog_line, [send]));
    }
    // This fails only for a second start in one process. The first one continues then.
    let _ = dispatch.apply();
    set_level(settings.level, command_line);
}

/// A branch of the log with its own format, and its sinks.
fn branch<S>(format: Formatter, sinks: impl IntoIterator<Item = S>) -> fern::Dispatch
where
    S: Fn(String) + Send + Sync + 'static,
{
    let formatted = fern::Dispatch::new()
        .format(move |out, _, record| out.finish(format_args!("{}", format(record))));
    sinks.into_iter().fold(formatted, |dispatch, send| {
        dispatch.chain(fern::Output::call(move |record| {
            send(record.args().to_string());
        }))
    })
}

/// Sets the level. The command line's wins over the config's.
pub(crate) fn set_level(config: LevelFilter, command_line: Option<LevelFilter>) {
    log::set_max_level(command_line.unwrap_or(config));
}

fn text_line(record: &Record<'_>) -> String {
    let level = match record.level() {
        Level::Error => "ERROR",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    };
    let message = printable_lines(&record.args().to_string()).replace('\n', "\n    ");
    format!("{} {level} {message}", rfc3339(unix_ns()))
}

fn json_line(record: &Record<'_>) -> String {
    let level = record.level().as_str().to_ascii_lowercase();
    let ts = rfc3339(unix_ns());
    let line = json!({"ts": ts, "level": level, "message": record.args().to_string()});
    printable_json(&line.to_string())
}

fn syslog_line(record: &Record<'_>) -> String {
    let severity = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let priority = DAEMON * 8 + severity;
    format!(
        "<{priority}>tmd[{}]: {}",
        sys::runtime::own_pid(),
        printable_lines(&record.args().to_string())
    )
}

fn connect_syslog() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    match socket.connect(SYSLOG) {
        Ok(()) => Some(socket),
        Err(error) => {
            eprintln!("tmd: daemon.log.syslog: {SYSLOG}: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn each_branch_formats_the_record_for_itself() {
        let (sender, lines) = mpsc::channel();
        let mut dispatch = fern::Dispatch::new();
        for format in [text_line, json_line, syslog_line] {
            let sender = sender.clone();
            let send = move |line| sender.send(line).unwrap_or(());
            dispatch = dispatch.chain(branch(format, [send]));
        }
        let (_, log) = dispatch.into_log();
        log.log(
            &Record::builder()
                .level(Level::Warn)
                .args(format_args!("one\ntwo"))
                .build(),
        );
        let lines: Vec<String> = lines.try_iter().collect();
        assert!(lines[0].ends_with("Z WARN  one\n    two"), "{}", lines[0]);
        let json: serde_json::Value = serde_json::from_str(&lines[1]).expect("JSON");
        assert_eq!(json["level"], "warn");
        assert_eq!(json["message"], "one\ntwo");
        assert!(lines[2].starts_with("<28>tmd["), "{}", lines[2]);
        assert!(lines[2].ends_with("]: one\ntwo"), "{}", lines[2]);
    }
}
