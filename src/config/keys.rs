//! The keys of a config. `docs/configuration.md` and `configs/full.yaml` contain each of them.

use super::node::{Node, NodeKind};
use crate::text::suggest;

/// Keys of the config file itself.
pub(super) const TOP: [&str; 5] = ["daemon", "defaults", "programs", "groups", "include"];

/// Keys of an entry of `programs`, and of `defaults`.
pub(super) const PROGRAM: [&str; 26] = [
    "cmd",
    "shell",
    "numprocs",
    "autostart",
    "autorestart",
    "exitcodes",
    "startretries",
    "starttime",
    "stopsignal",
    "stoptime",
    "stdout",
    "stderr",
    "env",
    "env_file",
    "inherit_env",
    "workingdir",
    "umask",
    "tty",
    "stdin",
    "user",
    "group",
    "supplementary_groups",
    "killmode",
    "buffer",
    "pidfile",
    "vars",
];

/// Keys of a map under `stdout` or `stderr`.
pub(super) const SINK: [&str; 8] = [
    "file",
    "max_size",
    "keep",
    "compress",
    "timestamps",
    "strip_ansi",
    "direct",
    "stall",
];

/// Keys of a map under `tty`.
pub(super) const TTY: [&str; 3] = ["rows", "cols", "size"];

/// Keys of `daemon`.
pub(super) const DAEMON: [&str; 7] = [
    "socket",
    "socket_mode",
    "socket_group",
    "user",
    "pidfile",
    "log",
    "access",
];

/// Keys of `daemon.log`.
pub(super) const LOG: [&str; 4] = ["file", "level", "format", "syslog"];

/// Keys of `daemon.access`.
pub(super) const ACCESS: [&str; 2] = ["read", "control"];

/// Keys reserved for later versions: rejected with a message of their own.
pub(super) const NOT_YET: [&str; 15] = [
    "depends_on",
    "ready",
    "health_check",
    "restart",
    "resources",
    "rlimits",
    "nice",
    "oom_score_adj",
    "conflicts",
    "watch",
    "schedule",
    "reload_signal",
    "exit_on",
    "notify",
    "metrics_file",
];

/// Keys of other supervisors, in lower case, and their equivalents here.
const FOREIGN: [(&str, &str); 33] = [
    ("command", "cmd"),
    ("exec", "cmd"),
    ("execstart", "cmd"),
    ("args", "cmd"),
    ("directory", "workingdir"),
    ("cwd", "workingdir"),
    ("working_dir", "workingdir"),
    ("workingdirectory", "workingdir"),
    ("environment", "env"),
    ("environmentfile", "env_file"),
    ("startsecs", "starttime"),
    ("start_time", "starttime"),
    ("stopwaitsecs", "stoptime"),
    ("stop_time", "stoptime"),
    ("stop_grace_period", "stoptime"),
    ("timeoutstopsec", "stoptime"),
    ("stop_signal", "stopsignal"),
    ("killsignal", "stopsignal"),
    ("stdout_logfile", "stdout"),
    ("stderr_logfile", "stderr"),
    ("standardoutput", "stdout"),
    ("standarderror", "stderr"),
    ("standardinput", "stdin"),
    ("stdin_open", "stdin"),
    ("redirect_stderr", "stderr"),
    ("stopasgroup", "killmode"),
    ("killasgroup", "killmode"),
    ("replicas", "numprocs"),
    ("instances", "numprocs"),
    ("exit_codes", "exitcodes"),
    ("services", "programs"),
    ("pid_file", "pidfile"),
    ("logfile", "log"),
];

/// A suggestion for an unknown key: the equivalent of another supervisor's key, or the closest
/// known one.
pub(super) fn did_you_mean(key: &str, known: &[&str]) -> Option<String> {
    let lower = key.to_lowercase();
    let foreign = FOREIGN.iter().find(|(theirs, _)| *theirs == lower);
    match foreign.filter(|(_, ours)| known.contains(ours)) {
        Some((_, ours)) => Some(format!("did you mean `{ours}`?")),
        None => suggest::did_you_mean(key, known.iter().copied()),
    }
}

/// The suggestion for `restart: always`, as compose and systemd spell `autorestart`.
pub(super) fn restart_policy(key: &str, value: &Node, known: &[&str]) -> Option<String> {
    let is_text = matches!(&value.kind, NodeKind::Scalar(scalar) if !scalar.is_null());
    let meant = key == "restart" && is_text && known.contains(&"autorestart");
    meant.then(|| "did you mean `autorestart`?".to_string())
}

/// Whether a text can be repeated in a flow map without quotes.
fn is_simple(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || " ./_-".contains(c);
    !text.is_empty() && text.len() <= 40 && text.chars().all(fits)
}

/// The remedy for a value that should be a map with these keys.
pub(super) fn map_help(path: &str, node: &Node, known: &[&str]) -> String {
    let last = path.rsplit('.').next().unwrap_or_default();
    if known == PROGRAM && PROGRAM.contains(&last) {
        return format!("`{last}` belongs inside a program, indented deeper");
    }
    match known {
        [first @ ("cmd" | "file"), ..] => {
            let text = match &node.kind {
                NodeKind::Scalar(scalar) if is_simple(&scalar.text) => scalar.text.as_str(),
                _ => "TEXT",
            };
            format!("write `{{{first}: {text}}}`")
        }
        _ => format!("its keys are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_supervisors_and_slips_find_ours() {
        let meant = |key| did_you_mean(key, &PROGRAM);
        let ours = |key| Some(format!("did you mean `{key}`?"));
        assert_eq!(meant("stopwaitsecs"), ours("stoptime"));
        assert_eq!(meant("Command"), ours("cmd"));
        assert_eq!(meant("AutoRestart"), ours("autorestart"));
        assert_eq!(meant("numproc"), ours("numprocs"));
        assert_eq!(meant("services"), None);
        assert_eq!(meant("colour"), None);
    }
}
