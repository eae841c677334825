//! Where the sockets of daemons, the config and the client's own state are.

use crate::client::error::ClientError;
use crate::config::{self, Environment, ForeignFile};
use crate::sys::lock::{Holder, LockFile};
use crate::sys::privileges::open_as;
use crate::sys::runtime;
use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The config that `up` and `check` use: the explicit one, else the one in the usual locations.
///
/// # Errors
/// When there is none.
pub(crate) fn find_config(explicit: Option<&Path>) -> Result<PathBuf, ClientError> {
    let here = config::working_directory().map_err(|error| {
        ClientError::Failed(format!("cannot read the current directory: {error}"))
    })?;
    let found = config::find(explicit, &here, &Environment::current(open_as)).map_err(|error| {
        let texts = error.diagnostics.iter().map(ToString::to_string);
        ClientError::Failed(texts.collect::<Vec<_>>().join("\n"))
    })?;
    match foreign(&found).filter(|_| explicit.is_none()) {
        Some(foreign) => Err(ClientError::Denied(foreign.text())),
        None => Ok(found),
    }
}

/// The path by which the daemon knows its config. The file may have been removed since the daemon
/// read it.
///
/// # Errors
/// When the current directory is gone.
pub(crate) fn as_given(path: &Path) -> Result<PathBuf, ClientError> {
    let given = config::as_given(path);
    given.map_err(|error| ClientError::Failed(format!("{}: {error}", path.display())))
}

/// The project files of the current directory and those above it, nearest first.
pub(crate) fn project_files() -> Vec<PathBuf> {
    let Ok(here) = config::working_directory() else {
        return Vec::new();
    };
    let files = here.ancestors().map(|above| above.join(config::FILE_NAME));
    let files = files.filter(|file| file.is_file());
    files.filter(|file| foreign(file).is_none()).collect()
}

/// The project files that [`project_files`] leaves out: other users could lead the client to a
/// daemon of theirs.
pub(crate) fn ignored_projects() -> Vec<ForeignFile> {
    let Ok(here) = config::working_directory() else {
        return Vec::new();
    };
    let files = here.ancestors().map(|above| above.join(config::FILE_NAME));
    files.filter_map(|file| foreign(&file)).collect()
}

fn foreign(file: &Path) -> Option<ForeignFile> {
    ForeignFile::of(file, runtime::effective_uid())
}

/// Whether a project file is in the current directory.
pub(crate) fn is_here(project: &Path) -> bool {
    config::working_directory().is_ok_and(|here| project.parent() == Some(&here))
}

/// The path of a project file relative to the current directory: `./taskmaster.yaml`, or
/// `../taskmaster.yaml` for one above.
pub(crate) fn relative(project: &Path) -> PathBuf {
    let Ok(here) = config::working_directory() else {
        return project.to_path_buf();
    };
    let above = here
        .ancestors()
        .position(|above| project.parent() == Some(above));
    match (above, project.file_name()) {
        (Some(0), Some(name)) => Path::new(".").join(name),
        (Some(steps), Some(name)) => PathBuf::from("../".repeat(steps)).join(name),
        _ => project.to_path_buf(),
    }
}

/// The directory in which this user's daemons listen by default.
pub(crate) fn own_runtime_dir() -> PathBuf {
    runtime::runtime_dir(effective_uid(), text_var("XDG_RUNTIME_DIR").as_deref())
}

/// All directories in which this user's daemons may listen.
pub(crate) fn own_runtime_dirs() -> Vec<PathBuf> {
    runtime::runtime_dirs(effective_uid(), text_var("XDG_RUNTIME_DIR").as_deref())
}

/// For root: the directories in which the daemon of a config's owner may listen.
pub(crate) fn owner_runtime_dirs(config: &Path) -> Vec<PathBuf> {
    let owner = std::fs::metadata(config).map(|found| found.uid());
    match owner {
        Ok(uid) if uid != 0 && effective_uid() == 0 => runtime::session_dirs(uid).to_vec(),
        _ => Vec::new(),
    }
}

/// For root: the directories of daemons that dropped root. A directory is skipped unless its
/// owner is the user that its name contains.
pub(crate) fn dropped_runtime_dirs() -> Vec<PathBuf> {
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

/// For root: the daemons that dropped root, as root noted them before they did.
pub(crate) fn records_of_dropped() -> Vec<Holder> {
    let folder = own_runtime_dir();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let locks = entries.map(|entry| entry.path());
    locks
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "lock"))
        .filter_map(|path| LockFile::holder(&path).ok().flatten())
        .filter(|record| record.uid != effective_uid())
        .collect()
}

/// The sockets in these directories, each once: a link counts as its target.
pub(crate) fn sockets_of(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut sockets: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| sockets_in(directory))
        .map(|socket| std::fs::read_link(&socket).unwrap_or(socket))
        .collect();
    sockets.sort();
    sockets.dedup();
    sockets
}

fn sockets_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "sock"))
        .collect()
}

/// The directory of the control shell's history.
pub(crate) fn state_dir() -> PathBuf {
    let (state, home) = (text_var("XDG_STATE_HOME"), text_var("HOME"));
    runtime::state_dir(effective_uid(), state.as_deref(), home.as_deref())
}

/// The uid that decides which daemons are the caller's own.
pub(crate) fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn text_var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_are_found() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["a.sock", "a.lock", "b.sock"] {
            std::fs::write(directory.path().join(name), "").expect("writable");
        }
        let mut found = sockets_in(directory.path());
        found.sort();
        let wanted = ["a.sock", "b.sock"].map(|name| directory.path().join(name));
        assert_eq!(found, wanted);
        assert!(sockets_in(Path::new("/nonexistent")).is_empty());
    }
}
