//! Which daemon is meant, and where its socket is.

use super::command::Global;
use super::connection::Connection;
use super::error::ClientError;
use crate::config::{self, Environment};
use crate::sys::lock::LockFile;
use crate::sys::runtime;
use crate::wire::HelloReply;
use std::env;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// A daemon that answered.
#[derive(Debug)]
pub struct Daemon {
    /// Its socket.
    pub socket: PathBuf,
    /// What it says of itself.
    pub hello: HelloReply,
}

/// Connects to the daemon that is meant: `--socket`, `$TM_SOCKET`, the config's, that of a
/// `taskmaster.yaml` here or above, else the only one of this user.
///
/// # Errors
/// When there is none, or more than one to choose from.
pub fn connect(global: &Global) -> Result<Connection, ClientError> {
    if let Some(socket) = &global.socket {
        return Connection::open(socket);
    }
    if let Some(path) = &global.config {
        return open_socket_of(path);
    }
    if let Some(socket) = env::var_os("TM_SOCKET").filter(|socket| !socket.is_empty()) {
        return Connection::open(Path::new(&socket));
    }
    if let Some(connection) = nearest_project()? {
        return Ok(connection);
    }
    // Not those of other users, which only look as if they had been root's once.
    let mut running = running_in(&own_runtime_dirs());
    match running.len() {
        1 => {
            let only = running.remove(0);
            say_whose(global, &only.hello.config);
            Connection::open(&only.socket)
        }
        0 => Err(ClientError::NoDaemon(no_daemon())),
        _ => Err(ClientError::NoDaemon(candidates(&running))),
    }
}

/// The config that `up` and `check` mean: the explicit one, else the usual places.
///
/// # Errors
/// When there is none.
pub fn find_config(explicit: Option<&Path>) -> Result<PathBuf, ClientError> {
    let here = env::current_dir()
        .map_err(|error| ClientError::Failed(format!("the current directory: {error}")))?;
    config::find(explicit, &here, &Environment::current())
        .map_err(|error| ClientError::Failed(error.to_string()))
}

/// The socket of the daemon of a config. A config that does not load (its daemon may run
/// nevertheless) has the usual socket.
///
/// # Errors
/// When the path cannot be made absolute.
pub fn socket_of_config(path: &Path) -> Result<PathBuf, ClientError> {
    // The file may be gone while its daemon runs.
    let canonical = path
        .canonicalize()
        .or_else(|_| std::path::absolute(path))
        .map_err(|error| ClientError::Failed(format!("{}: {error}", path.display())))?;
    let environment = Environment::current();
    let loaded = config::load(&canonical, &environment).ok();
    Ok(socket_of(
        loaded.as_ref().map(|config| &config.daemon),
        &canonical,
    ))
}

/// The socket for these settings. A root that drops to `daemon.user` has it in that user's
/// directory.
pub fn socket_of(settings: Option<&config::DaemonSettings>, canonical: &Path) -> PathBuf {
    if let Some(socket) = settings.and_then(|settings| settings.socket.clone()) {
        return socket;
    }
    let own = effective_uid();
    let user = settings
        .and_then(|settings| settings.user.as_ref())
        .map(|user| user.uid);
    let directory = match user {
        Some(uid) if uid != own => runtime::runtime_dir(uid, None),
        _ => own_runtime_dir(),
    };
    runtime::socket_path(&directory, canonical)
}

/// Every daemon of this user that answers (for root: also those that dropped to a user), by
/// socket.
pub fn running() -> Vec<Daemon> {
    running_in(&runtime_dirs())
}

fn running_in(directories: &[PathBuf]) -> Vec<Daemon> {
    let mut sockets: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| sockets_in(directory))
        .collect();
    sockets.sort();
    sockets.dedup();
    sockets.into_iter().filter_map(greet).collect()
}

/// Where the shell's history and the like are kept.
pub fn state_dir() -> PathBuf {
    let (state, home) = (text_var("XDG_STATE_HOME"), text_var("HOME"));
    runtime::state_dir(effective_uid(), state.as_deref(), home.as_deref())
}

/// This user's id.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn greet(socket: PathBuf) -> Option<Daemon> {
    let hello = Connection::open(&socket).and_then(|mut connection| connection.hello());
    hello.ok().map(|hello| Daemon { socket, hello })
}

