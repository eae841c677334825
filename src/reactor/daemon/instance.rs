//! The identity of the daemon: the locks that make it the only one, its socket, and the link at
//! the default path of its config.
//!
//! The default path is `RUNTIME/NAME-HASH.sock`. A daemon with another socket (`daemon.socket`,
//! `--socket`) still holds the lock there and leaves a link, so that its config leads to it. The
//! lock notes the config: another path may lead to the same file.

use crate::config::{Config, DaemonSettings};
use crate::reactor::daemon::options::DaemonOptions;
use crate::reactor::daemon::other_daemons;
use crate::reactor::poller::{EventSource, Poller};
use crate::sys;
use crate::sys::lock::{Link, LockError, LockFile};
use crate::sys::socket::Listener;
use mio::Interest;
use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The listening socket and the locks behind it. The socket goes first, the locks last: they give
/// the right to the socket's path.
#[derive(Debug)]
pub(crate) struct Instance {
    listener: Listener,
    lock: InstanceLock,
}

impl Instance {
    /// Listens on the socket of the locks, and leaves the link.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub(crate) fn listen(
        mut lock: InstanceLock,
        settings: &DaemonSettings,
    ) -> Result<Instance, String> {
        let (mode, group) = (settings.socket_mode, settings.socket_group);
        let listener = Listener::bind(&lock.socket, mode, group);
        let listener = listener.map_err(|error| lock.error(&error))?;
        lock.make_link();
        Ok(Instance { listener, lock })
    }

    /// The listening socket.
    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// The socket's path.
    pub(crate) fn path(&self) -> &Path {
        self.listener.path()
    }

    /// Watches the listening socket.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub(crate) fn watch(&self, poller: &mut Poller) -> io::Result<()> {
        let fd = self.listener.as_fd();
        poller.add(fd, EventSource::Listener, Interest::READABLE)?;
        Ok(())
    }

    /// Recreates the locks, the socket and the link if their files were removed, by a cleaner of
    /// temporary directories or by mistake. Only a signal reaches a daemon in that state.
    pub(crate) fn restore(&mut self, settings: &DaemonSettings, poller: &mut Poller) {
        // Without its lock, a second daemon could take the socket's path.
        if let Err(error) = self.lock.restore() {
            return log::error!("{error}");
        }
        if self.listener.is_lost() {
            match self.rebind(settings, poller) {
                Ok(()) => log::warn!("{} was removed; recreated it", self.path().display()),
                Err(error) => log::error!("{} was removed: {error}", self.path().display()),
            }
        }
        self.lock.restore_link();
    }

    fn rebind(&mut self, settings: &DaemonSettings, poller: &mut Poller) -> Result<(), String> {
        let path = self.path().to_path_buf();
        let listener = Listener::bind(&path, settings.socket_mode, settings.socket_group)
            .map_err(|error| format!("cannot bind it again: {error}"))?;
        poller
            .add(listener.as_fd(), EventSource::Listener, Interest::READABLE)
            .map_err(|error| format!("cannot listen on it again: {error}"))?;
        // The old socket leaves the poll as it is closed.
        self.listener = listener;
        Ok(())
    }

    /// Removes the socket.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub(crate) fn unlink(&self) -> io::Result<()> {
        self.listener.unlink()
    }
}

/// The locks of a config and its socket. Fields are dropped in this order: the link must go while
/// its lock is held.
#[derive(Debug)]
pub(crate) struct InstanceLock {
    link: Option<Link>,
    locks: Vec<LockFile>,
    socket: PathBuf,
    /// The path of the link, if there is to be one.
    link_path: Option<PathBuf>,
    /// The option or key that named the socket.
    named_by: Option<&'static str>,
}

impl InstanceLock {
    /// Notes this process in root's lock of the config, before root is given up: a second daemon
    /// for this config, and root's client, find it there. The lock itself is not kept.
    ///
    /// # Errors
    /// When another daemon holds it.
    pub(crate) fn note_as_root(config: &Config) -> Result<(), String> {
        let default = default_path(config, false);
        match lock_if_possible(&default, config)?.map(LockFile::into_record) {
            Some(Err(error)) => {
                let path = sys::runtime::lock_path(&default);
                Err(format!("tmd: {}", sys::path_error(&path, &error)))
            }
            _ => Ok(()),
        }
    }

