//! The `daemon` section.

use super::identity::{self, Wanted};
use super::lowering_context::{Lowering, Table, Value};
use super::{AccessSettings, DaemonSettings, LogFormat, LogSettings, keys};
use log::LevelFilter;
use std::path::PathBuf;

/// Longest socket path that the system accepts, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Reads the section. Absent and faulty keys keep their defaults.
pub(super) fn lower(cx: &mut Lowering, value: Option<&Value>) -> DaemonSettings {
    let mut settings = DaemonSettings::default();
    let Some(table) = value.and_then(|value| cx.table(value, &keys::DAEMON)) else {
        return settings;
    };
    settings.socket = table.find("socket").and_then(|value| socket(cx, &value));
    if let Some(mode) = table.find("socket_mode").and_then(|value| cx.octal(&value)) {
        settings.socket_mode = mode;
    }
    let group = table.find("socket_group");
    settings.socket_group = group.and_then(|value| identity::group_id(cx, &value));
    settings.pidfile = table.find("pidfile").and_then(|value| file(cx, &value));
    if let Some(value) = table.find("user") {
        let wanted = Wanted {
            user: Some(value),
            ..Wanted::default()
        };
        settings.user = identity::identity(cx, &wanted);
        cx.drops_root = true;
    }
    if let Some(user) = &settings.user {
        cx.daemon_uid = user.uid;
        cx.daemon_gid = user.gid;
    }
    if let Some(value) = table.find("log") {
        settings.log = log(cx, &value);
    }
    if let Some(value) = table.find("access") {
        settings.access = access(cx, &value);
        let others = !settings.access.read.is_empty() || !settings.access.control.is_empty();
        // A connection needs the permission to write.
        if others && settings.socket_mode & 0o022 == 0 {
            let message = "`access` lets in users who cannot open the socket";
            let help = "set `socket_mode: 0666`, or 0660 and `socket_group`".to_string();
            cx.warning(value.at(), &value.key, message, Some(help));
        }
    }
    settings
}

fn socket(cx: &mut Lowering, value: &Value) -> Option<PathBuf> {
    let path = file(cx, value)?;
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        let message =
            format!("the socket's path has {length} bytes, at most {SOCKET_PATH_MAX} fit");
        return cx.refuse(
            value,
            message,
            Some("choose a shorter path, such as one in /run"),
        );
    }
    Some(path)
}

fn file(cx: &mut Lowering, value: &Value) -> Option<PathBuf> {
    let text = cx.nonempty(value, "a path")?;
    if text.ends_with('/') {
        return cx.refuse(value, "this is a directory", Some("name a file in it"));
    }
    Some(PathBuf::from(cx.absolute(&text)))
}

fn log(cx: &mut Lowering, value: &Value) -> LogSettings {
    let mut settings = LogSettings::default();
    let Some(table) = cx.table(value, &keys::LOG) else {
        return settings;
    };
    settings.file = table.find("file").and_then(|value| file(cx, &value));
    let levels = [
        ("off", LevelFilter::Off),
        ("error", LevelFilter::Error),
        ("warn", LevelFilter::Warn),
        ("info", LevelFilter::Info),
        ("debug", LevelFilter::Debug),
        ("trace", LevelFilter::Trace),
    ];
    if let Some(level) = table
        .find("level")
        .and_then(|value| cx.choice(&value, &levels))
    {
        settings.level = level;
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = table
        .find("format")
        .and_then(|value| cx.choice(&value, &formats))
    {
        settings.format = format;
    }
    if let Some(syslog) = table.find("syslog").and_then(|value| cx.boolean(&value)) {
        settings.syslog = syslog;
    }
    settings
}

fn access(cx: &mut Lowering, value: &Value) -> AccessSettings {
    let table: Option<Table> = cx.table(value, &keys::ACCESS);
    let Some(table) = table else {
        return AccessSettings::default();
    };
    identity::access(cx, table.find("read"), table.find("control"))
}
