//! The parts of the help that clap does not derive: groups of verbs, and sections after the
//! options.

use clap::builder::StyledStr;

/// The verbs by purpose, in the order of `tm --help`.
pub(crate) const GROUPS: [(&str, &[&str]); 5] = [
    ("Lifecycle", &["up", "down", "shutdown", "reload", "scale"]),
    (
        "Processes",
        &[
            "status", "start", "stop", "restart", "signal", "wait", "why",
        ],
    ),
    ("Output", &["logs", "events"]),
    ("Attach", &["attach", "detach", "clients", "peek", "send"]),
    (
        "Other",
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

/// Sections of `tm --help`.
pub(crate) const TM: &str = "\
Targets:
  A TARGET is a program (worker), a process (worker:0), a glob ('web*', '*:0'),
  a group (@edge), or all.

Examples:
  tm up -c taskmaster.yaml     Start every program and follow the output
  tm status                    Show the state of every process
  tm attach shell:0            Attach to its terminal; ctrl-a d detaches
  tm logs -f 'web*' worker:0   Follow the output of several processes
  tm why worker:1              Explain the state of a process
  tm reload --dry-run          Preview the effect of a reload

Exit codes:
  0    Success
  1    Failure, such as a process that did not start or does not exist
  2    Usage error; also a reload --dry-run that found changes
  3    status: a process wanted up is not, or a named one is not RUNNING
  4    No daemon reached
  5    Permission denied
  124  Timeout
  255  attach: the connection to the daemon was lost";

/// Sections of `tm up --help`.
pub(crate) const UP: &str = "\
Keys in the foreground:
  ctrl-c   Stop every process and the daemon; a second one kills them at once
  ctrl-\\   The same as ctrl-c

If the daemon ran before, only these keys stop it. It keeps running when the
terminal closes, when the output is a pipe whose reader leaves, and at SIGTERM.
In the control shell, ctrl-c returns to the prompt.";

/// Sections of `tm reload --help`.
pub(crate) const RELOAD: &str = "\
Exit codes with --dry-run:
  0  Nothing would change
  1  The config is invalid
  2  Something would change

A usage error exits with 2 as well. It prints an error and no plan.";

/// Sections of `tm status --help`.
pub(crate) const STATUS: &str = "\
Exit codes:
  0  Every process that is wanted up is RUNNING or has ended as expected;
     with TARGETs: each of them is RUNNING
  1  No such process
  3  Otherwise";

/// Sections of `tm wait --help`.
pub(crate) const WAIT: &str = "\
States:
  running  The process is RUNNING
  stopped  The process is STOPPED
  exited   The current run of the process has ended; before the first start,
           wait for the end of that run
  fatal    The process is FATAL
  healthy  The process is RUNNING and passes its health check, if it has one

Exit codes:
  0    Every requested process reached the state
  1    A process cannot reach the state
  124  Timeout

With --for exited, the exit code is that of the process: 128 plus the signal
number if a signal killed it. For several processes, it is the first that is
not 0.";

/// Sections of `tmd --help`.
pub(crate) const TMD: &str = "\
Signals:
  HUP              Reload the config
  TERM, INT, QUIT  Stop every process and exit; a second one sends SIGKILL
  USR1             Reopen the log files and restore a removed control socket";

const SHELL_HINTS: &str = "\
Type 'help VERB' for details, 'quit' to leave the shell, or 'shutdown' to stop
the daemon.";

/// Styles the headings as clap does. A line without indent that ends with a colon is a heading.
pub(crate) fn styled(text: &str) -> StyledStr {
    let line = |line: &str| match heading(line) {
        Some(heading) => format!("\x1b[1m\x1b[4m{heading}:\x1b[0m"),
        None => line.to_string(),
    };
    StyledStr::from(text.lines().map(line).collect::<Vec<_>>().join("\n"))
}

/// Returns the heading without its colon, if the line is one.
pub(crate) fn heading(line: &str) -> Option<&str> {
    line.strip_suffix(':').filter(|text| !text.starts_with(' '))
}

/// Returns the `help` of the control shell: a line for each verb, by group.
pub(crate) fn shell_help(command: &clap::Command) -> String {
    format!("{}{SHELL_HINTS}\n", verb_list(command))
}

/// Returns the verbs by group, each with its description.
pub(crate) fn verb_list(command: &clap::Command) -> String {
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
