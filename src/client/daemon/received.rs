//! Replies and notifications of a daemon, before they are shown. A daemon may be hostile: that of
//! another user, or one that its user has taken over.
//!
//! Each reply and notification gets its type here. On the way the control characters of each text
//! become escapes, newlines among them, so that no text ends a line of the client's own or begins
//! one. No text of a reply has several lines by contract: a config's errors come one by one, in
//! `diagnostics`, and the client puts each on an indented line.
//!
//! As they were sent, with [`parse_as_sent`] or as bytes, are used only:
//! - output as JSON, which has escapes of its own;
//! - `config` of `hello`, to compare and open the file ([`DaemonConnection::config`]);
//! - names for completion, where those with a control character are left out;
//! - the lines of `peek --ansi` and of the history in `attach`: their colours were asked for;
//! - frames of output: `attach` and `logs --raw` pass all, `logs` on a terminal colours.
//!
//! [`DaemonConnection::config`]: super::daemon_connection::DaemonConnection::config

use crate::client::error::ClientError;
use crate::text::printable::{escape_texts, printable};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a reply, or the parameters of a notification, as its type. Its texts are safe to print.
///
/// # Errors
/// `Protocol` when the value has another form.
pub(crate) fn parse<T: DeserializeOwned>(mut value: Value) -> Result<T, ClientError> {
    escape_texts(&mut value);
    parse_as_sent(value)
}

/// As [`parse`], with its texts as they were sent. The list above has the uses.
///
/// # Errors
/// As for [`parse`].
pub(crate) fn parse_as_sent<T: DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value)
        .map_err(|error| malformed("malformed reply from the daemon", &error.to_string()))
}

/// The error for data that cannot be read. The reason may quote it.
pub(crate) fn malformed(what: &str, reason: &str) -> ClientError {
    ClientError::Protocol(format!("{what}: {}", printable(reason)))
}

/// Returns the text of a frame, safe to print.
pub(crate) fn frame_text(payload: &[u8]) -> String {
    printable(&String::from_utf8_lossy(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::printable::is_control;
    use crate::wire::{PlanReply, ProcessStatus};
    use serde_json::json;

    const EVIL: &str = "a\u{1b}[31mb\nc\u{202e}\u{9b}d\0\t";
    const SAFE: &str = "a\\u{1b}[31mb\\nc\\u{202e}\\u{9b}d\\u{0}\t";

    #[test]
    fn each_text_of_a_reply_is_escaped_at_any_depth() {
        let row = json!({"name": EVIL, "state": EVIL, "stragglers": [EVIL], "started_at": EVIL});
        let row: ProcessStatus = parse(row).expect("a row");
        assert_eq!((row.name.as_str(), row.state.as_str()), (SAFE, SAFE));
        assert_eq!(
            (row.stragglers, row.started_at),
            (vec![SAFE.into()], Some(SAFE.into()))
        );
        let change = json!({"key": EVIL, "from": "1", "to": "Gr\u{fc}n"});
        let entry = json!({"process": "x:0", "action": EVIL, "changes": [change]});
        let plan: PlanReply = parse(json!({"entries": [entry]})).expect("a plan");
        let entry = &plan.entries[0];
        assert_eq!(
            (entry.action.as_str(), entry.changes[0].key.as_str()),
            (SAFE, SAFE)
        );
        assert_eq!(
            (entry.process.as_str(), entry.changes[0].to.as_str()),
            ("x:0", "Gr\u{fc}n")
        );
        let sent: Vec<String> = parse_as_sent(json!([EVIL])).expect("texts");
        assert_eq!(sent, [EVIL]);
    }

    #[test]
    fn frames_and_reasons_are_escaped() {
        assert_eq!(frame_text(EVIL.as_bytes()), SAFE);
        let error = parse::<u32>(json!(EVIL)).expect_err("no number");
        let error_as_sent = parse_as_sent::<u32>(json!(EVIL)).expect_err("no number");
        for text in [error.to_string(), error_as_sent.to_string()] {
            assert!(!text.contains(|c| is_control(c) && c != '\t'), "{text:?}");
        }
    }
}
