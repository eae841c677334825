//! Rejected configs, and their messages.

use crate::support::{Project, bad, environment, findings, good};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use taskmaster::config::{Severity, load, render};
use taskmaster::supervisor::{Program, Sink, Stall};

#[test]
fn every_bad_config_gets_its_message() {
    let mut cases = 0;
    let mut faults = Vec::new();
    let project = Project::new();
    for directory in ["configs/bad", "configs/bad/parts"] {
        for entry in fs::read_dir(directory).expect("the directory is there") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.strip_prefix("configs/bad").expect("it is in there");
                project.file(
                    name.to_str().expect("UTF-8"),
                    fs::read(&path).expect("readable"),
                );
            }
        }
    }
    for entry in fs::read_dir("configs/bad").expect("the directory is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        cases += 1;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        let actual = match load(&project.0.path().join(name), &environment(1000)) {
            Ok(config) => format!("accepted\n{}\n", render(&config.warnings)),
            Err(error) => format!("{error}\n"),
        };
        let actual = actual.replace(&format!("{}/", project.0.path().display()), "");
        let actual = actual.replace(&format!("{}/", project.path("")), "");
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &actual).expect("the expectation is written");
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if wanted != actual || actual.starts_with("accepted") {
            faults.push(format!("{name}: expected\n{wanted}\nbut got\n{actual}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(cases >= 40, "only {cases} cases");
}

#[test]
fn every_fault_of_an_identity_is_reported_at_once() {
    let text =
        "programs:\n  h: {cmd: x, user: nonex, group: nonex, supplementary_groups: [nosuch]}\n";
    let found = findings(Project::new().load_as(0, text));
    for key in ["user", "group", "supplementary_groups"] {
        let key = format!("programs.h.{key}");
        assert!(found.iter().any(|line| line.contains(&key)), "{found:?}");
    }
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_word_in_the_wrong_case_is_a_file_and_a_warning() {
    let warned = |line: &str| {
        let text = format!("programs:\n  a:\n    cmd: x\n    {line}\n");
        findings(Project::new().load_as(1000, &text))
    };
    for (line, meant) in [
        ("stdout: Discard", "`discard`"),
        ("stdout: RING", "`ring`"),
        ("stderr: Stdout", "`stdout`"),
        ("stdin: Pipe", "`pipe`"),
    ] {
        let found = warned(line);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(
            found[0].contains(&format!("did you mean {meant}?")),
            "{found:?}"
        );
    }
    for line in [
        "stdout: ./Discard",
        "stdin: ./Pipe",
        "stdout: ring",
        "stdout: rings",
    ] {
        assert_eq!(warned(line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn warnings_do_not_refuse() {
    let text = "programs:\n  a:\n    cmd: echo $HOME > x\n  b:\n    cmd: run {progam}\n  c:\n    \
                cmd: x\n    tty: true\n    stdin: pipe\n";
    let found = findings(Project::new().load_as(1000, text));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found.iter().all(|line| line.contains(": warning: ")),
        "{found:?}"
    );
    let none = good("programs: {}\n");
    assert_eq!(none.warnings.len(), 1);
    assert_eq!(none.warnings[0].severity, Severity::Warning);
    assert_eq!(good("x-a: 1\n").warnings.len(), 1);
}

#[test]
fn one_mistake_in_an_anchor_or_the_defaults_is_reported_once() {
    let mut text = "defaults: {umask: 999}\nx-a: &a {numprocs: many}\nprograms:\n".to_string();
    for n in 0..50 {
        text.push_str(&format!("  p{n}: {{<<: *a, cmd: x}}\n"));
    }
    assert_eq!(bad(&text).len(), 2);
}

#[test]
fn pidfiles_are_not_shared() {
    let found = bad("programs:\n  a: {cmd: x, numprocs: 2, pidfile: p}\n");
    assert!(
        found[0].contains("`a:1` and `a:0` would share this file"),
        "{found:?}"
    );
    let found =
        bad("programs:\n  a: {cmd: x, pidfile: 'a-0'}\n  b: {cmd: x, pidfile: 'a-{instance}'}\n");
    assert!(found[0].contains("`b:0` and `a:0`"), "{found:?}");
    good("programs:\n  a: {cmd: x, numprocs: 20, pidfile: '{instance:02}'}\n");
}

#[test]
fn the_first_program_sets_the_options_of_a_shared_log() {
    let sink = |more: &str| format!("stdout: {{file: /tmp/l, timestamps: {more}}}");
    let text = format!(
        "programs:\n  b: {{cmd: x, {}}}\n  a: {{cmd: x, {}}}\n  c: {{cmd: x, stderr: /tmp/c}}\n",
        sink("true, stall: 3s"),
        sink("false, keep: 3")
    );
    let config = good(&text);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    let warning = &config.warnings[0];
    assert_eq!(
        (warning.key.as_str(), warning.line),
        ("programs.a.stdout", 3)
    );
    assert!(
        warning.message.contains("`b` also writes to this file"),
        "{warning:?}"
    );
    let logs: Vec<_> = config
        .programs
        .iter()
        .filter_map(|program| match &program.launch.stdout {
            Sink::File(file) => Some((file.timestamps, file.keep, file.stall)),
            _ => None,
        })
        .collect();
    let after = |seconds| Stall::After(Duration::from_secs(seconds));
    assert_eq!(logs, [(true, 10, after(3)), (true, 10, after(1))]);
    // A process that writes to the file directly keeps doing so: that is no setting of the file.
    let mixed = "programs:\n  a: {cmd: x, stdout: {file: /tmp/l, direct: true}}\n  \
         b: {cmd: x, tty: true, stdout: {file: /tmp/l, timestamps: true}}\n";
    let mixed = good(mixed);
    assert_eq!(mixed.warnings.len(), 0, "{:?}", mixed.warnings);
    let direct = |program: &Program| matches!(&program.launch.stdout, Sink::File(f) if f.direct);
    assert_eq!(
        mixed.programs.iter().map(direct).collect::<Vec<_>>(),
        [true, false]
    );
    // No warning where the settings agree, or where each process has its own file.
    let agreed = format!(
        "programs:\n  a: {{cmd: x, {0}}}\n  b: {{cmd: x, {0}, stderr: '{{program}}.log'}}\n  \
         c: {{cmd: x, stderr: {{file: '{{program}}.log', keep: 1}}}}\n",
        sink("true")
    );
    assert_eq!(good(&agreed).warnings.len(), 0);
}

/// None of these hangs, crashes or takes much memory. All are rejected.
#[test]
fn hostile_texts() {
    let mut bomb = "x-a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for (before, letter) in ('a'..'i').zip('b'..='i') {
        let list = vec![format!("*{before}"); 10].join(", ");
        bomb.push_str(&format!("x-{letter}: &{letter} [{list}]\n"));
    }
    let mut deep = String::new();
    for level in 0..500 {
        deep.push_str(&format!("{}a:\n", " ".repeat(level)));
    }
    let mut chain = "x-0: &a0 [x]\n".to_string();
    for n in 1..200 {
        chain.push_str(&format!("x-{n}: &a{n} [*a{}]\n", n - 1));
    }
    let wide = format!(
        "x-a: &a {}\nx-b: [{}]\n",
        "y".repeat(1 << 20),
        "*a,".repeat(1000)
    );
    let mut spread = "defaults:\n  env:\n".to_string();
    for n in 0..10_000 {
        spread.push_str(&format!("    V{n}: x\n"));
    }
    spread.push_str("programs:\n");
    for n in 0..1000 {
        spread.push_str(&format!("  p{n}: {{cmd: x}}\n"));
    }
    let texts = [
        bomb,
        "[".repeat(200_000),
        "{".repeat(200_000),
        "[{".repeat(100_000),
        "- ".repeat(100_000),
        deep,
        chain,
        wide,
        spread,
        "? ".repeat(50_000),
        "a: &a [*a]\n".to_string(),
        "&a ".repeat(50_000),
        "!".repeat(200_000),
        "\"".to_string() + &"\\x".repeat(100_000),
        "programs:\n  \u{0}: 1\n".to_string(),
        format!("programs:\n  {}: {{cmd: x}}\n", "n".repeat(900)),
        "x".repeat(1 << 20),
        "a: |\n".to_string() + &" x\n\n".repeat(100_000),
    ];
    for text in texts {
        let begin = Instant::now();
        let found = bad(&text);
        assert!(!found.is_empty());
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", &text[..40]);
    }
}

#[test]
fn five_thousand_programs() {
    let mut text = String::from("defaults:\n  env: {LANG: C}\nprograms:\n");
    for n in 0..5000 {
        text.push_str(&format!(
            "  program-{n}:\n    cmd: /usr/bin/run --port {n} --name \"number {n}\"\n    \
             numprocs: 2\n    umask: 022\n    workingdir: /tmp\n    autorestart: unexpected\n    \
             exitcodes: [0, 2]\n    starttime: 5\n    stopsignal: TERM\n    \
             stdout: /tmp/{n}.log\n    \
             user: web\n    env:\n      NUMBER: {n}\n      HOST: ${{PORT}}\n"
        ));
    }
    let project = Project::new();
    let path = project.file("taskmaster.yaml", &text);
    let begin = Instant::now();
    let config = load(&path, &environment(0)).unwrap_or_else(|error| panic!("{error}"));
    let taken = begin.elapsed();
    assert_eq!(config.programs.len(), 5000);
    eprintln!("5000 programs, {} KiB: {taken:?}", text.len() / 1024);
    // Generous, for a debug build on a loaded machine.
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

/// Any file content gets an answer and never a panic.
#[test]
fn damaged_configs_are_answered() {
    let project = Project::new();
    let names = [
        "full.yaml",
        "demo.yaml",
        "services.yaml",
        "bad/ten-errors.yaml",
    ];
    let mut seed = 7_u32;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    let pieces = [
        "${", "}", "{vars.", "*a", "&a ", "[", "{", "\"", "'", ": ", "\n", "\t", "- ", "<<", "é",
    ];
    for name in names {
        let text = fs::read_to_string(Path::new("configs").join(name)).expect("it is there");
        let text: Vec<char> = text.chars().collect();
        for _ in 0..300 {
            let mut damaged = text.clone();
            for _ in 0..=random(3) {
                let at = random(damaged.len());
                let until = (at + random(8)).min(damaged.len());
                let piece = pieces[random(pieces.len())];
                damaged.splice(at..until, piece.chars());
            }
            let damaged: String = damaged.into_iter().collect();
            if let Err(error) = project.load_as(0, &damaged) {
                assert!(error.error_count() > 0 && !error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn very_many_errors_are_bounded_and_quick() {
    let codes = "x, ".repeat(300_000);
    let long_line = format!("programs: {{a: {{cmd: x, exitcodes: [{codes}]}}}}\n");
    let mut groups = "programs:\n".to_string();
    for n in 0..2000 {
        groups.push_str(&format!("  program-{n}: {{cmd: run a | b}}\n"));
    }
    groups.push_str("groups:\n  g:\n");
    for n in 0..20_000 {
        groups.push_str(&format!("  - progrm-{n}\n"));
    }
    for text in [long_line, groups] {
        let begin = Instant::now();
        let found = bad(&text);
        assert_eq!(found.len(), 1001);
        assert!(
            found[1000].contains("more messages are not shown"),
            "{}",
            found[1000]
        );
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{:?}",
            begin.elapsed()
        );
    }
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_fine() {
    let config = good("\u{feff}programs:\r\n  a:\r\n    cmd: x y\r\n");
    assert_eq!(config.programs[0].launch.argv, ["x", "y"]);
}
