//! Other users, and what they own.

use crate::support;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A user who has no right at all.
pub const ALICE: u32 = 54_001;

/// Another one.
pub const BOB: u32 = 54_002;

/// A folder that every user may enter, with `tm` and `tmd` for them.
pub fn shared() -> tempfile::TempDir {
    let folder = support::folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

/// Makes a user the owner.
pub fn owned(path: &Path, uid: u32) {
    lchown(path, Some(uid), None).expect("we are root");
}

/// Writes a file that belongs to a user and that others can read.
pub fn write_as(uid: u32, path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).expect("it can be written");
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("it is ours");
    owned(path, uid);
    path.to_path_buf()
}

/// One of our binaries as a user, with this home.
pub fn command_as(uid: u32, name: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = support::command(name, home);
    command.args(arguments).uid(uid).gid(uid);
    command.env_remove("TM_SOCKET");
    command
}
