//! `stdin`, `stdout`, `stderr` and `tty`.

use super::diagnostics::shown;
use super::keys;
use super::lowering_context::{Lowering, Value};
use super::node::NodeKind;
use super::placeholder_checks::{Vars, placeholders};
use super::shell_habits;
use super::values::{boolean_help, boolean_of};
use crate::supervisor::placeholder::{self, Values};
use crate::supervisor::{FileSink, Sink, SizePolicy, Stall, Stdin, Tty};
use std::time::Duration;

/// Default size at which a log file is rotated, in bytes.
const ROTATION_SIZE: u64 = 50 * 1024 * 1024;
/// Default number of rotated files to keep.
const KEEP: u32 = 10;

/// The stream that a sink belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkStream {
    Stdout,
    Stderr,
}

const EXPECTED: &str = "`ring`, `discard`, a path, or a map with `file`";

/// Reads the sink of a stream.
pub(super) fn sink(
    cx: &mut Lowering,
    value: &Value,
    stream: SinkStream,
    vars: &Vars,
) -> Option<Sink> {
    if matches!(value.node.kind, NodeKind::Map(_)) {
        return file_map(cx, value, vars);
    }
    let nothing = Some("`discard` for /dev/null, `ring` for memory only");
    let null = value.written().is_some_and(|scalar| scalar.is_null());
    if null {
        return cx.refuse(
            value,
            format!("expected {EXPECTED}, found nothing"),
            nothing,
        );
    }
    let text = cx.nonempty(value, EXPECTED)?;
    match text.as_str() {
        "ring" => Some(Sink::Ring),
        "discard" | "/dev/null" => Some(Sink::Discard),
        "stdout" if stream == SinkStream::Stderr => Some(Sink::Stdout),
        "stdout" | "stderr" => {
            let message = format!("{} is not a destination for output", shown(&text));
            cx.refuse(value, message, Some("only `stderr: stdout` merges the two"))
        }
        "inherit" => {
            let message = format!("expected {EXPECTED}, found {}", shown(&text));
            cx.refuse(value, message, Some(OWN_STREAMS_HELP))
        }
        "none" | "None" | "NONE" | "null" | "false" | "off" | "no" | "AUTO" => {
            let message = format!("expected {EXPECTED}, found {}", shown(&text));
            cx.refuse(value, message, nothing)
        }
        path => {
            let words = [
                ("ring", "ring"),
                ("discard", "discard"),
                ("null", "discard"),
            ];
            let merged = (stream == SinkStream::Stderr).then_some(("stdout", "stdout"));
            wrong_case(cx, value, path, words.into_iter().chain(merged));
            let path = log_path(cx, value, path, vars)?;
            Some(Sink::File(file_sink(path)))
        }
    }
}

/// The remedy for output that should go to the daemon's own streams.
const OWN_STREAMS_HELP: &str =
    "write `ring`, and run `tm up`: it prints the output of all programs";

/// Reads the path of a log file.
fn log_path(cx: &mut Lowering, value: &Value, text: &str, vars: &Vars) -> Option<String> {
    if is_own_stream(text) {
        let message = format!("{} is a stream of the daemon, not a log file", shown(text));
        return cx.refuse(value, message, Some(OWN_STREAMS_HELP));
    }
    file_path(cx, value, text, vars)
}

/// Whether a path names an open descriptor, such as `/dev/stdout`.
fn is_own_stream(path: &str) -> bool {
    let directories = ["/dev/fd/", "/proc/self/fd/", "/proc/1/fd/"];
    ["/dev/stdout", "/dev/stderr"].contains(&path)
        || directories
            .iter()
            .any(|directory| path.starts_with(directory))
}

fn file_sink(path: String) -> FileSink {
    FileSink {
        path,
        direct: false,
        max_size: ROTATION_SIZE,
        keep: KEEP,
        mode: None,
        compress: false,
        timestamps: false,
        strip_ansi: false,
        stall: Stall::After(Duration::from_secs(1)),
    }
}

fn file_map(cx: &mut Lowering, value: &Value, vars: &Vars) -> Option<Sink> {
    let table = cx.table(value, &keys::SINK)?;
    let mut sink = file_sink(String::new());
    let flag = |cx: &mut Lowering, name: &str, target: &mut bool| {
        if let Some(set) = table.find(name).and_then(|value| cx.boolean(&value)) {
            *target = set;
        }
    };
    flag(cx, "compress", &mut sink.compress);
    flag(cx, "timestamps", &mut sink.timestamps);
    flag(cx, "strip_ansi", &mut sink.strip_ansi);
    flag(cx, "direct", &mut sink.direct);
    if let Some(size) = table.find("max_size").and_then(|v| cx.size(&v, 0, 1 << 50)) {
        sink.max_size = size;
    }
    if let Some(keep) = table.find("keep").and_then(|v| cx.integer(&v, 0, 1000)) {
        sink.keep = keep;
    }
    if let Some(mode) = table.find("mode").and_then(|v| cx.octal(&v)) {
        sink.mode = Some(mode);
    }
    if let Some(stall) = table.find("stall").and_then(|value| stall(cx, &value)) {
        sink.stall = stall;
    }
    if sink.direct {
        for name in [
            "max_size",
            "keep",
            "mode",
            "compress",
            "timestamps",
            "strip_ansi",
            "stall",
        ] {
            if let Some(idle) = table.find(name) {
                let message =
                    "has no effect with `direct: true`: the process writes the file itself";
                cx.warning(idle.at(), &idle.key, message, None);
            }
        }
    }
    let Some(file) = table.find("file") else {
        return cx.refuse(value, "`file` is missing", Some("add `file: PATH`"));
    };
    let text = cx.nonempty(&file, "a path")?;
    if text == "/dev/null" {
        return Some(Sink::Discard);
    }
    sink.path = log_path(cx, &file, &text, vars)?;
    Some(Sink::File(sink))
}

