//! The one table of verbs: parser, help, completions, man pages and the shell derive from it.

use crate::config::parse_duration;
use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// Marks an argument that takes names of processes. Nothing here takes login names, so the hint
/// for them is free to be replaced by live names in the completion scripts.
pub const NAMES: ValueHint = ValueHint::Username;

/// The verbs by what people want to do; the order of `tm --help`.
pub const GROUPS: [(&str, &[&str]); 4] = [
    ("The whole", &["up", "down", "shutdown", "reload", "scale"]),
    (
        "Processes",
        &[
            "status", "start", "stop", "restart", "signal", "wait", "why",
        ],
    ),
    (
        "Output and consoles",
        &[
            "logs", "attach", "detach", "clients", "peek", "send", "events",
        ],
    ),
    (
        "Around it",
        &[
            "check",
            "daemons",
            "doctor",
            "version",
            "completions",
            "help",
        ],
    ),
];

const EXAMPLES: &str = "\
A TARGET is a program (worker), a process (worker:0), a glob ('web*', '*:0'), a group (@edge)
or all.

Examples:
  tm up -c taskmaster.yaml     start everything and follow it; Ctrl-C stops it all
  tm status                    what runs, since when, and what is wrong
  tm attach shell:0            the process's own terminal; ctrl-a d leaves
  tm logs -f 'web*' worker:0   their output, merged, as it comes
  tm why worker:1              why it is in its state, and what would help
  tm reload --dry-run          what a reload would do

Exit codes: 0 done, 1 failed, 2 usage, 3 something asked for is not RUNNING, 4 no daemon
reached, 5 permission denied, 124 timeout.";

const SHELL_EXAMPLES: &str = "\
quit leaves the shell, shutdown ends the daemon, help VERB tells more.";

/// Keep programs alive, and attach to any of them.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "tm",
    version,
    disable_help_subcommand = true,
    propagate_version = false
)]
pub struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do; the control shell when there is none.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Flags of every verb.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// The config whose daemon is meant
    #[arg(short, long, global = true, display_order = 900)]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// The daemon's socket
    #[arg(long, global = true, display_order = 901)]
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// Answer in JSON (docs/json.md)
    #[arg(long, global = true, display_order = 902)]
    pub json: bool,
    /// Only what is asked for; no notices
    #[arg(short, long, global = true, display_order = 903)]
    pub quiet: bool,
}

/// What `tm` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Start the daemon of a config and follow it; Ctrl-C stops everything
    Up(UpArgs),
    /// Stop everything, end the daemon and wait for its end
    Down(DownArgs),
    /// Stop everything and end the daemon
    Shutdown(DownArgs),
    /// Read the config again and change only what differs
    Reload(ReloadArgs),
    /// Change the number of processes of a program until the next reload
    Scale(ScaleArgs),
    /// Show what runs, since when, and what is wrong
    Status(StatusArgs),
    /// Start processes and tell how it went
    Start(ActArgs),
    /// Stop processes and tell how it went
    Stop(ActArgs),
    /// Stop and start processes and tell how it went
    Restart(ActArgs),
    /// Send a signal to processes
    Signal(SignalArgs),
    /// Wait until processes are in a state
    Wait(WaitArgs),
    /// Explain why a process is in its state, and what would help
    Why(ProcessArgs),
    /// Show output, and with -f follow it
    #[command(visible_alias = "tail")]
    Logs(LogsArgs),
    /// Use a process's own terminal; ctrl-a d leaves
    #[command(after_help = crate::client::attach::detach_keys::HELP)]
    Attach(AttachArgs),
    /// Detach clients from a process
    Detach(DetachArgs),
    /// List who is attached where
    Clients(TargetsArgs),
    /// Print the screen of a process without attaching
    Peek(PeekArgs),
    /// Write text to a process's input
    Send(SendArgs),
    /// Show what happened, and with -f what happens
    Events(EventsArgs),
    /// Check a config without a daemon
    Check(CheckArgs),
    /// List the daemons that run
    Daemons,
    /// Tell what the kernel offers and which fallback is in use
    Doctor,
    /// Tell the versions of client and daemon
    Version,
    /// Print a completion script
    Completions(CompletionsArgs),
    /// Tell more about a verb
    Help(HelpArgs),
    /// Live names, for the completion scripts
    #[command(name = "__complete-names", hide = true)]
    CompleteNames {
        /// Those that this verb takes
        verb: Option<String>,
    },
    /// Write the man pages into a directory
    #[command(name = "__man", hide = true)]
    Man(ManArgs),
}

/// Arguments of `up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Return when all are up or one failed, and leave them running
    #[arg(short, long)]
    pub detach: bool,
}

/// Arguments of `down` and `shutdown`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    /// SIGKILL at once instead of an orderly stop
    #[arg(long)]
    pub now: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Clone, Args)]
pub struct ReloadArgs {
    /// Only tell what would change; exit 0 for nothing, 2 for changes
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `scale`.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Program and number, such as worker=4
    #[arg(required = true, value_name = "PROGRAM=N", value_hint = NAMES)]
    #[arg(value_parser = parse_scale)]
    pub scales: Vec<(String, u32)>,
}

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Which processes [default: all]
    #[arg(value_name = "TARGET", value_hint = NAMES)]
    pub targets: Vec<String>,
    /// Keep the table up to date; q leaves
    #[arg(short, long)]
    pub watch: bool,
}

/// Arguments of `clients`.
#[derive(Debug, Clone, Args)]
pub struct TargetsArgs {
    /// Which processes [default: all]
    #[arg(value_name = "TARGET", value_hint = NAMES)]
    pub targets: Vec<String>,
}

