//! Config files: search order, permissions and includes.

use crate::support::{Project, environment, example, findings};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use taskmaster::config::{find, load};
use taskmaster::supervisor::Sink;

#[test]
fn the_subjects_own_example_loads_as_it_is() {
    let config = example("taskmaster-subject.yaml", &[]);
    assert_eq!(config.warnings, []);
    let [nginx, vogsphere] = config.programs.as_slice() else {
        panic!("two programs")
    };
    assert_eq!(nginx.name, "nginx");
    assert_eq!(
        nginx.launch.argv,
        ["/usr/local/bin/nginx", "-c", "/etc/nginx/test.conf"]
    );
    assert_eq!(nginx.launch.umask, 0o022);
    assert_eq!(nginx.policy.exitcodes, [0, 2]);
    assert_eq!(nginx.policy.starttime, Duration::from_secs(5));
    assert_eq!(&*nginx.launch.env["ANSWER"], "42");
    assert_eq!(nginx.launch.workingdir, "/tmp");
    assert_eq!(vogsphere.numprocs, 8);
    assert_eq!(vogsphere.launch.umask, 0o077);
    assert_eq!(vogsphere.policy.exitcodes, [0]);
    assert_eq!(vogsphere.policy.stopsignal, 10);
    let Sink::File(log) = &vogsphere.launch.stderr else {
        panic!("a file")
    };
    assert_eq!(log.path, "/tmp/vgsworker.stderr");
}

#[test]
fn the_examples_load_without_a_warning() {
    assert_eq!(example("minimal.yaml", &[]).warnings, []);
    assert_eq!(example("full.yaml", &[]).warnings, []);
    let demo = example("demo.yaml", &[]);
    assert_eq!(demo.warnings, []);
    assert!(demo.programs.len() >= 12);
    assert!(
        demo.programs
            .iter()
            .any(|program| program.launch.tty.is_some())
    );
}

#[test]
fn the_services_need_their_directory_and_root() {
    let text = fs::read_to_string("configs/services.yaml").expect("the example is there");
    let text = text.replace("user: postgres", "user: web");
    let project = Project::new();
    let found = findings(project.load_as(0, &text));
    assert!(
        found[0].contains("`SERVICES_DIR`: set it to a directory"),
        "{found:?}"
    );
    let mut environment = environment(0);
    environment
        .variables
        .insert("SERVICES_DIR".into(), "/srv/two words".into());
    let path = project.file("taskmaster.yaml", &text);
    let config = load(&path, &environment).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings, []);
    environment.uid = 1000;
    let found = findings(load(&path, &environment));
    assert!(found.iter().any(|f| f.contains("needs root")), "{found:?}");
}

/// Users cannot use a key that they cannot look up.
#[test]
fn every_key_is_in_the_full_example_and_the_documentation() {
    let full = fs::read_to_string("configs/full.yaml").expect("the example is there");
    let documentation = fs::read_to_string("docs/configuration.md").expect("it is there");
    let schema = fs::read_to_string("src/config/keys.rs").expect("it is there");
    let (known, later) = schema.split_once("NOT_YET").expect("two kinds of keys");
    let keys = |text: &str| -> Vec<String> {
        text.split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_string)
            .collect()
    };
    assert!(keys(known).len() > 40 && keys(later).len() > 10);
    for key in keys(known) {
        assert!(full.contains(&format!("{key}:")), "full.yaml lacks {key}");
        assert!(
            documentation.contains(&format!("`{key}`")),
            "configuration.md lacks {key}"
        );
    }
}

#[test]
fn env_files_with_their_order_and_their_errors() {
    let project = Project::new();
    project.file("a.env", "A=file\nexport B='b b' # x\nC=first\n");
    project.file("sub/b.env", "C=second\n");
    let text = "programs:\n  a:\n    cmd: x\n    env_file: [a.env, sub/b.env]\n    env: {A: own}\n";
    let config = project
        .load_as(0, text)
        .unwrap_or_else(|error| panic!("{error}"));
    let env = &config.programs[0].launch.env;
    assert_eq!(
        (&*env["A"], &*env["B"], &*env["C"]),
        ("own", "b b", "second")
    );
    let files: Vec<PathBuf> = ["taskmaster.yaml", "a.env", "sub/b.env"]
        .map(|name| project.path(name).into())
        .into();
    assert_eq!(config.files, files);
    project.file("a.env", "A=1\nSECRET-oops\n");
    let error = project.load_as(0, text).expect_err("a bad line");
    assert_eq!(
        (error.diagnostics[0].line, error.diagnostics[0].column),
        (2, 1)
    );
    assert!(error.diagnostics[0].file.ends_with("a.env"));
    assert!(
        !error.to_string().contains("SECRET"),
        "secrets are not shown"
    );
    let found = findings(project.load_as(0, &text.replace("a.env", "none.env")));
    assert!(found[0].contains("none.env: No such file"), "{found:?}");
}

