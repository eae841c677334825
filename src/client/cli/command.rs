//! The table of verbs. Parser, help, completions, man pages and control shell derive from it.

use crate::client::cli::help::{self, GROUPS};
use crate::config::{parse_duration, signal_names};
use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

/// Marks an argument that takes names of processes. No argument takes login names, so the
/// completion scripts replace this hint by live names.
pub(crate) const NAMES: ValueHint = ValueHint::Username;

/// Keep programs running and attach to any of them.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "tm",
    version,
    disable_help_subcommand = true,
    subcommand_value_name = "VERB",
    propagate_version = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    /// `None` opens the control shell.
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Flags of every verb.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Config file, which selects the daemon
    #[arg(short, long, global = true, display_order = 900)]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Control socket of the daemon [default: $TM_SOCKET]
    #[arg(long, global = true, display_order = 901)]
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,
    /// Accept a daemon of USER too, besides your own and root's
    #[arg(long, global = true, display_order = 901, value_name = "USER")]
    pub(crate) daemon_user: Option<String>,
    /// Print JSON (see docs/json.md)
    #[arg(long, global = true, display_order = 902)]
    pub(crate) json: bool,
    /// Suppress notices; `tm status` prints nothing, and its exit code is the answer
    #[arg(short, long, global = true, display_order = 903)]
    pub(crate) quiet: bool,
}

/// A verb and its arguments.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Start the daemon and follow the output; ctrl-c stops everything
    #[command(after_help = help::styled(help::UP))]
    Up(UpArgs),
    /// Stop every process and the daemon, and wait until it exits
    Down(DownArgs),
    /// Stop every process and the daemon without waiting
    Shutdown(DownArgs),
    /// Reload the config and apply only what changed
    #[command(after_help = help::styled(help::RELOAD))]
    Reload(ReloadArgs),
    /// Set the number of processes of a program until the next reload
    Scale(ScaleArgs),
    /// Show the state of processes
    #[command(after_help = help::styled(help::STATUS))]
    Status(StatusArgs),
    /// Start processes and report the result
    Start(ActArgs),
    /// Stop processes and report the result
    Stop(ActArgs),
    /// Restart processes and report the result
    Restart(ActArgs),
    /// Send a signal to processes
    Signal(SignalArgs),
    /// Wait until processes reach a state
    #[command(after_help = help::styled(help::WAIT))]
    Wait(WaitArgs),
    /// Explain why a process is in its state and suggest a remedy
    Why(ProcessArgs),
    /// Print the output of processes (alias: tail); -f follows it
    #[command(visible_alias = "tail")]
    Logs(LogsArgs),
    /// Attach to a process's own terminal; ctrl-a d detaches
    #[command(after_help = help::styled(crate::client::attach::detach_keys::HELP))]
    Attach(AttachArgs),
    /// Detach the driver from a process; --all detaches every client
    Detach(DetachArgs),
    /// List attached clients
    Clients(TargetsArgs),
    /// Print the screen of a process without attaching
    Peek(PeekArgs),
    /// Write text to the input of a process
    Send(SendArgs),
    /// Print recent events; -f follows new ones
    Events(EventsArgs),
    /// Check a config file without a daemon
    Check(CheckArgs),
    /// List running daemons
    Daemons,
    /// Check kernel features and show which fallbacks are active
    Doctor,
    /// Print the versions of client and daemon
    Version,
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Show the help of tm or of a verb
    Help(HelpArgs),
    /// Print live names for the completion scripts
    #[command(name = "__complete-names", hide = true)]
    CompleteNames {
        /// Print only names that this verb takes
        verb: Option<String>,
        /// Line before the cursor, whose flags select the daemon
        #[arg(long, allow_hyphen_values = true)]
        line: Option<String>,
    },
    /// Write the man pages to a directory
    #[command(name = "__man", hide = true)]
    Man(ManArgs),
}

/// Arguments of `up`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Config file; same as -c FILE
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Return when every process is up or has failed; keep them running
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Also start processes that were stopped, and one-shots that are done
    #[arg(long)]
    pub(crate) all: bool,
    /// First stop the processes of a daemon that was killed
    #[arg(long, conflicts_with = "ignore_survivors")]
    pub(crate) replace: bool,
    /// Leave the processes of a daemon that was killed running
    #[arg(long)]
    pub(crate) ignore_survivors: bool,
}

/// Arguments of `down` and `shutdown`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DownArgs {
    /// Send SIGKILL at once instead of stopping in order
    #[arg(long)]
    pub(crate) now: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReloadArgs {
    /// Print the plan without applying it
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `scale`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScaleArgs {
    /// Program and number of processes, such as worker=4
    #[arg(required = true, value_name = "PROGRAM=N", value_hint = NAMES)]
    #[arg(value_parser = parse_scale)]
    pub(crate) scales: Vec<(String, u32)>,
}

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// Program, process, glob, or @group [default: all]
    #[arg(value_name = "TARGET", value_hint = NAMES)]
    pub(crate) targets: Vec<String>,
    /// Refresh the table continuously; q quits
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Arguments of `clients`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetsArgs {
    /// Program, process, glob, or @group [default: all]
    #[arg(value_name = "TARGET", value_hint = NAMES)]
    pub(crate) targets: Vec<String>,
}

/// Arguments of `start`, `stop` and `restart`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActArgs {
    /// Program, process, glob, @group, or all
    #[arg(required = true, value_name = "TARGET", value_hint = NAMES)]
    pub(crate) targets: Vec<String>,
    /// Return at once instead of waiting for the result
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up after DURATION (5s, 1m30s) and exit with 124 [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
}

/// Arguments of `signal`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SignalArgs {
    /// Signal name (HUP, SIGHUP) or number
    #[arg(value_name = "SIGNAL", value_parser = SignalParser, hide_possible_values = true)]
    pub(crate) signal: String,
    /// Program, process, glob, @group, or all
    #[arg(required = true, value_name = "TARGET", value_hint = NAMES)]
    pub(crate) targets: Vec<String>,
}

