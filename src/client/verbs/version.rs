//! `version`: of the client, and of the daemon it reaches.

use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::wire::PROTOCOL;
use serde_json::json;

/// Runs the verb; a daemon that cannot be reached is no failure.
///
/// # Errors
/// Of the output.
pub(crate) fn run(context: &Context) -> Result<i32, ClientError> {
    let own = env!("CARGO_PKG_VERSION");
    let json = context.global.json;
    let hello = context.connect().and_then(|mut connection| match json {
        true => connection.hello_as_sent(),
        false => connection.hello(),
    });
    let hello = hello.ok();
    if json {
        let daemon = hello.map(|hello| json!(hello));
        let value = json!({"client": {"version": own, "protocol": PROTOCOL}, "daemon": daemon});
        context.print_json(&value)?;
        return Ok(exit::DONE);
    }
    let mut lines = vec![format!("tm {own} (protocol {PROTOCOL})")];
    if let Some(hello) = hello {
        let (version, protocol) = (hello.version, hello.protocol);
        let (pid, config) = (hello.pid, hello.config);
        lines.push(format!(
            "tmd {version} (protocol {protocol}), pid {pid}, {config}"
        ));
    }
    context.print_lines(&lines)?;
    Ok(exit::DONE)
}
