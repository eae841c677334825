//! Error messages for invalid parameters: the name, the expected type, the value.

use serde_json::{Map, Value};

/// The type of a parameter, for messages.
#[derive(Debug, Clone, Copy)]
enum ParamKind {
    Text,
    Texts,
    Flag,
    Seconds,
    /// A whole number up to this bound.
    Whole(u64),
    Signal,
    Goal,
}

const KINDS: [(&str, ParamKind); 29] = [
    ("targets", ParamKind::Texts),
    ("process", ParamKind::Text),
    ("program", ParamKind::Text),
    ("text", ParamKind::Text),
    ("client", ParamKind::Text),
    ("stream", ParamKind::Text),
    ("signal", ParamKind::Signal),
    ("for", ParamKind::Goal),
    ("timeout_s", ParamKind::Seconds),
    ("since_s", ParamKind::Seconds),
    ("protocol", ParamKind::Whole(u32::MAX as u64)),
    ("numprocs", ParamKind::Whole(u32::MAX as u64)),
    ("history", ParamKind::Whole(u32::MAX as u64)),
    ("lines", ParamKind::Whole(u64::MAX)),
    ("rows", ParamKind::Whole(u16::MAX as u64)),
    ("cols", ParamKind::Whole(u16::MAX as u64)),
    ("terminal", ParamKind::Whole(u64::MAX)),
    ("wait", ParamKind::Flag),
    ("follow", ParamKind::Flag),
    ("frames", ParamKind::Flag),
    ("dry_run", ParamKind::Flag),
    ("read_only", ParamKind::Flag),
    ("steal", ParamKind::Flag),
    ("replay", ParamKind::Flag),
    ("until_exit", ParamKind::Flag),
    ("lossless", ParamKind::Flag),
    ("all", ParamKind::Flag),
    ("ansi", ParamKind::Flag),
    ("now", ParamKind::Flag),
];

/// Finds the invalid one among parameters that were rejected.
pub(super) fn misfit(params: &Map<String, Value>) -> Option<String> {
    let given = KINDS.iter().filter_map(|(name, kind)| {
        let value = params.get(*name)?;
        (!kind.takes(value)).then(|| {
            let expected = kind.expected();
            format!("{name}: expected {expected}, found {}", found(value))
        })
    });
    // In the order of the table, so that a request always gets the same message.
    given.into_iter().next()
}

/// Describes a value in a few words, regardless of its size.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => shortened(&number.to_string()),
        Value::String(text) => format!("{:?}", shortened(text)),
        Value::Array(items) if items.is_empty() => "an empty list".to_string(),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

impl ParamKind {
    fn takes(self, value: &Value) -> bool {
        match self {
            ParamKind::Text => value.is_string(),
            ParamKind::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            ParamKind::Flag => value.is_boolean(),
            ParamKind::Seconds => value.is_null() || value.is_number(),
            ParamKind::Whole(most) => value.is_null() || value.as_u64().is_some_and(|n| n <= most),
            ParamKind::Signal => value.is_string() || value.as_i64().is_some(),
            ParamKind::Goal => {
                let goals = ["running", "stopped", "exited", "fatal", "healthy"];
                value.as_str().is_some_and(|goal| goals.contains(&goal))
            }
        }
    }

    fn expected(self) -> String {
        let text = match self {
            ParamKind::Text => "a string",
            ParamKind::Texts => "a list of strings",
            ParamKind::Flag => "true or false",
            ParamKind::Seconds => "a number of seconds",
            ParamKind::Whole(u64::MAX) => "a whole number",
            ParamKind::Whole(most) => return format!("a whole number up to {most}"),
            ParamKind::Signal => "a signal's name or number",
            ParamKind::Goal => "`running`, `stopped`, `exited`, `fatal` or `healthy`",
        };
        text.to_string()
    }
}
