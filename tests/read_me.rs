//! Checks the README's tour, links, and the tests that docs/coming-from.md names.

mod support;

use std::collections::BTreeSet;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(support::repository().join(path)).expect(path)
}

#[test]
fn the_config_of_the_tour_is_sound() {
    let folder = support::folder();
    let read_me = read("README.md");
    let (_, rest) = read_me.split_once("\n```yaml\n").expect("a config");
    let yaml = rest.split("\n```").next().expect("its end");
    support::write_config(folder.path(), yaml);
    let mut check = support::command("tm", folder.path());
    check.arg("check");
    let output = support::run(check);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

#[test]
fn links_lead_somewhere() {
    for document in ["README.md", "docs/protocol.md", "docs/coming-from.md"] {
        let text = read(document);
        let folder = support::repository().join(document);
        let folder = folder.parent().expect("a file lies in a folder");
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with('#') && !link.contains("://")) {
            assert!(folder.join(link).exists(), "{document}: {link}");
        }
    }
}

#[test]
fn every_test_that_coming_from_names_exists() {
    let tests = read("tests/coming_from.rs");
    let exists: BTreeSet<&str> = tests
        .split("\nfn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .collect();
    let document = read("docs/coming-from.md");
    let named: BTreeSet<&str> = document
        .split('`')
        .filter(|word| word.matches('_').count() >= 3 && !word.contains([' ', '/', '=']))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(exists.contains(name), "no test {name}");
    }
}
