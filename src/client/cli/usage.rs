//! Usage errors: one prefix, the words of the help, and JSON for programs.

use crate::client::context::unwritten;
use crate::client::error::{ClientError, exit};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::io::Write;

/// Verbs of other tools, and what to use instead.
const FOREIGN: [(&str, &str); 15] = [
    ("kill", "tm signal SIGNAL TARGET, or tm stop TARGET"),
    ("ps", "tm status"),
    ("list", "tm status"),
    ("ls", "tm status"),
    ("top", "tm status --watch"),
    ("run", "tm up, or tm start TARGET"),
    ("fg", "tm attach PROCESS"),
    ("console", "tm attach PROCESS"),
    ("exec", "tm attach PROCESS, or tm send PROCESS TEXT"),
    ("update", "tm reload"),
    ("reread", "tm reload --dry-run"),
    ("log", "tm logs"),
    (
        "enable",
        "autostart: true in the config, and tm start TARGET",
    ),
    (
        "disable",
        "autostart: false in the config, and tm stop TARGET",
    ),
    (
        "history",
        "tm events; for the lines of the control shell, the up arrow and ctrl-r",
    ),
];

/// Where the command line was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypedIn {
    CommandLine,
    ControlShell,
}

/// Prints help and versions as clap does. Any other error is returned as a usage error.
///
/// # Errors
/// The usage error.
pub(crate) fn report(error: &clap::Error, typed_in: TypedIn) -> Result<i32, ClientError> {
    if !error.use_stderr() {
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        return printed.map(|()| exit::DONE).map_err(unwritten);
    }
    Err(ClientError::Usage(text(error, typed_in)))
}

/// Reads the command line of `tmd`. Prints help, the version or the error.
///
/// # Errors
/// The exit code after each of these.
pub fn parse_daemon_cli<T: clap::Parser>() -> Result<T, i32> {
    T::try_parse().map_err(|error| match report(&error, TypedIn::CommandLine) {
        Ok(code) => code,
        Err(usage) => {
            eprintln!("tmd: {usage}");
            usage.exit_code()
        }
    })
}

/// The text of a usage error, without a prefix.
fn text(error: &clap::Error, typed_in: TypedIn) -> String {
    let rendered = error.render().to_string();
    let rendered = rendered.strip_prefix("error: ").unwrap_or(&rendered);
    let misleading = |line: &&str| line.trim_start().starts_with("tip: to pass '-");
    let kept: Vec<&str> = rendered.lines().filter(|line| !misleading(line)).collect();
    let mut text = kept.join("\n").replace("subcommand", "verb");
    if let Some(first) = first_line(error) {
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        text = format!("{first}\n{rest}");
    }
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    let foreign = foreign(error).map(|instead| format!("use {instead}"));
    if let Some(tip) = foreign.or_else(|| tip(error, rendered)) {
        text = match text.split_once("\n\n") {
            Some((first, rest)) => {
                format!("{first}\n\n  tip: {tip}\n\n{}", without_tips(rest))
            }
            None => format!("{text}\n\n  tip: {tip}"),
        };
    }
    if typed_in == TypedIn::ControlShell {
        text = text
            .replace(
                "Usage: tm [OPTIONS] [VERB]",
                "Usage: VERB [OPTIONS] [ARGUMENTS]",
            )
            .replace("Usage: tm ", "Usage: ")
            .replace("try '--help'", "type 'help' or 'help VERB'")
            .replace("tip: use tm ", "tip: use ")
            .replace(", or tm ", ", or ");
    }
    text.trim_end().to_string()
}

/// A clearer first line than clap's.
fn first_line(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    match (error.kind(), context(ContextKind::InvalidArg)?) {
        (ErrorKind::InvalidValue, "[VERB]") => Some(format!("there is no verb '{value}'")),
        (ErrorKind::InvalidValue, "<SHELL>") if !value.is_empty() => {
            Some(format!("there are no completions for '{value}'"))
        }
        _ => None,
    }
}

