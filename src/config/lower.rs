//! Turns a config file, and those it includes, into a validated config. Pure: reads files through
//! [`Files`](super::file_access::Files).

use super::diagnostics::shown;
use super::layers::Layers;
use super::lowering_context::{Lowering, Table, Value};
use super::node::{Location, Node, NodeKind};
use super::program_entry::{self, Lowered};
use super::trusted_path::{ReadError, Trail};
use super::yaml::{self, NODES_MAX};
use super::{
    DaemonSettings, cross_checks, daemon, foreign_format, keys, path_checks, shell_habits,
};
use crate::supervisor::Program;
use crate::text::printable::is_control;
use crate::text::suggest::did_you_mean;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Longest name of a program or group, in bytes.
const NAME_LENGTH_MAX: usize = 100;

/// The contents of all files. Valid only if no error was reported.
pub(super) struct Whole {
    pub daemon: DaemonSettings,
    pub programs: Vec<Program>,
    pub groups: BTreeMap<String, Vec<String>>,
}

/// Lowers the main file, already read as source 0 with this text.
pub(super) fn lower(cx: &mut Lowering, text: &str, trail: Option<&Trail>) -> Whole {
    let mut whole = Whole {
        daemon: DaemonSettings::default(),
        programs: Vec::new(),
        groups: BTreeMap::new(),
    };
    let Some(root) = parse(cx, 0, text) else {
        return whole;
    };
    let root = Value {
        key: String::new(),
        node: &root,
    };
    let Some(top) = cx.table(&root, &keys::TOP) else {
        return whole;
    };
    let section = top.find("daemon");
    whole.daemon = daemon::lower(cx, section.as_ref());
    // `daemon.user` decides whose files are trusted, so this is known only now.
    if let Some(fault) = cx.untrusted(trail) {
        let file = Location {
            file: 0,
            line: 0,
            column: 0,
        };
        cx.error(file, "", fault.message, fault.help);
        return whole;
    }
    let included = include(cx, &top);
    let mut sections = Sections::default();
    sections.collect(&top);
    let mut trees = Vec::new();
    for (file, text) in included {
        trees.extend(parse(cx, file, &text));
    }
    for tree in &trees {
        let value = Value {
            key: String::new(),
            node: tree,
        };
        if let Some(table) = included_table(cx, &value) {
            sections.collect(&table);
        }
    }
    let defaults = top
        .find("defaults")
        .and_then(|value| cx.table(&value, &keys::PROGRAM));
    let weight = top.find("defaults").map_or(0, |value| value.node.weight);
    let mut lowered = programs(cx, &sections, defaults.as_ref(), weight);
    whole.groups = groups(cx, &sections, &lowered);
    cross_checks::check(cx, &mut lowered, root.at());
    // A faulty path has been replaced by a default.
    if !cx.failed() {
        path_checks::check(cx, &lowered);
    }
    whole.programs = lowered.into_iter().map(|lowered| lowered.program).collect();
    whole
}

fn parse(cx: &mut Lowering, file: usize, text: &str) -> Option<Rc<Node>> {
    if let Some(found) = foreign_format::recognise(text) {
        let at = Location {
            file,
            line: found.line,
            column: 1,
        };
        let message = format!("this looks like {}, not like a config of tmd", found.name);
        cx.error(at, "", message, Some(found.help.to_string()));
        return None;
    }
    let parsed = yaml::parse(file, text);
    let sound = parsed.problems.is_empty();
    for problem in parsed.problems {
        cx.error(problem.at, &problem.key, problem.message, problem.help);
    }
    let nothing = parsed.root.as_ref().is_none_or(|root| match &root.kind {
        NodeKind::Scalar(scalar) => scalar.is_null(),
        NodeKind::List(_) | NodeKind::Map(_) => false,
    });
    if nothing && sound {
        let at = Location {
            file,
            line: 1,
            column: 1,
        };
        let help = "it needs at least `programs:`".to_string();
        cx.error(at, "", "the file is empty", Some(help));
    }
    parsed.root.filter(|_| !nothing)
}

