//! Pidfiles: written at each start and removed at each exit, for other programs. The daemon never
//! reads them.

use crate::reactor::disk::access::{Owner, UserAccess, run_as};
use crate::reactor::disk::file::DiskError;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::Process;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Has the disk thread write the pidfile of a new leader, as the process's user.
pub(crate) fn write_pidfile(
    io: &mut ProcessIo,
    process: &Process,
    pid: i32,
    log_files: &mut LogFiles,
) {
    let Some(path) = process.launch.pidfile.clone() else {
        return;
    };
    io.pidfile = Some(path.clone());
    io.operations_pending += 1;
    let owner = process.launch.identity.as_ref().map(Owner::from);
    let (file, user) = (PathBuf::from(&path), owner.clone());
    let operation = move || {
        run_as(&UserAccess, owner.as_ref(), || {
            write_atomically(Path::new(&path), pid)
        })
        .map_err(|error| DiskError::new(&format!("pidfile {path}"), &error))
    };
    log_files.run(process.id, &file, user.as_ref(), Box::new(operation));
}

/// Has the disk thread remove the pidfile of an exited leader.
pub(crate) fn remove_pidfile(io: &mut ProcessIo, process: &Process, log_files: &mut LogFiles) {
    let Some(path) = io.pidfile.take() else {
        return;
    };
    io.operations_pending += 1;
    let owner = process.launch.identity.as_ref().map(Owner::from);
    let (file, user) = (PathBuf::from(&path), owner.clone());
    let operation = move || match run_as(&UserAccess, owner.as_ref(), || fs::remove_file(&path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::new(&format!("pidfile {path}"), &error))
        }
        _ => Ok(()),
    };
    log_files.run(process.id, &file, user.as_ref(), Box::new(operation));
}

/// The disk thread has finished an operation of a process.
pub(crate) fn operation_done(io: &mut ProcessIo, error: Option<DiskError>) {
    io.operations_pending = io.operations_pending.saturating_sub(1);
    if let Some(error) = error {
        log::warn!("{}: {}", io.name, error.text);
    }
}

/// Writes a pidfile so that readers see the old content, none, or the new one.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_atomically(path: &Path, pid: i32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // A file from a crash, or a link that another user planted: removed, never followed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("target");
        fs::write(&target, "precious").expect("written");
        let path = directory.path().join("a.pid");
        std::os::unix::fs::symlink(&target, directory.path().join("a.pid.new")).expect("a link");
        write_atomically(&path, 42).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("a pidfile"), "42\n");
        assert_eq!(fs::read_to_string(&target).expect("a file"), "precious");
    }
}
