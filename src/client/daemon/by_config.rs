//! The daemon of a config.
//!
//! It is looked for where the config says by now, then in the usual places, which need no config
//! that loads and lead to every daemon that did not get `--socket`, then among all of this user.

use crate::client::daemon::daemon_connection::Connection;
use crate::client::daemon::select;
use crate::client::error::ClientError;
use crate::config::{self, DaemonSettings, Environment};
use crate::sys::lock::LockFile;
use crate::sys::runtime;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long each daemon of this user has for its hello when one of them is looked for.
const SCAN_PATIENCE: Duration = Duration::from_secs(1);

/// Connects to the daemon of a config.
///
/// # Errors
/// `NotRunning` when there is none, `NoDaemon` when it lost its socket, `Failed` when another
/// config's daemon is there.
pub fn daemon_of(config: &Path) -> Result<Connection, ClientError> {
    let canonical = canonical(config)?;
    let loaded = config::load(&canonical, &Environment::current()).ok();
    let settings = loaded.map(|config| config.daemon).unwrap_or_default();
    let mut refusal = None;
    if let Some(socket) = &settings.socket
        && let Some(connection) = reached(socket)?
    {
        match belonging(connection, &canonical)? {
            Ok(connection) => return Ok(connection),
            Err(error) => refusal = Some(error),
        }
    }
    for socket in usual_sockets(&settings, &canonical) {
        let Some(connection) = reached(&socket)? else {
            continue;
        };
        // A link may lead to whoever took the place of the daemon that left it.
        if !socket.is_symlink() {
            return Ok(connection);
        }
        if let Ok(connection) = belonging(connection, &canonical)? {
            return Ok(connection);
        }
    }
    if let Some(connection) = dropped(&canonical).or_else(|| among_all(&canonical)) {
        return Ok(connection);
    }
    Err(refusal.unwrap_or_else(|| not_running(config, &settings, &canonical)))
}

/// The config's own daemon, or the refusal to take another for it.
///
/// # Errors
/// When it does not greet.
pub fn belonging(
    mut connection: Connection,
    canonical: &Path,
) -> Result<Result<Connection, ClientError>, ClientError> {
    let other = connection.hello()?.config;
    if Path::new(&other) == canonical {
        return Ok(Ok(connection));
    }
    Ok(Err(ClientError::Failed(format!(
        "the daemon at {} is that of {other}, not of {}",
        connection.path().display(),
        canonical.display()
    ))))
}

/// The path the daemon knows its config by; the file may be gone while it runs.
///
/// # Errors
/// When its folder cannot be found.
pub fn canonical(path: &Path) -> Result<PathBuf, ClientError> {
    let from_folder = || {
        let absolute = std::path::absolute(path)?;
        let folder = absolute.parent().map(Path::canonicalize).transpose();
        Ok(match (folder, absolute.file_name()) {
            (Ok(Some(folder)), Some(name)) => folder.join(name),
            _ => absolute,
        })
    };
    let found = path.canonicalize().or_else(|_| from_folder());
    found.map_err(|error: std::io::Error| {
        ClientError::Failed(format!("{}: {error}", path.display()))
    })
}

/// Connects, if somebody listens there.
fn reached(socket: &Path) -> Result<Option<Connection>, ClientError> {
    match Connection::open(socket) {
        Ok(connection) => Ok(Some(connection)),
        Err(ClientError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first is where it would be started now. A root that drops to `daemon.user` has it in that
/// user's directory.
fn usual_sockets(settings: &DaemonSettings, canonical: &Path) -> Vec<PathBuf> {
    let own = select::effective_uid();
    let user = settings.user.as_ref().map(|user| user.uid);
    let of_user = user
        .filter(|uid| *uid != own)
        .map(|uid| runtime::runtime_dir(uid, None));
    let directories = of_user.into_iter().chain(select::own_runtime_dirs());
    let mut sockets: Vec<PathBuf> = directories
        .map(|directory| runtime::socket_path(&directory, canonical))
        .collect();
    sockets.dedup();
    sockets
}

/// For root: the daemon that gave root up to a user of whom the config does not tell (any more).
/// That user's directory is believed only if the lock the daemon took as root names the one who
/// listens there.
fn dropped(canonical: &Path) -> Option<Connection> {
    let lock = runtime::lock_path(&runtime::socket_path(&select::own_runtime_dir(), canonical));
    let pid = LockFile::holder(&lock).ok().flatten()?;
    let directories = select::dropped_runtime_dirs().into_iter();
    let sockets = directories.map(|directory| runtime::socket_path(&directory, canonical));
    let mut connections = sockets.filter_map(|socket| Connection::open(&socket).ok());
    connections.find(|connection| connection.peer_pid() == Some(pid))
}

/// One that listens under another name: started with a `--socket` beside the usual ones.
fn among_all(canonical: &Path) -> Option<Connection> {
    let sockets = select::sockets_of(&select::own_runtime_dirs());
    let mut connections = sockets
        .iter()
        .filter_map(|socket| Connection::open(socket).ok());
    connections.find_map(|mut connection| {
        let hello = connection.hello_within(SCAN_PATIENCE).ok()?;
        (Path::new(&hello.config) == canonical).then_some(connection)
    })
}

/// Nobody was found: one that runs but lost its socket is told from none.
fn not_running(config: &Path, settings: &DaemonSettings, canonical: &Path) -> ClientError {
    let usual = usual_sockets(settings, canonical);
    let named = settings.socket.clone();
    // Not beside `daemon.socket`: that lock may be another config's.
    for socket in &usual {
        if let Ok(Some(pid)) = LockFile::holder(&runtime::lock_path(socket)) {
            let lost = match std::fs::read_link(socket) {
                Ok(target) => target,
                Err(_) => named.clone().unwrap_or_else(|| socket.clone()),
            };
            return ClientError::NoDaemon(format!(
                "the daemon runs (pid {pid}) but its socket {} was removed; kill -USR1 {pid} \
                 brings it back",
                lost.display()
            ));
        }
    }
    if !config.exists() {
        return ClientError::Failed(format!("{}: No such file or directory", config.display()));
    }
    let first = named.or_else(|| usual.into_iter().next());
    ClientError::NotRunning(first.unwrap_or_default())
}
