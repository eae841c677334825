//! Resolves targets, as users write them, to processes.

use super::{Process, ProcessId};
use crate::text::{glob, suggest};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A target that matches no process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownTarget {
    /// The target as written.
    pub target: String,
    /// A likely correction.
    pub suggestion: Option<String>,
    /// The processes that a program has, for an index that it has not.
    pub range: Option<String>,
}

impl UnknownTarget {
    /// The kind of name: process, program or group.
    fn noun(&self) -> &'static str {
        match self.target.starts_with('@') {
            true => "group",
            false => "process",
        }
    }

    /// The reason, without a suggestion.
    pub(crate) fn reason(&self) -> String {
        let target = &self.target;
        if target.is_empty() {
            return "the target is empty; name a process, or all".to_string();
        }
        if is_glob(target) && !target.starts_with('@') {
            return format!("no process matches: {target}");
        }
        format!("no such {}: {target}", self.noun())
    }
}

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())?;
        match (&self.range, &self.suggestion) {
            (Some(range), _) => write!(f, "; {range}"),
            (None, Some(suggestion)) => write!(f, "; did you mean {suggestion}?"),
            (None, None) if self.target.is_empty() || self.target.starts_with('@') => Ok(()),
            (None, None) => f.write_str("; tm status lists them"),
        }
    }
}

impl std::error::Error for UnknownTarget {}

/// The processes that `targets` select, in the order of `processes` (the display order), each once.
/// A target is a program (`worker`), a process (`worker:0`), a glob over either (`web*`, `*:0`), a
/// group (`@backend`) or `all`.
///
/// Fails on the first target that matches nothing. `all` and a known group may be empty.
pub(crate) fn resolve<'a>(
    targets: &[String],
    processes: impl IntoIterator<Item = &'a Process>,
    groups: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<ProcessId>, UnknownTarget> {
    let processes: Vec<&Process> = processes.into_iter().collect();
    let mut found = BTreeSet::new();
    for target in targets {
        let Some(matcher) = Matcher::parse(target, groups) else {
            return Err(unknown(target, &processes, groups));
        };
        let before = found.len();
        let matched = processes.iter().filter(|process| matcher.matches(process));
        let mut any = matcher.may_be_empty();
        for process in matched {
            any = true;
            found.insert(process.id);
        }
        if !any && found.len() == before {
            return Err(unknown(target, &processes, groups));
        }
    }
    let ids = processes.iter().map(|process| process.id);
    Ok(ids.filter(|id| found.contains(id)).collect())
}

enum Matcher<'a> {
    All,
    Name(&'a str),
    Glob(&'a str),
    Group(&'a [String]),
}

impl Matcher<'_> {
    fn parse<'a>(
        target: &'a str,
        groups: &'a BTreeMap<String, Vec<String>>,
    ) -> Option<Matcher<'a>> {
        if target == "all" {
            return Some(Matcher::All);
        }
        if let Some(name) = target.strip_prefix('@') {
            return groups.get(name).map(|programs| Matcher::Group(programs));
        }
        Some(if is_glob(target) {
            Matcher::Glob(target)
        } else {
            Matcher::Name(target)
        })
    }

    fn matches(&self, process: &Process) -> bool {
        match self {
            Matcher::All => true,
            Matcher::Name(name) => process.name == *name || process.program == *name,
            Matcher::Glob(pattern) => {
                glob::matches(pattern, &process.name) || glob::matches(pattern, &process.program)
            }
            Matcher::Group(programs) => programs.contains(&process.program),
        }
    }

    fn may_be_empty(&self) -> bool {
        match self {
            Matcher::All | Matcher::Group(_) => true,
            Matcher::Name(_) | Matcher::Glob(_) => false,
        }
    }
}

pub(crate) fn is_glob(target: &str) -> bool {
    target.contains(['*', '?', '['])
}

