//! Rules about how files of `src` depend on each other and what they are called.
//!
//! The list of circles is a ratchet: a new entry needs a reason, and an entry that no longer
//! applies has to go.

use crate::source::{Source, identifier, is_word, tree, words};
use std::collections::{BTreeMap, BTreeSet};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Modules of one folder that use each other in a circle: folder, modules, reason.
const CIRCLES: &[(&str, &[&str], &str)] = &[
    (
        "src/client",
        &["attach", "cli", "context", "daemon", "shell", "ui", "verbs"],
        "the folders are new; shared types belong in lower ones",
    ),
    (
        "src/reactor",
        &["console", "control", "daemon", "output", "process"],
        "the files that join parts lie beside the parts",
    ),
];

/// Fields of `struct Reactor`.
const REACTOR_FIELDS_MAX: usize = 16;

#[test]
fn modules_of_a_folder_do_not_use_each_other_in_circles() {
    let found = circles(&[
        Source::new("src/a/b.rs", "use super::c::C;\n"),
        Source::new("src/a/c.rs", "fn f() { crate::a::d::g() }\n"),
        Source::new("src/a/d/mod.rs", "mod e;\n"),
        Source::new("src/a/d/e.rs", "use super::super::{b::B, x};\n"),
        Source::new("src/a/apart.rs", "use super::b::B;\n"),
    ]);
    assert_eq!(found, [("src/a".into(), vec!["b", "c", "d"])].map(owned));
    let found = circles(&[
        Source::new("src/a/b.rs", "use super::c::C;\n// super::d\n"),
        Source::new(
            "src/a/c.rs",
            "use super::Shared;\n#[cfg(test)]\nmod tests { use super::super::b; }\n",
        ),
        Source::new("src/a/d.rs", "use super::b::B;\nuse crate::e::b;\n"),
        Source::new("src/a/mod.rs", "mod b;\npub use b::B;\n"),
    ]);
    assert_eq!(found, []);
    let known = CIRCLES
        .iter()
        .map(|(folder, modules, _)| owned(((*folder).to_string(), modules.to_vec())));
    compare(&circles(&tree()), &known.collect::<Vec<_>>());
}

#[test]
fn a_file_name_is_used_once() {
    let found = shared_file_names(&[
        Source::new("src/a/b.rs", ""),
        Source::new("src/c/b.rs", ""),
        Source::new("src/a/mod.rs", ""),
        Source::new("src/c/mod.rs", ""),
        Source::new("src/a/tests.rs", ""),
        Source::new("src/c/tests.rs", ""),
        Source::new("tests/a/b.rs", ""),
        Source::new("src/d/only.rs", ""),
    ]);
    assert_eq!(found, ["b"]);
    assert_eq!(shared_file_names(&tree()), [""; 0]);
}

#[test]
fn the_map_names_every_file() {
    let page = |text: &str| Source::new("ARCHITECTURE.md", text);
    let file = |path: &str| Source::new(path, "");
    let small = [
        page("a yarn\n"),
        file("src/b/a.rs"),
        file("src/b/yar.rs"),
        file("src/b/mod.rs"),
        file("src/b/a_tests.rs"),
        file("tests/c.rs"),
    ];
    assert_eq!(files_missing_on_the_map(&small), ["src/b/yar.rs"]);
    assert_eq!(files_missing_on_the_map(&tree()), [""; 0]);
}

#[test]
fn a_type_name_is_used_once() {
    let found = shared_type_names(&[
        Source::new(
            "src/a.rs",
            "pub struct State;\nenum Kind { A }\nstruct One;\n",
        ),
        Source::new(
            "src/b.rs",
            "pub(crate) enum State<T> { A(T) }\ntrait Kind {}\n",
        ),
        Source::new(
            "src/c.rs",
            "type State = u8;\nimpl A for One {\n    type Item = u8;\n}\n// enum One\n",
        ),
        Source::new(
            "src/d.rs",
            "#[cfg(test)]\nmod tests {\n}\nstruct One;\ntype Item = u8;\n",
        ),
        Source::new("tests/a.rs", "struct One;\n"),
    ]);
    assert_eq!(
        found,
        [("Kind".to_string(), 2_usize), ("State".to_string(), 3)]
    );
    assert_eq!(shared_type_names(&tree()), []);
}

