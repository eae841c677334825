//! Finds configs and reads their files: all file access of this layer.

use super::diagnostics::{ConfigError, Diagnostic, Severity};
use super::file_access::{AtPath, Files, FoundFile};
use super::given_path::as_given;
use super::host_environment::Environment;
use super::lower::{self, Whole};
use super::lowering_context::Lowering;
use super::trusted_path::{self, ReadError, Trail};
use super::yaml::BYTES_MAX;
use super::{Config, OpenAs};
use crate::supervisor::Identity;
use crate::text::error_message::without_number;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The name of a config file in a directory.
pub(crate) const FILE_NAME: &str = "taskmaster.yaml";

/// The usual names of other tools' configs.
const OTHERS: [&str; 9] = [
    "Procfile",
    "supervisord.conf",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "process-compose.yaml",
    "mprocs.yaml",
    "ecosystem.config.js",
];

/// The bytes of a script that are looked at. No kernel reads a longer first line.
const HEAD: u64 = 256;

/// Maximum number of files that a pattern may match.
const MATCHES_MAX: usize = 10_000;

/// Reads a config and every file it refers to.
///
/// # Errors
/// All errors at once. No part of a faulty config is used.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, ConfigError> {
    let Everything {
        given,
        whole,
        files,
        diagnostics,
    } = read(path, environment)?;
    if diagnostics.iter().any(is_error) {
        return Err(ConfigError { diagnostics });
    }
    Ok(Config {
        path: given,
        daemon: whole.daemon,
        programs: whole.programs,
        groups: whole.groups,
        warnings: diagnostics,
        files,
    })
}

/// Reads `daemon.socket` of a config that may have errors elsewhere: another user than the daemon's
/// may lack its variables or rights.
///
/// # Errors
/// When an error hides the key.
pub(crate) fn daemon_socket(
    path: &Path,
    environment: &Environment,
) -> Result<Option<PathBuf>, ConfigError> {
    let Everything {
        whole, diagnostics, ..
    } = read(path, environment)?;
    let hides = |found: &Diagnostic| {
        is_error(found) && ["", "daemon", "daemon.socket"].contains(&found.key.as_str())
    };
    if diagnostics.iter().any(hides) {
        let diagnostics = diagnostics.into_iter().filter(hides).collect();
        return Err(ConfigError { diagnostics });
    }
    Ok(whole.daemon.socket)
}

fn is_error(found: &Diagnostic) -> bool {
    found.severity == Severity::Error
}

/// A config with its errors.
struct Everything {
    given: PathBuf,
    whole: Whole,
    files: Vec<PathBuf>,
    diagnostics: Vec<Diagnostic>,
}

fn read(path: &Path, environment: &Environment) -> Result<Everything, ConfigError> {
    let whole_file = |fault: ReadError| {
        let diagnostic = Diagnostic::of_file(path.to_path_buf(), fault.message);
        let (line, column) = fault.at.unwrap_or_default();
        ConfigError::from(Diagnostic {
            line,
            column,
            help: fault.help,
            ..diagnostic
        })
    };
    let disk = FileSystem {
        open_as: environment.open_as,
        checks_paths: environment.checks_paths,
    };
    let main = disk.read(path, None).map_err(whole_file)?;
    let FoundFile {
        canonical,
        text,
        trail,
    } = main;
    let given = as_given(path).map_err(|error| whole_file(unreadable(path, &error)))?;
    let parent = given.parent().unwrap_or(Path::new("/"));
    let Some(base) = parent.to_str() else {
        return Err(whole_file(ReadError::new(
            "its directory's name is not valid UTF-8",
        )));
    };
    let shown_base = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut cx = Lowering::new(environment, &disk, base.to_string(), shown_base);
    cx.add_main(path.to_path_buf(), canonical, text.clone());
    let whole = lower::lower(&mut cx, &text, trail.as_ref());
    let files = std::mem::take(&mut cx.read);
    let diagnostics = cx.finish();
    Ok(Everything {
        given,
        whole,
        files,
        diagnostics,
    })
}

/// The config to use: the explicit one, else the first that exists of `taskmaster.yaml` in `cwd`,
/// in `$XDG_CONFIG_HOME/taskmaster` (`~/.config/taskmaster`) and in `/etc/taskmaster`.
///
/// # Errors
/// No config exists; the message lists the paths.
pub fn find(
    explicit: Option<&Path>,
    cwd: &Path,
    environment: &Environment,
) -> Result<PathBuf, ConfigError> {
    if let Some(path) = explicit {
        let whole = cwd.join(path);
        let metadata = fs::symlink_metadata(&whole);
        if metadata.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let message = format!(
                "there is no config file '{}'; check its path",
                path.display()
            );
            return Err(Diagnostic::of_file(PathBuf::new(), message).into());
        }
        return Ok(whole);
    }
    let variable = |name: &str| {
        environment
            .variables
            .get(name)
            .filter(|v| v.starts_with('/'))
    };
    let home = || variable("HOME").map(|home| Path::new(home).join(".config"));
    let configs = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let mut paths = vec![cwd.join(FILE_NAME)];
    paths.extend(configs.map(|directory| directory.join("taskmaster").join(FILE_NAME)));
    paths.push(Path::new("/etc/taskmaster").join(FILE_NAME));
    // A config that exists but cannot be read must not be skipped silently.
    let there = |path: &&PathBuf| fs::symlink_metadata(path).is_ok();
    if let Some(found) = paths.iter().find(there) {
        return Ok(found.clone());
    }
    let list: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let message = format!("no config file found; searched {}", list.join(", "));
    let diagnostic = Diagnostic::of_file(PathBuf::new(), message);
    let mut help = "create one, or name it with -c FILE".to_string();
    let mut above = cwd.ancestors().enumerate().skip(1);
    if let Some((steps, _)) = above.find(|(_, folder)| folder.join(FILE_NAME).is_file()) {
        let shown = format!("{}{FILE_NAME}", "../".repeat(steps));
        help = format!("to use the one above: -c {shown}");
    }
    if let Some(other) = OTHERS.iter().find(|name| cwd.join(name).is_file()) {
        help.push_str(&format!(
            "; {other} is the config of another tool, and tm check {other} says how to write it"
        ));
    }
    Err(diagnostic.with_help(help).into())
}

