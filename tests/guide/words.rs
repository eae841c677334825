//! Completion and messages of the client.

use crate::support::{Daemon, command, run};

const CONFIG: &str = "programs:\n  worker: {cmd: sleep 1000, numprocs: 2, starttime: 0}\n  \
    web: {cmd: sleep 1000, starttime: 0}\ngroups: {edge: [web]}\n";

/// Returns the completions of bash for a line and its words, as readline breaks them.
fn offered(daemon: &Daemon, words: &[&str], line: &str) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "eval \"$(tm completions bash)\"; COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'; \
         COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; \
         COMP_POINT=${{#COMP_LINE}}; \
         _tm_with_names tm \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" ")
    );
    let mut bash = command("bash", daemon.dir());
    bash.args(["--norc", "-c", &script])
        .env("TM_SOCKET", daemon.socket());
    let output = run(bash);
    output.stdout.lines().map(str::to_string).collect()
}

/// Readline leaves `@`, although it breaks words, in the word that it completes.
#[test]
fn a_group_is_completed_in_an_interactive_bash() {
    let daemon = Daemon::start(CONFIG);
    let mut bash = daemon.terminal(&["bash", "--norc", "-i"], 24, 80);
    bash.send("shopt -s hostcomplete; source <(tm completions bash); echo re''ady\r");
    bash.expect("ready");
    bash.send("tm status @e\t");
    bash.expect("tm status @edge ");
}

#[test]
fn bash_offers_states_groups_and_programs_to_scale() {
    let daemon = Daemon::start(CONFIG);
    let states = offered(
        &daemon,
        &["tm", "wait", "web", "--for", ""],
        "tm wait web --for ",
    );
    assert!(states.contains(&"stopped".to_string()), "{states:?}");
    assert!(!states.contains(&"web".to_string()), "{states:?}");
    assert_eq!(
        offered(&daemon, &["tm", "status", "@"], "tm status @"),
        ["@edge"]
    );
    assert_eq!(
        offered(&daemon, &["tm", "scale", "wo"], "tm scale wo"),
        ["worker="]
    );
    let names = offered(&daemon, &["tm", "stop", "wo"], "tm stop wo");
    assert_eq!(names, ["worker", "worker:0", "worker:1"]);
}

#[test]
fn an_unknown_group_is_called_a_group() {
    let daemon = Daemon::start(CONFIG);
    let output = daemon.tm(&["status", "@edgy"]);
    assert_eq!(output.code, 1);
    assert_eq!(
        output.stderr,
        "tm: no such group: @edgy; did you mean @edge?\n"
    );
}

#[test]
fn one_program_is_counted_as_one() {
    let daemon = Daemon::start("programs:\n  web: {cmd: sleep 1000, starttime: 0}\n");
    let mut check = command("tmd", daemon.dir());
    check.arg("--check");
    let output = run(check);
    assert!(output.stdout.ends_with("OK, 1 program\n"), "{output:?}");
}

#[test]
fn after_scale_up_says_how_to_return_to_the_config() {
    let daemon = Daemon::start(CONFIG);
    daemon.tm(&["scale", "worker=1"]);
    let socket = daemon.socket().display().to_string();
    let output = daemon.tm(&["up", "-d", "--socket", &socket]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .stderr
            .contains("scaled: worker; to return to the config: tm --socket"),
        "{output:?}"
    );
}

#[test]
fn a_program_scaled_to_nothing_is_not_called_unknown() {
    let daemon = Daemon::start(CONFIG);
    let mut events = daemon.events();
    assert_eq!(daemon.tm(&["scale", "worker=0"]).code, 0);
    for _ in 0..2 {
        events.wait_until("a removal", |event| event["event"] == "process_removed");
    }
    for verb in ["status", "start", "attach"] {
        let output = daemon.tm(&[verb, "worker"]);
        assert_eq!(output.code, 1, "{verb}: {output:?}");
        let told = "worker has no processes; tm scale worker=1 gives it one";
        assert!(output.stderr.contains(told), "{verb}: {output:?}");
    }
}
