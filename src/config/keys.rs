//! The keys there are. `docs/configuration.md` and `configs/full.yaml` have each of them.

/// Of the config file itself.
pub(super) const TOP: [&str; 5] = ["daemon", "defaults", "programs", "groups", "include"];

/// Of an entry of `programs`, and of `defaults`.
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

/// Of a map under `stdout` or `stderr`.
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

/// Of a map under `tty`.
pub(super) const TTY: [&str; 3] = ["rows", "cols", "size"];

/// Of `daemon`.
pub(super) const DAEMON: [&str; 7] = [
    "socket",
    "socket_mode",
    "socket_group",
    "user",
    "pidfile",
    "log",
    "access",
];

/// Of `daemon.log`.
pub(super) const LOG: [&str; 4] = ["file", "level", "format", "syslog"];

/// Of `daemon.access`.
pub(super) const ACCESS: [&str; 2] = ["read", "control"];

/// Keys that later versions will know: refused with a word of their own.
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
