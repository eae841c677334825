//! The users whose daemons the client talks to: root, the caller, and those that root's config or
//! the caller names. A path alone proves nothing: in a shared directory any user can listen.

use crate::client::error::{ClientError, MissingDaemon};
use crate::config::{SystemUsers, Users};
use crate::sys::{runtime, socket};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Write permission of the group and of others.
const WRITABLE: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// How long to wait while too many connections wait to be accepted.
const QUEUE_PATIENCE: Duration = Duration::from_secs(1);

/// The users whose daemons may get requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trust {
    users: Vec<u32>,
}

impl Trust {
    /// Root and the caller.
    pub(crate) fn own() -> Trust {
        Trust {
            users: vec![0, runtime::effective_uid()],
        }
    }

    /// Root, the caller, and the user of `--daemon-user`.
    ///
    /// # Errors
    /// When there is no such user.
    pub(crate) fn from_option(user: Option<&str>) -> Result<Trust, ClientError> {
        let Some(name) = user else {
            return Ok(Trust::own());
        };
        let by_name = || SystemUsers.user(name).ok().flatten().map(|user| user.uid);
        match name.parse().ok().or_else(by_name) {
            Some(uid) => Ok(Trust::own().and(uid)),
            None => Err(ClientError::Usage(format!(
                "--daemon-user: there is no user '{name}'"
            ))),
        }
    }

    /// Trusts another user too.
    pub(crate) fn and(mut self, uid: u32) -> Trust {
        self.users.push(uid);
        self
    }

    /// Connects if a trusted user owns the socket's directory and listens there.
    ///
    /// # Errors
    /// `NotRunning` when no daemon listens there, `Denied` when the caller may not connect, or
    /// when another user could get the requests.
    pub(crate) fn connect(&self, path: &Path) -> Result<UnixStream, ClientError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
                ClientError::NotRunning(MissingDaemon {
                    socket: path.to_path_buf(),
                    config: None,
                })
            }
            ErrorKind::PermissionDenied => {
                let reason = match is_socket(path) {
                    Some(true) => " (the daemon belongs to another user)",
                    Some(false) | None => "",
                };
                let path = path.display();
                ClientError::Denied(format!("{path}: permission denied{reason}"))
            }
            ErrorKind::WouldBlock => ClientError::NoDaemon(format!(
                "{}: the daemon does not respond: too many connections wait for it",
                path.display()
            )),
            _ => ClientError::NoDaemon(format!("{}: {error}", path.display())),
        };
        if is_socket(path) == Some(false) {
            let path = path.display();
            return Err(ClientError::NoDaemon(format!(
                "{path}: not a socket; to name the config of a daemon: -c {path}"
            )));
        }
        self.check_path(path).map_err(failed)??;
        let stream = socket::connect_within(path, QUEUE_PATIENCE).map_err(failed)?;
        let peer = socket::peer(stream.as_fd()).map_err(failed)?;
        if !self.users.contains(&peer.uid) {
            return Err(stranger(path, "the daemon that listens there", peer.uid));
        }
        Ok(stream)
    }

    /// Checks the directory in which a socket lies, and the one to which a link leads.
    fn check_path(&self, path: &Path) -> io::Result<Result<(), ClientError>> {
        let target = path.canonicalize()?;
        let socket = fs::symlink_metadata(&target)?;
        for place in [path, &target] {
            let folder = place
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            let found = fs::metadata(folder)?;
            if !self.users.contains(&found.uid()) {
                return Ok(Err(stranger(path, "its directory", found.uid())));
            }
            if found.mode() & WRITABLE == 0 {
                continue;
            }
            // In a sticky directory, users cannot replace each other's files.
            let entry = fs::symlink_metadata(place)?;
            for owner in [entry.uid(), socket.uid()] {
                if !self.users.contains(&owner) {
                    return Ok(Err(stranger(path, "the socket", owner)));
                }
            }
            if found.mode() & STICKY == 0 {
                let folder = folder.display();
                return Ok(Err(ClientError::Denied(format!(
                    "{}: other users can replace the socket; run: chmod go-w '{folder}'",
                    path.display(),
                ))));
            }
        }
        Ok(Ok(()))
    }
}

/// Whether a path is a socket, if it can be examined.
fn is_socket(path: &Path) -> Option<bool> {
    let metadata = path.metadata().ok()?;
    Some(metadata.file_type().is_socket())
}

fn stranger(socket: &Path, what: &str, uid: u32) -> ClientError {
    let socket = socket.display();
    ClientError::Denied(format!(
        "{socket}: {what} belongs to user {uid}, who would get your requests; to trust that \
         user, add --daemon-user {uid}"
    ))
}