#[test]
fn the_reactor_delegates() {
    let text = "pub struct Reactor {\n    a: u8,\n    /// b: c\n    pub(crate) b: Vec<u8>,\n}\n\
                impl Reactor {\n    fn one(&mut self) {\n        self.two(1);\n    }\n}\n";
    let other = "impl super::Reactor {\n    pub(super) fn two(&mut self) {\n        \
                 self.one();\n        self.three() }\n}\n";
    let leaf = "impl Reactor {\n    fn three(&self) {}\n}\nimpl Other {\n    fn one(&self) {}\n}\n";
    let sources = [
        Source::new("src/reactor/mod.rs", text),
        Source::new("src/reactor/two.rs", other),
        Source::new("src/reactor/three.rs", leaf),
    ];
    assert_eq!(
        (reactor_fields(&sources), reactor_cycle(&sources).len()),
        (2, 2)
    );
    let sources = tree();
    let (fields, cycle) = (reactor_fields(&sources), reactor_cycle(&sources));
    assert!(fields > 0, "struct Reactor is not found");
    assert!(fields <= REACTOR_FIELDS_MAX, "{fields} fields");
    assert!(
        cycle.is_empty(),
        "files call each other's methods: {cycle:?}"
    );
}

fn owned((folder, modules): (String, Vec<&str>)) -> (String, Vec<String>) {
    (folder, modules.into_iter().map(str::to_string).collect())
}

/// Fails unless the found items are exactly the known ones.
fn compare<T: PartialEq + std::fmt::Debug>(found: &[T], known: &[T]) {
    let new: Vec<&T> = found.iter().filter(|one| !known.contains(one)).collect();
    let stale: Vec<&T> = known.iter().filter(|one| !found.contains(one)).collect();
    assert!(
        new.is_empty() && stale.is_empty(),
        "new, to be avoided: {new:#?}\nstale, to be taken off the list: {stale:#?}"
    );
}

/// The groups of modules in each folder that reach each other.
fn circles(sources: &[Source]) -> Vec<(String, Vec<String>)> {
    let mut folders: BTreeMap<String, Graph> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.product().is_empty()) {
        let Some(module) = module_path(source) else {
            continue;
        };
        for target in references(source, &module) {
            // The edge belongs to the folder where both paths part.
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b);
            let depth = shared.count();
            if depth > 0 && depth < module.len() && depth < target.len() {
                let graph = folders.entry(module[..depth].join("/")).or_default();
                let edges = graph.entry(module[depth].clone()).or_default();
                edges.insert(target[depth].clone());
            }
        }
    }
    let mut found = Vec::new();
    for (folder, graph) in folders {
        let groups = cycles(&graph).into_iter();
        found.extend(groups.map(|group| (format!("src/{folder}"), group)));
    }
    found
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are the module a, b.
fn module_path(source: &Source) -> Option<Vec<String>> {
    let path = source.path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    Some(path.split('/').map(str::to_string).collect())
}

/// The paths that code names by `crate::` or `super::`.
fn references(source: &Source, module: &[String]) -> BTreeSet<Vec<String>> {
    let product = source.product();
    let mut found = BTreeSet::new();
    for root in ["crate::", "super::"] {
        for (at, _) in product.match_indices(root) {
            if product[..at].ends_with(|c| is_word(c) || c == ':') {
                continue;
            }
            let base = if root == "crate::" {
                &[]
            } else {
                &module[..module.len() - 1]
            };
            expand(&product[at + root.len()..], base.to_vec(), &mut found);
        }
    }
    found
}

/// Follows `a::{b::C, super::d}` from `base`; returns how much text that took.
fn expand(text: &str, mut base: Vec<String>, found: &mut BTreeSet<Vec<String>>) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
                if text[at..].starts_with('}') || text[at..].is_empty() {
                    return at + 1;
                }
                at += expand(&text[at..], base.clone(), found).max(1);
            }
        }
        let name = identifier(rest);
        at += name.len();
        match name {
            "super" => drop(base.pop()),
            "self" | "" => {}
            _ => base.push(name.to_string()),
        }
        if !text[at..].starts_with("::") {
            found.insert(base);
            // `as another_name`, up to the next in the group.
            let end = text[at..].find([',', '}', ';', '(', ')', '\n']);
            return at + end.unwrap_or(0);
        }
        at += 2;
    }
}

