//! The daemon of a config.
//!
//! The search is a list of sockets in this order, each with the reason to try it:
//! 1. `daemon.socket` of the config, as it is written now;
//! 2. the usual paths, which follow from the config's path alone. They lead to every daemon that
//!    was started without `--socket`, even when the config is no longer valid;
//! 3. for root: the sockets of users to whom a daemon may have dropped root;
//! 4. all other sockets of this user.
//!
//! [`Candidate::verify`] decides for each whether the daemon that listens there is the right one.

use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::paths;
use crate::client::daemon::trust::Trust;
use crate::client::error::{ClientError, MissingDaemon};
use crate::config::{self, Config, DaemonSettings, Environment};
use crate::sys::lock::{Holder, LockFile};
use crate::sys::privileges::open_as;
use crate::sys::runtime;
use crate::text::printable::printable;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Any socket of this user: the daemon may have been started with `--socket`.
    Scan,
}

/// The result of verifying a candidate.
enum Verification {
    Accepted(Box<DaemonConnection>),
    /// No daemon, or another one.
    Rejected,
    /// The socket that the config names belongs to another config's daemon.
    Taken(ClientError),
}

/// Connects to the daemon of a config.
///
/// # Errors
/// `NotRunning` when there is none, `NoDaemon` when it lost its socket, `Failed` when the daemon
/// of another config listens there.
pub(crate) fn daemon_of(config: &Path, trust: &Trust) -> Result<DaemonConnection, ClientError> {
    let given = paths::as_given(config)?;
    let loaded = config::load(&given, &Environment::current(open_as)).ok();
    let settings = loaded.map(|config| config.daemon).unwrap_or_default();
    // Only root gets a user here, and only from a config that no stranger can change.
    let user = settings.user.as_ref().map(|user| user.uid);
    let trust = &user.map_or_else(|| trust.clone(), |uid| trust.clone().and(uid));
    let mut taken = None;
    for candidate in candidates(&settings, &given) {
        match candidate.verify(&given, trust)? {
            Verification::Accepted(connection) => return Ok(*connection),
            Verification::Rejected => {}
            Verification::Taken(error) => taken = Some(error),
        }
    }
    Err(taken.unwrap_or_else(|| not_running(config, &settings, &given)))
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
    let dropped = std::iter::once_with(dropped).flatten();
    let scan = std::iter::once_with(|| paths::sockets_of(&paths::own_runtime_dirs())).flatten();
    let scan = scan.map(|socket| Candidate {
        socket,
        origin: Origin::Scan,
    });
    setting.into_iter().chain(usual).chain(dropped).chain(scan)
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
            Err(_) if guessed => return Ok(Verification::Rejected),
            Err(error) => return Err(error),
        };
        let accepted = match self.origin {
            Origin::Usual => true,
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
                    return Ok(Verification::Taken(other_config(
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

/// The error when no daemon was found. A daemon that runs without its socket has one of its own.
fn not_running(config: &Path, settings: &DaemonSettings, given: &Path) -> ClientError {
    let usual = usual_sockets(settings, given);
    let named = settings.socket.clone();
    // The lock beside `daemon.socket` is not looked at: it may belong to another config.
    for socket in &usual {
        if let Ok(Some(Holder { pid, .. })) = LockFile::holder(&runtime::lock_path(socket)) {
            let lost = match std::fs::read_link(socket) {
                Ok(target) => target,
                Err(_) => named.clone().unwrap_or_else(|| socket.clone()),
            };
            return ClientError::NoDaemon(format!(
                "the daemon runs (pid {pid}), but its socket '{}' was removed; recreate it: \
                 kill -USR1 {pid}",
                printable(&lost.to_string_lossy())
            ));
        }
    }
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
    let first = named.or_else(|| usual.into_iter().next());
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
