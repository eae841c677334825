//! Pidfiles: written at start, removed at exit, for others to read; never trusted.

use crate::reactor::Reactor;
use crate::reactor::disk::access::{Owner, UserAccess, run_as};
use crate::reactor::disk::file::DiskError;
use crate::supervisor::{Process, ProcessId};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

impl Reactor {
    /// Has the pidfile of a new leader written, by the disk thread as the process's user.
    pub(crate) fn write_pidfile(&mut self, process: &Process, pid: i32) {
        let Some(path) = process.launch.pidfile.clone() else {
            return;
        };
        let Some(child) = self.children.get_mut(&process.id) else {
            return;
        };
        child.pidfile = Some(path.clone());
        child.files_pending += 1;
        let owner = process.launch.identity.as_ref().map(Owner::from);
        let action = move || {
            run_as(&UserAccess, owner.as_ref(), || {
                write_atomically(Path::new(&path), pid)
            })
            .map_err(|error| DiskError::new(&format!("pidfile {path}"), &error))
        };
        self.log_files.run(process.id, Box::new(action));
    }

    /// Has the pidfile of an ended leader removed.
    pub(crate) fn remove_pidfile(&mut self, id: ProcessId) {
        let Some(process) = self.supervisor.process(id) else {
            return;
        };
        let owner = process.launch.identity.as_ref().map(Owner::from);
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let Some(path) = child.pidfile.take() else {
            return;
        };
        child.files_pending += 1;
        let action = move || {
            let removed = run_as(&UserAccess, owner.as_ref(), || fs::remove_file(&path));
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(DiskError::new(&format!("pidfile {path}"), &error))
                }
                _ => Ok(()),
            }
        };
        self.log_files.run(id, Box::new(action));
    }

    /// The disk thread is done with a file of a process.
    pub(crate) fn file_done(&mut self, id: ProcessId, error: Option<DiskError>) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.files_pending = child.files_pending.saturating_sub(1);
        if let Some(error) = error {
            log::warn!("{}: {}", child.name, error.text);
        }
        self.announce(id);
        self.finish_release(id);
    }
}

/// Readers see the old content, none, or the new one; never half of it.
pub(crate) fn write_atomically(path: &Path, pid: i32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // Left over from a crash, or somebody's trap: a link is removed, never followed.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o644);
    let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&new)?;
    writeln!(file, "{pid}")?;
    drop(file);
    fs::rename(&new, path)
}
