//! Which daemon is meant, and where its socket is.

use crate::client::cli::command::Global;
use crate::client::daemon::by_config;
use crate::client::daemon::daemon_connection::Connection;
use crate::client::error::ClientError;
use crate::config::{self, Environment};
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

/// What a verb does to the daemon it finds, which decides how sure one has to be which is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impact {
    /// It asks.
    Looks,
    /// It does something to processes.
    Changes,
    /// It ends the daemon; this is its name.
    Ends(&'static str),
}

/// Connects to the daemon that is meant: `--socket`, `$TM_SOCKET`, the config's, that of a
/// `taskmaster.yaml` here or above, else the only one of this user.
///
/// # Errors
/// When there is none, or more than one to choose from, or when the one that was found is so
/// likely another than the one that was meant that this verb had better not touch it.
pub fn connect(global: &Global, impact: Impact) -> Result<Connection, ClientError> {
    if let Some(socket) = &global.socket {
        return Connection::open(socket);
    }
    if let Some(socket) = socket_variable() {
        let connection = Connection::open(&socket)?;
        return match &global.config {
            Some(config) => check_variable(global, impact, connection, config),
            None => Ok(connection),
        };
    }
    if let Some(path) = &global.config {
        return by_config::daemon_of(path);
    }
    if let Some(connection) = nearest_project()? {
        return Ok(connection);
    }
    // Not those of other users, which only look as if they had been root's once.
    let mut running = running_in(&own_runtime_dirs());
    match running.len() {
        1 => {
            let only = running.remove(0);
            check_stranger(global, impact, &only.hello.config)?;
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

/// Every daemon of this user that answers (for root: also those that dropped to a user), by
/// socket.
pub fn running() -> Vec<Daemon> {
    running_in(&runtime_dirs())
}

fn running_in(directories: &[PathBuf]) -> Vec<Daemon> {
    sockets_of(directories)
        .into_iter()
        .filter_map(greet)
        .collect()
}

/// The sockets in these folders, each once: a link counts as what it leads to.
pub fn sockets_of(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut sockets: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| sockets_in(directory))
        .map(|socket| std::fs::read_link(&socket).unwrap_or(socket))
        .collect();
    sockets.sort();
    sockets.dedup();
    sockets
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
        match by_config::daemon_of(&file) {
            Ok(connection) => return Ok(Some(connection)),
            Err(ClientError::NotRunning(_)) => {}
            // It is meant, and no other in its place.
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The project whose folder this is, when the daemon of `config` was found only because no other
/// runs, and is another's.
fn stranger_to(config: &str) -> Option<PathBuf> {
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

/// Whether a daemon was asked for by name, rather than looked for.
pub(crate) fn is_named(global: &Global) -> bool {
    socket_variable().is_some() || global.socket.is_some() || global.config.is_some()
}

/// What the daemon tells its children: where it is.
fn socket_variable() -> Option<PathBuf> {
    let socket = env::var_os("TM_SOCKET").filter(|socket| !socket.is_empty());
    socket.map(PathBuf::from)
}

/// `$TM_SOCKET` goes before `-c`, so that in a supervised shell a script stays with its daemon.
/// Where the two disagree nothing is changed: what `-c` names was hardly written without a thought.
fn check_variable(
    global: &Global,
    impact: Impact,
    connection: Connection,
    config: &Path,
) -> Result<Connection, ClientError> {
    static SAID: Once = Once::new();
    let canonical = by_config::canonical(config)?;
    let mut connection = connection;
    let other = connection.hello()?.config;
    if Path::new(&other) == canonical {
        return Ok(connection);
    }
    let text = format!(
        "TM_SOCKET is set and leads to the daemon of {other}, not to that of {}; to mean the \
         latter: env -u TM_SOCKET tm ...",
        canonical.display()
    );
    match impact {
        Impact::Changes | Impact::Ends(_) => return Err(ClientError::Failed(text)),
        Impact::Looks => say_once(global, &SAID, &text),
    }
    Ok(connection)
}

fn say_once(global: &Global, said: &Once, text: &str) {
    if !global.quiet && !global.json {
        said.call_once(|| {
            // Nothing is left to tell anybody whose standard error is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }
}

/// In a project's folder the daemon of another is hardly what one expects: it is not ended, and for
/// all else told whose it is, once.
pub(crate) fn check_stranger(
    global: &Global,
    impact: Impact,
    config: &str,
) -> Result<(), ClientError> {
    static SAID: Once = Once::new();
    let Some(project) = stranger_to(config) else {
        return Ok(());
    };
    let project = project.display();
    if let Impact::Ends(verb) = impact {
        return Err(ClientError::NoDaemon(format!(
            "no daemon runs for {project}; the only one is that of {config}: to mean it all the \
             same: tm -c {config} {verb}"
        )));
    }
    let text = format!("no daemon runs for {project}; this is the one of {config}");
    say_once(global, &SAID, &text);
    Ok(())
}

/// Where the usual sockets of this user's daemons are.
pub fn own_runtime_dir() -> PathBuf {
    runtime::runtime_dir(effective_uid(), text_var("XDG_RUNTIME_DIR").as_deref())
}

/// Where this user's daemons can be. The directory without XDG counts too: a daemon started
/// from cron or over `su` has no session.
pub fn own_runtime_dirs() -> Vec<PathBuf> {
    vec![
        own_runtime_dir(),
        runtime::runtime_dir(effective_uid(), None),
    ]
}

/// For root also those of daemons that gave root up.
fn runtime_dirs() -> Vec<PathBuf> {
    let mut directories = own_runtime_dirs();
    directories.extend(dropped_runtime_dirs());
    directories
}

/// For root, where daemons that gave root up are; a directory that belongs to somebody other
/// than its name says is not looked into.
pub fn dropped_runtime_dirs() -> Vec<PathBuf> {
    if effective_uid() != 0 {
        return Vec::new();
    }
    let entries = std::fs::read_dir("/tmp").into_iter().flatten().flatten();
    let dropped = entries.filter(|entry| {
        let name = entry.file_name();
        let uid = name.to_str().and_then(|name| name.strip_prefix("tmd-"));
        let owner = entry.metadata().map(|metadata| metadata.uid());
        uid.is_some_and(|uid| uid.parse().ok() == owner.ok())
    });
    dropped.map(|entry| entry.path()).collect()
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
