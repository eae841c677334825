//! The daemon's own log: `log` and fern in front, the disk thread behind, so that neither a slow
//! disk nor a full one stops the reactor.

use crate::config::{LogFormat, LogSettings};
use crate::reactor::clock::{rfc3339_of, unix_ns};
use crate::reactor::disk::LineSender;
use crate::sys;
use log::{Level, LevelFilter, Record};
use serde_json::json;
use std::os::unix::net::UnixDatagram;

/// Where syslog listens.
const SYSLOG: &str = "/dev/log";

/// Syslog's facility for daemons.
const DAEMON: u8 = 3;

/// Starts logging to these sinks. What a sink does not take is dropped and counted there.
pub fn start(settings: &LogSettings, command_line: Option<LevelFilter>, sinks: Vec<LineSender>) {
    let syslog = settings.syslog.then(connect_syslog).flatten();
    let format = settings.format;
    let write = move |record: &Record<'_>| {
        let line = match format {
            LogFormat::Text => text_line(record),
            LogFormat::Json => json_line(record),
        };
        for sink in &sinks {
            sink.send(line.clone());
        }
        if let Some(socket) = &syslog {
            let line = syslog_line(record);
            // A full or absent syslog loses the line; the file has it.
            let _ = socket.send(line.as_bytes());
        }
    };
    let dispatch = fern::Dispatch::new().level(LevelFilter::Trace);
    let dispatch = dispatch.chain(fern::Output::call(write));
    // Only a second start in one process could fail, and the first one goes on then.
    let _ = dispatch.apply();
    set_level(settings.level, command_line);
}

/// The command line's level wins over the config's.
pub fn set_level(config: LevelFilter, command_line: Option<LevelFilter>) {
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
    let message = record.args().to_string().replace('\n', "\n    ");
    format!("{} {level} {message}", rfc3339_of(unix_ns()))
}

fn json_line(record: &Record<'_>) -> String {
    let level = record.level().as_str().to_ascii_lowercase();
    let ts = rfc3339_of(unix_ns());
    json!({"ts": ts, "level": level, "message": record.args().to_string()}).to_string()
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
        record.args()
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
