//! Names that a daemon sends, in the completion of a shell.

use super::fake_daemon::{FakeDaemon, Reply, row};
use super::support::{Terminal, skip};
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};

/// Programs whose names a shell would run, expand or split.
const NAMES: [&str; 9] = [
    "n$(touch x)",
    "b`touch x`",
    "c;touch x;",
    "d'e\"f",
    "g*",
    "h{1,2}",
    "i${IFS}j",
    "k\\l",
    "m&n",
];

fn daemon() -> FakeDaemon {
    FakeDaemon::start(|method, params| match method {
        "status" => {
            let mut rows: Vec<_> = NAMES.iter().map(|name| row(name)).collect();
            rows.push(row("z\ntouch x"));
            rows.push(row("z\u{1b}[2J"));
            Reply::Result(json!({"processes": rows}))
        }
        "stop" => {
            let name = &params["targets"][0];
            let outcome = json!({"name": name, "ok": true, "state": "STOPPED", "message": "ok"});
            Reply::Result(json!({"processes": [outcome], "timed_out": false}))
        }
        _ => Reply::Result(json!(null)),
    })
}

/// Starts a shell that has loaded the completions.
fn shell(daemon: &FakeDaemon, shell: &[&str], setup: &str) -> Terminal {
    let mut command = daemon.command(shell);
    command.env("PS1", "ready> ").env("HISTFILE", "/dev/null");
    let mut terminal = Terminal::spawn_command(&command, 24, 200);
    terminal.expect("ready> ");
    terminal.send(setup);
    terminal.expect("loaded.");
    terminal
}

/// Completes each name and runs the line: the daemon must get exactly that name.
fn complete_and_stop(daemon: &FakeDaemon, terminal: &mut Terminal) {
    for (count, name) in NAMES.iter().enumerate() {
        let done = format!("done{count}.");
        terminal.send(&format!("tm stop {}\t", &name[..1]));
        // The program and its process begin the same; the daemon is asked for both.
        terminal.send(&format!("; echo done{count}''.\r"));
        terminal.expect(&done);
        assert!(!daemon.dir().join("x").exists(), "a name was run: {name}");
        let asked = daemon.wait_request("stop");
        let target = asked["targets"][0].as_str().unwrap_or_default();
        assert_eq!(target, *name, "{}", terminal.contents());
    }
    // Names with control characters are not offered at all.
    terminal.send("tm stop z\t\t; echo end''.\r");
    terminal.expect("end.");
    assert_eq!(daemon.wait_request("stop")["targets"], json!(["z"]));
    assert!(!daemon.dir().join("x").exists());
}

#[test]
fn bash_runs_no_name() {
    let daemon = daemon();
    let setup = "source <(tm completions bash); bind 'set enable-bracketed-paste off'; \
                 echo loaded''.\r";
    let mut bash = shell(&daemon, &["bash", "--norc", "--noprofile", "-i"], setup);
    complete_and_stop(&daemon, &mut bash);
    // Within quotes only names that mean themselves are offered.
    for quote in ['"', '\''] {
        bash.send(&format!("tm stop {quote}n\t\t{quote}; echo quoted''.\r"));
        bash.expect("quoted.");
        assert_eq!(daemon.wait_request("stop")["targets"], json!(["n"]));
    }
    assert!(!daemon.dir().join("x").exists());
    bash.send("exit\r");
    bash.wait_end();
}

#[test]
fn zsh_runs_no_name() {
    let Some(zsh) = installed("zsh") else {
        skip!("zsh is not installed");
    };
    let daemon = daemon();
    fs::create_dir(daemon.dir().join("functions")).expect("a new folder");
    let script = daemon.tm(&["completions", "zsh"]).stdout;
    fs::write(daemon.dir().join("functions/_tm"), script).expect("written");
    let setup = "fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D; \
                 unsetopt automenu; echo loaded''.\r";
    let mut zsh = shell(&daemon, &[&zsh, "-f", "-i"], setup);
    complete_and_stop(&daemon, &mut zsh);
    zsh.send("exit\r");
    zsh.wait_end();
}

#[test]
fn fish_runs_no_name() {
    let Some(fish) = installed("fish") else {
        skip!("fish is not installed");
    };
    let daemon = daemon();
    let script = daemon.tm(&["completions", "fish"]).stdout;
    let file = daemon.dir().join("tm.fish");
    fs::write(&file, script).expect("written");
    for name in NAMES {
        let typed = &name[..1];
        let line = format!("source tm.fish; complete --escape -C 'tm stop {typed}'");
        let output = super::support::run(daemon.command(&[&fish, "--no-config", "-c", &line]));
        // The escaped form is what the shell inserts.
        let mut words = output.stdout.lines().filter(|line| !line.contains(":0"));
        let word = words.next_back().unwrap_or_default().to_string();
        let line = format!("printf %s {word}");
        let read = super::support::run(daemon.command(&[&fish, "--no-config", "-c", &line]));
        assert_eq!(read.stdout, name, "{output:?}");
    }
    assert!(!daemon.dir().join("x").exists());
}

/// The shell's path; `TM_TEST_ZSH` and `TM_TEST_FISH` name one that is not in the usual place.
fn installed(shell: &str) -> Option<String> {
    let named = std::env::var(format!("TM_TEST_{}", shell.to_uppercase()));
    if let Ok(path) = named {
        return Some(path);
    }
    let mut version = Command::new(shell);
    version.arg("--version").stdout(Stdio::null());
    version.status().ok().map(|_| shell.to_string())
}
