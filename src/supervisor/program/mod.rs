//! A program of the config, validated: plain data, compared field by field on reload.

pub(crate) mod placeholder;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of processes of one program; a larger one is taken for a typing error.
pub(crate) const PROCESSES_MAX: u32 = 10_000;

/// Maximum number of processes of all programs in total.
pub(crate) const PROCESSES_OF_ALL_MAX: usize = 100_000;

/// Maximum bytes of the texts that processes do not share.
pub(crate) const PROCESS_TEXTS_MAX: usize = 64 * 1024 * 1024;

/// Environment variables. Processes share them, and programs share values of the same file.
pub type Variables = Arc<BTreeMap<String, Arc<str>>>;

/// An entry of the config's `programs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Its key in the config.
    pub name: String,
    /// Number of processes, indexed `0..numprocs`.
    pub numprocs: u32,
    /// Whether its processes start with the daemon.
    pub autostart: Autostart,
    /// The keys that apply without a restart.
    pub policy: Policy,
    /// The keys that start a process. Strings hold placeholders until [`Launch::expand`].
    pub launch: Launch,
    /// Free strings for `{vars.NAME}`.
    pub vars: BTreeMap<String, String>,
}

/// Whether processes start with the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autostart {
    /// Started when the daemon starts or the program appears in a reload.
    Yes,
    /// Only on request.
    No,
}

/// Whether a process restarts after an exit from RUNNING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autorestart {
    /// Restart after every exit.
    Always,
    /// Never restart.
    Never,
    /// Restart unless the code is one of `exitcodes`. A death by signal is never expected.
    Unexpected,
}

/// The processes that stop signals reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillMode {
    /// Everything of the process gets the stop signal, and what is left SIGKILL.
    Group,
    /// The leader gets the stop signal. When it has ended, or after `stoptime`, what is left gets
    /// SIGKILL.
    Mixed,
    /// The leader only.
    Process,
}

/// The keys that a reload applies to a living process.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// See [`Autorestart`].
    pub autorestart: Autorestart,
    /// Expected exit codes, sorted, without duplicates.
    pub exitcodes: Vec<i32>,
    /// Failed starts that are retried: N retries, N + 1 attempts, then FATAL.
    pub startretries: u32,
    /// Time a process must stay up to count as started; zero counts at once.
    pub starttime: Duration,
    /// Number of the signal that requests termination.
    pub stopsignal: i32,
    /// SIGHUP follows the stop signal: an interactive shell ignores SIGTERM.
    pub hangup: bool,
    /// Time from the stop signal to SIGKILL.
    pub stoptime: Duration,
    /// See [`KillMode`].
    pub killmode: KillMode,
    /// Delays between attempts.
    pub restart: RestartDelays,
}

/// Delays before an automatic start: the key `restart`.
///
/// A failed start is retried after `max(1 s, initial)`, then after `factor` times as long, up to
/// `max`. A restart after an exit from RUNNING comes after `initial`. After `burst` restarts in a
/// row of runs shorter than ten seconds, the next ones wait as a failed start does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartDelays {
    /// Before a restart after an exit from RUNNING.
    pub initial: Duration,
    /// Restarts in a row of short runs that are not slowed down.
    pub burst: u32,
    /// Factor by which each further retry multiplies the delay.
    pub factor: f64,
    /// Upper bound of the delay.
    pub max: Duration,
    /// Part of a growing delay, from 0 to 1, that is added at random.
    pub jitter: f64,
}

impl Default for RestartDelays {
    fn default() -> Self {
        RestartDelays {
            initial: Duration::ZERO,
            burst: 3,
            factor: 2.0,
            max: Duration::from_secs(60),
            jitter: 0.1,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            autorestart: Autorestart::Unexpected,
            exitcodes: vec![0],
            startretries: 3,
            starttime: Duration::from_secs(1),
            stopsignal: 15,
            hangup: false,
            stoptime: Duration::from_secs(10),
            killmode: KillMode::Group,
            restart: RestartDelays::default(),
        }
    }
}

