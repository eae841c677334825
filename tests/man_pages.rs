//! The man pages in docs/man match the table of verbs.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn pages(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder)
        .expect("a folder of pages")
        .map(|entry| entry.expect("readable"));
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read_to_string(entry.path()).expect("a page"))
        })
        .collect()
}

#[test]
fn the_man_pages_are_up_to_date() {
    let folder = support::folder();
    let mut man = support::command("tm", folder.path());
    man.args(["__man", "pages"]);
    let output = support::run(man);
    assert_eq!(output.code, 0, "{output:?}");
    let made = pages(&folder.path().join("pages"));
    let kept = pages(&support::repository().join("docs/man"));
    let remedy = "regenerate them: cargo run -- __man docs/man";
    assert!(made.keys().eq(kept.keys()), "{remedy}");
    for (name, page) in &made {
        assert!(kept[name] == *page, "{name} is out of date; {remedy}");
    }
}