    /// Takes the locks: that of the config, then that of the socket it names.
    ///
    /// # Errors
    /// When another daemon holds one of them, or the socket's directory is unusable.
    pub(crate) fn acquire(
        options: &DaemonOptions,
        config: &Config,
        dropped_root: bool,
    ) -> Result<InstanceLock, String> {
        let mut lock = InstanceLock {
            link: None,
            locks: Vec::new(),
            socket: PathBuf::new(),
            link_path: None,
            named_by: None,
        };
        let default = default_path(config, dropped_root);
        match (&options.socket, &config.daemon.socket) {
            (Some(path), _) => lock.acquire_option(path, default, config)?,
            (None, Some(path)) => lock.acquire_configured(path, default, config)?,
            (None, None) => {
                lock.locks.push(lock_default(&default, config)?);
                lock.socket = default;
                lock.clear_link()?;
            }
        }
        Ok(lock)
    }

    fn acquire_option(
        &mut self,
        path: &Path,
        default: PathBuf,
        config: &Config,
    ) -> Result<(), String> {
        self.named_by = Some("--socket");
        self.socket = std::path::absolute(path)
            .map_err(|error| format!("tmd: --socket {}", sys::path_error(path, &error)))?;
        if is_same_path(&self.socket, &default) {
            self.acquire_default(default, config)?;
            return self.clear_link();
        }
        let lock = LockFile::acquire(&sys::runtime::lock_path(&self.socket));
        let lock = lock.map_err(|error| match error {
            // The other daemon may have this config or another one.
            LockError::Held { .. } => self.error(&format!("{}: {error}", self.socket.display())),
            LockError::Io(error) => self.lock_error(&error),
        })?;
        self.locks.push(lock);
        self.acquire_default(default, config)?;
        Ok(())
    }

    fn acquire_configured(
        &mut self,
        path: &Path,
        default: PathBuf,
        config: &Config,
    ) -> Result<(), String> {
        self.named_by = Some("daemon.socket");
        self.socket = path.to_path_buf();
        if self.acquire_default(default, config)? {
            return self.clear_link();
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
            LockError::Io(error) => self.lock_error(&error),
        })?;
        self.locks.push(lock);
        Ok(())
    }

    /// Takes the lock at the default path, where a link shall lead to the socket. Returns whether
    /// that path is the socket itself.
    fn acquire_default(&mut self, default: PathBuf, config: &Config) -> Result<bool, String> {
        let Some(lock) = lock_if_possible(&default, config)? else {
            return Ok(false);
        };
        self.locks.push(lock);
        let is_socket = is_same_path(&self.socket, &default);
        self.link_path = (!is_socket).then_some(default);
        Ok(is_socket)
    }

    /// Removes the link of a killed daemon, which would be in the way of the socket.
    fn clear_link(&self) -> Result<(), String> {
        let failed = |error| format!("tmd: {}", sys::path_error(&self.socket, &error));
        Link::clear(&self.socket).map_err(failed)
    }

    fn make_link(&mut self) {
        let Some(path) = &self.link_path else {
            return;
        };
        match Link::make(path, &self.socket) {
            Ok(link) => self.link = Some(link),
            Err(error) => warn_unregistered(&sys::path_error(path, &error)),
        }
    }

    fn restore(&mut self) -> Result<(), String> {
        for lock in &mut self.locks {
            let path = lock.path().to_path_buf();
            if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
                make_folder(folder)?;
            }
            match lock.restore() {
                Ok(false) => {}
                Ok(true) => log::warn!("{} was removed; recreated it", path.display()),
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(())
    }

    fn restore_link(&self) {
        let Some(link) = &self.link else {
            return;
        };
        let path = link.path();
        if let Some(folder) = path.parent().filter(|folder| !folder.exists())
            && let Err(error) = make_folder(folder)
        {
            return log::error!("{error}");
        }
        match link.restore() {
            Ok(false) => {}
            Ok(true) => log::warn!("{} was removed; recreated it", path.display()),
            Err(error) => log::error!("{}", sys::path_error(path, &error)),
        }
    }

    fn lock_error(&self, error: &io::Error) -> String {
        let lock = sys::runtime::lock_path(&self.socket);
        let missing = error.kind() == io::ErrorKind::NotFound;
        let about = if missing { &self.socket } else { &lock };
        self.error(&sys::path_error(about, error))
    }

    fn error(&self, text: &dyn Display) -> String {
        match self.named_by {
            Some(key) => format!("tmd: {key} {text}"),
            None => format!("tmd: {text}"),
        }
    }
}

/// The default socket of a config for the user of this process.
fn default_path(config: &Config, dropped_root: bool) -> PathBuf {
    // The environment names root's runtime directory, not that of the user root became.
    let xdg = std::env::var("XDG_RUNTIME_DIR")
        .ok()
        .filter(|_| !dropped_root);
    let runtime = sys::runtime::runtime_dir(sys::runtime::effective_uid(), xdg.as_deref());
    sys::runtime::socket_path(&runtime, &config.path)
}

