//! The field that each key sets.

use crate::support::{Project, findings, good, only};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use taskmaster::config::{DaemonSettings, LogFormat, Principal};
use taskmaster::supervisor::{
    Autorestart, Autostart, FileSink, Identity, KillMode, Launch, Policy, Program, Sink,
    SizePolicy, Stall, Stdin, Tty,
};

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
    assert_eq!(config.daemon, DaemonSettings::default());
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
         autorestart: always\n    exitcodes: [2, 0, 2]\n    startretries: 0\n    \
         starttime: 1m30s\n    \
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
        mode: None,
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
    // The daemon has dropped root by the time it starts programs.
    assert_eq!(config.programs[0].launch.identity, None);
    let found =
        findings(project.load_as(0, &text.replace("cmd: x, user: web", "cmd: x, user: root")));
    assert!(found[0].contains("`daemon.user` drops root"), "{found:?}");
}

#[test]
fn programs_run_as_the_users_that_their_daemon_may_become() {
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
        "user: no-such-user",
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
    let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.to_string(), v.into())).into();
    assert_eq!(*program.launch.env, expected);
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
    assert_eq!((&*a.launch.env["A"], &*a.launch.env["B"]), ("1", "2"));
    assert_eq!((a.vars["v"].as_str(), a.vars["w"].as_str()), ("d", "p"));
    assert_eq!((&a.launch.stdout, a.launch.umask), (&Sink::Ring, 0o077));
    assert!(matches!(&b.launch.stdout, Sink::File(file) if file.path == "/d.log"));
}

#[test]
fn anchors_merge_keys_and_ignored_keys() {
    let config = good(
        "x-base: &base\n  cmd: one\n  stoptime: 3\n  x-note: {any: [thing]}\nx-more: &more\n  \
         stoptime: 4\n  numprocs: 2\nprograms:\n  x-skipped: 1\n  \
         a:\n    <<: *base\n    cmd: two\n  \
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
fn config_and_daemon_agree_on_every_width_of_an_instance() {
    let widths = (0..=120).flat_map(|width| [format!("0{width}"), format!("00{width}")]);
    for width in widths.chain(["2", "0", "0x", "02 "].map(String::from)) {
        let yaml = format!(
            "programs:\n  a:\n    cmd: x\n    numprocs: 2\n    pidfile: '/r/{{instance:{width}}}'\n"
        );
        let loaded = Project::new().load_as(0, &yaml);
        let launch = Launch {
            pidfile: Some(format!("/r/{{instance:{width}}}")),
            ..Launch::default()
        };
        let program = Program {
            name: "a".to_string(),
            numprocs: 2,
            autostart: Autostart::Yes,
            policy: Policy::default(),
            launch,
            vars: BTreeMap::new(),
        };
        let pidfile = |instance| program.launch.expand(&program, instance).pidfile;
        let distinct = pidfile(0) != pidfile(1);
        assert_eq!(loaded.is_ok(), distinct, "{width}: {:?}", pidfile(1));
    }
}
