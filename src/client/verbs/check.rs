//! `check`: the diagnostics of a config, as `tmd --check` prints them.

use crate::client::cli::command::CheckArgs;
use crate::client::context::Context;
use crate::client::daemon::paths;
use crate::client::error::{ClientError, exit};
use crate::client::ui::messages::for_stderr;
use crate::config::{self, Config, Environment};
use crate::sys::privileges::open_as;
use crate::text::printable::printable_lines;
use serde_json::json;

/// Runs the verb: the same as `tmd --check`.
///
/// # Errors
/// When no config is found, or of the output.
pub(crate) fn run(context: &Context, args: &CheckArgs) -> Result<i32, ClientError> {
    if context.global.socket.is_some() {
        let text = "check reads a file and talks to no daemon; omit --socket";
        return Err(ClientError::Usage(text.to_string()));
    }
    let explicit = match (&args.file, &context.global.config) {
        (Some(_), Some(_)) => {
            let text = "check takes one config: FILE or -c FILE, not both";
            return Err(ClientError::Usage(text.to_string()));
        }
        (Some(file), None) | (None, Some(file)) => Some(file.as_path()),
        (None, None) => None,
    };
    let path = match explicit {
        // A missing file is one of the problems in the reply.
        Some(file) if context.global.json => paths::as_given(file)?,
        _ => paths::find_config(explicit)?,
    };
    let loaded = config::load(&path, &Environment::current(open_as));
    let verdict = loaded.as_ref().ok().map(Config::verdict);
    let sound = verdict.is_some();
    let diagnostics = match loaded {
        Ok(config) => config.warnings,
        Err(error) => error.diagnostics,
    };
    if context.global.json {
        context.print_json(&json!({"ok": sound, "diagnostics": diagnostics}))?;
    } else if !diagnostics.is_empty() {
        eprintln!(
            "{}",
            for_stderr(&printable_lines(&config::render(&diagnostics)))
        );
    }
    if let Some(verdict) = verdict.filter(|_| !context.global.json && !context.global.quiet) {
        context.print_lines(&[verdict])?;
    }
    Ok(if sound { exit::DONE } else { exit::FAILED })
}
