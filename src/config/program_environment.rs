//! The variables of a process: from files of variables, from the defaults, and its own.

use super::diagnostics::shown;
use super::dotenv;
use super::file_access::FoundFile;
use super::layers::{Layers, layer_values, texts};
use super::lowering_context::{EnvFile, EnvRead, Lowering, Value};
use super::node::Location;
use super::placeholder_checks::{Vars, placeholders};
use super::shell_habits;
use super::trusted_path::ReadError;
use crate::supervisor::{Identity, Variables};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// The largest file of variables, in bytes. A process could not be started with more.
const ENV_FILE_MAX: usize = 1024 * 1024;

/// The variables of the process: those of files, then of the defaults, then its own. Files are left
/// out without a reader, the user of the process. Also returns why a file of that user cannot be
/// used: that is no fault of the config, which other programs depend on.
pub(super) fn environment(
    cx: &mut Lowering,
    layers: &Layers,
    vars: &Vars,
    reader: Option<Option<&Identity>>,
) -> (Variables, Option<Arc<str>>) {
    let mut fault = None;
    let mut variables: BTreeMap<String, Arc<str>> = BTreeMap::new();
    if let (Some(value), Some(reader)) = (layers.find("env_file"), reader) {
        let files = cx
            .one_or_list(&value, "a path or a list of paths")
            .unwrap_or_default();
        for file in files {
            match env_file(cx, &file, reader) {
                EnvRead::Pairs(pairs) => {
                    if cx.has_room(&file, pairs.iter().map(entry_bytes).sum()) {
                        variables.extend(pairs.iter().cloned());
                    }
                }
                EnvRead::Theirs(pairs) => {
                    if cx.take_room(pairs.iter().map(entry_bytes).sum()) {
                        variables.extend(pairs.iter().cloned());
                    } else {
                        fault = Some(no_room(Path::new(&file.key)).into());
                    }
                }
                EnvRead::Faulty(text) => fault = fault.or(Some(text)),
                EnvRead::Refused => {}
            }
        }
    }
    for value in layer_values(layers, "env") {
        for (name, field, text) in texts(cx, &value) {
            if dotenv::is_name(&name) {
                placeholders(cx, &field, &text, vars);
                shell_habits::check_text(cx, &field);
                variables.insert(name, text.into());
            } else {
                let message = format!("{} is not a valid variable name", shown(&name));
                cx.refuse::<()>(
                    &field,
                    message,
                    Some("no spaces, no `=`, no control characters"),
                );
            }
        }
    }
    (Arc::new(variables), fault)
}

fn env_file(cx: &mut Lowering, value: &Value, reader: Option<&Identity>) -> EnvRead {
    let Some(text) = cx.nonempty(value, "a path") else {
        return EnvRead::Refused;
    };
    shell_habits::check_path(cx, value);
    let path = PathBuf::from(cx.absolute(&text));
    let key = (path.clone(), reader.map(|user| user.uid));
    if let Some(known) = cx.env_files.get(&key) {
        return known.clone();
    }
    let read = match find_env_file(cx, &path, reader) {
        Owned::Trusted(found) => {
            read_trusted(cx, value, &path, found).map_or(EnvRead::Refused, EnvRead::Pairs)
        }
        Owned::Theirs(found) => match read_theirs(cx, &path, found) {
            Ok(pairs) => EnvRead::Theirs(pairs),
            Err(message) => {
                let help = "each start of the program fails until the file is right and the config \
                            is reloaded";
                let help = Some(help.to_string());
                cx.warning(value.at(), &value.key, message.as_str(), help);
                EnvRead::Faulty(message.into())
            }
        },
    };
    cx.env_files.insert(key, read.clone());
    read
}

/// A file of variables, and whose it is.
enum Owned {
    /// It is root's and the daemon's, so a fault is one of the config.
    Trusted(Result<FoundFile, ReadError>),
    /// It is read with the permissions of the process, whose user may make it faulty at any time.
    Theirs(Result<FoundFile, ReadError>),
}

/// Reads a file with the daemon's permissions if only root and the daemon's user could have named
/// or changed it, else with the permissions of the process.
fn find_env_file(cx: &Lowering, path: &Path, reader: Option<&Identity>) -> Owned {
    let found = cx.files.read(path, None).and_then(|file| {
        let fault = cx.untrusted(file.trail.as_ref());
        fault.map_or(Ok(file), Err)
    });
    match (found, reader.filter(|user| user.uid != 0)) {
        (Err(first), Some(user)) => {
            let found = cx.files.read(path, Some(user));
            Owned::Theirs(found.map_err(|fault| match fault.message == first.message {
                true => first,
                false => ReadError {
                    message: format!("{} (read as user {})", fault.message, user.user),
                    ..fault
                },
            }))
        }
        (found, _) => Owned::Trusted(found),
    }
}

fn read_trusted(
    cx: &mut Lowering,
    value: &Value,
    path: &Path,
    found: Result<FoundFile, ReadError>,
) -> Option<EnvFile> {
    let (canonical, text) = match found {
        Ok(found) => (found.canonical, found.text),
        Err(fault) => {
            let message = fault.about(path);
            return cx.refuse(value, message, fault.help.as_deref());
        }
    };
    if text.len() > ENV_FILE_MAX {
        return cx.refuse(value, too_large(path), None);
    }
    if !cx.has_room_for_file(value, &canonical, text.len()) {
        return None;
    }
    let parsed = dotenv::parse(&text);
    let file = cx.add_source(canonical, text, false);
    match parsed {
        Ok(pairs) => {
            let bytes = pairs.iter().map(|(_, value)| value.len()).sum();
            cx.has_room(value, bytes).then(|| shared(pairs))
        }
        Err(faults) => {
            for (line, column, message) in faults {
                cx.error(Location { file, line, column }, &value.key, message, None);
            }
            None
        }
    }
}

/// Returns the fault as one text.
fn read_theirs(
    cx: &mut Lowering,
    path: &Path,
    found: Result<FoundFile, ReadError>,
) -> Result<EnvFile, String> {
    let FoundFile {
        canonical, text, ..
    } = found.map_err(|fault| fault.about(path))?;
    if text.len() > ENV_FILE_MAX {
        return Err(too_large(path));
    }
    let pairs = dotenv::parse(&text).map_err(|faults| {
        let first = faults.into_iter().next().unwrap_or_default();
        let (line, column, message) = first;
        format!("{}:{line}:{column}: {message}", path.display())
    })?;
    let bytes = pairs.iter().map(|(_, value)| value.len()).sum();
    if !cx.take_room(bytes) {
        return Err(no_room(path));
    }
    cx.note_read(canonical);
    Ok(shared(pairs))
}

fn shared(pairs: dotenv::Pairs) -> EnvFile {
    let pairs = pairs.into_iter();
    Rc::new(pairs.map(|(name, value)| (name, value.into())).collect())
}

fn no_room(path: &Path) -> String {
    format!(
        "{}: the files of users have too many variables",
        path.display()
    )
}

fn too_large(path: &Path) -> String {
    format!("{}: larger than {} MiB", path.display(), ENV_FILE_MAX >> 20)
}

/// The memory of a variable whose value is shared, in bytes, rounded up.
fn entry_bytes((name, _): &(String, Arc<str>)) -> usize {
    name.len() + 100
}