fn stall(cx: &mut Lowering, value: &Value) -> Option<Stall> {
    match value.written() {
        Some(scalar) if scalar.text == "never" => Some(Stall::Never),
        _ => cx.duration(value).map(Stall::After),
    }
}

/// Reads an absolute path of a file and checks its placeholders.
pub(super) fn file_path(
    cx: &mut Lowering,
    value: &Value,
    text: &str,
    vars: &Vars,
) -> Option<String> {
    if text.ends_with('/') {
        let message = format!("{} is a directory", shown(text));
        return cx.refuse(value, message, Some("name a file in it"));
    }
    path(cx, value, text, vars)
}

/// Reads an absolute path and checks its placeholders.
pub(super) fn path(cx: &mut Lowering, value: &Value, text: &str, vars: &Vars) -> Option<String> {
    shell_habits::check_path(cx, value);
    placeholders(cx, value, text, vars)?;
    // `{vars.dir}/log` may be absolute once expanded.
    let nameless = Values {
        program: "",
        instance: 0,
        numprocs: 0,
        vars,
    };
    let begins_absolute = placeholder::expand(text, &nameless).starts_with('/');
    Some(if begins_absolute {
        text.to_string()
    } else {
        cx.absolute(text)
    })
}

/// Reads the source of standard input.
pub(super) fn stdin(cx: &mut Lowering, value: &Value) -> Option<Stdin> {
    if let Some(scalar) = value.written()
        && scalar.is_null()
        && !scalar.text.is_empty()
    {
        return Some(Stdin::Null);
    }
    let text = cx.nonempty(value, "`null`, `pipe` or a path")?;
    match text.as_str() {
        "null" | "/dev/null" => Some(Stdin::Null),
        "pipe" => Some(Stdin::Pipe),
        "none" | "None" | "discard" | "false" | "inherit" | "tty" => {
            let message = format!("expected `null`, `pipe` or a path, found {}", shown(&text));
            let help = if text == "tty" {
                "write `tty: true`"
            } else {
                "write `null`"
            };
            cx.refuse(value, message, Some(help))
        }
        path => {
            wrong_case(cx, value, path, [("pipe", "pipe"), ("null", "null")]);
            shell_habits::check_path(cx, value);
            Some(Stdin::File(cx.absolute(path)))
        }
    }
}

/// Warns if a file name differs only by case from one of these words. Each comes with its meaning.
fn wrong_case(
    cx: &mut Lowering,
    value: &Value,
    text: &str,
    words: impl IntoIterator<Item = (&'static str, &'static str)>,
) {
    let mut words = words.into_iter();
    if let Some((_, meant)) = words.find(|(word, _)| text.eq_ignore_ascii_case(word)) {
        let message = format!("{} is taken as the name of a file", shown(text));
        let help = format!("did you mean `{meant}`? For the file write `./{text}`");
        cx.warning(value.at(), &value.key, message, Some(help));
    }
}

/// Reads the terminal. The inner `None` is a process without one.
pub(super) fn tty(cx: &mut Lowering, value: &Value) -> Option<Option<Tty>> {
    let mut tty = Tty {
        rows: 24,
        cols: 80,
        size: SizePolicy::Latest,
    };
    if !matches!(value.node.kind, NodeKind::Map(_)) {
        let expected = "true, false, or a map with `rows`, `cols`, `size`";
        let text = cx.text(value, expected)?;
        return match boolean_of(&text) {
            Some(wanted) => Some(wanted.then_some(tty)),
            None => {
                let message = format!("expected {expected}, found {}", shown(&text));
                cx.refuse(value, message, boolean_help(&text))
            }
        };
    }
    let table = cx.table(value, &keys::TTY)?;
    for (name, target) in [("rows", &mut tty.rows), ("cols", &mut tty.cols)] {
        let given = table
            .find(name)
            .and_then(|value| cx.integer(&value, 1, 1000));
        if let Some(given) = given.and_then(|given| u16::try_from(given).ok()) {
            *target = given;
        }
    }
    let sizes = [
        ("latest", SizePolicy::Latest),
        ("smallest", SizePolicy::Smallest),
        ("largest", SizePolicy::Largest),
        ("fixed", SizePolicy::Fixed),
    ];
    if let Some(size) = table
        .find("size")
        .and_then(|value| cx.choice(&value, &sizes))
    {
        tty.size = size;
    }
    Some(Some(tty))
}
