//! The command line of `tmd`.

use crate::client::cli::help;
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueHint};
use std::path::PathBuf;

/// Keep programs running: the daemon that tm controls.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "tmd", version, after_help = help::styled(help::TMD))]
pub struct DaemonCli {
    /// Config file [default: taskmaster.yaml in the current directory, in
    /// $XDG_CONFIG_HOME/taskmaster, or in /etc/taskmaster]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Run in the background; return when the control socket answers
    #[arg(short, long)]
    pub daemonize: bool,
    /// Check the config, print every problem, and exit with 0 if it is valid, else 1
    #[arg(short = 't', long)]
    pub check: bool,
    /// Control socket [default: daemon.socket of the config, else one in the runtime directory]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// Minimum log level [default: daemon.log.level of the config, else info]
    #[arg(long, value_name = "LEVEL", value_parser = log_levels())]
    pub log_level: Option<String>,
    /// The caller has printed the warnings of the config
    #[arg(long, hide = true)]
    pub warned: bool,
}

fn log_levels() -> PossibleValuesParser {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
}