fn unknown(
    target: &str,
    processes: &[&Process],
    groups: &BTreeMap<String, Vec<String>>,
) -> UnknownTarget {
    let suggestion = match target.strip_prefix('@') {
        Some(name) => {
            let close = suggest::closest(name, groups.keys().map(String::as_str));
            close.map(|name| format!("@{name}"))
        }
        None => {
            let programs = processes.iter().map(|process| process.program.as_str());
            let names = processes.iter().map(|process| process.name.as_str());
            let known = programs.chain(names).chain(["all"]);
            suggest::closest(target, known).map(str::to_string)
        }
    };
    UnknownTarget {
        target: target.to_string(),
        suggestion,
        range: range(target, processes),
    }
}

/// `worker has worker:0 to worker:3`, if the target is another index of that program.
fn range(target: &str, processes: &[&Process]) -> Option<String> {
    let (program, index) = target.split_once(':')?;
    index.parse::<u32>().ok()?;
    let mut own = processes.iter().filter(|one| one.program == program);
    let first = &own.next()?.name;
    Some(match own.next_back() {
        Some(last) => format!("{program} has {first} to {}", last.name),
        None => format!("{program} has only {first}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Autostart, Launch, Policy, Program, Time};

    fn processes() -> Vec<Process> {
        let names = [("web1", 2), ("web2", 1), ("worker", 2)];
        let mut all = Vec::new();
        for (name, numprocs) in names {
            let program = Program {
                name: name.to_string(),
                numprocs,
                autostart: Autostart::No,
                policy: Policy::default(),
                launch: Launch::default(),
                vars: BTreeMap::new(),
            };
            for instance in 0..numprocs {
                let id = ProcessId(all.len() as u32);
                all.push(Process::new(id, &program, instance, Time::default()));
            }
        }
        all
    }

    fn named(targets: &[&str]) -> Result<Vec<String>, UnknownTarget> {
        let processes = processes();
        let targets: Vec<String> = targets.iter().map(|t| t.to_string()).collect();
        let groups = BTreeMap::from([
            (
                "back".to_string(),
                vec!["worker".to_string(), "gone".to_string()],
            ),
            ("none".to_string(), vec![]),
        ]);
        let ids = resolve(&targets, &processes, &groups)?;
        Ok(ids
            .iter()
            .map(|id| processes[id.0 as usize].name.clone())
            .collect())
    }

    #[test]
    fn each_kind_of_target() {
        assert_eq!(named(&["worker"]).unwrap(), ["worker:0", "worker:1"]);
        assert_eq!(
            named(&["worker:1", "web2"]).unwrap(),
            ["web2:0", "worker:1"]
        );
        assert_eq!(named(&["*:0"]).unwrap(), ["web1:0", "web2:0", "worker:0"]);
        assert_eq!(named(&["web?"]).unwrap(), ["web1:0", "web1:1", "web2:0"]);
        assert_eq!(named(&["web[2-9]"]).unwrap(), ["web2:0"]);
        assert_eq!(named(&["@back"]).unwrap(), ["worker:0", "worker:1"]);
        assert_eq!(named(&["@none"]).unwrap(), Vec::<String>::new());
        assert_eq!(named(&["all", "web1"]).unwrap().len(), 5);
        assert_eq!(named(&[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_target_is_named_with_what_was_meant() {
        let error = named(&["web1", "wroker"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no such process: wroker; did you mean worker?"
        );
        let error = named(&["@bakc"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no such group: @bakc; did you mean @back?"
        );
        assert_eq!(
            named(&["worker:7"]).unwrap_err().suggestion.as_deref(),
            Some("worker:0")
        );
        assert_eq!(named(&["zzz*"]).unwrap_err().suggestion, None);
        let message = |target| named(&[target]).unwrap_err().to_string();
        assert_eq!(
            message("worker:7"),
            "no such process: worker:7; worker has worker:0 to worker:1"
        );
        assert_eq!(
            message("web2:7"),
            "no such process: web2:7; web2 has only web2:0"
        );
        assert_eq!(
            message("zzz*"),
            "no process matches: zzz*; tm status lists them"
        );
        assert_eq!(message(""), "the target is empty; name a process, or all");
    }
}
