//! Usage errors: one prefix, the words of the help, and JSON for programs.

use crate::client::error::{ClientError, exit};
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Verbs of other tools, and what to use instead.
const FOREIGN: [(&str, &str); 12] = [
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
        // A closed output is no reason to fail.
        let _ = error.print();
        return Ok(exit::DONE);
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
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    if let Some(instead) = foreign(error) {
        text = match text.split_once("\n\n") {
            Some((first, rest)) => {
                format!("{first}\n\n  tip: use {instead}\n\n{}", without_tips(rest))
            }
            None => format!("{text}\n\n  tip: use {instead}"),
        };
    }
    if typed_in == TypedIn::ControlShell {
        text = text
            .replace("Usage: tm ", "Usage: ")
            .replace("try '--help'", "type 'help' or 'help VERB'")
            .replace("tip: use tm ", "tip: use ")
            .replace(", or tm ", ", or ");
    }
    text.trim_end().to_string()
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
        assert!(text.contains("\nUsage: [OPTIONS]"), "{text}");
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
