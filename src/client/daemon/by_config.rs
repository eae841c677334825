//! The daemon of a config.
//!
//! The search is a list of sockets in this order, each with the reason to try it:
//! 1. `daemon.socket` of the config, as it is written now;
//! 2. the usual paths, which follow from the config's path alone. They lead to every daemon that
//!    was started without `--socket`, even when the config is no longer valid;
//! 3. for root: the usual paths of the config's owner;
//! 4. for root: the sockets of users to whom a daemon may have dropped root;
//! 5. all other sockets of this user.
//!
//! [`Candidate::verify`] decides for each whether the daemon that listens there is the right one.

use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::lifecycle::await_socket;
use crate::client::daemon::paths;
use crate::client::daemon::trust::Trust;
use crate::client::error::{ClientError, MissingDaemon};
use crate::config::{self, Config, DaemonSettings, Environment};
use crate::sys::lock::{Holder, LockFile};
use crate::sys::privileges::open_as;
use crate::sys::{lost_lock, runtime};
use crate::text::printable::printable;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for a daemon that starts or ends.
const SEARCH_MAX: Duration = Duration::from_secs(10);

/// How long each daemon of this user may take to answer `hello` during a scan.
pub(crate) const SCAN_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket at which the config's daemon may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    socket: PathBuf,
    origin: Origin,
}

/// Why a socket is tried, which decides how its daemon is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// `daemon.socket`. Another config may name the same one.
    Setting,
    /// The usual path. No other config's daemon creates it.
    Usual,
    /// A link at the usual path. Its target may have been taken over by another daemon.
    Link,
    /// A socket in another user's directory. That user is trusted only if the daemon there is the
    /// process with root's lock.
    Dropped { record: Holder },
    /// For root: the usual path of the config's owner, whom root has to trust by name.
    Owner,
    /// Any socket of this user: the daemon may have been started with `--socket`.
    Scan,
}

/// The result of verifying a candidate.
enum Verification {
    Accepted(Box<DaemonConnection>),
    /// No daemon, or another one.
    Rejected,
    /// The socket that the config names belongs to another config's daemon, or the daemon to a user
    /// who is not trusted. An error if no other is found.
    Refused(ClientError),
}

/// Connects to the daemon of a config.
///
/// # Errors
/// `NotRunning` when there is none, `NoDaemon` when it lost its socket or the config cannot be
/// read, `Failed` when the daemon of another config listens there, `Denied` when another user's
/// does.
pub(crate) fn daemon_of(config: &Path, trust: &Trust) -> Result<DaemonConnection, ClientError> {
    let given = paths::as_given(config)?;
    let (settings, unread) = settings_of(&given);
    // Only root gets a user here, and only from a config that no stranger can change.
    let user = settings.user.as_ref().map(|user| user.uid);
    let trust = &user.map_or_else(|| trust.clone(), |uid| trust.clone().and(uid));
    let until = Instant::now() + SEARCH_MAX;
    loop {
        let mut refused = None;
        for candidate in candidates(&settings, &given) {
            match candidate.verify(&given, trust)? {
                Verification::Accepted(connection) => return Ok(*connection),
                Verification::Rejected => {}
                Verification::Refused(error) => refused = Some(error),
            }
        }
        let held = held_lock(&usual_sockets(&settings, &given));
        return Err(match (refused, held) {
            (Some(error), _) => error,
            (None, Some((pid, socket))) => {
                if Instant::now() < until && await_socket(pid, &socket) {
                    continue;
                }
                let named = settings.socket.filter(|_| !socket.is_symlink());
                lost(pid, named.as_deref().unwrap_or(&socket))
            }
            (None, None) => not_running(config, &settings, &given, unread),
        });
    }
}

/// The settings of a config that lead to its daemon, and why they are not known.
fn settings_of(given: &Path) -> (DaemonSettings, Option<String>) {
    let environment = Environment::current(open_as);
    if let Ok(config) = config::load(given, &environment) {
        return (config.daemon, None);
    }
    // Another user may lack the variables or the rights for the rest.
    match config::daemon_socket(given, &environment) {
        Ok(socket) => {
            let settings = DaemonSettings {
                socket,
                ..DaemonSettings::default()
            };
            (settings, None)
        }
        Err(error) => {
            let first = error.diagnostics.first().map(ToString::to_string);
            (DaemonSettings::default(), first)
        }
    }
}