/// The daemon of the nearest `taskmaster.yaml` here or above, if one runs.
fn nearest_project() -> Result<Option<Connection>, ClientError> {
    let Ok(here) = env::current_dir() else {
        return Ok(None);
    };
    for directory in here.ancestors() {
        let file = directory.join(config::FILE_NAME);
        if !file.is_file() {
            continue;
        }
        match open_socket_of(&file) {
            Ok(connection) => return Ok(Some(connection)),
            // It is meant, and no other in its place.
            Err(error @ (ClientError::Denied(_) | ClientError::NoDaemon(_))) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Connects to the daemon of a config. One that runs but lost its socket is told from none.
fn open_socket_of(config: &Path) -> Result<Connection, ClientError> {
    let socket = socket_of_config(config)?;
    Connection::open(&socket).map_err(|error| match error {
        ClientError::NotRunning(_) if !config.exists() => {
            ClientError::Failed(format!("{}: No such file or directory", config.display()))
        }
        ClientError::NotRunning(_) if !socket.exists() => unreachable_daemon(&socket, error),
        error => error,
    })
}

fn unreachable_daemon(socket: &Path, otherwise: ClientError) -> ClientError {
    match LockFile::holder(&runtime::lock_path(socket)) {
        Ok(Some(pid)) => ClientError::NoDaemon(format!(
            "the daemon runs (pid {pid}) but its socket {} was removed; kill -USR1 {pid} brings \
             it back",
            socket.display()
        )),
        _ => otherwise,
    }
}

/// The project whose folder this is, when the daemon of `config` was found only because no other
/// runs, and is another's.
pub fn stranger_to(global: &Global, config: &str) -> Option<PathBuf> {
    let named = env::var_os("TM_SOCKET").is_some_and(|socket| !socket.is_empty());
    if named || global.socket.is_some() || global.config.is_some() {
        return None;
    }
    let here = env::current_dir().ok()?;
    let mut files = here.ancestors().map(|dir| dir.join(config::FILE_NAME));
    let nearest = files.find(|file| file.is_file())?;
    let inside = |file: PathBuf| {
        file.canonicalize()
            .is_ok_and(|file| file == Path::new(config))
    };
    let own = inside(nearest.clone()) || files.any(inside);
    (!own).then_some(nearest)
}

/// In a project's folder the daemon of another is hardly what one expects: says so, once.
fn say_whose(global: &Global, config: &str) {
    static SAID: Once = Once::new();
    if global.quiet || global.json {
        return;
    }
    let Some(project) = stranger_to(global, config) else {
        return;
    };
    SAID.call_once(|| {
        let text = format!(
            "no daemon runs for {}; this is the one of {config}",
            project.display()
        );
        // Nothing is left to tell anybody whose standard error is closed.
        let _ = writeln!(std::io::stderr(), "{text}");
    });
}

fn own_runtime_dir() -> PathBuf {
    runtime::runtime_dir(effective_uid(), text_var("XDG_RUNTIME_DIR").as_deref())
}

/// Where this user's daemons can be. The directory without XDG counts too: a daemon started
/// from cron or over `su` has no session.
fn own_runtime_dirs() -> Vec<PathBuf> {
    vec![
        own_runtime_dir(),
        runtime::runtime_dir(effective_uid(), None),
    ]
}

/// For root also those of daemons that gave root up; a directory that belongs to somebody other
/// than its name says is not looked into.
fn runtime_dirs() -> Vec<PathBuf> {
    let mut directories = own_runtime_dirs();
    if effective_uid() == 0 {
        let entries = std::fs::read_dir("/tmp").into_iter().flatten().flatten();
        let dropped = entries.filter(|entry| {
            let name = entry.file_name();
            let uid = name.to_str().and_then(|name| name.strip_prefix("tmd-"));
            let owner = entry.metadata().map(|metadata| metadata.uid());
            uid.is_some_and(|uid| uid.parse().ok() == owner.ok())
        });
        directories.extend(dropped.map(|entry| entry.path()));
    }
    directories
}

fn sockets_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .collect()
}

fn no_daemon() -> String {
    let place = own_runtime_dir();
    format!(
        "no daemon runs (looked in {}); start one with tm up -c FILE, or name its socket with \
         --socket",
        place.display()
    )
}

fn candidates(daemons: &[Daemon]) -> String {
    let mut text = "more than one daemon runs; choose one with -c:".to_string();
    for daemon in daemons {
        text.push_str(&format!(
            "\n  -c {}  (pid {})",
            daemon.hello.config, daemon.hello.pid
        ));
    }
    text
}

fn text_var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_config_is_its_own_setting_or_computed() {
        let path = Path::new("/srv/a/taskmaster.yaml");
        let usual = socket_of(None, path);
        assert!(usual.to_string_lossy().contains("taskmaster-"), "{usual:?}");
        let settings = config::DaemonSettings {
            socket: Some(PathBuf::from("/run/a.sock")),
            ..config::DaemonSettings::default()
        };
        assert_eq!(socket_of(Some(&settings), path), Path::new("/run/a.sock"));
    }

    #[test]
    fn only_sockets_are_candidates() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["a.sock", "a.lock", "b.sock"] {
            std::fs::write(directory.path().join(name), "").expect("writable");
        }
        let mut found = sockets_in(directory.path());
        found.sort();
        assert_eq!(
            found,
            [
                directory.path().join("a.sock"),
                directory.path().join("b.sock")
            ]
        );
        assert!(sockets_in(Path::new("/nonexistent")).is_empty());
    }
}
