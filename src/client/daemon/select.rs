//! The daemon that the flags, the environment and the current directory select.

use crate::client::cli::command::Global;
use crate::client::daemon::by_config::{self, SCAN_TIMEOUT};
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::paths;
use crate::client::daemon::trust::Trust;
use crate::client::error::ClientError;
use crate::config::{self, ForeignFile};
use crate::sys::lock::Holder;
use crate::sys::lost_lock;
use crate::text::printable::printable;
use crate::wire::HelloReply;
use std::env;
use std::path::{Path, PathBuf};

/// How many daemons are asked at the same time.
const SCAN_THREADS: usize = 256;

/// A daemon that answered.
#[derive(Debug)]
pub(crate) struct RunningDaemon {
    pub(crate) socket: PathBuf,
    pub(crate) hello: HelloReply,
    /// With its texts as they were sent: for JSON.
    pub(crate) hello_as_sent: HelloReply,
}

/// The effect of a verb on the daemon. The stronger it is, the surer the client must be that it
/// has found the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Impact {
    ReadOnly,
    Modifies,
}

/// The daemon that was selected.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) connection: DaemonConnection,
    /// A reason to doubt that the user meant this daemon.
    pub(crate) warning: Option<String>,
    /// The config of this daemon, if it is that of another project.
    pub(crate) other_project: Option<String>,
}

/// One way to select a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    /// `--socket`.
    Socket(PathBuf),
    /// `$TM_SOCKET`, and `-c` if it is given as well.
    Variable {
        socket: PathBuf,
        config: Option<PathBuf>,
    },
    /// `-c`.
    Config(PathBuf),
    /// A `taskmaster.yaml` in this directory or above. It is passed over if its daemon does not
    /// run.
    Project(PathBuf),
    /// The only daemon of this user that runs.
    Only,
}

/// Connects to the selected daemon: `--socket`, `$TM_SOCKET`, that of `-c`, that of a
/// `taskmaster.yaml` in this directory or above, else the only one of this user.
///
/// # Errors
/// When there is none, when there are several, or when the daemon is so unlikely to be the
/// intended one that a verb with this impact must not touch it.
pub(crate) fn connect(global: &Global, impact: Impact) -> Result<Selected, ClientError> {
    let trust = Trust::from_option(global.daemon_user.as_deref())?;
    let ignored = match is_named(global) {
        true => None,
        false => paths::ignored_projects().first().map(ForeignFile::text),
    };
    let mut missing = None;
    for selector in selectors(global) {
        let selected = selector.select(impact, &trust);
        match (selected, selector) {
            (Err(ClientError::NotRunning(_)), Selector::Project(config)) => {
                if impact == Impact::Modifies {
                    return Err(no_daemon_but(not_running(&config), ignored));
                }
                missing.get_or_insert(config);
            }
            (Err(ClientError::NoDaemon(text)), _) => {
                let text = missing.map_or(text, |config| not_running(&config));
                return Err(no_daemon_but(text, ignored));
            }
            (Ok(mut selected), _) => {
                let instead = missing.map(|config| {
                    let other = selected.connection.hello().map(|hello| hello.config);
                    let other = other.unwrap_or_default();
                    let text = instead(&config, &other);
                    selected.other_project = Some(other);
                    text
                });
                let texts = [ignored, instead, selected.warning].into_iter().flatten();
                let texts: Vec<String> = texts.collect();
                selected.warning = (!texts.is_empty()).then(|| texts.join("\n"));
                return Ok(selected);
            }
            (error, _) => return error,
        }
    }
    Err(no_daemon_but(no_daemon(), ignored))
}

/// The text for a project without a daemon.
fn not_running(project: &Path) -> String {
    let shown = paths::relative(project);
    let shown = shown.display();
    match paths::is_here(project) {
        true => format!("no daemon runs for {shown}; start it: tm up"),
        false => format!("no daemon runs for {shown}; start it: tm up -c {shown}"),
    }
}

/// The text about another project's daemon that a verb looks at.
fn instead(project: &Path, other: &str) -> String {
    let shown = paths::relative(project);
    format!(
        "no daemon runs for {}; using the daemon of '{other}'",
        shown.display()
    )
}

fn no_daemon_but(text: String, ignored: Option<String>) -> ClientError {
    ClientError::NoDaemon(match ignored {
        Some(ignored) => format!("{text}\n{ignored}"),
        None => text,
    })
}

/// The ways that apply, in order. Explicit names exclude the search.
fn selectors(global: &Global) -> Vec<Selector> {
    let named = match (&global.socket, socket_variable(), &global.config) {
        (Some(socket), _, _) => Selector::Socket(socket.clone()),
        (None, Some(socket), config) => Selector::Variable {
            socket,
            config: config.clone(),
        },
        (None, None, Some(config)) => Selector::Config(config.clone()),
        (None, None, None) => {
            let projects = paths::project_files().into_iter().map(Selector::Project);
            return projects.chain([Selector::Only]).collect();
        }
    };
    vec![named]
}

impl Selector {
    fn select(&self, impact: Impact, trust: &Trust) -> Result<Selected, ClientError> {
        let (connection, warning) = match self {
            Selector::Socket(socket) => (DaemonConnection::open(socket, trust)?, None),
            Selector::Variable { socket, config } => {
                let mut connection = DaemonConnection::open(socket, trust)?;
                let warning = match config {
                    Some(config) => check_variable(impact, &mut connection, config)?,
                    None => None,
                };
                (connection, warning)
            }
            Selector::Config(config) | Selector::Project(config) => {
                (by_config::daemon_of(config, trust)?, None)
            }
            Selector::Only => {
                let only = only_running(trust)?;
                (DaemonConnection::open(&only.socket, trust)?, None)
            }
        };
        Ok(Selected {
            connection,
            warning,
            other_project: None,
        })
    }
}

