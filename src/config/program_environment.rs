//! The variables of a process: from files of variables, from the defaults, and its own.

use super::diagnostics::shown;
use super::dotenv;
use super::layers::{Layers, layer_values, texts};
use super::lowering_context::{EnvFile, FoundFile, Lowering, Value};
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
/// out without a reader, the user of the process.
pub(super) fn environment(
    cx: &mut Lowering,
    layers: &Layers,
    vars: &Vars,
    reader: Option<Option<&Identity>>,
) -> Variables {
    let mut variables: BTreeMap<String, Arc<str>> = BTreeMap::new();
    if let (Some(value), Some(reader)) = (layers.find("env_file"), reader) {
        let files = cx
            .one_or_list(&value, "a path or a list of paths")
            .unwrap_or_default();
        for file in files {
            if let Some(pairs) = env_file(cx, &file, reader)
                && cx.has_room(&file, pairs.iter().map(entry_bytes).sum())
            {
                variables.extend(pairs.iter().cloned());
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
    Arc::new(variables)
}

fn env_file(cx: &mut Lowering, value: &Value, reader: Option<&Identity>) -> Option<EnvFile> {
    let text = cx.nonempty(value, "a path")?;
    shell_habits::check_path(cx, value);
    let path = PathBuf::from(cx.absolute(&text));
    let key = (path.clone(), reader.map(|user| user.uid));
    if let Some(known) = cx.env_files.get(&key) {
        return known.clone();
    }
    let pairs = read_env_file(cx, value, &path, reader);
    let room = pairs.filter(|pairs| {
        let bytes = pairs.iter().map(|(_, value)| value.len()).sum();
        cx.has_room(value, bytes)
    });
    let shared = room.map(|pairs| {
        let pairs = pairs.into_iter();
        Rc::new(pairs.map(|(name, value)| (name, value.into())).collect())
    });
    cx.env_files.insert(key, shared.clone());
    shared
}

/// Reads a file with the daemon's permissions if only root and the daemon's user could have named
/// or changed it, else with the permissions of the process.
fn find_env_file(
    cx: &Lowering,
    path: &Path,
    reader: Option<&Identity>,
) -> Result<FoundFile, ReadError> {
    let found = cx.files.read(path, None).and_then(|file| {
        let fault = cx.untrusted(file.trail.as_ref());
        fault.map_or(Ok(file), Err)
    });
    match (found, reader.filter(|user| user.uid != 0)) {
        (Err(first), Some(user)) => {
            let found = cx.files.read(path, Some(user));
            found.map_err(|fault| match fault.message == first.message {
                true => first,
                false => ReadError {
                    message: format!("{} (read as user {})", fault.message, user.user),
                    ..fault
                },
            })
        }
        (found, _) => found,
    }
}

fn read_env_file(
    cx: &mut Lowering,
    value: &Value,
    path: &Path,
    reader: Option<&Identity>,
) -> Option<dotenv::Pairs> {
    let (canonical, text) = match find_env_file(cx, path, reader) {
        Ok(found) => (found.canonical, found.text),
        Err(fault) => {
            let message = fault.about(path);
            return cx.refuse(value, message, fault.help.as_deref());
        }
    };
    if text.len() > ENV_FILE_MAX {
        let message = format!("{}: larger than {} MiB", path.display(), ENV_FILE_MAX >> 20);
        return cx.refuse(value, message, None);
    }
    if !cx.has_room_for_file(value, &canonical, text.len()) {
        return None;
    }
    let parsed = dotenv::parse(&text);
    let file = cx.add_source(canonical, text, false);
    match parsed {
        Ok(pairs) => Some(pairs),
        Err(faults) => {
            for (line, column, message) in faults {
                cx.error(Location { file, line, column }, &value.key, message, None);
            }
            None
        }
    }
}

/// The memory of a variable whose value is shared, in bytes, rounded up.
fn entry_bytes((name, _): &(String, Arc<str>)) -> usize {
    name.len() + 100
}