/// Fails if the daemon of one of these sockets runs without it.
///
/// # Errors
/// `NoDaemon` with the remedy.
pub(crate) fn refuse_lost(sockets: &[PathBuf]) -> Result<(), ClientError> {
    match held_lock(sockets) {
        Some((pid, socket)) => Err(lost(pid, &socket)),
        None => Ok(()),
    }
}

/// The process with the lock beside one of these sockets, and that socket. The lock beside
/// `daemon.socket` is not among them: it may belong to another config.
fn held_lock(sockets: &[PathBuf]) -> Option<(i32, PathBuf)> {
    let locks: Vec<PathBuf> = sockets
        .iter()
        .map(|socket| runtime::lock_path(socket))
        .collect();
    for (socket, lock) in sockets.iter().zip(&locks) {
        if let Ok(Some(Holder { pid, .. })) = LockFile::holder(lock) {
            return Some((pid, socket.clone()));
        }
    }
    let first = sockets.first()?.clone();
    lost_lock::holder(&locks).map(|pid| (pid, first))
}

/// The error about a daemon that runs without its socket.
pub(crate) fn lost(pid: i32, socket: &Path) -> ClientError {
    let target = std::fs::read_link(socket);
    let socket = target.as_deref().unwrap_or(socket);
    ClientError::NoDaemon(format!(
        "the daemon runs (pid {pid}), but its socket '{}' was removed; recreate it: \
         kill -USR1 {pid}",
        printable(&socket.to_string_lossy())
    ))
}

/// Accepts only the daemon of this config.
///
/// # Errors
/// `Failed` when the daemon runs another config, or why it does not answer.
pub(crate) fn verify_config(
    mut connection: DaemonConnection,
    given: &Path,
) -> Result<DaemonConnection, ClientError> {
    if config::is_same_file(&connection.config()?, given) {
        return Ok(connection);
    }
    let other = connection.hello()?.config;
    Err(other_config(&connection, &other, given))
}

fn other_config(connection: &DaemonConnection, other: &str, given: &Path) -> ClientError {
    ClientError::Failed(format!(
        "the daemon at '{}' belongs to '{other}', not to '{}'",
        connection.path().display(),
        given.display()
    ))
}

/// The sockets to try, in order. The later ones need to read directories, so the list is lazy.
fn candidates(settings: &DaemonSettings, given: &Path) -> impl Iterator<Item = Candidate> {
    let setting = settings.socket.clone().map(|socket| Candidate {
        socket,
        origin: Origin::Setting,
    });
    let usual = usual_sockets(settings, given).into_iter().map(|socket| {
        let origin = match socket.is_symlink() {
            true => Origin::Link,
            false => Origin::Usual,
        };
        Candidate { socket, origin }
    });
    let owners = paths::owner_runtime_dirs(given).into_iter();
    let owners: Vec<Candidate> = owners
        .map(|directory| Candidate {
            socket: runtime::socket_path(&directory, given),
            origin: Origin::Owner,
        })
        .collect();
    let dropped = std::iter::once_with(dropped).flatten();
    let scan = std::iter::once_with(|| paths::sockets_of(&paths::own_runtime_dirs())).flatten();
    let scan = scan.map(|socket| Candidate {
        socket,
        origin: Origin::Scan,
    });
    let first = setting.into_iter().chain(usual).chain(owners);
    first.chain(dropped).chain(scan)
}

/// The paths at which the daemon of a config listens when it is started now.
pub(crate) fn sockets_of(config: &Config, socket: Option<&Path>) -> Vec<PathBuf> {
    match socket.or(config.daemon.socket.as_deref()) {
        Some(socket) => vec![socket.to_path_buf()],
        None => usual_sockets(&config.daemon, &config.path),
    }
}

/// The usual paths. The daemon would listen at the first one if it was started now. A daemon that
/// drops root to `daemon.user` listens in that user's directory.
fn usual_sockets(settings: &DaemonSettings, given: &Path) -> Vec<PathBuf> {
    let own = paths::effective_uid();
    let user = settings.user.as_ref().map(|user| user.uid);
    let of_user = user
        .filter(|uid| *uid != own)
        .map(|uid| runtime::runtime_dir(uid, None));
    let directories = of_user.into_iter().chain(paths::own_runtime_dirs());
    let mut sockets: Vec<PathBuf> = directories
        .map(|directory| runtime::socket_path(&directory, given))
        .collect();
    sockets.dedup();
    sockets
}

