//! The context of lowering: the findings so far, the texts of the files, and the environment.

use super::diagnostics::{Diagnostic, Severity, shown};
use super::file_access::Files;
use super::host_environment::{CachedUsers, Environment};
use super::keys;
use super::node::{Entry, Location, Node, NodeKind, Scalar};
use super::source_file::SourceFile;
use super::trusted_path::{ReadError, Trail};
use crate::supervisor::{PROCESS_TEXTS_MAX, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Maximum number of findings to report.
const DIAGNOSTICS_MAX: usize = 1000;
/// Maximum number of findings to keep until they are sorted.
const KEPT_MAX: usize = 10 * DIAGNOSTICS_MAX;

/// Bytes of all files of a config together.
const FILES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of all texts of a config together, variables expanded and those from files included.
const TEXT_MAX: usize = 64 * 1024 * 1024;

/// The variables of a file, whose values all programs share.
pub(super) type EnvFile = Rc<Vec<(String, Arc<str>)>>;

/// A file of variables that was read.
#[derive(Debug, Clone)]
pub(super) enum EnvRead {
    Pairs(EnvFile),
    /// The file belongs to the user of a process, who may fill it.
    Theirs(EnvFile),
    /// The same, but it cannot be used.
    Faulty(Arc<str>),
    /// An error of the config was reported.
    Refused,
}

/// Memory for variables from the files of users, in bytes: they must not fill that of the config.
const THEIRS_MAX: usize = 16 * 1024 * 1024;

/// A value of the config and the path of its key.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub key: String,
    pub node: &'a Node,
}

impl Value<'_> {
    pub(super) fn at(&self) -> Location {
        self.node.at
    }

    /// The text as written, when it is a scalar.
    pub(super) fn written(&self) -> Option<&Scalar> {
        match &self.node.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }
}

/// A map whose keys have been checked.
pub(super) struct Table<'a> {
    pub key: String,
    pub at: Location,
    entries: &'a [Entry],
}

impl<'a> Table<'a> {
    pub(super) fn find(&self, name: &str) -> Option<Value<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        Some(Value {
            key: joined(&self.key, name),
            node: &entry.value,
        })
    }

    /// All entries except `x-` ones.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a Entry, Value<'a>)> + '_ {
        let entries = self
            .entries
            .iter()
            .filter(|entry| !entry.key.starts_with("x-"));
        entries.map(|entry| {
            (
                entry,
                Value {
                    key: joined(&self.key, &entry.key),
                    node: &entry.value,
                },
            )
        })
    }
}

/// `a.b`, or `b` when there is no `a`.
pub(super) fn joined(key: &str, name: &str) -> String {
    if key.is_empty() {
        name.to_string()
    } else {
        format!("{key}.{name}")
    }
}

