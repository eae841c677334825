//! The library's config API on real files: the examples, and each way to get it wrong.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use taskmaster::config::{
    Config, ConfigError, Environment, LogFormat, Principal, Severity, UserEntry, Users, find, load,
    render,
};
use taskmaster::supervisor::{
    Autorestart, Autostart, FileSink, Identity, KillMode, Program, Sink, SizePolicy, Stall, Stdin,
    Tty,
};

/// A user database of two.
struct FewUsers;

impl Users for FewUsers {
    fn user(&self, name: &str) -> Result<Option<UserEntry>, String> {
        let users = [("root", 0, "/root"), ("web", 33, "/var/www")];
        let found = users.iter().find(|(known, ..)| *known == name);
        Ok(found.map(|(name, id, home)| UserEntry {
            name: (*name).to_string(),
            uid: *id,
            gid: *id,
            home: (*home).to_string(),
            shell: "/bin/sh".to_string(),
        }))
    }

    fn user_of_id(&self, uid: u32) -> Result<Option<UserEntry>, String> {
        match uid {
            0 => self.user("root"),
            33 => self.user("web"),
            _ => Ok(None),
        }
    }

    fn group(&self, name: &str) -> Result<Option<u32>, String> {
        Ok(match name {
            "root" => Some(0),
            "web" => Some(33),
            "logs" => Some(4),
            "broken" => return Err("Input/output error".to_string()),
            _ => None,
        })
    }

    fn groups_of(&self, name: &str, gid: u32) -> Result<Vec<u32>, String> {
        Ok(if name == "web" {
            vec![gid, 4]
        } else {
            vec![gid]
        })
    }
}

fn environment(uid: u32) -> Environment {
    let variables = [
        ("HOME", "/home/me"),
        ("NAME", "two words"),
        ("EMPTY", ""),
        ("PORT", "80"),
    ];
    Environment {
        variables: variables
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into(),
        uid,
        gid: uid,
        users: Rc::new(FewUsers),
    }
}

/// A directory for one config.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Project {
        Project(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Writes a file nobody else can write, with its directories.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, text).expect("the file is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode is set");
        path
    }

    fn load_as(&self, uid: u32, text: &str) -> Result<Config, ConfigError> {
        load(&self.file("taskmaster.yaml", text), &environment(uid))
    }

    /// The canonical path of something in it.
    fn path(&self, name: &str) -> String {
        let base = self
            .0
            .path()
            .canonicalize()
            .expect("the directory is there");
        base.join(name)
            .to_str()
            .expect("it is UTF-8")
            .trim_end_matches('/')
            .to_string()
    }
}

fn good(text: &str) -> Config {
    Project::new()
        .load_as(1000, text)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn only(text: &str) -> Program {
    let mut programs = good(text).programs;
    assert_eq!(programs.len(), 1);
    programs.remove(0)
}

/// Every error and warning, without the file's name.
fn findings(result: Result<Config, ConfigError>) -> Vec<String> {
    let found = match result {
        Ok(config) => config.warnings,
        Err(error) => error.diagnostics,
    };
    let line = |d: &taskmaster::config::Diagnostic| {
        let text = d.to_string();
        let name = d.file.display().to_string();
        text.replacen(&name, "", 1)
    };
    found.iter().map(line).collect()
}

fn bad(text: &str) -> Vec<String> {
    let result = Project::new().load_as(1000, text);
    assert!(result.is_err(), "accepted: {text}");
    findings(result)
}

/// The checked-in examples are not ours to be strict about: a checkout may be group-writable.
fn example(name: &str, variables: &[(&str, &str)]) -> Config {
    let mut environment = environment(0);
    environment.variables.extend(
        variables
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string())),
    );
    let text = fs::read(Path::new("configs").join(name)).expect("the example is there");
    load(&Project::new().file(name, text), &environment).unwrap_or_else(|e| panic!("{e}"))
}

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
    assert_eq!(nginx.launch.env["ANSWER"], "42");
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

