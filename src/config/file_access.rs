//! The files that a config refers to, as the lowering asks for them.

use super::trusted_path::{ReadError, Trail};
use crate::supervisor::Identity;
use std::path::{Path, PathBuf};

/// Reads the files a config refers to.
pub(super) trait Files {
    /// A file and its text, read with the daemon's permissions or with those of `reader`.
    fn read(&self, path: &Path, reader: Option<&Identity>) -> Result<FoundFile, ReadError>;
    /// The first bytes of a file, if it can be read.
    fn head(&self, path: &Path, reader: Option<&Identity>) -> Option<Vec<u8>>;
    /// The directory in which the first wildcard of a pattern is looked up, and those above it.
    fn trail_of(&self, base: &Path, pattern: &str) -> Option<Trail>;
    /// Looks at a path, or (`follow`) where the symbolic link at it leads.
    fn look(&self, path: &Path, follow: bool) -> AtPath;
    /// The files that match a pattern, sorted.
    fn matches(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, ReadError>;
}

/// The kind of file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtPath {
    Nothing,
    File,
    Directory,
    Link,
    /// A FIFO, a device or a socket.
    Other,
    /// It may not be looked at.
    Unknown,
}

/// A file that was read.
pub(super) struct FoundFile {
    pub canonical: PathBuf,
    pub text: String,
    /// The owners on the way to it; `None` for one that was read with a program's permissions.
    pub trail: Option<Trail>,
}
