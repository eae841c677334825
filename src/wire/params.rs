//! Error messages for invalid parameters: the name, the expected type, the value.

use serde_json::{Map, Value};

/// The type of a parameter, for messages.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Flag,
    Seconds,
    /// A whole number up to this bound.
    Whole(u64),
    Signal,
    Goal,
}

const KINDS: [(&str, Kind); 29] = [
    ("targets", Kind::Texts),
    ("process", Kind::Text),
    ("program", Kind::Text),
    ("text", Kind::Text),
    ("client", Kind::Text),
    ("stream", Kind::Text),
    ("signal", Kind::Signal),
    ("for", Kind::Goal),
    ("timeout_s", Kind::Seconds),
    ("since_s", Kind::Seconds),
    ("protocol", Kind::Whole(u32::MAX as u64)),
    ("numprocs", Kind::Whole(u32::MAX as u64)),
    ("history", Kind::Whole(u32::MAX as u64)),
    ("lines", Kind::Whole(u64::MAX)),
    ("rows", Kind::Whole(u16::MAX as u64)),
    ("cols", Kind::Whole(u16::MAX as u64)),
    ("terminal", Kind::Whole(u64::MAX)),
    ("wait", Kind::Flag),
    ("follow", Kind::Flag),
    ("frames", Kind::Flag),
    ("dry_run", Kind::Flag),
    ("read_only", Kind::Flag),
    ("steal", Kind::Flag),
    ("replay", Kind::Flag),
    ("until_exit", Kind::Flag),
    ("lossless", Kind::Flag),
    ("all", Kind::Flag),
    ("ansi", Kind::Flag),
    ("now", Kind::Flag),
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

impl Kind {
    fn takes(self, value: &Value) -> bool {
        match self {
            Kind::Text => value.is_string(),
            Kind::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            Kind::Flag => value.is_boolean(),
            Kind::Seconds => value.is_null() || value.is_number(),
            Kind::Whole(most) => value.is_null() || value.as_u64().is_some_and(|n| n <= most),
            Kind::Signal => value.is_string() || value.as_i64().is_some(),
            Kind::Goal => {
                let goals = ["running", "stopped", "exited", "fatal", "healthy"];
                value.as_str().is_some_and(|goal| goals.contains(&goal))
            }
        }
    }

    fn expected(self) -> String {
        let text = match self {
            Kind::Text => "a string",
            Kind::Texts => "a list of strings",
            Kind::Flag => "true or false",
            Kind::Seconds => "a number of seconds",
            Kind::Whole(u64::MAX) => "a whole number",
            Kind::Whole(most) => return format!("a whole number up to {most}"),
            Kind::Signal => "a signal's name or number",
            Kind::Goal => "`running`, `stopped`, `exited`, `fatal` or `healthy`",
        };
        text.to_string()
    }
}
