//! The path of a config as the user gave it. Symbolic links stay in it, so that a deploy that
//! switches a link (`current/taskmaster.yaml`) keeps its daemon.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Returns the absolute path of a config: without `.` and `..`, symbolic links not resolved. The
/// file need not exist.
///
/// # Errors
/// When the path is relative and the current directory is gone.
pub fn as_given(path: &Path) -> io::Result<PathBuf> {
    let whole = match path.is_absolute() {
        true => path.to_path_buf(),
        false => working_directory()?.join(path),
    };
    let clean = without_dots(&whole);
    // Behind a symbolic link, `..` may lead to another file than its text suggests.
    let same = id(&whole) == id(&clean) || !whole.exists();
    Ok(match (same, whole.parent(), whole.file_name()) {
        (false, Some(folder), Some(name)) => folder.canonicalize()?.join(name),
        _ => clean,
    })
}

/// Returns the current directory: `$PWD` if it names that directory, which keeps symbolic links.
///
/// # Errors
/// When the current directory is gone.
pub fn working_directory() -> io::Result<PathBuf> {
    let shown = env::var_os("PWD").map(PathBuf::from);
    let here = id(Path::new("."));
    let is_here = |shown: &PathBuf| shown.is_absolute() && here.is_some() && id(shown) == here;
    match shown.filter(is_here) {
        Some(shown) => Ok(without_dots(&shown)),
        None => env::current_dir(),
    }
}

/// Whether two paths name the same config now. A file that is gone is known by its directory.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || real(one) == real(other)
}

fn real(path: &Path) -> PathBuf {
    let from_directory = || {
        let directory = path.parent()?.canonicalize().ok()?;
        Some(directory.join(path.file_name()?))
    };
    let found = path.canonicalize().ok().or_else(from_directory);
    found.unwrap_or_else(|| path.to_path_buf())
}

fn id(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_and_dots_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let real = directory.path().canonicalize().expect("it exists");
        let path = |name: &str| real.join(name);
        fs::create_dir_all(path("releases/1")).expect("a directory");
        symlink("releases/1", path("current")).expect("a link");
        fs::write(path("releases/1/a.yaml"), "").expect("written");
        fs::write(path("releases/b.yaml"), "").expect("written");
        let given = |name: &str| as_given(&path(name)).expect("absolute");
        assert_eq!(given("current/a.yaml"), path("current/a.yaml"));
        assert_eq!(given("./current/./a.yaml"), path("current/a.yaml"));
        assert_eq!(given("releases/../current/a.yaml"), path("current/a.yaml"));
        assert_eq!(given("none/../x.yaml"), path("x.yaml"));
        // The kernel follows the link first.
        assert_eq!(given("current/../b.yaml"), path("releases/b.yaml"));
        assert!(is_same_file(
            &path("current/a.yaml"),
            &path("releases/1/a.yaml")
        ));
        assert!(is_same_file(&path("current/x"), &path("releases/1/x")));
        assert!(!is_same_file(&path("current/x"), &path("releases/1/y")));
    }
}