/// The real file system.
struct FileSystem {
    open_as: OpenAs,
    checks_paths: bool,
}

impl Files for FileSystem {
    fn read(&self, path: &Path, reader: Option<&Identity>) -> Result<FoundFile, ReadError> {
        let (file, canonical, trail) = match reader {
            None => {
                let opened = trusted_path::open(path).map_err(|error| unreadable(path, &error))?;
                (opened.file, opened.canonical, Some(opened.trail))
            }
            Some(user) => {
                let opened = (self.open_as)(user.uid, user.gid, &user.groups, path);
                let file = opened.map_err(|error| unreadable(path, &error))?;
                (file, path.to_path_buf(), None)
            }
        };
        Ok(FoundFile {
            canonical,
            text: text_of(path, file)?,
            trail,
        })
    }

    fn look(&self, path: &Path, follow: bool) -> AtPath {
        if !self.checks_paths {
            return AtPath::Unknown;
        }
        let found = match follow {
            true => fs::metadata(path),
            false => fs::symlink_metadata(path),
        };
        match found {
            Ok(found) if found.is_file() => AtPath::File,
            Ok(found) if found.is_dir() => AtPath::Directory,
            Ok(found) if found.is_symlink() => AtPath::Link,
            Ok(_) => AtPath::Other,
            Err(error) if error.kind() == io::ErrorKind::NotFound => AtPath::Nothing,
            Err(_) => AtPath::Unknown,
        }
    }

    fn head(&self, path: &Path, reader: Option<&Identity>) -> Option<Vec<u8>> {
        let file = match reader {
            None => trusted_path::open(path).ok()?.file,
            Some(user) => (self.open_as)(user.uid, user.gid, &user.groups, path).ok()?,
        };
        let mut bytes = Vec::new();
        let is_file = file.metadata().is_ok_and(|found| found.is_file());
        let read = is_file.then(|| file.take(HEAD).read_to_end(&mut bytes))?;
        read.is_ok().then_some(bytes)
    }

    fn trail_of(&self, base: &Path, pattern: &str) -> Option<Trail> {
        let whole = match pattern.starts_with('/') {
            true => PathBuf::from(pattern),
            false => base.join(pattern),
        };
        let literal = |name: &Component| {
            let name = name.as_os_str().as_encoded_bytes();
            !name.iter().any(|byte| b"*?[".contains(byte))
        };
        // The directory of the config itself may have such characters in its name.
        let names = whole.strip_prefix(base).unwrap_or(&whole).components();
        let fixed: PathBuf = names.take_while(literal).collect();
        trusted_path::folder(&base.join(fixed)).ok()
    }

    fn matches(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, ReadError> {
        if pattern.contains("**") {
            return Err(ReadError::new("`**` is not supported in patterns"));
        }
        let whole = whole_pattern(base, pattern);
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(&whole, options).map_err(|error| unclear_pattern(&error))?;
        let mut found = Vec::new();
        for path in paths {
            let path = path.map_err(|error| {
                let shown = error.path().display().to_string();
                ReadError::new(format!("{shown}: {}", reason(error.error())))
            })?;
            if found.len() == MATCHES_MAX {
                return Err(ReadError::new(format!(
                    "matches more than {MATCHES_MAX} files"
                )));
            }
            found.push(path);
        }
        found.sort();
        Ok(found)
    }
}

/// The error of a pattern, which is about brackets: `**` has been refused before.
fn unclear_pattern(error: &glob::PatternError) -> ReadError {
    let text = match error.msg.contains("range") {
        true => "not a pattern: a `[` needs characters and a `]`",
        false => "not a pattern: use `*`, `?` and `[abc]`",
    };
    ReadError::new(text)
}

fn whole_pattern(base: &Path, pattern: &str) -> String {
    if pattern.starts_with('/') {
        return pattern.to_string();
    }
    let base = glob::Pattern::escape(&base.to_string_lossy());
    format!("{base}/{pattern}")
}

/// The text of a regular file.
fn text_of(path: &Path, file: File) -> Result<String, ReadError> {
    let failed = |error: io::Error| unreadable(path, &error);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ReadError::new("not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(BYTES_MAX + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > BYTES_MAX {
        let size = BYTES_MAX >> 20;
        return Err(ReadError::new(format!("larger than {size} MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        let last = valid
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        ReadError {
            at: Some((number(line), number(column))),
            help: Some("save the file as UTF-8".to_string()),
            ..ReadError::new("a byte here is not valid UTF-8")
        }
    })
}

/// Why a file cannot be read, with the remedy.
fn unreadable(path: &Path, error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            let file = path.join(FILE_NAME);
            let help = Some(format!("name a file in it, such as {}", file.display()));
            ReadError {
                help,
                ..ReadError::new("is a directory")
            }
        }
        _ => ReadError::new(reason(error)),
    }
}

fn reason(error: &io::Error) -> String {
    without_number(&error.to_string()).to_string()
}
