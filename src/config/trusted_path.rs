//! Opens a file and notes who could have changed it, or a directory above it.
//!
//! The path is walked from `/`, each step relative to the descriptor of the one before. The notes
//! are about what was opened, so a change during the walk cannot fool them.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Write permission of the group and of others.
const WRITABLE: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// Opens a file with the permissions of a user: uid, gid and supplementary groups.
pub type OpenAs = fn(u32, u32, &[u32], &Path) -> io::Result<File>;

/// A file, and who could have changed it.
pub(super) struct Opened {
    pub file: File,
    /// The path without symbolic links.
    pub canonical: PathBuf,
    pub trail: Trail,
}

/// The owners and modes of a file and of every directory above it.
#[derive(Debug, Default, Clone)]
pub(super) struct Trail {
    /// The first place of each owner who is not root.
    owners: Vec<(PathBuf, u32)>,
    /// The first place that a group or others can write, with its mode.
    writable: Option<(PathBuf, u32)>,
    file: PathBuf,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) struct ReadError {
    pub message: String,
    pub help: Option<String>,
    /// Line and column of the fault in the file, from 1.
    pub at: Option<(u32, u32)>,
}

impl ReadError {
    /// The message with the file in front, and the place in it.
    pub(super) fn about(&self, path: &Path) -> String {
        let place = self.at.map(|(line, column)| format!(":{line}:{column}"));
        let place = place.unwrap_or_default();
        format!("{}{place}: {}", path.display(), self.message)
    }

    pub(super) fn new(message: impl Into<String>) -> ReadError {
        ReadError {
            message: message.into(),
            help: None,
            at: None,
        }
    }
}

impl Trail {
    /// The first place that others than root, the user of this process and these could change.
    pub(super) fn fault(&self, trusted: &[u32]) -> Option<ReadError> {
        if let Some((path, mode)) = &self.writable {
            let mode = mode & 0o7777;
            let message = match *path == self.file {
                true => format!(
                    "group or others can write this file (mode {mode:04o}) and root would run it"
                ),
                false => format!(
                    "group or others can write the directory {} (mode {mode:04o}), and root \
                     would run their files",
                    path.display()
                ),
            };
            let help = Some(format!("chmod go-w {}", path.display()));
            return Some(ReadError {
                help,
                ..ReadError::new(message)
            });
        }
        let foreign = |(_, uid): &&(PathBuf, u32)| !trusted.contains(uid);
        let (path, uid) = self.owners.iter().find(foreign)?;
        let message = match *path == self.file {
            true => format!("this file belongs to user {uid}, and root would run it"),
            false => format!(
                "{} belongs to user {uid}, and root would run that user's files",
                path.display()
            ),
        };
        let help = format!(
            "run: chown -h root {}, or start the daemon as that user",
            path.display()
        );
        Some(ReadError {
            help: Some(help),
            ..ReadError::new(message)
        })
    }

    fn note_owner(&mut self, path: &Path, uid: u32) {
        let known = self.owners.iter().any(|(_, known)| *known == uid);
        if uid != 0 && uid != own_uid() && !known {
            self.owners.push((path.to_path_buf(), uid));
        }
    }

