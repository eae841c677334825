//! The rules of the house, enforced by reading the sources.
//!
//! Each rule is a function from a source to its violations. Each test first shows that the rule
//! finds a violation in a snippet and accepts correct code, then applies it to the tree.

#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/structure.rs"]
mod structure;
#[path = "tidy/style.rs"]
mod style;

use source::{Source, identifier, is_word, line_of, tree, words};
use style::{
    COLUMNS_MAX, FILE_LINES_MAX, is_long, leftovers, length, line_numbers, names, sleeping,
};

/// The modules that each top-level module may name. `bin` is `src/bin`.
const LAYERS: [(&str, &[&str]); 10] = [
    ("text", &[]),
    ("supervisor", &["text"]),
    ("ring", &["text"]),
    ("terminal", &["text"]),
    ("sys", &["text"]),
    ("config", &["supervisor", "text"]),
    ("wire", &["text"]),
    (
        "reactor",
        &[
            "supervisor",
            "config",
            "wire",
            "ring",
            "sys",
            "terminal",
            "text",
        ],
    ),
    ("client", &["config", "wire", "sys", "terminal", "text"]),
    ("bin", &["reactor", "client"]),
];

/// Modules without I/O, clock or randomly ordered results.
const PURE: [&str; 6] = ["text", "supervisor", "ring", "terminal", "wire", "config"];

/// Names that a pure module must not use. Those of `std` are also found in `use std::{…}`.
const IMPURE: [&str; 13] = [
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "rustix::",
    "libc::",
    "nix::",
    "mio::",
];

/// Files of pure modules that may name something of [`IMPURE`]: file, what, why.
const IMPURE_ALLOWED: &[(&str, &str, &str)] = &[
    (
        "src/config/load.rs",
        "std::fs",
        "the loader: all file access of the layer",
    ),
    (
        "src/config/trusted_path.rs",
        "std::fs",
        "opens what the loader reads, and notes whose it is",
    ),
    (
        "src/config/trusted_path.rs",
        "rustix::",
        "walks a path by descriptors, which std cannot",
    ),
    (
        "src/config/foreign_file.rs",
        "std::fs",
        "finds out whose a file is",
    ),
    (
        "src/config/given_path.rs",
        "std::fs",
        "compares the files that paths lead to",
    ),
    (
        "src/config/given_path.rs",
        "std::env",
        "the current directory, to which paths are relative",
    ),
    (
        "src/config/host_environment.rs",
        "std::env",
        "makes the value that the layer is given",
    ),
    (
        "src/config/host_environment.rs",
        "nix::",
        "the user database, behind a trait",
    ),
];

/// Files and functions over the limit: where (`file` or `file function`), lines allowed, why.
/// Numbers only go down, unless a better reason stands beside them.
const LONG_ALLOWED: &[(&str, usize, &str)] = &[];

/// A line number, from 1, and what is wrong there.
type Violation = (usize, String);
type Rule = fn(&Source) -> Vec<Violation>;

#[test]
fn layers_only_look_down() {
    enforce(
        layering,
        &[
            ("src/supervisor/a.rs", "use crate::sys::Pidfd;\n"),
            ("src/wire/a.rs", "use crate::supervisor::ProcessId;\n"),
            ("src/text/a.rs", "fn f() { crate::reactor::run() }\n"),
            (
                "src/config/mod.rs",
                "use crate::{supervisor::Program, wire};\n",
            ),
            ("src/bin/tm.rs", "use taskmaster::sys;\n"),
            ("src/client/a.rs", "use super::super::reactor;\n"),
            ("src/gateway/mod.rs", "fn main() {}\n"),
        ],
        &[
            (
                "src/reactor/a.rs",
                "use crate::{sys::Pidfd, supervisor::{Event, Exit}};\n",
            ),
            (
                "src/wire/a.rs",
                "// crate::reactor\nuse crate::wire::Call;\n",
            ),
            ("src/lib.rs", "pub mod sys;\n"),
            (
                "src/supervisor/a.rs",
                "#[cfg(test)]\nmod tests { use super::super::Time; }\n",
            ),
        ],
    );
}

