//! The command line of `tmd`.

use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueHint};
use std::path::PathBuf;

/// Keep programs alive: the daemon behind tm.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "tmd", version)]
pub struct DaemonCli {
    /// The config [default: taskmaster.yaml here, in $XDG_CONFIG_HOME/taskmaster or in
    /// /etc/taskmaster]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Go to the background; returns when the socket answers
    #[arg(short, long)]
    pub daemonize: bool,
    /// Check the config and exit: 0 sound, 1 not
    #[arg(short = 't', long)]
    pub check: bool,
    /// The control socket instead of the config's or the default
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// The least that is logged
    #[arg(long, value_name = "LEVEL", value_parser = log_levels())]
    pub log_level: Option<String>,
}

fn log_levels() -> PossibleValuesParser {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
}