/// Whether the user named a daemon, so that no search is needed.
pub(crate) fn is_named(global: &Global) -> bool {
    socket_variable().is_some() || global.socket.is_some() || global.config.is_some()
}

/// Every daemon of this user that answers, by socket. For root also those that dropped root.
pub(crate) fn running(trust: &Trust) -> Vec<RunningDaemon> {
    let mut found = running_in(&paths::own_runtime_dirs(), trust, None);
    let records = paths::records_of_dropped();
    let users = records.iter().map(|record| record.uid);
    let trust = users.fold(trust.clone(), Trust::and);
    found.extend(running_in(
        &paths::dropped_runtime_dirs(),
        &trust,
        Some(&records),
    ));
    found
}

/// Asks all daemons at the same time. With records, only those whose pid is in one of them.
fn running_in(
    directories: &[PathBuf],
    trust: &Trust,
    records: Option<&[Holder]>,
) -> Vec<RunningDaemon> {
    let sockets = paths::sockets_of(directories);
    let hello = |socket: &Path| {
        let mut connection = DaemonConnection::open(socket, trust).ok()?;
        let pid = connection.peer_pid();
        let known = |records: &[Holder]| records.iter().any(|record| Some(record.pid) == pid);
        if !records.is_none_or(known) {
            return None;
        }
        let hello = connection.hello_within(SCAN_TIMEOUT).ok()?;
        Some(RunningDaemon {
            socket: socket.to_path_buf(),
            hello,
            hello_as_sent: connection.hello_as_sent().ok()?,
        })
    };
    let mut found = Vec::new();
    for some in sockets.chunks(SCAN_THREADS) {
        std::thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter()
                .map(|socket| scope.spawn(|| hello(socket)))
                .collect();
            let answers = asked.into_iter().map(|thread| thread.join().ok().flatten());
            found.extend(answers.flatten());
        });
    }
    found
}

/// Daemons of other users are left out: a directory in /tmp does not prove that they were root's.
fn only_running(trust: &Trust) -> Result<RunningDaemon, ClientError> {
    let mut running = running_in(&paths::own_runtime_dirs(), trust, None);
    match running.len() {
        0 => Err(ClientError::NoDaemon(no_daemon())),
        1 => Ok(running.remove(0)),
        _ => Err(ClientError::NoDaemon(ambiguous(&running))),
    }
}

/// The daemon sets this variable for its processes.
fn socket_variable() -> Option<PathBuf> {
    let socket = env::var_os("TM_SOCKET").filter(|socket| !socket.is_empty());
    socket.map(PathBuf::from)
}

/// `$TM_SOCKET` has priority over `-c`, so that a script in a supervised shell keeps talking to
/// its own daemon. If the two disagree, only read-only verbs run: `-c` was probably meant.
fn check_variable(
    impact: Impact,
    connection: &mut DaemonConnection,
    config: &Path,
) -> Result<Option<String>, ClientError> {
    let given = paths::as_given(config)?;
    if config::is_same_file(&connection.config()?, &given) {
        return Ok(None);
    }
    let other = connection.hello()?.config;
    let text = format!(
        "TM_SOCKET points to the daemon of '{other}', but -c names '{}'; unset TM_SOCKET to use -c",
        given.display()
    );
    match impact {
        Impact::ReadOnly => Ok(Some(format!("{text}. This is the daemon of '{other}'"))),
        Impact::Modifies => Err(ClientError::Failed(text)),
    }
}

/// Checks the daemon of a control shell, which no line names. In another project, verbs that only
/// look get a warning.
///
/// # Errors
/// In another project, for verbs that change something.
pub(crate) fn check_unrelated(
    impact: Impact,
    config: &Path,
) -> Result<Option<String>, ClientError> {
    let nearest = paths::project_files().into_iter().next();
    let is_other = |project: &PathBuf| !config::is_same_file(project, config);
    let config = &printable(&config.to_string_lossy());
    match (nearest.filter(is_other), impact) {
        (None, _) => Ok(None),
        (Some(project), Impact::Modifies) => Err(ClientError::NoDaemon(format!(
            "this shell uses the daemon of '{config}', but this folder belongs to {}; to act on \
             that daemon, name it: -c {config}",
            paths::relative(&project).display()
        ))),
        (Some(project), Impact::ReadOnly) => Ok(Some(instead(&project, config))),
    }
}

fn no_daemon() -> String {
    let directories = paths::own_runtime_dirs();
    if let Some((pid, lock)) = lost_lock::holder_in(&directories) {
        return by_config::lost(pid, &lock.with_extension("sock")).to_string();
    }
    let shown = directories.iter().map(|one| format!("'{}'", one.display()));
    format!(
        "no daemon runs (searched {}); start one with tm up -c FILE, or name its socket with \
         --socket",
        shown.collect::<Vec<_>>().join(", ")
    )
}

fn ambiguous(daemons: &[RunningDaemon]) -> String {
    let mut text = "several daemons run; choose one with -c:".to_string();
    let usual = paths::find_config(None).ok();
    for daemon in daemons {
        let (config, pid) = (&daemon.hello.config, daemon.hello.pid);
        let is_usual = usual
            .as_ref()
            .is_some_and(|usual| config::is_same_file(usual, Path::new(config)));
        let usual = if is_usual { "; tm up here uses it" } else { "" };
        text.push_str(&format!("\n  -c {config}  (pid {pid}{usual})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_names_exclude_the_search() {
        let global = Global {
            socket: Some("/a.sock".into()),
            config: Some("/a.yaml".into()),
            ..Global::default()
        };
        assert!(is_named(&global));
        assert_eq!(selectors(&global), [Selector::Socket("/a.sock".into())]);
    }
}