/// Arguments of `start`, `stop` and `restart`.
#[derive(Debug, Clone, Args)]
pub struct ActArgs {
    /// Which processes
    #[arg(required = true, value_name = "TARGET", value_hint = NAMES)]
    pub targets: Vec<String>,
    /// Return at once
    #[arg(long)]
    pub no_wait: bool,
    /// Wait at most so long (5s, 1m30s); then exit 124
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// Arguments of `signal`.
#[derive(Debug, Clone, Args)]
pub struct SignalArgs {
    /// Name (HUP, SIGHUP) or number
    #[arg(value_name = "SIGNAL")]
    pub signal: String,
    /// Which processes
    #[arg(required = true, value_name = "TARGET", value_hint = NAMES)]
    pub targets: Vec<String>,
}

/// What `wait` can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// RUNNING
    Running,
    /// STOPPED
    Stopped,
    /// The end of a run; exits with the process's own code
    Exited,
    /// FATAL
    Fatal,
    /// RUNNING, and healthy where a health check says so
    Healthy,
}

/// Arguments of `wait`.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Which processes; all of them have to get there
    #[arg(required = true, value_name = "TARGET", value_hint = NAMES)]
    pub targets: Vec<String>,
    /// Where to
    #[arg(
        long = "for",
        value_name = "STATE",
        value_enum,
        default_value = "running"
    )]
    pub goal: Goal,
    /// Wait at most so long (5s, 1m30s); then exit 124
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// Arguments of `why`.
#[derive(Debug, Clone, Args)]
pub struct ProcessArgs {
    /// Which process
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub process: String,
}

/// Arguments of `logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Which processes [default: all]
    #[arg(value_name = "TARGET", value_hint = NAMES)]
    pub targets: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines of each
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_lines)]
    pub lines: Option<u64>,
    /// Only what came in the last so long (30s, 1h)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Only standard output
    #[arg(long, conflicts_with = "stderr")]
    pub stdout: bool,
    /// Only standard error
    #[arg(long)]
    pub stderr: bool,
    /// Put the time before each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Leave control sequences in
    #[arg(long)]
    pub raw: bool,
}

/// Arguments of `attach`.
#[derive(Debug, Clone, Default, Args)]
pub struct AttachArgs {
    /// Which process
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub process: String,
    /// Only watch: never write, never size
    #[arg(short, long)]
    pub read_only: bool,
    /// Take the driver's place at once
    #[arg(long, conflicts_with = "read_only")]
    pub steal: bool,
    /// Keys that leave, as ctrl-p,ctrl-q, or none [default: $TM_DETACH_KEYS, else ctrl-a,d]
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Do not draw what is on the screen first
    #[arg(long)]
    pub no_replay: bool,
    /// Leave at the end of this run, with its exit code
    #[arg(long)]
    pub until_exit: bool,
    /// Rather slow the process down (within a bound) than skip output
    #[arg(long)]
    pub lossless: bool,
}

/// Arguments of `detach`.
#[derive(Debug, Clone, Args)]
pub struct DetachArgs {
    /// From which process
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub process: String,
    /// Everybody, not only the driver
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `peek`.
#[derive(Debug, Clone, Args)]
pub struct PeekArgs {
    /// Which process
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub process: String,
    /// With colours
    #[arg(long)]
    pub ansi: bool,
}

/// Arguments of `send`.
#[derive(Debug, Clone, Args)]
pub struct SendArgs {
    /// To which process
    #[arg(value_name = "PROCESS", value_hint = NAMES)]
    pub process: String,
    /// What; several words are joined by a blank
    #[arg(required = true, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Vec<String>,
    /// Do not add a newline
    #[arg(short = 'n', long)]
    pub no_newline: bool,
}

/// Arguments of `events`.
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Which config [default: as for up]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// Shells with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: ShellName,
}

/// Arguments of `help`.
#[derive(Debug, Clone, Args)]
pub struct HelpArgs {
    /// Which verb
    #[arg(value_name = "VERB", value_parser = verb_names())]
    pub verb: Option<String>,
}

/// Arguments of `__man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Where to
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// The parser of `tm`, its help grouped.
pub fn tm_command() -> clap::Command {
    let command = Cli::command();
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        verb_list(&command)
    );
    command.help_template(template).after_help(EXAMPLES)
}

/// The verbs with one line each, by group, for the shell's `help`.
pub fn shell_help() -> String {
    format!("{}{SHELL_EXAMPLES}\n", verb_list(&Cli::command()))
}

/// The names of all visible verbs, aliases included, sorted.
pub fn visible_verbs() -> Vec<String> {
    let command = Cli::command();
    let visible = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut names: Vec<String> = visible
        .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_visible_aliases()))
        .map(str::to_string)
        .collect();
    names.sort();
    names
}

fn verb_list(command: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(&format!("{heading}:\n"));
        for name in names {
            let verb = command.find_subcommand(name);
            let about = verb
                .and_then(clap::Command::get_about)
                .map(ToString::to_string);
            let about = about.unwrap_or_default();
            text.push_str(&format!("  {name:<12} {about}\n"));
        }
        text.push('\n');
    }
    text
}

fn verb_names() -> PossibleValuesParser {
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter().copied());
    PossibleValuesParser::new(names.chain(["tail"]))
}

fn parse_lines(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "not a number of lines".to_string())
}

fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let (program, number) = text
        .split_once('=')
        .filter(|(program, _)| !program.is_empty())
        .ok_or("write it as PROGRAM=N, such as worker=4")?;
    let number = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number of processes"))?;
    Ok((program.to_string(), number))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
