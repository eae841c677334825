//! Pidfiles: written at each start and removed at each exit, for other programs. The daemon never
//! reads them.

use crate::reactor::disk::access::{Owner, UserAccess, run_as};
use crate::reactor::disk::file::DiskError;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::Process;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Has the disk thread write the pidfile of a new leader, as the process's user.
pub(crate) fn write_pidfile(
    io: &mut ProcessIo,
    process: &Process,
    pid: i32,
    log_files: &mut LogFiles,
) {
    io.pidfile_trouble = None;
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

/// Has the disk thread remove the pidfile of an exited leader, if it holds its pid.
pub(crate) fn remove_pidfile(
    io: &mut ProcessIo,
    process: &Process,
    pid: i32,
    log_files: &mut LogFiles,
) {
    io.pidfile_trouble = None;
    let Some(path) = io.pidfile.take() else {
        return;
    };
    io.operations_pending += 1;
    let owner = process.launch.identity.as_ref().map(Owner::from);
    let (file, user) = (PathBuf::from(&path), owner.clone());
    let operation = move || {
        let removed = run_as(&UserAccess, owner.as_ref(), || {
            remove_own(Path::new(&path), pid)
        });
        removed.map_err(|error| DiskError::new(&format!("pidfile {path}"), &error))
    };
    log_files.run(process.id, &file, user.as_ref(), Box::new(operation));
}

/// The disk thread has finished an operation of a process.
pub(crate) fn operation_done(io: &mut ProcessIo, error: Option<DiskError>) {
    io.operations_pending = io.operations_pending.saturating_sub(1);
    if let Some(error) = error {
        log::warn!("{}: {}", io.name, error.text);
        io.pidfile_trouble = Some(error);
    }
}

/// The remedy for a pidfile that cannot be written or removed.
pub(crate) fn remedy(trouble: &DiskError) -> &'static str {
    match trouble.errno {
        libc::ENOENT => "create the directory of the pidfile, or change pidfile",
        libc::EACCES | libc::EPERM => {
            "give the user of the program access to the directory of the pidfile, or change pidfile"
        }
        libc::ENOSPC => "free space on the disk of the pidfile",
        _ => "change pidfile",
    }
}

/// Removes a pidfile if it holds this pid: another process may have written its own.
///
/// # Errors
/// When it cannot be read or removed. A missing one is fine.
pub(crate) fn remove_own(path: &Path, pid: i32) -> io::Result<()> {
    match holds(path, pid).and_then(|own| if own { fs::remove_file(path) } else { Ok(()) }) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a file, which is not a link or a pipe, holds this pid.
fn holds(path: &Path, pid: i32) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut text = String::new();
    // A pid has at most ten digits; anything longer is another's.
    let read = file.take(32).read_to_string(&mut text);
    Ok(read.is_ok() && text.trim_end() == pid.to_string())
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
    let written = writeln!(file, "{pid}").and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_no_file_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pid");
        fs::create_dir(&path).expect("a directory in its place");
        write_atomically(&path, 1).expect_err("a directory is not replaced");
        assert!(!directory.path().join("a.pid.new").exists());
    }

    #[test]
    fn only_the_own_pidfile_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pid");
        remove_own(&path, 42).expect("a missing one is fine");
        for other in ["43\n", "420\n", "", "not a pid"] {
            fs::write(&path, other).expect("written");
            remove_own(&path, 42).expect("left alone");
            assert_eq!(fs::read_to_string(&path).expect("a file"), other);
        }
        fs::write(&path, "42\n").expect("written");
        remove_own(&path, 42).expect("removed");
        assert!(!path.exists());
    }

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