/// For root: daemons that dropped root to a user whom the config no longer names, or that know the
/// config by another path. Each took its lock as root, so the lock names its pid.
fn dropped() -> Vec<Candidate> {
    let records = paths::records_of_dropped();
    if records.is_empty() {
        return Vec::new();
    }
    let sockets = paths::sockets_of(&paths::dropped_runtime_dirs()).into_iter();
    let candidates = sockets.flat_map(|socket| {
        records.iter().map(move |record| Candidate {
            socket: socket.clone(),
            origin: Origin::Dropped { record: *record },
        })
    });
    candidates.collect()
}

impl Candidate {
    /// Connects, if a daemon listens here, and decides whether it is the config's own.
    ///
    /// # Errors
    /// When the socket is the config's own but cannot be used. A daemon that was only guessed is
    /// rejected instead.
    fn verify(&self, given: &Path, trust: &Trust) -> Result<Verification, ClientError> {
        let guessed = matches!(self.origin, Origin::Dropped { .. } | Origin::Scan);
        let trust = match self.origin {
            // Its pid is checked below, before it gets a request.
            Origin::Dropped { record } => &trust.clone().and(record.uid),
            _ => trust,
        };
        let mut connection = match DaemonConnection::open(&self.socket, trust) {
            Ok(connection) => connection,
            Err(ClientError::NotRunning(_)) => return Ok(Verification::Rejected),
            // Another user may have made the usual directory first.
            Err(ClientError::Denied(_)) if self.origin == Origin::Usual => {
                return Ok(Verification::Rejected);
            }
            Err(error @ ClientError::Denied(_)) if self.origin == Origin::Owner => {
                return Ok(Verification::Refused(error));
            }
            Err(_) if guessed => return Ok(Verification::Rejected),
            Err(error) => return Err(error),
        };
        let accepted = match self.origin {
            Origin::Usual | Origin::Owner => true,
            Origin::Dropped { record } if connection.peer_pid() != Some(record.pid) => false,
            Origin::Dropped { .. } | Origin::Scan => {
                let greeted = connection.hello_within(SCAN_TIMEOUT);
                let other = greeted.and_then(|_| connection.config());
                other.is_ok_and(|other| config::is_same_file(&other, given))
            }
            Origin::Setting | Origin::Link => {
                let accepted = config::is_same_file(&connection.config()?, given);
                if !accepted && self.origin == Origin::Setting {
                    let other = connection.hello()?.config;
                    return Ok(Verification::Refused(other_config(
                        &connection,
                        &other,
                        given,
                    )));
                }
                accepted
            }
        };
        Ok(match accepted {
            true => Verification::Accepted(Box::new(connection)),
            false => Verification::Rejected,
        })
    }
}

/// The error when no daemon was found.
fn not_running(
    config: &Path,
    settings: &DaemonSettings,
    given: &Path,
    unread: Option<String>,
) -> ClientError {
    if !config.exists() {
        return ClientError::Failed(format!(
            "there is no config file '{}', and no daemon runs for it; name another one with -c, \
             or list the daemons: tm daemons",
            config.display()
        ));
    }
    if config.is_dir() {
        let shown = config.display();
        return ClientError::Failed(format!(
            "'{shown}' is a directory; name the config file in it with -c"
        ));
    }
    if let Some(reason) = unread {
        return ClientError::NoDaemon(format!(
            "no daemon was found for '{}', and the config cannot be read here: {reason}; if it \
             runs, name its socket with --socket",
            config.display()
        ));
    }
    let usual = usual_sockets(settings, given).into_iter().next();
    let first = settings.socket.clone().or(usual);
    ClientError::NotRunning(MissingDaemon {
        socket: first.unwrap_or_default(),
        config: Some(config.to_path_buf()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_comes_first_and_the_usual_paths_follow() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("a.yaml");
        let socket = directory.path().join("named.sock");
        let settings = DaemonSettings {
            socket: Some(socket.clone()),
            ..DaemonSettings::default()
        };
        let mut found = candidates(&settings, &config);
        let first = found.next().expect("the setting");
        assert_eq!((first.origin, first.socket), (Origin::Setting, socket));
        let second = found.next().expect("a usual path");
        assert_eq!(second.origin, Origin::Usual);
        assert!(second.socket.starts_with(paths::own_runtime_dir()));
    }

    #[test]
    fn a_socket_without_daemon_is_rejected() {
        for origin in [Origin::Setting, Origin::Usual, Origin::Link, Origin::Scan] {
            let candidate = Candidate {
                socket: PathBuf::from("/nonexistent/a.sock"),
                origin,
            };
            let found = candidate
                .verify(Path::new("/a.yaml"), &Trust::own())
                .expect("no error");
            assert!(matches!(found, Verification::Rejected), "{candidate:?}");
        }
    }
}