#[test]
fn includes_by_pattern_and_by_name() {
    let project = Project::new();
    project.file("conf.d/b.yaml", "programs: {b: {cmd: x, workingdir: w}}\n");
    project.file(
        "conf.d/a.yaml",
        "programs: {a: {cmd: x}}\ngroups: {ab: [a, b, main]}\n",
    );
    project.file("conf.d/.hidden.yaml", "nonsense");
    let text = "include: [conf.d/*.yaml, conf.d/a.yaml, '*.yaml', none/*.yaml]\n\
                defaults: {umask: 077}\nprograms: {main: {cmd: x}}\n";
    let config = project
        .load_as(0, text)
        .unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = config
        .programs
        .iter()
        .map(|program| program.name.as_str())
        .collect();
    assert_eq!(names, ["main", "a", "b"]);
    assert_eq!(config.groups["ab"], ["a", "b", "main"]);
    // Paths in an included file are relative to the main file.
    assert_eq!(config.programs[2].launch.workingdir, project.path("w"));
    assert_eq!(config.programs[2].launch.umask, 0o077);
    assert_eq!(config.files.len(), 3);
    project.file(
        "conf.d/b.yaml",
        "programs: {main: {cmd: x}}\ndefaults: {}\n",
    );
    let text = project
        .load_as(0, text)
        .expect_err("two faults")
        .to_string();
    assert!(
        text.contains("/conf.d/b.yaml:1:12: error: programs.main: duplicate program"),
        "{text}"
    );
    assert!(
        text.contains("first defined at") && text.contains("taskmaster.yaml:3:12"),
        "{text}"
    );
    assert!(
        text.contains("only the main file may have `defaults`"),
        "{text}"
    );
}

#[test]
fn root_reads_nothing_that_others_can_write() {
    let project = Project::new();
    let text = "include: inc.yaml\nprograms: {a: {cmd: x, env_file: a.env}}\n";
    project.file("inc.yaml", "programs: {}\n");
    project.file("a.env", "A=1\n");
    let main = project.file("taskmaster.yaml", text);
    assert!(load(&main, &environment(0)).is_ok());
    for name in ["taskmaster.yaml", "inc.yaml", "a.env"] {
        for mode in [0o664, 0o646] {
            let path = project.0.path().join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode is set");
            let found = findings(load(&main, &environment(0)));
            assert!(
                found[0].contains("group or others can write this file"),
                "{found:?}"
            );
            assert!(found[0].contains("chmod go-w"), "{found:?}");
            assert!(load(&main, &environment(1000)).is_ok());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode is set");
        }
    }
}

#[test]
fn files_that_are_no_config() {
    let project = Project::new();
    let path = |name: &str| project.0.path().join(name);
    let message = |path: &Path| findings(load(path, &environment(1000))).join("\n");
    assert_eq!(
        message(&path("none.yaml")),
        ": error: No such file or directory"
    );
    assert!(message(project.0.path()).contains("is a directory"));
    assert!(message(&project.file("bytes", b"a: 1\nb: \xff\n")).contains("valid UTF-8"));
    for empty in ["", "\n\n", "# nothing\n", "---\n", "~\n"] {
        let found = message(&project.file("empty", empty));
        assert!(found.contains("the file is empty"), "{empty:?}: {found}");
    }
    let big = project.file("big", "#".repeat(16 * 1024 * 1024 + 1));
    assert!(message(&big).contains("larger than 16 MiB"));
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRUSR).expect("a fifo");
    assert!(message(&path("fifo")).contains("not a regular file"));
    assert!(message(Path::new("/dev/null")).contains("not a regular file"));
}

#[test]
fn the_order_of_the_search() {
    let project = Project::new();
    let mut environment = environment(1000);
    let home = project.0.path().join("home");
    environment
        .variables
        .insert("HOME".into(), home.to_str().expect("UTF-8").into());
    let cwd = project.0.path().join("cwd");
    let error = find(None, &cwd, &environment)
        .expect_err("nothing is there")
        .to_string();
    for place in [
        "cwd/taskmaster.yaml",
        "home/.config/taskmaster/taskmaster.yaml",
        "/etc/taskm",
    ] {
        assert!(error.contains(place), "{error}");
    }
    let at_home = project.file("home/.config/taskmaster/taskmaster.yaml", "");
    assert_eq!(find(None, &cwd, &environment), Ok(at_home));
    let configs = project.0.path().join("xdg");
    environment
        .variables
        .insert("XDG_CONFIG_HOME".into(), configs.to_str().expect("").into());
    let at_xdg = project.file("xdg/taskmaster/taskmaster.yaml", "");
    assert_eq!(find(None, &cwd, &environment), Ok(at_xdg));
    let here = project.file("cwd/taskmaster.yaml", "");
    assert_eq!(find(None, &cwd, &environment), Ok(here));
    let other = || find(Some(Path::new("other.yaml")), &cwd, &environment);
    let error = other().expect_err("it is missing").to_string();
    let said = "there is no config file 'other.yaml'; check its path";
    assert!(error.contains(said), "{error}");
    let there = project.file("cwd/other.yaml", "");
    assert_eq!(other(), Ok(there));
}

#[test]
fn a_config_in_a_folder_above_is_named() {
    let project = Project::new();
    project.file("taskmaster.yaml", "");
    let below = project.0.path().join("a/b");
    let error = find(None, &below, &environment(1000)).expect_err("it is above");
    let said = "to use the one above: -c ../../taskmaster.yaml";
    assert!(error.to_string().contains(said), "{error}");
}