/// The files that `include` names: index and text.
fn include(cx: &mut Lowering, top: &Table) -> Vec<(usize, String)> {
    let Some(value) = top.find("include") else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    for item in cx
        .one_or_list(&value, "a path or a list of paths")
        .unwrap_or_default()
    {
        let Some(pattern) = cx.nonempty(&item, "a path") else {
            continue;
        };
        shell_habits::check_path(cx, &item);
        let literal = !pattern.contains(['*', '?', '[']);
        let paths = if literal {
            vec![PathBuf::from(cx.absolute(&pattern))]
        } else {
            match matches(cx, &pattern) {
                Ok(paths) => {
                    if paths.is_empty() {
                        let help = "create one, or remove the pattern".to_string();
                        cx.warning(item.at(), &item.key, "no file matches", Some(help));
                    }
                    paths
                }
                Err(fault) => {
                    cx.refuse::<()>(&item, fault.message, fault.help.as_deref());
                    continue;
                }
            }
        };
        for path in paths {
            texts.extend(include_one(cx, &item, &path, literal));
        }
    }
    texts
}

fn matches(cx: &Lowering, pattern: &str) -> Result<Vec<PathBuf>, ReadError> {
    let base = Path::new(&cx.base);
    match cx.untrusted(cx.files.trail_of(base, pattern).as_ref()) {
        Some(fault) => Err(fault),
        None => cx.files.matches(base, pattern),
    }
}

fn include_one(
    cx: &mut Lowering,
    value: &Value,
    path: &Path,
    literal: bool,
) -> Option<(usize, String)> {
    let found = cx.files.read(path, None);
    let trusted = found.and_then(|file| match cx.untrusted(file.trail.as_ref()) {
        Some(fault) => Err(fault),
        None => Ok((file.canonical, file.text)),
    });
    match trusted {
        Ok((canonical, _)) if cx.read.contains(&canonical) => {
            // A pattern may match its own file, or one that another pattern matched.
            if literal && cx.read.first() == Some(&canonical) {
                return cx.refuse(value, "the file includes itself", Some("remove it"));
            }
            None
        }
        Ok((canonical, text)) => cx
            .has_room_for_file(value, &canonical, text.len())
            .then(|| (cx.add_source(canonical, text.clone(), true), text)),
        Err(fault) => {
            let message = fault.about(path);
            cx.refuse(value, message, fault.help.as_deref())
        }
    }
}

/// The table of an included file, which may contain only programs and groups.
fn included_table<'a>(cx: &mut Lowering, value: &Value<'a>) -> Option<Table<'a>> {
    let table = cx.table(value, &keys::TOP)?;
    for (entry, field) in table.iter() {
        if matches!(entry.key.as_str(), "daemon" | "defaults" | "include") {
            let message = format!("only the main file may have `{}`", entry.key);
            let help = "an included file has `programs` and `groups`".to_string();
            cx.error(entry.key_at, &field.key, message, Some(help));
        }
    }
    Some(table)
}

/// The sections of all files that are merged.
#[derive(Default)]
struct Sections<'a> {
    programs: Vec<Value<'a>>,
    groups: Vec<Value<'a>>,
}

impl<'a> Sections<'a> {
    fn collect(&mut self, table: &Table<'a>) {
        self.programs.extend(table.find("programs"));
        self.groups.extend(table.find("groups"));
    }
}

/// A program or group and its location.
struct Named<'a> {
    name: String,
    at: Location,
    value: Value<'a>,
}

/// The entries of all sections. Each name is valid and occurs once.
fn named<'a>(cx: &mut Lowering, sections: &[Value<'a>], noun: &str) -> Vec<Named<'a>> {
    let mut seen: BTreeMap<String, Location> = BTreeMap::new();
    let mut all = Vec::new();
    for section in sections {
        let empty = section.written().is_some_and(|scalar| scalar.is_null());
        // Half a file must not pass for a whole one: a reload would stop everything.
        let help = match (noun, empty) {
            ("group", false) => "write `NAME: [PROGRAM]` under it",
            ("group", true) => "write `NAME: [PROGRAM]` under it, or remove the key",
            (_, false) => "write `NAME: {cmd: COMMAND}` under it",
            (_, true) => "write `NAME: {cmd: COMMAND}` under it, or `programs: {}` for none",
        };
        let Some(table) = cx.open_table(section, &format!("a map of {noun}s"), Some(help)) else {
            continue;
        };
        for (entry, value) in table.iter() {
            let name = entry.key.clone();
            let at = entry.key_at;
            if let Some(first) = seen.get(&name) {
                let source = cx
                    .sources
                    .get(first.file)
                    .map(|source| source.name.display());
                let location = source.map(|name| format!("{name}:{}:{}", first.line, first.column));
                let help = location.map(|location| format!("first defined at {location}"));
                cx.error(
                    at,
                    &value.key,
                    format!("duplicate {noun} {}", shown(&name)),
                    help,
                );
                continue;
            }
            seen.insert(name.clone(), at);
            if let Some(fault) = name_fault(&name) {
                cx.error(
                    at,
                    &value.key,
                    format!("{} cannot name a {noun}: {fault}", shown(&name)),
                    None,
                );
            }
            all.push(Named { name, at, value });
        }
    }
    all
}

