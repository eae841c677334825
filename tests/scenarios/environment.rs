//! The environment that a program sees.

use super::support::{self, Daemon};
use std::fs;

/// A daemon with something in its environment; its config has the files written beside it.
fn start(yaml: &str, files: &[(&str, &str)], environment: &[(&str, &str)]) -> Daemon {
    let folder = support::folder();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    support::write_config(folder.path(), yaml);
    let socket = folder.path().join("tmd.sock");
    Daemon::start_prepared(folder, socket.clone(), |tmd| {
        tmd.arg("--socket").arg(socket);
        tmd.envs(environment.iter().copied());
    })
}

const ONCE: &str = "defaults: {shell: true, starttime: 0, autorestart: never}\nprograms:\n";

fn said(daemon: &Daemon, process: &str) -> String {
    daemon.wait_ended(process);
    daemon.tm(&["logs", process]).stdout
}

#[test]
fn a_program_sees_the_daemons_environment_with_its_own_over_it() {
    let daemon = start(
        &format!(
            "{ONCE}\
             \x20 a: {{cmd: 'echo $GIVEN $CHANGED $ADDED', env: {{CHANGED: here, ADDED: 42}}}}\n\
             \x20 b: {{cmd: 'echo [$GIVEN] [$ADDED]', inherit_env: false, env: {{ADDED: 43}}}}\n"
        ),
        &[],
        &[("GIVEN", "outside"), ("CHANGED", "there")],
    );
    assert_eq!(said(&daemon, "a:0"), "outside here 42\n");
    assert_eq!(said(&daemon, "b:0"), "[] [43]\n");
}

#[test]
fn environment_files_are_read_in_order_and_give_way_to_env() {
    let daemon = start(
        &format!(
            "{ONCE}\
             \x20 a: {{cmd: 'echo $ONE $TWO $THREE \"$FOUR\"', env_file: [first, second],\n\
             \x20   env: {{THREE: env}}}}\n"
        ),
        &[
            ("first", "# a remark\nONE=first\nTWO=first\nTHREE=first\n"),
            (
                "second",
                "\nexport TWO=second\nTHREE=second\nFOUR='with  $blanks'\n",
            ),
        ],
        &[("ONE", "outside")],
    );
    assert_eq!(said(&daemon, "a:0"), "first second env with  $blanks\n");
}

#[test]
fn each_process_receives_its_name() {
    let daemon = start(
        &format!(
            "{ONCE}\x20 a: {{cmd: 'echo $TM_PROGRAM $TM_INSTANCE $TM_PROCESS; tm status \
             $TM_PROCESS --json | grep -o RUNNING', numprocs: 2}}\n"
        ),
        &[],
        &[],
    );
    for index in 0..2 {
        let process = format!("a:{index}");
        // It reached its daemon, too: TM_SOCKET says where that is.
        let expected = format!("a {index} {process}\nRUNNING\n");
        assert_eq!(said(&daemon, &process), expected);
    }
}

#[test]
fn variables_are_filled_in_and_stay_one_word() {
    let daemon = start(
        "programs:\n\
         \x20 a: {cmd: 'printf \"%s|\" ${WORDS} ${NONE:-spare} $${WORDS} {program} {vars.kind}',\n\
         \x20   vars: {kind: a test}, starttime: 0, autorestart: never}\n",
        &[],
        &[("WORDS", "two words")],
    );
    assert_eq!(said(&daemon, "a:0"), "two words|spare|${WORDS}|a|a test|");
}

#[test]
fn a_config_is_found_where_xdg_says() {
    let folder = support::folder();
    let place = folder.path().join("config/taskmaster");
    fs::create_dir_all(&place).expect("a new folder");
    support::write_config(&place, "programs: {a: {cmd: sleep 1000, starttime: 0}}\n");
    let mut check = support::command("tmd", folder.path());
    check.arg("--check");
    let output = support::run(check);
    assert_eq!(output.code, 0, "{output:?}");
    let mut check = support::command("tmd", folder.path());
    check.arg("--check").env("XDG_CONFIG_HOME", folder.path());
    let output = support::run(check);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("taskmaster.yaml"), "{output:?}");
}