#[test]
fn pure_modules_are_pure() {
    enforce(
        purity,
        &[
            (
                "src/supervisor/a.rs",
                "fn f() { std::time::Instant::now(); }\n",
            ),
            ("src/ring.rs", "use std::{io, fs};\n"),
            ("src/wire/a.rs", "use std::collections::HashMap;\n"),
            ("src/config/a.rs", "let home = std::env::var(NAME);\n"),
            ("src/terminal/a.rs", "let t = SystemTime::now();\n"),
            (
                "src/ring.rs",
                "use std::{\n    fmt,\n    thread::spawn,\n};\n",
            ),
        ],
        &[
            ("src/ring.rs", "use std::os::unix::fs::PermissionsExt;\n"),
            (
                "src/supervisor/a.rs",
                "/// std::fs\nuse std::{fmt, collections::BTreeMap};\n",
            ),
            ("src/reactor/a.rs", "let now = Instant::now();\n"),
            (
                "src/wire/a.rs",
                "#[cfg(test)]\nmod tests { use std::collections::HashSet; }\n",
            ),
        ],
    );
}

#[test]
fn unsafe_is_in_sys_and_argued() {
    enforce(
        unsafe_code,
        &[
            ("src/reactor/a.rs", "// SAFETY: none\nunsafe { f() }\n"),
            ("tests/a.rs", "// SAFETY: none\nunsafe { f() }\n"),
            (
                "test-programs/tests/a.rs",
                "// SAFETY: none\nunsafe { f() }\n",
            ),
            ("src/sys/a.rs", "let x = 1;\nunsafe { f() }\n"),
            (
                "src/sys/a.rs",
                "// SAFETY: a\nunsafe { f() };\nunsafe { g() };\n",
            ),
        ],
        &[
            (
                "src/sys/a.rs",
                "// SAFETY: the pointer is ours\nlet x = unsafe { f() };\n",
            ),
            ("src/reactor/a.rs", "// nothing unsafe { here }\n"),
        ],
    );
}

#[test]
fn nothing_is_too_long() {
    let long_function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(69));
    let long_file = "\n".repeat(FILE_LINES_MAX + 1);
    let wide = format!("// {}\n", "x".repeat(COLUMNS_MAX - 2));
    let short_function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(68));
    let narrow = format!("// {}\n", "ä".repeat(COLUMNS_MAX - 3));
    enforce(
        length,
        &[
            ("src/a.rs", &long_function),
            ("tests/a.rs", &long_file),
            ("src/a.rs", &wide),
            (".ci/run", &wide),
        ],
        &[
            ("src/a.rs", &short_function),
            ("src/a.rs", &narrow),
            ("a.md", &wide),
        ],
    );
    for (place, ..) in LONG_ALLOWED {
        let still_long = tree().iter().any(|source| is_long(source, place));
        assert!(still_long, "stale exception: {place}");
    }
    for (file, what, _) in IMPURE_ALLOWED {
        let stale = |s: &Source| s.path == *file && !s.product().contains(what);
        assert!(!tree().iter().any(stale), "stale exception: {file} {what}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    enforce(
        leftovers,
        &[
            ("src/a.rs", concat!("// TO", "DO: more\n")),
            ("README.md", concat!("FIX", "ME\n")),
            ("src/a.rs", concat!("// XX", "X\n")),
            ("src/a.rs", "fn f() { todo!() }\n"),
            ("src/a.rs", "fn f() { dbg!(1); }\n"),
            ("src/a.rs", "fn f() { unimplemented!() }\n"),
        ],
        &[
            ("src/a.rs", "// methods\nlet s = \"dbg!\";\n"),
            (".ci/run", "mktemp -d t.XXXXXX\n"),
        ],
    );
}

#[test]
fn tests_wait_for_events() {
    enforce(
        sleeping,
        &[
            ("tests/a.rs", "std::thread::sleep(d);\n"),
            (
                "src/reactor/a.rs",
                "use std::thread::{self, sleep};\nfn f() { sleep(d) }\n",
            ),
            ("tests/a.rs", "#[ignore]\nfn f() {}\n"),
            ("test-programs/tests/a.rs", "std::thread::sleep(d);\n"),
        ],
        &[
            (
                "tests/a.rs",
                "#[ignore = \"installs packages\"]\nfn f() { cmd(\"sleep 9\") }\n",
            ),
            ("test-programs/a.rs", "std::thread::sleep(d);\n"),
        ],
    );
}