    fn note(&mut self, path: &Path, stat: &Stat) {
        self.note_owner(path, stat.st_uid);
        let mode = stat.st_mode;
        let is_folder = FileType::from_raw_mode(mode) == FileType::Directory;
        let shared = mode & WRITABLE != 0 && !(is_folder && mode & STICKY != 0);
        if shared && self.writable.is_none() {
            self.writable = Some((path.to_path_buf(), mode));
        }
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens a regular file for reading.
///
/// # Errors
/// As for open(2); `InvalidInput` for another kind of file.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    let (walk, end) = walk(path)?;
    match end {
        None => Err(io::ErrorKind::IsADirectory.into()),
        Some((name, FileType::RegularFile)) => walk.file(&name),
        Some(_) => Err(not_regular()),
    }
}

/// The notes about a directory and those above it.
///
/// # Errors
/// As for open(2).
pub(super) fn folder(path: &Path) -> io::Result<Trail> {
    match walk(path)? {
        (walk, None) => Ok(walk.trail),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Enters each directory of a path. Returns the name of the file at its end, if it is one.
fn walk(path: &Path) -> io::Result<(Walk, Option<(OsString, FileType)>)> {
    let mut walk = Walk::start()?;
    let mut rest = steps(&std::path::absolute(path)?);
    while let Some(name) = rest.pop() {
        if name == ".." {
            let above = walk.folders.len().saturating_sub(1);
            walk.folders.truncate(above.max(1));
            continue;
        }
        let stat = statat(walk.here(), &name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = walk.link(&name, &stat)?;
                if target.is_absolute() {
                    walk.folders.truncate(1);
                }
                rest.extend(steps(&target));
            }
            FileType::Directory => walk.enter(&name)?,
            kind if rest.is_empty() => return Ok((walk, Some((name, kind)))),
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
    }
    Ok((walk, None))
}

/// The names of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// A path that is being walked: the directories from `/` on.
struct Walk {
    folders: Vec<(OwnedFd, OsString)>,
    links: usize,
    trail: Trail,
}

impl Walk {
    fn start() -> io::Result<Walk> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, "/", flags, Mode::empty())?;
        let mut trail = Trail::default();
        trail.note(Path::new("/"), &fstat(&root)?);
        Ok(Walk {
            folders: vec![(root, OsString::new())],
            links: 0,
            trail,
        })
    }

    fn here(&self) -> &OwnedFd {
        let (here, _) = &self.folders[self.folders.len() - 1];
        here
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        let mut path = PathBuf::from("/");
        path.extend(self.folders.iter().skip(1).map(|(_, name)| name));
        path.join(name)
    }

    fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(self.here(), name, flags, Mode::empty())?;
        self.trail.note(&self.path(name), &fstat(&folder)?);
        self.folders.push((folder, name.to_os_string()));
        Ok(())
    }

    /// Reads a symbolic link. Its owner matters only where everybody can make links.
    fn link(&mut self, name: &OsStr, stat: &Stat) -> io::Result<PathBuf> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(rustix::io::Errno::LOOP.into());
        }
        if fstat(self.here())?.st_mode & WRITABLE != 0 {
            self.trail.note_owner(&self.path(name), stat.st_uid);
        }
        let target = readlinkat(self.here(), name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    fn file(mut self, name: &OsStr) -> io::Result<Opened> {
        let flags =
            OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let file = openat(self.here(), name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        let canonical = self.path(name);
        self.trail.note(&canonical, &stat);
        self.trail.file.clone_from(&canonical);
        Ok(Opened {
            file: File::from(file),
            canonical,
            trail: self.trail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn fault(path: &Path) -> Option<ReadError> {
        open(path).expect("it opens").trail.fault(&[])
    }

    #[test]
    fn links_are_followed_and_their_targets_noted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["real", "wide", "other"] {
            fs::create_dir(path(name)).expect("a new directory");
            fs::write(path(name).join("f"), name).expect("written");
        }
        symlink("../real/f", path("other/up")).expect("a link");
        symlink(path("wide"), path("link")).expect("a link");
        symlink("loop", path("loop")).expect("a link");
        let found = open(&path("other/up")).expect("it opens");
        assert_eq!(
            found.canonical,
            path("real/f").canonicalize().expect("it is there")
        );
        assert!(fault(&path("link/f")).is_none());
        fs::set_permissions(path("wide"), Permissions::from_mode(0o777)).expect("it is ours");
        let refused = fault(&path("link/f")).expect("a fault");
        assert!(refused.message.contains("wide (mode 0777)"), "{refused:?}");
        fs::set_permissions(path("wide"), Permissions::from_mode(0o1777)).expect("it is ours");
        assert!(fault(&path("link/f")).is_none());
        let error = |name: &str| open(&path(name)).err().map(|error| error.kind());
        assert_eq!(error("real"), Some(io::ErrorKind::IsADirectory));
        assert_eq!(error("real/f/x"), Some(io::ErrorKind::NotADirectory));
        assert_eq!(error("none"), Some(io::ErrorKind::NotFound));
        assert_eq!(error("loop").map(|_| ()), Some(()));
    }
}