/// Advice about an argument that the verb does not take.
fn tip(error: &clap::Error, rendered: &str) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let is_option = argument.starts_with('-');
    let mut usages = rendered
        .lines()
        .filter_map(|line| line.strip_prefix("Usage: "));
    let verb = match usages.next()?.split_once(' ') {
        Some(("tm", usage)) => usage.split(' ').next().unwrap_or_default(),
        Some(("tmd", _)) if !is_option => {
            return Some(format!("to name the config: tmd -c {argument}"));
        }
        _ => return None,
    };
    let lines = argument.strip_prefix('-').unwrap_or_default();
    let is_number = !lines.is_empty() && lines.chars().all(|c| c.is_ascii_digit());
    match verb {
        "logs" | "tail" if is_number || argument.starts_with("--tail") => {
            Some("for the last N lines write -n N".to_string())
        }
        "send" => Some(format!(
            "to send it as text, put -- before it: -- {argument}"
        )),
        "why" | "attach" | "detach" | "peek" if !is_option => {
            Some(format!("{verb} takes one process"))
        }
        "down" | "shutdown" if !is_option => Some(format!(
            "{verb} ends the daemon; to stop only this: tm stop {argument}"
        )),
        "reload" if !is_option => Some(format!(
            "reload applies the entire config; to restart only this: tm restart {argument}"
        )),
        "up" if argument == "-f" || argument == "--file" => {
            Some("to name the config: tm up FILE, or -c FILE".to_string())
        }
        _ => None,
    }
}

fn without_tips(text: &str) -> String {
    let tip = |line: &&str| line.trim_start().starts_with("tip: ");
    let kept: Vec<&str> = text.lines().filter(|line| !tip(line)).collect();
    kept.join("\n").trim_start().to_string()
}

/// Returns our verb for a verb of another tool.
fn foreign(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let found = FOREIGN.iter().find(|(known, _)| known == verb);
    found.map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::cli::command::Cli;
    use clap::Parser;

    fn typed(line: &str, typed_in: TypedIn) -> String {
        let error = Cli::try_parse_from(line.split(' ')).expect_err("a usage error");
        text(&error, typed_in)
    }

    #[test]
    fn errors_use_the_words_of_the_help() {
        let text = typed("tm kill web", TypedIn::CommandLine);
        assert!(
            text.starts_with("unrecognized verb 'kill'\n\n  tip: use tm signal"),
            "{text}"
        );
        assert!(text.ends_with("try '--help'."), "{text}");
        let text = typed("tm kill web", TypedIn::ControlShell);
        assert!(
            text.contains("use signal SIGNAL TARGET, or stop TARGET"),
            "{text}"
        );
        assert!(text.ends_with("type 'help' or 'help VERB'."), "{text}");
        assert!(text.contains("\nUsage: VERB [OPTIONS]"), "{text}");
    }

    #[test]
    fn likely_mistakes_have_a_tip() {
        for (line, wanted) in [
            ("tm logs web -5", "for the last N lines write -n N"),
            ("tm tail -20", "for the last N lines write -n N"),
            ("tm logs --tail 3", "for the last N lines write -n N"),
            ("tm logs --tail=3", "for the last N lines write -n N"),
            ("tm history", "use tm events; for the lines"),
            ("tm send a -x", "put -- before it: -- -x"),
            ("tm why web console", "why takes one process"),
            ("tm down web", "to stop only this: tm stop web"),
            ("tm reload web", "to restart only this: tm restart web"),
            ("tm up -f a.yaml", "tm up FILE, or -c FILE"),
            ("tm enable web", "use autostart: true in the config"),
            ("tm help foo", "there is no verb 'foo'"),
            ("tm completions ksh", "there are no completions for 'ksh'"),
        ] {
            let text = typed(line, TypedIn::CommandLine);
            assert!(text.contains(wanted), "{line}: {text}");
        }
    }

    #[test]
    fn values_with_a_dash_are_values() {
        for line in [
            "tm logs -n -3",
            "tm logs --since -1s",
            "tm stop a --timeout -1s",
        ] {
            let text = typed(line, TypedIn::CommandLine);
            assert!(text.starts_with("invalid value '-"), "{text}");
            assert!(!text.contains("tip:"), "{text}");
        }
    }
}