/// Takes the lock of a config that listens at the default path.
fn lock_default(default: &Path, config: &Config) -> Result<LockFile, String> {
    prepare_folder(default)?;
    let path = sys::runtime::lock_path(default);
    let lock = LockFile::acquire(&path);
    let lock = lock.and_then(|lock| other_daemons::exclude(lock, &path, &config.path));
    lock.map_err(|error| match error {
        LockError::Held { .. } => already_running(config, &error),
        LockError::Io(error) => format!("tmd: {}", sys::path_error(&path, &error)),
    })
}

/// Takes the lock of a config that listens elsewhere. Such a daemon also runs on a system without
/// a usable default path.
fn lock_if_possible(default: &Path, config: &Config) -> Result<Option<LockFile>, String> {
    if let Err(text) = prepare_folder(default) {
        warn_unregistered(&text);
        return Ok(None);
    }
    let path = sys::runtime::lock_path(default);
    let lock = LockFile::acquire(&path);
    match lock.and_then(|lock| other_daemons::exclude(lock, &path, &config.path)) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Held { .. }) => Err(already_running(config, &error)),
        Err(LockError::Io(error)) => {
            warn_unregistered(&sys::path_error(&path, &error));
            Ok(None)
        }
    }
}

fn prepare_folder(default: &Path) -> Result<(), String> {
    let folder = default.parent().unwrap_or(Path::new("/"));
    make_folder(folder).map_err(|error| format!("tmd: {error}"))
}

/// Creates a runtime directory, or closes one that other users could enter.
fn make_folder(folder: &Path) -> Result<(), String> {
    let had = sys::runtime::prepare_dir(folder).map_err(|error| error.to_string())?;
    if let Some(mode) = had {
        let folder = folder.display();
        let text = format!("{folder}: had mode {mode:04o}, is 0700 now: other users had access");
        log::warn!("{text}");
        // The log of a daemon that starts is not open yet.
        eprintln!("tmd: warning: {text}");
    }
    Ok(())
}

fn already_running(config: &Config, error: &LockError) -> String {
    let path = config.path.display();
    format!("tmd: {path}: {error}; see it: tm -c {path} status")
}

fn warn_unregistered(text: &str) {
    let text = text.trim_start_matches("tmd: ");
    eprintln!(
        "tmd: warning: {text}; the daemon is not registered: `tm -c` may not find it, and a \
         second instance will not be detected"
    );
}

/// Whether two paths name one file, through any symbolic links of their directories.
fn is_same_path(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
    one == other || (one.file_name() == other.file_name() && folder(one) == folder(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};
    use crate::sys::privileges::open_as;
    use std::fs;

    fn config(directory: &Path, socket: Option<&Path>) -> Config {
        let path = directory.join("tm.yaml");
        let daemon = socket.map_or(String::new(), |socket| {
            format!("daemon:\n  socket: {}\n", socket.display())
        });
        let text = format!("{daemon}programs:\n  a:\n    cmd: /bin/true\n");
        fs::write(&path, text).expect("written");
        config::load(&path, &Environment::current(open_as)).expect("a valid config")
    }

    fn with_socket(path: PathBuf) -> DaemonOptions {
        DaemonOptions {
            socket: Some(path),
            ..DaemonOptions::default()
        }
    }

    #[test]
    fn one_daemon_has_a_socket() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = config(directory.path(), None);
        let options = with_socket(directory.path().join("x.sock"));
        let acquire = || InstanceLock::acquire(&options, &config, false);
        let first = acquire().expect("the lock");
        let error = acquire().expect_err("an error");
        assert!(error.starts_with("tmd: --socket /"), "{error}");
        drop(first);
        acquire().expect("the lock again");
    }

    #[test]
    fn a_missing_directory_of_the_socket_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = config(directory.path(), None);
        let options = with_socket(directory.path().join("none/x.sock"));
        let error = InstanceLock::acquire(&options, &config, false).expect_err("an error");
        assert!(error.contains("does not exist"), "{error}");
    }

    #[test]
    fn a_removed_socket_is_recreated() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = config(directory.path(), None);
        let path = directory.path().join("x.sock");
        let lock = InstanceLock::acquire(&with_socket(path.clone()), &config, false);
        let mut poller = Poller::new().expect("an epoll instance");
        let lock = lock.expect("the lock");
        let mut instance = Instance::listen(lock, &config.daemon).expect("a socket");
        fs::remove_file(&path).expect("removed");
        instance.restore(&config.daemon, &mut poller);
        assert!(path.exists());
        instance.unlink().expect("removed");
        assert!(!path.exists());
    }

    #[test]
    fn paths_are_compared_through_links() {
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        let real = directory.path().join("real");
        fs::create_dir(&real).expect("a directory");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        assert!(is_same_path(&real.join("a.sock"), &link.join("a.sock")));
        assert!(!is_same_path(&real.join("a.sock"), &link.join("b.sock")));
    }
}