/// The groups of nodes, sorted, in which each node reaches all others.
fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: Graph = graph
        .keys()
        .map(|node| (node.clone(), reached(graph, node)))
        .collect();
    let mut groups = BTreeSet::new();
    for (node, all) in &reach {
        let both = |other: &&String| reach.get(*other).is_some_and(|back| back.contains(node));
        let group: Vec<String> = all.iter().filter(both).cloned().collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

fn reached(graph: &Graph, from: &str) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.to_string()]);
    while let Some(node) = open.pop() {
        for next in graph.get(&node).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// The files of `src` that ARCHITECTURE.md does not name. `mod.rs` and tests need no name there.
fn files_missing_on_the_map(sources: &[Source]) -> Vec<String> {
    let page = sources.iter().find(|s| s.path == "ARCHITECTURE.md");
    let named: BTreeSet<&str> = page.map_or_else(BTreeSet::new, |page| {
        let is_part = |character: char| character.is_alphanumeric() || character == '_';
        page.text.split(|c: char| !is_part(c)).collect()
    });
    let files = sources.iter().filter(|source| {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let name = name.trim_end_matches(".rs");
        let is_test =
            name == "testing" || name.ends_with("tests") || source.path.contains("/tests/");
        source.path.starts_with("src/")
            && source.path.ends_with(".rs")
            && !is_test
            && !["mod", "lib"].contains(&name)
            && !named.contains(name)
    });
    files.map(|source| source.path.clone()).collect()
}

fn shared_file_names(sources: &[Source]) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        let path = source.path.strip_prefix("src/");
        let Some(path) = path.and_then(|path| path.strip_suffix(".rs")) else {
            continue;
        };
        let stem = path.rsplit('/').next().unwrap_or(path);
        if stem != "mod" && stem != "tests" && !stem.ends_with("_tests") {
            *count.entry(stem).or_default() += 1;
        }
    }
    let shared = count.into_iter().filter(|(_, count)| *count > 1);
    shared.map(|(stem, _)| stem.to_string()).collect()
}

/// Types defined more than once at the level of modules.
fn shared_type_names(sources: &[Source]) -> Vec<(String, usize)> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        for line in source
            .product()
            .lines()
            .filter(|line| !line.starts_with(' '))
        {
            let mut words = words(line).skip_while(|word| VISIBILITY.contains(word));
            if let (Some("struct" | "enum" | "trait" | "type" | "union"), Some(name)) =
                (words.next(), words.next())
            {
                *count.entry(name).or_default() += 1;
            }
        }
    }
    let shared = count.into_iter().filter(|(_, count)| *count > 1);
    shared
        .map(|(name, count)| (name.to_string(), count))
        .collect()
}

/// Words that may stand before the keyword of an item.
const VISIBILITY: [&str; 6] = ["pub", "crate", "super", "in", "self", "unsafe"];

fn reactor_fields(sources: &[Source]) -> usize {
    let bodies = sources.iter().filter(|s| s.path.starts_with("src/"));
    let bodies = bodies.filter_map(|source| {
        let (_, rest) = source.product().split_once("struct Reactor {\n")?;
        rest.split("\n}").next()
    });
    let is_field = |line: &&str| {
        let line = line.strip_prefix("    ").unwrap_or_default();
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            rest.map_or(&line[3..], |(_, rest)| rest)
        });
        let line = line.trim_start();
        !identifier(line).is_empty() && line[identifier(line).len()..].starts_with(": ")
    };
    bodies
        .map(|body| body.lines().filter(is_field).count())
        .sum()
}

/// The largest group of files whose methods of `Reactor` call each other's.
fn reactor_cycle(sources: &[Source]) -> Vec<String> {
    let mut bodies: Vec<(&str, &str)> = Vec::new();
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let product = source.product();
        for head in ["\nimpl Reactor {\n", "\nimpl super::Reactor {\n"] {
            let padded_start = product
                .starts_with(&head[1..])
                .then(|| &product[head.len() - 1..]);
            let later = product
                .match_indices(head)
                .map(|(at, _)| &product[at + head.len()..]);
            for rest in padded_start.into_iter().chain(later) {
                bodies.push((&source.path, rest.split("\n}").next().unwrap_or(rest)));
            }
        }
    }
    let mut defined: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, body) in &bodies {
        for (at, _) in body.match_indices("fn ") {
            defined.insert(identifier(&body[at + 3..]), path);
        }
    }
    let mut graph = Graph::new();
    for (path, body) in &bodies {
        for (at, _) in body.match_indices("self.") {
            let name = identifier(&body[at + 5..]);
            let called = body[at + 5 + name.len()..].starts_with('(');
            if let Some(target) = defined.get(name).filter(|target| called && *target != path) {
                let edges = graph.entry((*path).to_string()).or_default();
                edges.insert((*target).to_string());
            }
        }
    }
    cycles(&graph)
        .into_iter()
        .max_by_key(Vec::len)
        .unwrap_or_default()
}