/// The keys that start a process. In a [`Program`] the strings may hold placeholders; in a
/// `Process` they are expanded. A difference means a restart on reload, except in the live keys of
/// [`FileSink`].
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The command and its arguments; `shell: true` is already `/bin/sh -c TEXT`.
    pub argv: Vec<String>,
    /// Variables set on top of the inherited ones, `env_file`s merged in.
    pub env: Variables,
    /// Why an `env_file` of the program's user cannot be used: each start fails with it.
    pub env_fault: Option<Arc<str>>,
    /// Whether the daemon's environment is inherited, except variables that never are.
    pub inherit_env: bool,
    /// Absolute working directory.
    pub workingdir: String,
    /// File creation mask.
    pub umask: u32,
    /// The process's own terminal, if any.
    pub tty: Option<Tty>,
    /// Standard input, ignored with a tty.
    pub stdin: Stdin,
    /// Standard output (with a tty: the terminal's one stream).
    pub stdout: Sink,
    /// Standard error, ignored with a tty.
    pub stderr: Sink,
    /// The user it runs as, if not the daemon's.
    pub identity: Option<Identity>,
    /// Absolute path of a file to write the pid to.
    pub pidfile: Option<String>,
    /// Bytes of output kept in memory.
    pub buffer: usize,
}

impl Default for Launch {
    fn default() -> Self {
        Launch {
            argv: Vec::new(),
            env: Variables::default(),
            env_fault: None,
            inherit_env: true,
            workingdir: "/".to_string(),
            umask: 0o022,
            tty: None,
            stdin: Stdin::Null,
            stdout: Sink::Ring,
            stderr: Sink::Ring,
            identity: None,
            pidfile: None,
            buffer: 256 * 1024,
        }
    }
}

/// A process's own terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tty {
    /// Rows at start.
    pub rows: u16,
    /// Columns at start.
    pub cols: u16,
    /// Which attached client decides the size.
    pub size: SizePolicy,
}

/// Which of the attached clients decides a terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizePolicy {
    /// The driver's.
    Latest,
    /// The smallest of all.
    Smallest,
    /// The largest of all.
    Largest,
    /// None: the size never changes.
    Fixed,
}

/// The source of standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// A pipe that `attach` and `send` write to.
    Pipe,
    /// A file, absolute.
    File(String),
}

/// The target of an output stream. All but `Discard` and a `direct` file pass through the ring.
#[derive(Debug, Clone, PartialEq)]
pub enum Sink {
    /// Memory only.
    Ring,
    /// `/dev/null`.
    Discard,
    /// Memory, and a file.
    File(FileSink),
    /// `stderr: stdout`: the same pipe as standard output.
    Stdout,
}

/// A log file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSink {
    /// Absolute path. Changing it restarts the process.
    pub path: String,
    /// The process writes to the file itself; no ring, no rotation. Changing it restarts.
    pub direct: bool,
    /// Size at which it is rotated, in bytes; 0 for never. Live.
    pub max_size: u64,
    /// Number of rotated files to keep. Live.
    pub keep: u32,
    /// The permissions of a new file; `None` for those of the file before it, else 0640. Live.
    pub mode: Option<u32>,
    /// Whether rotated files are compressed with gzip. Live.
    pub compress: bool,
    /// Whether each line begins with an RFC 3339 time. Live.
    pub timestamps: bool,
    /// Whether terminal escape sequences are removed. Live.
    pub strip_ansi: bool,
    /// The policy for a disk that makes no progress. Live.
    pub stall: Stall,
}

/// How long output waits for a disk that makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// Output is dropped and counted after this time; zero drops at once.
    After(Duration),
    /// Never: the child waits.
    Never,
}

/// A user to run as, resolved when the config is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Login name (or the number as text, when the user database has no entry).
    pub user: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}