/// A key nobody can look up is a key nobody uses.
#[test]
fn every_key_is_in_the_full_example_and_the_documentation() {
    let full = fs::read_to_string("configs/full.yaml").expect("the example is there");
    let documentation = fs::read_to_string("docs/configuration.md").expect("it is there");
    let schema = fs::read_to_string("src/config/schema.rs").expect("it is there");
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
fn defaults_are_as_documented() {
    let project = Project::new();
    let config = project
        .load_as(1000, "programs:\n  a:\n    cmd: sleep 1\n")
        .expect("it is good");
    let program = &config.programs[0];
    assert_eq!((program.numprocs, program.autostart), (1, Autostart::Yes));
    assert_eq!(program.policy.autorestart, Autorestart::Unexpected);
    assert_eq!(program.policy.startretries, 3);
    assert_eq!(program.policy.killmode, KillMode::Group);
    let launch = &program.launch;
    assert_eq!(launch.workingdir, project.path(""));
    assert_eq!((&launch.stdout, &launch.stderr), (&Sink::Ring, &Sink::Ring));
    assert_eq!(
        (launch.umask, launch.buffer, launch.tty),
        (0o022, 256 * 1024, None)
    );
    assert_eq!((&launch.stdin, launch.inherit_env), (&Stdin::Null, true));
    assert_eq!((&launch.identity, &launch.pidfile), (&None, &None));
    assert_eq!(config.daemon, taskmaster::config::DaemonSettings::default());
    assert_eq!(config.daemon.socket_mode, 0o600);
    assert_eq!(
        config.files,
        [PathBuf::from(project.path("taskmaster.yaml"))]
    );
    assert_eq!(config.path, config.files[0]);
}

#[test]
fn every_key_reaches_the_program() {
    let project = Project::new();
    let config = project.load_as(
        0,
        "programs:\n  a:\n    cmd: [run, '1', 2, true]\n    numprocs: 3\n    autostart: false\n    \
         autorestart: always\n    exitcodes: [2, 0, 2]\n    startretries: 0\n    starttime: 1m30s\n    \
         stopsignal: sigrtmin+3\n    stoptime: 500ms\n    killmode: process\n    stdout:\n      \
         {file: logs/{program}.log, max_size: 0, keep: 0, compress: true, timestamps: true, \
         strip_ansi: true, stall: never}\n    stderr: stdout\n    inherit_env: false\n    \
         workingdir: sub/./dir\n    umask: \"027\"\n    stdin: in.txt\n    user: web\n    \
         buffer: 64KB\n    pidfile: run/{instance:02}.pid\n    vars: {a: b}\n"
            .replace("{program}.log", "'{program}.log'")
            .replace("logs/'{program}.log'", "'logs/{program}.log'")
            .as_str(),
    );
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let program = &config.programs[0];
    assert_eq!(program.launch.argv, ["run", "1", "2", "true"]);
    assert_eq!((program.numprocs, program.autostart), (3, Autostart::No));
    assert_eq!(program.policy.autorestart, Autorestart::Always);
    assert_eq!(program.policy.exitcodes, [0, 2]);
    assert_eq!(
        (program.policy.startretries, program.policy.stopsignal),
        (0, 37)
    );
    assert_eq!(program.policy.starttime, Duration::from_secs(90));
    assert_eq!(program.policy.stoptime, Duration::from_millis(500));
    assert_eq!(program.policy.killmode, KillMode::Process);
    let log = FileSink {
        path: project.path("logs/{program}.log"),
        direct: false,
        max_size: 0,
        keep: 0,
        compress: true,
        timestamps: true,
        strip_ansi: true,
        stall: Stall::Never,
    };
    assert_eq!(program.launch.stdout, Sink::File(log));
    assert_eq!(program.launch.stderr, Sink::Stdout);
    assert!(!program.launch.inherit_env);
    assert_eq!(program.launch.workingdir, project.path("sub/dir"));
    assert_eq!(
        (program.launch.umask, program.launch.buffer),
        (0o027, 65_536)
    );
    assert_eq!(program.launch.stdin, Stdin::File(project.path("in.txt")));
    assert_eq!(
        program.launch.pidfile,
        Some(project.path("run/{instance:02}.pid"))
    );
    assert_eq!(
        program.vars,
        BTreeMap::from([("a".to_string(), "b".to_string())])
    );
    let web = Identity {
        user: "web".to_string(),
        uid: 33,
        gid: 33,
        groups: vec![33, 4],
        home: "/var/www".to_string(),
        shell: "/bin/sh".to_string(),
    };
    assert_eq!(program.launch.identity, Some(web));
}

#[test]
fn the_daemons_settings() {
    let project = Project::new();
    let text = "daemon:\n  socket: run/s.sock\n  socket_mode: 0660\n  socket_group: logs\n  \
                user: web\n  pidfile: /run/d.pid\n  log: {file: d.log, level: debug, \
                format: json, syslog: true}\n  access:\n    read: [web, '@logs', 1234]\n    \
                control: ['@77']\nprograms:\n  a: {cmd: x, user: web}\n";
    let config = project
        .load_as(0, text)
        .unwrap_or_else(|error| panic!("{error}"));
    let daemon = config.daemon;
    assert_eq!(daemon.socket, Some(project.path("run/s.sock").into()));
    assert_eq!((daemon.socket_mode, daemon.socket_group), (0o660, Some(4)));
    assert_eq!(daemon.user.map(|user| user.uid), Some(33));
    assert_eq!(daemon.pidfile, Some("/run/d.pid".into()));
    assert_eq!(daemon.log.file, Some(project.path("d.log").into()));
    assert_eq!(
        (daemon.log.level, daemon.log.syslog),
        (log::LevelFilter::Debug, true)
    );
    assert_eq!(daemon.log.format, LogFormat::Json);
    let read = [
        Principal::User(33),
        Principal::Group(4),
        Principal::User(1234),
    ];
    assert_eq!(daemon.access.read, read);
    assert_eq!(daemon.access.control, [Principal::Group(77)]);
    // The daemon is no longer root when it starts programs.
    assert_eq!(config.programs[0].launch.identity, None);
    let found =
        findings(project.load_as(0, &text.replace("cmd: x, user: web", "cmd: x, user: root")));
    assert!(
        found[0].contains("`daemon.user` gives up root"),
        "{found:?}"
    );
}

#[test]
fn who_may_become_whom() {
    let project = Project::new();
    let with = |keys: &str| format!("programs:\n  a:\n    cmd: x\n{keys}");
    let identity = |uid: u32, keys: &str| -> Result<Option<Identity>, Vec<String>> {
        match project.load_as(uid, &with(keys)) {
            Ok(config) => Ok(config.programs[0].launch.identity.clone()),
            error => Err(findings(error)),
        }
    };
    assert_eq!(identity(0, "    user: root\n"), Ok(None));
    assert_eq!(identity(33, "    user: web\n    group: web\n"), Ok(None));
    let changed = identity(0, "    user: 4242\n    group: logs\n").expect("it is good");
    let changed = changed.expect("another user");
    assert_eq!(
        (changed.uid, changed.gid, changed.groups),
        (4242, 4, vec![4])
    );
    let group = identity(0, "    group: logs\n")
        .expect("good")
        .expect("another group");
    assert_eq!((group.uid, group.gid), (0, 4));
    let listed = identity(0, "    user: web\n    supplementary_groups: [logs, 7]\n");
    assert_eq!(listed.expect("good").expect("another user").groups, [4, 7]);
    for keys in [
        "user: web",
        "group: web",
        "supplementary_groups: [web]",
        "user: 0",
    ] {
        let error = identity(1000, &format!("    {keys}\n")).unwrap_err();
        assert!(error[0].contains("needs root"), "{error:?}");
    }
    for keys in [
        "user: nobody-here",
        "user: 4242",
        "user: 4294967295",
        "group: broken",
    ] {
        let error = identity(0, &format!("    {keys}\n")).unwrap_err();
        assert!(error[0].starts_with(":4:"), "{error:?}");
    }
}

#[test]
fn umask_in_every_spelling() {
    for spelling in ["022", "0o22", "\"022\"", "'0o022'", "22", "\"22\"", "0022"] {
        let program = only(&format!(
            "programs:\n  a:\n    cmd: x\n    umask: {spelling}\n"
        ));
        assert_eq!(program.launch.umask, 0o022, "{spelling}");
    }
    assert_eq!(only("programs: {a: {cmd: x, umask: 0}}").launch.umask, 0);
}

#[test]
fn environment_values_of_any_type_stay_as_written() {
    let program = only(
        "programs:\n  a:\n    cmd: x\n    env:\n      A: 42\n      B: 0777\n      C: yes\n      \
         D: 1.50\n      E: ''\n      F: ~x\n      G: '${NAME}-$NAME-$${NAME}'\n      x-y: 1\n",
    );
    let expected = [
        ("A", "42"),
        ("B", "0777"),
        ("C", "yes"),
        ("D", "1.50"),
        ("E", ""),
        ("F", "~x"),
        ("G", "two words-$NAME-${NAME}"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.to_string(), v.to_string())).into();
    assert_eq!(program.launch.env, expected);
}

#[test]
fn a_variable_stays_one_word_and_a_shell_gets_its_text() {
    let program =
        only("programs:\n  a:\n    cmd: run \"${NAME}\" ${NAME} ${NO:-x y} '{program}'\n");
    assert_eq!(
        program.launch.argv,
        ["run", "two words", "two words", "x y", "{program}"]
    );
    let program = only("programs:\n  a:\n    shell: true\n    cmd: echo $HOME | cat > '${NAME}'\n");
    assert_eq!(
        program.launch.argv,
        ["/bin/sh", "-c", "echo $HOME | cat > 'two words'"]
    );
    let program =
        only("programs:\n  a:\n    cmd: x\n    numprocs: ${N:-7}\n    autostart: ${T:-false}\n");
    assert_eq!((program.numprocs, program.autostart), (7, Autostart::No));
}

#[test]
fn sinks_and_terminals() {
    let sink = |text: &str| {
        only(&format!("programs: {{a: {{cmd: x, stdout: {text}}}}}"))
            .launch
            .stdout
    };
    assert_eq!(sink("discard"), Sink::Discard);
    assert_eq!(sink("/dev/null"), Sink::Discard);
    assert_eq!(sink("{file: /dev/null}"), Sink::Discard);
    let Sink::File(file) = sink("{file: /x, max_size: 1GB, stall: 0}") else {
        panic!("a file")
    };
    assert_eq!(
        (file.max_size, file.stall),
        (1 << 30, Stall::After(Duration::ZERO))
    );
    assert_eq!(file.keep, 10);
    let tty = |text: &str| {
        only(&format!("programs: {{a: {{cmd: x, tty: {text}}}}}"))
            .launch
            .tty
    };
    let usual = Tty {
        rows: 24,
        cols: 80,
        size: SizePolicy::Latest,
    };
    assert_eq!(tty("true"), Some(usual));
    assert_eq!(tty("false"), None);
    assert_eq!(tty("{}"), Some(usual));
    let fixed = Tty {
        rows: 50,
        cols: 80,
        size: SizePolicy::Fixed,
    };
    assert_eq!(tty("{rows: 50, size: fixed}"), Some(fixed));
    let stdin = |text: &str| {
        only(&format!("programs: {{a: {{cmd: x, stdin: {text}}}}}"))
            .launch
            .stdin
    };
    assert_eq!(stdin("null"), Stdin::Null);
    assert_eq!(stdin("pipe"), Stdin::Pipe);
    assert_eq!(stdin("/x"), Stdin::File("/x".to_string()));
}

#[test]
fn defaults_lie_beneath_and_maps_are_merged() {
    let config = good(
        "defaults:\n  env: {A: 1, B: 1}\n  vars: {v: d}\n  stdout: /d.log\n  umask: 077\n  \
         stderr: /e.log\nprograms:\n  a:\n    cmd: x {vars.v} {vars.w}\n    env: {B: 2}\n    \
         vars: {w: p}\n    stdout: ring\n  b: {cmd: y, tty: true}\n",
    );
    assert_eq!(config.warnings, []);
    let [a, b] = config.programs.as_slice() else {
        panic!("two programs")
    };
    assert_eq!(
        (a.launch.env["A"].as_str(), a.launch.env["B"].as_str()),
        ("1", "2")
    );
    assert_eq!((a.vars["v"].as_str(), a.vars["w"].as_str()), ("d", "p"));
    assert_eq!((&a.launch.stdout, a.launch.umask), (&Sink::Ring, 0o077));
    assert!(matches!(&b.launch.stdout, Sink::File(file) if file.path == "/d.log"));
}

#[test]
fn anchors_merge_keys_and_ignored_keys() {
    let config = good(
        "x-base: &base\n  cmd: one\n  stoptime: 3\n  x-note: {any: [thing]}\nx-more: &more\n  \
         stoptime: 4\n  numprocs: 2\nprograms:\n  x-skipped: 1\n  a:\n    <<: *base\n    cmd: two\n  \
         b: *base\n  c:\n    <<: [*base, *more]\n",
    );
    let names: Vec<&str> = config
        .programs
        .iter()
        .map(|program| program.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let [a, b, c] = config.programs.as_slice() else {
        panic!("three programs")
    };
    assert_eq!(
        (a.launch.argv[0].as_str(), b.launch.argv[0].as_str()),
        ("two", "one")
    );
    assert_eq!(
        (
            a.policy.stoptime.as_secs(),
            c.policy.stoptime.as_secs(),
            c.numprocs
        ),
        (3, 3, 2)
    );
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
    // Relative to the main file, as everything else.
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
        text.contains("first given at") && text.contains("taskmaster.yaml:3:12"),
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
                found[0].contains("group or others can write it"),
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
    assert!(message(&project.file("bytes", b"a: 1\nb: \xff\n")).contains("UTF-8 (line 2)"));
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
    let explicit = find(Some(Path::new("other.yaml")), &cwd, &environment);
    assert_eq!(explicit, Ok(cwd.join("other.yaml")));
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
    assert_eq!(good("programs:\n").warnings.len(), 1);
    assert_eq!(good("x-a: 1\n").warnings.len(), 1);
}

#[test]
fn one_mistake_in_an_anchor_or_the_defaults_is_told_once() {
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
        found[0].contains("a:1 and a:0 would share the file"),
        "{found:?}"
    );
    let found =
        bad("programs:\n  a: {cmd: x, pidfile: 'a-0'}\n  b: {cmd: x, pidfile: 'a-{instance}'}\n");
    assert!(found[0].contains("b:0 and a:0"), "{found:?}");
    good("programs:\n  a: {cmd: x, numprocs: 20, pidfile: '{instance:02}'}\n");
}

/// None of these may hang, crash, or take much memory; all are refused.
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
             exitcodes: [0, 2]\n    starttime: 5\n    stopsignal: TERM\n    stdout: /tmp/{n}.log\n    \
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
    // Generous: a debug build on a loaded machine.
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}
