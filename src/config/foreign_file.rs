//! Config files that were found, not named, and belong to another user, whose commands would run.

use crate::text::printable::printable;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A `taskmaster.yaml` that was found, not named, and belongs to another user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignFile {
    path: PathBuf,
    uid: u32,
}

impl ForeignFile {
    /// Looks at a file and, if it is a link, at its target: they must belong to root or `caller`.
    pub(crate) fn of(path: &Path, caller: u32) -> Option<ForeignFile> {
        let link = fs::symlink_metadata(path).ok();
        let target = fs::metadata(path).ok();
        let found = [link, target].into_iter().flatten();
        let uid = found
            .map(|found| found.uid())
            .find(|uid| ![0, caller].contains(uid))?;
        Some(ForeignFile {
            path: path.to_path_buf(),
            uid,
        })
    }

    /// The reason why it is not used, and what to do.
    pub(crate) fn text(&self) -> String {
        let path = printable(&self.path.to_string_lossy());
        format!(
            "'{path}' is ignored: it belongs to user {}; to use it, name it: -c {path}",
            self.uid
        )
    }
}