/// The state of one load.
pub(super) struct Lowering<'a> {
    pub environment: &'a Environment,
    pub users: CachedUsers<'a>,
    pub files: &'a dyn Files,
    /// Directory of the config file, as given: relative paths start there.
    pub base: String,
    /// The same without symbolic links.
    real_base: PathBuf,
    /// The directory as the user wrote it.
    pub shown_base: PathBuf,
    pub sources: Vec<SourceFile>,
    /// All files read, canonical.
    pub read: Vec<PathBuf>,
    /// The user that programs run as by default.
    pub daemon_uid: u32,
    pub daemon_gid: u32,
    /// `daemon.user` is set, even if the daemon dropped root before this load.
    pub drops_root: bool,
    /// Keyed by the path and the user who reads it.
    pub env_files: BTreeMap<(PathBuf, Option<u32>), EnvRead>,
    diagnostics: Vec<(Location, Diagnostic)>,
    reported: BTreeSet<(Location, String)>,
    errors: usize,
    /// Number of findings that were not kept.
    dropped: usize,
    /// Bytes of texts, variables expanded, and of variables from files.
    text_bytes: usize,
    /// Those of the files of users.
    their_bytes: usize,
    /// The scripts that were looked at.
    pub scripts: BTreeSet<PathBuf>,
    /// Bytes of the texts that processes do not share.
    process_bytes: usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        environment: &'a Environment,
        files: &'a dyn Files,
        base: String,
        shown_base: PathBuf,
    ) -> Lowering<'a> {
        Lowering {
            environment,
            users: CachedUsers::new(environment.users.as_ref()),
            files,
            base,
            real_base: PathBuf::new(),
            shown_base,
            sources: Vec::new(),
            read: Vec::new(),
            daemon_uid: environment.uid,
            daemon_gid: environment.gid,
            drops_root: false,
            env_files: BTreeMap::new(),
            diagnostics: Vec::new(),
            reported: BTreeSet::new(),
            errors: 0,
            dropped: 0,
            text_bytes: 0,
            their_bytes: 0,
            scripts: BTreeSet::new(),
            process_bytes: 0,
        }
    }

    pub(super) fn error(
        &mut self,
        at: Location,
        key: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Error, at, key, message.into(), help);
    }

    pub(super) fn warning(
        &mut self,
        at: Location,
        key: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Warning, at, key, message.into(), help);
    }

    /// Reports an error at a value.
    pub(super) fn refuse<T>(
        &mut self,
        value: &Value,
        message: impl Into<String>,
        help: Option<&str>,
    ) -> Option<T> {
        self.error(value.at(), &value.key, message, help.map(str::to_string));
        None
    }

    /// Counts the bytes of a text that the config will hold. Reports an error at the text that
    /// makes it too large, and returns `false` from then on.
    pub(super) fn has_room(&mut self, value: &Value, bytes: usize) -> bool {
        let before = self.text_bytes;
        self.text_bytes = before.saturating_add(bytes);
        if self.text_bytes <= TEXT_MAX {
            return true;
        }
        if before <= TEXT_MAX {
            let message = format!(
                "the texts of the config have more than {} MiB, variables expanded",
                TEXT_MAX >> 20
            );
            self.refuse::<()>(value, message, None);
        }
        false
    }

    /// Counts the bytes of variables from a user's file. Returns whether there is room for them.
    pub(super) fn take_room(&mut self, bytes: usize) -> bool {
        let sum = self.their_bytes.saturating_add(bytes);
        let room = sum <= THEIRS_MAX;
        self.their_bytes = if room { sum } else { self.their_bytes };
        room
    }

    /// Notes a file that was read, if its text need not be kept.
    pub(super) fn note_read(&mut self, canonical: PathBuf) {
        if !self.read.contains(&canonical) {
            self.read.push(canonical);
        }
    }

    /// Counts the texts of a program's processes. Reports an error at the program that makes them
    /// too large.
    pub(super) fn count_processes(&mut self, at: Location, key: &str, program: &Program) {
        let before = self.process_bytes;
        let bytes = program.bytes_of_processes(program.numprocs);
        self.process_bytes = before.saturating_add(bytes);
        if before <= PROCESS_TEXTS_MAX && self.are_processes_too_large() {
            let size = PROCESS_TEXTS_MAX >> 20;
            let message = format!(
                "the commands, paths and variables of all processes have more than {size} MiB \
                 with this program"
            );
            let help = "lower numprocs, or use shorter texts with placeholders".to_string();
            self.error(at, key, message, Some(help));
        }
    }

    /// Whether the texts of all processes are too large to be expanded.
    pub(super) fn are_processes_too_large(&self) -> bool {
        self.process_bytes > PROCESS_TEXTS_MAX
    }

    /// Checks whether one more file may be read. Reports an error at the value that names it.
    pub(super) fn has_room_for_file(&mut self, value: &Value, path: &Path, bytes: usize) -> bool {
        let before: usize = self.sources.iter().map(|source| source.text.len()).sum();
        if before.saturating_add(bytes) <= FILES_MAX {
            return true;
        }
        let size = FILES_MAX >> 20;
        let path = path.display();
        let message = format!("{path}: the files of the config together have more than {size} MiB");
        self.refuse::<()>(value, message, None);
        false
    }

    /// Adds the main file, as the user named it.
    pub(super) fn add_main(&mut self, name: PathBuf, canonical: PathBuf, text: String) {
        self.real_base = canonical
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        self.read.push(canonical);
        self.sources.push(SourceFile::new(name, text, true));
    }

    /// Adds a file, and returns its index.
    pub(super) fn add_source(&mut self, canonical: PathBuf, text: String, quotable: bool) -> usize {
        let name = match canonical.strip_prefix(&self.real_base) {
            Ok(rest) => self.shown_base.join(rest),
            Err(_) => canonical.clone(),
        };
        if !self.read.contains(&canonical) {
            self.read.push(canonical);
        }
        self.sources.push(SourceFile::new(name, text, quotable));
        self.sources.len() - 1
    }

    /// Why a file must not be used: others than root and the daemon's user could change it. Only
    /// root and a daemon that drops root ask.
    pub(super) fn untrusted(&self, trail: Option<&Trail>) -> Option<ReadError> {
        if self.environment.uid != 0 && !self.drops_root {
            return None;
        }
        trail?.fault(&[self.daemon_uid])
    }

    /// Whether an error was reported.
    pub(super) fn failed(&self) -> bool {
        self.errors > 0
    }

    /// Whether there are too many findings for suggestions to help.
    pub(super) fn crowded(&self) -> bool {
        self.diagnostics.len() >= DIAGNOSTICS_MAX
    }

    /// Adds a finding. A location reports a message once, however often it is used (anchors,
    /// defaults).
    fn add(
        &mut self,
        severity: Severity,
        at: Location,
        key: &str,
        message: String,
        help: Option<String>,
    ) {
        let first_error = severity == Severity::Error && self.errors == 0;
        if self.diagnostics.len() >= KEPT_MAX && !first_error {
            self.dropped += 1;
            return;
        }
        if !self.reported.insert((at, message.clone())) {
            return;
        }
        self.errors += usize::from(severity == Severity::Error);
        let source = self.sources.get(at.file);
        let diagnostic = Diagnostic {
            severity,
            file: source.map(|source| source.name.clone()).unwrap_or_default(),
            line: at.line,
            column: at.column,
            key: key.to_string(),
            message,
            help,
            source: None,
        };
        self.diagnostics.push((at, diagnostic));
    }

    /// All findings in the order of the files. If there are too many, keeps the first, errors
    /// before warnings.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        let found = self.diagnostics.len();
        if found > DIAGNOSTICS_MAX {
            self.diagnostics
                .sort_by_key(|(at, diagnostic)| (diagnostic.severity, *at));
            self.diagnostics.truncate(DIAGNOSTICS_MAX);
        }
        self.diagnostics
            .sort_by_key(|(at, diagnostic)| (*at, diagnostic.severity));
        let hidden = self.dropped + found - self.diagnostics.len();
        let sources = &self.sources;
        let quoted = |(at, diagnostic): (Location, Diagnostic)| Diagnostic {
            source: sources.get(at.file).and_then(|source| source.line(at)),
            ..diagnostic
        };
        let mut all: Vec<Diagnostic> = self.diagnostics.into_iter().map(quoted).collect();
        if hidden > 0 {
            let name = self
                .sources
                .first()
                .map(|source| source.name.clone())
                .unwrap_or_default();
            let message = format!("{hidden} more messages are not shown");
            let severity = Severity::Warning;
            all.push(Diagnostic {
                severity,
                ..Diagnostic::of_file(name, message)
            });
        }
        all
    }

    /// The map of a value; each key must be one of `known`.
    pub(super) fn table<'n>(&mut self, value: &Value<'n>, known: &[&str]) -> Option<Table<'n>> {
        let NodeKind::Map(_) = &value.node.kind else {
            let message = format!("expected a map, found {}", found(value.node));
            return self.refuse(
                value,
                message,
                Some(&keys::map_help(&value.key, value.node, known)),
            );
        };
        let table = self.open_table(value, "a map", None)?;
        for (entry, field) in table.iter() {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            if keys::NOT_YET.contains(&entry.key.as_str()) {
                let message = format!("this version of tmd does not support `{}`", entry.key);
                self.error(
                    entry.key_at,
                    &field.key,
                    message,
                    Some("remove it".to_string()),
                );
            } else {
                let help = match value.key.is_empty() {
                    true => keys::misplaced_program(&entry.key, &entry.value),
                    false => keys::did_you_mean(&entry.key, known),
                };
                self.error(entry.key_at, &field.key, "unknown key", help);
            }
        }
        Some(table)
    }

    /// The map of a value, with any keys.
    pub(super) fn open_table<'n>(
        &mut self,
        value: &Value<'n>,
        expected: &str,
        help: Option<&str>,
    ) -> Option<Table<'n>> {
        let NodeKind::Map(entries) = &value.node.kind else {
            let message = format!("expected {expected}, found {}", found(value.node));
            return self.refuse(value, message, help);
        };
        Some(Table {
            key: value.key.clone(),
            at: value.at(),
            entries,
        })
    }

    /// The elements of a list; a scalar counts as a list of one.
    pub(super) fn one_or_list<'n>(
        &mut self,
        value: &Value<'n>,
        expected: &str,
    ) -> Option<Vec<Value<'n>>> {
        match &value.node.kind {
            NodeKind::Scalar(_) => Some(vec![value.clone()]),
            NodeKind::List(_) => self.list(value, expected),
            NodeKind::Map(_) => {
                self.refuse(value, format!("expected {expected}, found a map"), None)
            }
        }
    }

    /// The elements of a list.
    pub(super) fn list<'n>(&mut self, value: &Value<'n>, expected: &str) -> Option<Vec<Value<'n>>> {
        let NodeKind::List(items) = &value.node.kind else {
            let message = format!("expected {expected}, found {}", found(value.node));
            return self.refuse(value, message, Some("write it as [a, b]"));
        };
        let item = |(index, node): (usize, &'n Rc<Node>)| Value {
            key: format!("{}[{index}]", value.key),
            node,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The absolute form of a path. A relative path starts at the config's directory. `~` is an
    /// ordinary name.
    pub(super) fn absolute(&self, path: &str) -> String {
        let whole = Path::new(&self.base).join(path);
        let parts: PathBuf = whole.components().collect();
        // Joined from two strings, so this is lossless.
        parts.to_string_lossy().into_owned()
    }
}

/// Describes a node for a message.
pub(super) fn found(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.is_null() => "nothing".to_string(),
        NodeKind::Scalar(scalar) => shown(&scalar.text),
        NodeKind::List(_) => "a list".to_string(),
        NodeKind::Map(_) => "a map".to_string(),
    }
}
