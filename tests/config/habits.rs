//! Configs of other tools, and habits of shells and other supervisors.

use crate::support::{Project, bad, environment, findings, good};

fn warned(program: &str) -> Vec<String> {
    let text = format!("programs:\n  a:\n    {program}\n");
    findings(Project::new().load_as(1000, &text))
}

#[test]
fn the_config_of_another_tool_gets_one_message() {
    let cases = [
        (
            "[program:a]\ncommand=x\nautostart=true\n",
            "a supervisord.conf",
        ),
        ("web: python app.py\nworker: rake jobs:work\n", "a Procfile"),
        (
            "services:\n  web:\n    image: nginx\n    ports: ['80:80']\n",
            "a compose file",
        ),
        (
            "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/x\n",
            "a systemd unit",
        ),
    ];
    for (text, name) in cases {
        let found = bad(text);
        assert_eq!(found.len(), 1, "{found:?}");
        let wanted = format!("this looks like {name}, not like a config of tmd");
        assert!(found[0].contains(&wanted), "{found:?}");
        assert!(
            found[0].contains("`programs`") || found[0].contains("`programs:`"),
            "{found:?}"
        );
    }
}

#[test]
fn keys_of_other_tools_have_a_suggestion() {
    for (key, help) in [
        ("priority: 1", "remove it"),
        ("process_name: x", "remove it"),
        ("environment_file: x", "did you mean `env_file`?"),
        ("logfile: x", "did you mean `stdout`?"),
        ("healthcheck: {}", "does not support `health_check`"),
        ("restart: always", "write `autorestart: always`"),
        ("restart: on-failure", "write `autorestart: unexpected`"),
    ] {
        let found = bad(&format!("programs:\n  a:\n    cmd: x\n    {key}\n"));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(found[0].contains(help), "{key}: {found:?}");
    }
    for key in ["processes", "apps"] {
        let found = bad(&format!("{key}:\n  a: {{cmd: x}}\n"));
        assert!(found[0].contains("did you mean `programs`?"), "{found:?}");
    }
}

#[test]
fn habits_of_shells_are_warned_about() {
    for (program, help) in [
        ("cmd: |\n      echo a\n      echo b", "add `shell: true`"),
        ("cmd: cd /srv && ./run", "set `workingdir`"),
        ("cmd: export A=1", "under `env`"),
        ("cmd: source venv/bin/activate", "`env_file`"),
        ("cmd: exec sleep 1", "remove `exec`"),
        ("cmd: ~/bin/run", "write `${HOME}/bin/run`"),
        ("cmd: run %(program_name)s", "write `{program}`"),
        ("cmd: curl -H \"key $API_KEY\"", "write `${API_KEY}`"),
        ("cmd: [run, $API_KEY]", "write `${API_KEY}`"),
        ("cmd: [run, '|', cat]", "add `shell: true`"),
        ("{cmd: x, env: {PATH: '/opt/bin:$PATH'}}", "write `${PATH}`"),
        ("{cmd: x, env: {KEY: $API_KEY}}", "write `${API_KEY}`"),
        ("{cmd: x, workingdir: ~/app}", "write `${HOME}/app`"),
        ("{cmd: x, stdout: ~/a.log}", "write `${HOME}/a.log`"),
        (
            "{cmd: x, stdout: '%(program_name)s.log'}",
            "write `{program}`",
        ),
    ] {
        let found = warned(program);
        assert_eq!(found.len(), 1, "{program}: {found:?}");
        assert!(found[0].contains(": warning: "), "{program}: {found:?}");
        assert!(found[0].contains(help), "{program}: {found:?}");
    }
    for program in [
        "cmd: sh -c \"echo $HOME; cd /\"",
        "{cmd: 'cd /; echo $HOME | cat', shell: true}",
        "cmd: |\n      run\n        --port 1",
        "cmd: [sh, -c, 'echo $HOME | cat']",
        "{cmd: x, env: {PASSWORD: 'pa$word', A: '5$'}}",
    ] {
        assert_eq!(warned(program), Vec::<String>::new(), "{program}");
    }
}

#[test]
fn an_include_that_matches_nothing_is_warned_about() {
    let text = "include: [conf.d/*.yaml]\nprograms: {a: {cmd: x}}\n";
    let found = findings(Project::new().load_as(1000, text));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("include[0]: no file matches"),
        "{found:?}"
    );
}

#[test]
fn a_script_with_carriage_returns_is_warned_about() {
    let project = Project::new();
    project.file("run.sh", "#!/bin/sh\r\necho a\r\n");
    project.file("good.sh", "#!/bin/sh\necho a\n");
    let text = "programs: {a: {cmd: ./run.sh}, b: {cmd: ./good.sh}}\n";
    let found = findings(project.load_as(1000, text));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("sed -i 's/\\r$//'"), "{found:?}");
}

#[test]
fn one_fault_is_one_error() {
    let found = bad("programs:\n  a: {comand: x}\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("did you mean `cmd`?"), "{found:?}");
    let text =
        "defaults: {vars: {dir: '${NOPE:?set it}'}}\nprograms:\n  a: {cmd: 'x {vars.dir}'}\n";
    let found = bad(text);
    assert_eq!(found.len(), 1, "{found:?}");
    let found = bad("programs:\n  a:\n    cmd:\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("such as `cmd: sleep 60`"), "{found:?}");
}

#[test]
fn invalid_utf_8_has_a_place() {
    let project = Project::new();
    let path = project.file("bad.yaml", b"programs:\n  a: {cmd: \"\xff\"}\n");
    let result = taskmaster::config::load(&path, &environment(1000));
    let found = findings(result);
    assert!(found[0].starts_with(":2:13: error: "), "{found:?}");
    let text = "include: bad.yaml\nprograms: {a: {cmd: x}}\n";
    let found = findings(project.load_as(1000, text));
    assert!(found[0].contains("bad.yaml:2:13: "), "{found:?}");
}

#[test]
fn a_program_may_have_no_process() {
    assert_eq!(
        good("programs: {a: {cmd: x, numprocs: 0}}\n").programs[0].numprocs,
        0
    );
}

#[test]
fn without_a_config_that_of_another_tool_is_named() {
    let project = Project::new();
    let find = || {
        let found = taskmaster::config::find(None, project.0.path(), &environment(1000));
        found.expect_err("there is none").to_string()
    };
    assert!(!find().contains("another tool"));
    project.file("Procfile", "web: python app.py\n");
    let text = find();
    assert!(
        text.contains("tm check Procfile says how to write it"),
        "{text}"
    );
}
