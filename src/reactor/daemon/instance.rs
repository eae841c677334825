//! Where the daemon is found: the locks that make it the only one, its socket, and the link in
//! the usual place of its config.
//!
//! The usual place is `RUNTIME/NAME-HASH.sock`. A daemon whose config names another socket holds
//! the lock there all the same and leaves a link, so that its config leads to it whatever
//! `daemon.socket` says by now. With `--socket` nothing is registered.

use crate::config::{Config, DaemonSettings};
use crate::reactor::daemon::startup::DaemonOptions;
use crate::sys;
use crate::sys::lock::{Link, LockError, LockFile};
use crate::sys::socket::Listener;
use std::path::{Path, PathBuf};

/// What this daemon holds until its end. Fields go in this order: the link while its lock is held.
#[derive(Debug)]
pub struct Place {
    link: Option<Link>,
    locks: Vec<LockFile>,
    socket: PathBuf,
    /// Where the link is to be.
    usual: Option<PathBuf>,
    /// What named the socket.
    named_by: Option<&'static str>,
}

impl Place {
    /// Takes root's lock of the config, if root is about to be given up: whoever the daemon
    /// becomes, a second one for this config finds it there.
    pub fn as_root(options: &DaemonOptions, config: &Config) -> Result<Option<LockFile>, String> {
        if options.socket.is_some() {
            return Ok(None);
        }
        lock_if_possible(&usual_socket(config, false), config)
    }

    /// Takes the locks: the config's, then that of the socket it names.
    pub fn take(
        options: &DaemonOptions,
        config: &Config,
        dropped: bool,
        before: Option<LockFile>,
    ) -> Result<Place, String> {
        let mut place = Place {
            link: None,
            locks: before.into_iter().collect(),
            socket: PathBuf::new(),
            usual: None,
            named_by: None,
        };
        let usual = usual_socket(config, dropped);
        match (&options.socket, &config.daemon.socket) {
            (Some(path), _) => place.take_option(path)?,
            (None, Some(path)) => place.take_named(path, usual, config)?,
            (None, None) => {
                place.locks.push(lock_usual(&usual, config)?);
                place.socket = usual;
                place.clear_usual()?;
            }
        }
        Ok(place)
    }

    /// Listens there, and leaves the link.
    pub fn listen(&mut self, settings: &DaemonSettings) -> Result<Listener, String> {
        let (mode, group) = (settings.socket_mode, settings.socket_group);
        let listener = Listener::bind(&self.socket, mode, group);
        let listener = listener.map_err(|error| self.failed(&error.to_string()))?;
        if let Some(usual) = &self.usual {
            match Link::make(usual, &self.socket) {
                Ok(link) => self.link = Some(link),
                Err(error) => warn_unregistered(&sys::path_error(usual, &error)),
            }
        }
        Ok(listener)
    }

    /// Makes the link anew when somebody removed it.
    pub fn restore(&self) {
        let Some(link) = &self.link else {
            return;
        };
        let path = link.path();
        if let Some(folder) = path.parent().filter(|folder| !folder.exists())
            && let Err(error) = sys::runtime::prepare_dir(folder)
        {
            return log::error!("{error}");
        }
        match link.restore() {
            Ok(false) => {}
            Ok(true) => log::warn!("{} was removed; it is there again", path.display()),
            Err(error) => log::error!("{}", sys::path_error(path, &error)),
        }
    }

    fn take_option(&mut self, path: &Path) -> Result<(), String> {
        self.named_by = Some("--socket");
        self.socket = std::path::absolute(path)
            .map_err(|error| format!("tmd: --socket {}", sys::path_error(path, &error)))?;
        let lock = LockFile::acquire(&sys::runtime::lock_path(&self.socket));
        let lock = lock.map_err(|error| match error {
            // Of this config or of another.
            LockError::Held { .. } => self.failed(&format!("{}: {error}", self.socket.display())),
            LockError::Io(error) => self.lock_failed(&error),
        })?;
        self.locks.push(lock);
        Ok(())
    }

