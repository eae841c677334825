//! The keys of a config. `docs/configuration.md` and `configs/full.yaml` contain each of them.

use super::node::{Node, NodeKind};
use crate::text::suggest;

/// Keys of the config file itself.
pub(super) const TOP: [&str; 5] = ["daemon", "defaults", "programs", "groups", "include"];

/// Keys of an entry of `programs`, and of `defaults`.
pub(super) const PROGRAM: [&str; 27] = [
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
    "restart",
];

/// Keys of a map under `restart`.
pub(super) const RESTART: [&str; 5] = [
    "initial_delay",
    "burst",
    "max_delay",
    "backoff_factor",
    "jitter",
];

/// Keys of a map under `stdout` or `stderr`.
pub(super) const SINK: [&str; 9] = [
    "file",
    "max_size",
    "keep",
    "mode",
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
pub(super) const NOT_YET: [&str; 16] = [
    "depends_on",
    "ready",
    "health_check",
    "max_restarts",
    "restart_window",
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
const FOREIGN: [(&str, &str); 81] = [
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
    ("log", "stdout"),
    ("logs", "stdout"),
    ("output", "stdout"),
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
    ("logfile", "stdout"),
    ("log_file", "log"),
    ("log_file", "stdout"),
    ("loglevel", "log"),
    ("log_level", "log"),
    ("processes", "programs"),
    ("procs", "programs"),
    ("apps", "programs"),
    ("process", "programs"),
    ("watchers", "programs"),
    ("healthcheck", "health_check"),
    ("health", "health_check"),
    ("entrypoint", "cmd"),
    ("script", "cmd"),
    ("run", "cmd"),
    ("workdir", "workingdir"),
    ("chdir", "workingdir"),
    ("working_directory", "workingdir"),
    ("environment_file", "env_file"),
    ("env_files", "env_file"),
    ("dotenv", "env_file"),
    ("variables", "env"),
    ("scale", "numprocs"),
    ("count", "numprocs"),
    ("out_file", "stdout"),
    ("error_file", "stderr"),
    ("min_uptime", "starttime"),
    ("kill_timeout", "stoptime"),
    ("stop_timeout", "stoptime"),
    ("kill_signal", "stopsignal"),
    ("max_restarts", "startretries"),
    ("successexitstatus", "exitcodes"),
    ("uid", "user"),
    ("gid", "group"),
    ("path", "file"),
    ("logfile", "file"),
    ("filename", "file"),
    ("backups", "keep"),
    ("maxfiles", "keep"),
    ("max_files", "keep"),
    ("rotate", "keep"),
    ("count", "keep"),
    ("maxbytes", "max_size"),
    ("maxsize", "max_size"),
    ("size", "max_size"),
];

/// A suggestion for an unknown key: the equivalent of another supervisor's key, or the closest
/// known one, or the equivalent of the closest one of others.
pub(super) fn did_you_mean(key: &str, known: &[&str]) -> Option<String> {
    let lower = key.to_lowercase();
    let foreign = |word: &str| {
        let mut foreign = FOREIGN.iter().filter(|(theirs, _)| *theirs == word);
        foreign.find(|(_, ours)| known.contains(ours))
    };
    if let Some((_, ours)) = foreign(&lower) {
        return Some(format!("did you mean `{ours}`?"));
    }
    let later = |(theirs, ours): &&(&str, &str)| *theirs == lower && NOT_YET.contains(ours);
    if let Some((_, later)) = FOREIGN.iter().find(later) {
        return Some(format!(
            "this version of tmd does not support `{later}`; remove it"
        ));
    }
    if let Some((_, why)) = WITHOUT.iter().find(|(theirs, _)| *theirs == lower) {
        return Some((*why).to_string());
    }
    let ours = suggest::closest(key, known.iter().copied());
    let theirs = || suggest::closest(key, FOREIGN.iter().map(|(theirs, _)| *theirs));
    let ours = ours.or_else(|| Some(foreign(theirs()?)?.1));
    ours.map(|ours| format!("did you mean `{ours}`?"))
}

/// A suggestion for an unknown key at the top level, which may be a program.
pub(super) fn misplaced_program(key: &str, node: &Node) -> Option<String> {
    let has = |wanted: &[&str]| match &node.kind {
        NodeKind::Map(entries) => entries.iter().any(|entry| wanted.contains(&&*entry.key)),
        NodeKind::Scalar(_) | NodeKind::List(_) => false,
    };
    let place = || Some("a program belongs under `programs:`".to_string());
    match has(&["cmd"]) {
        true => place(),
        false => did_you_mean(key, &TOP).or_else(|| place().filter(|_| has(&PROGRAM))),
    }
}

/// The suggestion for `restart: always`, as compose and systemd spell `autorestart`.
pub(super) fn restart_policy(text: &str) -> &'static str {
    match text {
        "always" | "unless-stopped" | "true" => "write `autorestart: always`",
        "no" | "never" | "false" => "write `autorestart: never`",
        "on-failure" | "on-abnormal" | "unexpected" => "write `autorestart: unexpected`",
        _ => "did you mean `autorestart`?",
    }
}

/// Keys of other supervisors without an equivalent here, and why.
const WITHOUT: [(&str, &str); 12] = [
    ("priority", "all programs start at the same time; remove it"),
    (
        "process_name",
        "processes are named PROGRAM:INDEX; remove it",
    ),
    ("numprocs_start", "instances are counted from 0; remove it"),
    (
        "image",
        "programs run on this system, not in containers; remove it",
    ),
    (
        "build",
        "programs run on this system, not in containers; remove it",
    ),
    (
        "container_name",
        "processes are named PROGRAM:INDEX; remove it",
    ),
    ("ports", "programs open their ports themselves; remove it"),
    (
        "volumes",
        "programs see the files of this system; remove it",
    ),
    (
        "networks",
        "programs use the network of this system; remove it",
    ),
    ("version", "a config has no version; remove it"),
    (
        "type",
        "tmd watches the process that `cmd` starts; keep it in the foreground",
    ),
    ("description", "write a comment: # TEXT"),
];

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
        assert_eq!(meant("comand"), ours("cmd"));
        assert_eq!(meant("environment_file"), ours("env_file"));
        assert_eq!(meant("logfile"), ours("stdout"));
        assert_eq!(meant("log"), ours("stdout"));
        assert_eq!(did_you_mean("logfile", &DAEMON), ours("log"));
        for key in ["processes", "apps", "services"] {
            assert_eq!(did_you_mean(key, &TOP), ours("programs"));
        }
        for key in ["priority", "process_name"] {
            assert!(
                meant(key).is_some_and(|help| help.contains("remove it")),
                "{key}"
            );
        }
        assert_eq!(did_you_mean("backups", &SINK), ours("keep"));
        assert_eq!(did_you_mean("maxbytes", &SINK), ours("max_size"));
        assert_eq!(did_you_mean("logfile", &SINK), ours("file"));
        assert_eq!(meant("colour"), None);
    }
}
