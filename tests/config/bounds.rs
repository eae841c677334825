//! Configs that would take too much memory: the error names the place and the limit.

use crate::support::{Project, bad, environment, findings};
use std::sync::Arc;
use taskmaster::config::load;

/// Fails unless there is one error, at this line, with these words.
fn expect(found: &[String], line: u32, words: &[&str]) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!(":{line}:")), "{found:?}");
    for word in words {
        assert!(found[0].contains(word), "{found:?}");
    }
}

#[test]
fn placeholders_expand_to_a_limited_text() {
    let big = "x".repeat(100_000);
    let text = format!(
        "programs:\n  a:\n    vars: {{big: {big}}}\n    cmd: [x, \"{}\"]\n",
        "{vars.big}".repeat(11)
    );
    expect(&bad(&text), 4, &["programs.a.cmd", "more than 1 MiB"]);
}

#[test]
fn variables_expand_to_a_limited_text() {
    let project = Project::new();
    let mut text = "programs:\n  a:\n    cmd: x\n    env:\n".to_string();
    for number in 0..700 {
        text.push_str(&format!("      V{number}: ${{BIG}}\n"));
    }
    let mut environment = environment(1000);
    environment
        .variables
        .insert("BIG".to_string(), "x".repeat(100_000));
    let found = findings(load(&project.file("taskmaster.yaml", text), &environment));
    expect(&found, 676, &["programs.a.env.V671", "64 MiB"]);
}

#[test]
fn the_processes_of_a_program_have_a_limited_amount_of_texts() {
    let long = "x".repeat(100_000);
    let text = format!("programs:\n  b: {{cmd: y}}\n  a: {{cmd: x {long}, numprocs: 1000}}\n");
    expect(&bad(&text), 3, &["programs.a", "64 MiB", "numprocs"]);
    let text = format!(
        "programs:\n  a: {{cmd: x, numprocs: 1000, vars: {{v: {long}}}, \
         env: {{A: '{{vars.v}}'}}}}\n"
    );
    expect(&bad(&text), 2, &["programs.a", "64 MiB"]);
}

#[test]
fn the_files_of_a_config_have_a_limited_size() {
    let project = Project::new();
    for name in ["a", "b", "c"] {
        project.file(&format!("{name}.yaml"), "#\n".repeat(6 << 20));
    }
    let found = findings(project.load_as(1000, "include: ['[abc].yaml']\nprograms: {}\n"));
    let found = found.into_iter().filter(|one| one.contains("MiB"));
    let found: Vec<String> = found.collect();
    expect(&found, 1, &["c.yaml", "32 MiB"]);
}

#[test]
fn programs_and_processes_share_a_large_environment() {
    let project = Project::new();
    let lines: String = (0..9)
        .map(|number| format!("V{number}={}\n", "x".repeat(100_000)))
        .collect();
    project.file("big.env", lines);
    let mut text = "defaults: {env_file: big.env, numprocs: 30}\nprograms:\n".to_string();
    for number in 0..300 {
        text.push_str(&format!(
            "  p{number}: {{cmd: x, env: {{N: '{{instance}}'}}}}\n"
        ));
    }
    let config = project.load_as(1000, &text);
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let [first, .., last] = config.programs.as_slice() else {
        panic!("300 programs")
    };
    assert!(Arc::ptr_eq(&first.launch.env["V8"], &last.launch.env["V8"]));
}