    fn take_named(&mut self, path: &Path, usual: PathBuf, config: &Config) -> Result<(), String> {
        self.named_by = Some("daemon.socket");
        self.socket = path.to_path_buf();
        let lock = lock_if_possible(&usual, config)?;
        let registered = lock.is_some();
        self.locks.extend(lock);
        if registered && is_same(&self.socket, &usual) {
            return self.clear_usual();
        }
        let lock = LockFile::acquire(&sys::runtime::lock_path(&self.socket));
        let lock = lock.map_err(|error| match error {
            LockError::Held { pid } => {
                let pid = pid.map(|pid| format!(" (pid {pid})"));
                format!(
                    "tmd: {}: used by another daemon{}; choose another daemon.socket",
                    self.socket.display(),
                    pid.unwrap_or_default()
                )
            }
            LockError::Io(error) => self.lock_failed(&error),
        })?;
        self.locks.push(lock);
        self.usual = registered.then_some(usual);
        Ok(())
    }

    /// A link that a killed daemon left would be in the way of the socket.
    fn clear_usual(&self) -> Result<(), String> {
        let failed = |error| format!("tmd: {}", sys::path_error(&self.socket, &error));
        Link::clear(&self.socket).map_err(failed)
    }

    fn lock_failed(&self, error: &std::io::Error) -> String {
        let beside = sys::runtime::lock_path(&self.socket);
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let about = if missing { &self.socket } else { &beside };
        self.failed(&sys::path_error(about, error))
    }

    fn failed(&self, text: &str) -> String {
        match self.named_by {
            Some(key) => format!("tmd: {key} {text}"),
            None => format!("tmd: {text}"),
        }
    }
}

/// The usual socket of a config for the user that this process is.
fn usual_socket(config: &Config, dropped: bool) -> PathBuf {
    // Root's runtime directory in the environment is not that of the user it became.
    let xdg = std::env::var("XDG_RUNTIME_DIR").ok().filter(|_| !dropped);
    let runtime = sys::runtime::runtime_dir(sys::runtime::effective_uid(), xdg.as_deref());
    sys::runtime::socket_path(&runtime, &config.path)
}

/// The lock of a config where nothing goes without it.
fn lock_usual(usual: &Path, config: &Config) -> Result<LockFile, String> {
    prepare_folder(usual)?;
    let path = sys::runtime::lock_path(usual);
    LockFile::acquire(&path).map_err(|error| match error {
        LockError::Held { .. } => already_running(config, &error),
        LockError::Io(error) => format!("tmd: {}", sys::path_error(&path, &error)),
    })
}

/// The same for a daemon that listens elsewhere: in a system without a usual place it runs too.
fn lock_if_possible(usual: &Path, config: &Config) -> Result<Option<LockFile>, String> {
    if let Err(text) = prepare_folder(usual) {
        warn_unregistered(&text);
        return Ok(None);
    }
    let path = sys::runtime::lock_path(usual);
    match LockFile::acquire(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Held { .. }) => Err(already_running(config, &error)),
        Err(LockError::Io(error)) => {
            warn_unregistered(&sys::path_error(&path, &error));
            Ok(None)
        }
    }
}

fn prepare_folder(usual: &Path) -> Result<(), String> {
    let folder = usual.parent().unwrap_or(Path::new("/"));
    sys::runtime::prepare_dir(folder).map_err(|error| format!("tmd: {error}"))
}

fn already_running(config: &Config, error: &LockError) -> String {
    format!("tmd: {}: {error}", config.path.display())
}

fn warn_unregistered(text: &str) {
    let text = text.trim_start_matches("tmd: ");
    eprintln!(
        "tmd: warning: {text}; this daemon may not be found by its config, nor a second one be \
         refused"
    );
}

/// Whether two paths are one place, by whatever links their folders are reached.
fn is_same(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
    one == other || (one.file_name() == other.file_name() && folder(one) == folder(other))
}