#[test]
fn one_noun_a_thing() {
    enforce(
        names,
        &[
            ("src/a.rs", "struct ServiceState;\n"),
            ("src/a.rs", "fn start_job() {}\n"),
            ("src/a.rs", "mod proc_table;\n"),
            ("src/a.rs", "fn get_state() {}\n"),
            ("src/a.rs", "enum Task { A }\n"),
        ],
        &[
            (
                "src/a.rs",
                "struct Process;\nfn process_state() {}\nconst NUMPROCS: u32 = 1;\n",
            ),
            ("tests/a.rs", "fn nginx_service() {}\n"),
        ],
    );
}

#[test]
fn documents_cite_no_line_numbers() {
    enforce(
        line_numbers,
        &[
            ("docs/a.md", "see src/ring.rs:42\n"),
            ("a.md", "blob/main/a.rs#L7\n"),
        ],
        &[
            ("docs/a.md", "taskmaster.yaml:5:3: unknown key\n"),
            ("a.md", "`src/ring.rs`: bytes\n"),
        ],
    );
}

/// Shows that the rule finds the bad snippets and accepts the good ones, then checks the tree.
fn enforce(rule: Rule, bad: &[(&str, &str)], good: &[(&str, &str)]) {
    for (path, text) in bad {
        assert!(
            !rule(&Source::new(path, text)).is_empty(),
            "not found in {path}: {text}"
        );
    }
    for (path, text) in good {
        assert_eq!(
            rule(&Source::new(path, text)),
            [],
            "found in {path}: {text}"
        );
    }
    let mut report = String::new();
    for source in tree() {
        for (line, what) in rule(&source) {
            report += &format!("\n{}:{line}: {what}", source.path);
        }
    }
    assert!(report.is_empty(), "{report}\n");
}

fn layering(source: &Source) -> Vec<Violation> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![(1, format!("module {module} has no row in LAYERS"))];
    };
    let product = source.product();
    let mut found = Vec::new();
    for root in ["crate::", "taskmaster::"] {
        for (at, _) in product.match_indices(root) {
            for name in imported(&product[at + root.len()..]) {
                let known = LAYERS.iter().any(|(layer, _)| *layer == name);
                if known && name != module && !allowed.contains(&name) {
                    let what = format!("{module} must not know {name}");
                    found.push((line_of(product, at), what));
                }
            }
        }
    }
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    let to_root = "super::".repeat(depth);
    for (at, _) in product.match_indices(&to_root) {
        found.push((
            line_of(product, at),
            "name the crate's root as crate::".to_string(),
        ));
    }
    found
}

/// The first names after a path's root: `a::B` gives a; `{a::B, c::{D, E}}` gives a and c.
fn imported(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                names.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn purity(source: &Source) -> Vec<Violation> {
    if !source.module().is_some_and(|module| PURE.contains(&module)) {
        return Vec::new();
    }
    let product = source.product();
    let mut found = Vec::new();
    let mut note = |at: usize, what: &str| {
        let excused = IMPURE_ALLOWED
            .iter()
            .any(|(file, w, _)| *file == source.path && *w == what);
        if !excused {
            found.push((
                line_of(product, at),
                format!("a pure module must not use {what}"),
            ));
        }
    };
    for what in IMPURE {
        for (at, _) in product.match_indices(what) {
            if !product[..at].ends_with(is_word) {
                note(at, what);
            }
        }
        let Some(part) = what.strip_prefix("std::") else {
            continue;
        };
        for (at, _) in product.match_indices("std::{") {
            if imported(&product[at + 5..]).contains(&part) {
                note(at, what);
            }
        }
    }
    found
}

fn unsafe_code(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut argued = false;
    for (index, (code, text)) in source.code.lines().zip(source.text.lines()).enumerate() {
        argued |= text.contains("SAFETY:");
        if !source.path.ends_with(".rs") || !words(code).any(|word| word == "unsafe") {
            argued &= !code.trim_end().ends_with([';', '}']);
            continue;
        }
        let program = source.path.strip_prefix("test-programs/");
        let is_program = program.is_some_and(|name| !name.contains('/'));
        if !source.path.starts_with("src/sys") && !is_program {
            found.push((index + 1, "unsafe outside src/sys".to_string()));
        }
        if code.contains("unsafe {") && !argued {
            found.push((
                index + 1,
                "an unsafe block without a SAFETY comment".to_string(),
            ));
        }
        argued = false;
    }
    found
}