/// A state for `wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// The process is RUNNING
    Running,
    /// The process is STOPPED
    Stopped,
    /// The current run has ended
    Exited,
    /// The process is FATAL
    Fatal,
    /// The process is RUNNING and passes its health check, if it has one
    Healthy,
}

/// Arguments of `wait`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// Program, process, glob, @group, or all
    #[arg(required = true, value_name = "TARGET", value_hint = NAMES)]
    pub(crate) targets: Vec<String>,
    /// State that every process must reach
    #[arg(
        long = "for",
        value_name = "STATE",
        value_enum,
        hide_possible_values = true,
        default_value = "running"
    )]
    pub(crate) goal: Goal,
    /// Give up after DURATION (5s, 1m30s) and exit with 124 [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
}

/// Arguments of `why`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProcessArgs {
    /// Process, such as worker:0
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub(crate) process: String,
}

/// Arguments of `logs`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// Program, process, glob, or @group [default: all]
    #[arg(value_name = "TARGET", value_hint = NAMES)]
    pub(crate) targets: Vec<String>,
    /// Follow new output
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print only the last N lines of each process
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_lines)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) lines: Option<u64>,
    /// Print only output from the last DURATION (30s, 1h)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) since: Option<Duration>,
    /// Print only standard output
    #[arg(long, conflicts_with = "stderr")]
    pub(crate) stdout: bool,
    /// Print only standard error
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Prefix each line with its time in UTC
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Keep control sequences; on a terminal, only colours are kept by default
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Arguments of `attach`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AttachArgs {
    /// Process, such as worker:0
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub(crate) process: String,
    /// Watch only: send no input, do not affect the terminal size
    #[arg(short, long)]
    pub(crate) read_only: bool,
    /// Become the driver at once
    #[arg(long, conflicts_with = "read_only")]
    pub(crate) steal: bool,
    /// Detach with these keys, such as ctrl-p,ctrl-q; none disables them
    /// [default: $TM_DETACH_KEYS, else ctrl-a,d]
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Do not redraw the current screen first
    #[arg(long)]
    pub(crate) no_replay: bool,
    /// Exit when the current run ends, with its exit code; if the process has ended, show its last
    /// run
    #[arg(long)]
    pub(crate) until_exit: bool,
    /// Slow the process down, for at most 5s in total, instead of skipping output
    #[arg(long)]
    pub(crate) lossless: bool,
}

/// Arguments of `detach`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DetachArgs {
    /// Process whose driver, the client that typed last, is detached
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub(crate) process: String,
    /// Detach every client, not only the driver
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `peek`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeekArgs {
    /// Process, such as worker:0
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub(crate) process: String,
    /// Include colours and text attributes
    #[arg(long)]
    pub(crate) ansi: bool,
}

/// Arguments of `send`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SendArgs {
    /// Process to write to
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub(crate) process: String,
    /// Text to write; words are joined with spaces; -- before text that begins with a dash
    #[arg(required = true, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Do not append a newline
    #[arg(short = 'n', long)]
    pub(crate) no_newline: bool,
}

/// Arguments of `events`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventsArgs {
    /// Follow new events
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// Config file to check [default: the one that up would use]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to write the script for
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: ShellName,
}

/// Arguments of `help`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HelpArgs {
    /// Verb to describe
    #[arg(value_name = "VERB", value_parser = verb_names())]
    pub(crate) verb: Option<String>,
}

/// Arguments of `__man`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Directory to write to
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
}

/// Returns the parser of `tm`, with its help in groups.
pub(crate) fn tm_command() -> clap::Command {
    let command = Cli::command();
    let verbs = help::verb_list(&command);
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{}\n{{options}}{{after-help}}",
        help::styled(&format!("{verbs}Options:")).ansi()
    );
    command
        .help_template(template)
        .after_help(help::styled(help::TM))
}

/// Returns the names and aliases of all visible verbs, sorted.
pub(crate) fn visible_verbs() -> Vec<String> {
    let command = Cli::command();
    let visible = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut names: Vec<String> = visible
        .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_visible_aliases()))
        .map(str::to_string)
        .collect();
    names.sort();
    names
}

fn verb_names() -> PossibleValuesParser {
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter().copied());
    PossibleValuesParser::new(names.chain(["tail"]))
}

/// Accepts any text, since the daemon knows the signals. Names are listed for the completions.
#[derive(Debug, Clone)]
struct SignalParser;

impl TypedValueParser for SignalParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(signal_names().map(PossibleValue::new)))
    }
}

fn parse_lines(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "expected a number of lines, 0 or more".to_string())
}

fn parse_scale(text: &str) -> Result<(String, u32), String> {
    // A name may contain `=`.
    let (program, number) = text
        .rsplit_once('=')
        .filter(|(program, _)| !program.is_empty())
        .ok_or("expected PROGRAM=N, such as worker=4")?;
    let number = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number of processes"))?;
    Ok((program.to_string(), number))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
