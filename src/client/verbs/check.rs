//! `check`: the diagnostics of a config, as `tmd --check` prints them.

use crate::client::cli::command::CheckArgs;
use crate::client::context::Context;
use crate::client::daemon::paths;
use crate::client::error::{ClientError, exit};
use crate::config::{self, Environment};
use serde_json::json;

/// Runs the verb: the same as `tmd --check`.
///
/// # Errors
/// When no config is found, or of the output.
pub(crate) fn run(context: &Context, args: &CheckArgs) -> Result<i32, ClientError> {
    let explicit = args.file.as_deref().or(context.global.config.as_deref());
    let path = paths::find_config(explicit)?;
    let (sound, diagnostics) = match config::load(&path, &Environment::current()) {
        Ok(config) => (true, config.warnings),
        Err(error) => (false, error.diagnostics),
    };
    if context.global.json {
        context.print_json(&json!({"ok": sound, "diagnostics": diagnostics}))?;
    } else if !diagnostics.is_empty() {
        eprintln!("{}", config::render(&diagnostics));
    }
    if sound && !context.global.json && !context.global.quiet {
        context.print_lines(&[format!("{}: OK", path.display())])?;
    }
    Ok(if sound { exit::DONE } else { exit::FAILED })
}
