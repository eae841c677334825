//! The daemon.

use std::process::ExitCode;
use taskmaster::client::cli::daemon_cli::DaemonCli;
use taskmaster::client::cli::usage::parse_daemon_cli;
use taskmaster::reactor::{DaemonOptions, daemon_main};

/// Reads the arguments and runs the daemon.
pub fn main() -> ExitCode {
    let cli: DaemonCli = match parse_daemon_cli() {
        Ok(cli) => cli,
        Err(code) => return exit_code(code),
    };
    // The command line accepts only names of levels.
    let log_level = cli.log_level.and_then(|level| level.parse().ok());
    exit_code(daemon_main(&DaemonOptions {
        config: cli.config,
        daemonize: cli.daemonize,
        check: cli.check,
        socket: cli.socket,
        log_level,
        warned: cli.warned,
    }))
}

/// Returns the part of a code that the system keeps: its last 8 bits.
pub fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(code.to_le_bytes()[0])
}