fn name_fault(name: &str) -> Option<String> {
    if name == "all" {
        return Some("`all` stands for every process".to_string());
    }
    if name.starts_with('@') {
        return Some("`@` begins the name of a group on the command line".to_string());
    }
    if name.starts_with('-') {
        return Some("`-` begins an option on the command line".to_string());
    }
    if name.len() > NAME_LENGTH_MAX {
        return Some(format!(
            "it has {} bytes, at most {NAME_LENGTH_MAX} are allowed",
            name.len()
        ));
    }
    if matches!(name, "." | "..") {
        return Some("it is a directory".to_string());
    }
    let bad = |c: &char| c.is_whitespace() || is_control(*c) || ":*?[]/".contains(*c);
    let found = name.chars().find(bad)?;
    Some(match found {
        ':' => "`:` separates a program from its instance".to_string(),
        '*' | '?' | '[' | ']' => format!("`{found}` is part of a pattern on the command line"),
        '/' => "`/` separates directories".to_string(),
        _ => "spaces and control characters are not allowed".to_string(),
    })
}

fn programs(
    cx: &mut Lowering,
    sections: &Sections,
    defaults: Option<&Table>,
    weight: u64,
) -> Vec<Lowered> {
    if let Some(own) = defaults {
        program_entry::lower(
            cx,
            None,
            &Layers {
                own,
                defaults: None,
            },
        );
    }
    let entries = named(cx, &sections.programs, "program");
    let expanded = weight.saturating_mul(u64::try_from(entries.len()).unwrap_or(u64::MAX));
    if let Some(own) = defaults
        && expanded > NODES_MAX * 4
    {
        let message = format!("too large for {} programs", entries.len());
        cx.error(own.at, &own.key, message, None);
        return Vec::new();
    }
    let mut lowered = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.value.written().is_some_and(|scalar| scalar.is_null()) {
            let help = Some("add `cmd: COMMAND` under it");
            cx.refuse::<()>(&entry.value, "the program is empty", help);
            continue;
        }
        let Some(own) = cx.table(&entry.value, &keys::PROGRAM) else {
            continue;
        };
        let layers = Layers {
            own: &own,
            defaults,
        };
        lowered.push(program_entry::lower(
            cx,
            Some((&entry.name, entry.at)),
            &layers,
        ));
    }
    lowered
}

fn groups(
    cx: &mut Lowering,
    sections: &Sections,
    lowered: &[Lowered],
) -> BTreeMap<String, Vec<String>> {
    // Includes faulty programs: their group is not at fault.
    let names: BTreeSet<&str> = sections
        .programs
        .iter()
        .filter_map(|section| match &section.node.kind {
            NodeKind::Map(entries) => Some(entries.iter().map(|entry| entry.key.as_str())),
            NodeKind::Scalar(_) | NodeKind::List(_) => None,
        })
        .flatten()
        .collect();
    let mut groups = BTreeMap::new();
    for Named { name, value, .. } in named(cx, &sections.groups, "group") {
        let mut members: Vec<String> = Vec::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for item in cx.list(&value, "a list of programs").unwrap_or_default() {
            let Some(member) = cx.nonempty(&item, "a program's name") else {
                continue;
            };
            if !names.contains(member.as_str()) {
                let known = names.iter().copied();
                let help = if cx.crowded() {
                    None
                } else {
                    did_you_mean(&member, known)
                };
                let message = format!("there is no program {}", shown(&member));
                cx.refuse::<()>(&item, message, help.as_deref());
            } else if !seen.insert(member.clone()) {
                cx.warning(item.at(), &item.key, "listed twice", None);
            } else {
                members.push(member);
            }
        }
        groups.insert(name, members);
    }
    debug_assert!(lowered.len() <= names.len(), "every program has an entry");
    groups
}
