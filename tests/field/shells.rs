//! The completion of a shell asks the daemon that the line names.

use super::support::{self, Daemon, Terminal, command, run, skip};
use std::path::Path;
use std::process::{Command, Stdio};

/// The daemon of a folder, and one that a line has to name. Both folders have a file whose name
/// begins like a process.
fn daemons() -> (Daemon, Daemon) {
    // Both are of one user, who has one runtime directory.
    let daemon = |name: &str, runtime: Option<&Path>| {
        let yaml = format!("programs: {{{name}: {{cmd: sleep 1000, starttime: 0}}}}\n");
        let folder = support::folder();
        support::write_config(folder.path(), &yaml);
        let socket = folder.path().join("tmd.sock");
        let daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
            tmd.arg("--socket").arg(socket);
            if let Some(runtime) = runtime {
                tmd.env("XDG_RUNTIME_DIR", runtime);
            }
        });
        std::fs::write(daemon.path("my file"), "").expect("a new file");
        daemon
    };
    let here = daemon("there", None);
    let other = daemon("other", Some(here.dir()));
    (here, other)
}

/// The ways to name the other daemon on a line before the cursor, as a user of a shell types them,
/// and whether it runs.
fn lines(other: &Daemon) -> [(String, bool); 7] {
    let dir = other.dir().display();
    [
        (format!("tm -c {dir}/taskmaster.yaml stop "), true),
        (format!("tm -c'{dir}/taskmaster.yaml' why "), true),
        (format!("tm --config=\"{dir}\"/taskmaster.yaml stop "), true),
        (format!("tm stop --config {dir}/taskmaster.yaml "), true),
        (format!("tm --socket {dir}/tmd.sock stop "), true),
        (format!("tm --socket={dir}/tmd.sock logs "), true),
        (format!("tm -c {dir}/none.yaml stop "), false),
    ]
}

/// A shell in the folder of the first daemon.
fn shell(daemon: &Daemon, arguments: &[&str], setup: &str) -> Terminal {
    let mut command = command(arguments[0], daemon.dir());
    command.args(&arguments[1..]).env_remove("TM_SOCKET");
    command.env("PS1", "ready> ").env("HISTFILE", "/dev/null");
    let mut terminal = Terminal::spawn_command(&command, 24, 300);
    terminal.expect("ready> ");
    terminal.send(setup);
    terminal.expect("loaded.");
    terminal
}

/// Completes a name of the other daemon, and prints the words instead of running them.
fn check(shell: &mut Terminal, here: &Daemon, other: &Daemon) {
    for (count, (line, runs)) in lines(other).into_iter().enumerate() {
        shell.send(&format!("{line}oth\t:0 done{count}.\r"));
        let word = if runs { "other" } else { "oth" };
        shell.expect(&format!("<{word}"));
        shell.expect(&format!("<done{count}.>"));
        let screen = shell.contents();
        let last = screen.lines().rev().find(|line| line.starts_with('<'));
        let last = last.unwrap_or_default().to_string();
        assert_eq!(last.contains("<other"), runs, "{line}: {screen}");
        shell.send("clear\r");
        shell.expect_screen("a clear screen", |screen| !screen.contains('<'));
    }
    // A line that names none means the daemon of the folder.
    shell.send("tm stop ther\t done.\r");
    shell.expect("<there");
    shell.expect("<done.>");
    assert_eq!(here.status("there:0")["state"], "RUNNING");
}

/// Defines a function `tm` that completes like `tm` and prints its words.
const PRINTS: &str = "tm() { if [ \"$1\" = __complete-names ]; then command tm \"$@\"; else \
                      printf '<%s>' \"$@\"; echo; fi; }; ";

#[test]
fn bash_completes_names_of_the_daemon_that_the_line_names() {
    let (here, other) = daemons();
    let setup = format!(
        "source <(command tm completions bash); bind 'set enable-bracketed-paste off'; {PRINTS} \
         echo loaded''.\r"
    );
    let mut bash = shell(&here, &["bash", "--norc", "--noprofile", "-i"], &setup);
    check(&mut bash, &here, &other);
    for line in ["check ", "up ", "--config=", "-q up -d --config "] {
        bash.send("clear\r");
        bash.expect_screen("a clear screen", |screen| !screen.contains('<'));
        bash.send(&format!("tm {line}taskm\t done.\r"));
        bash.expect("<done.>");
        let screen = bash.contents();
        assert!(
            screen.contains("taskmaster.yaml><done.>"),
            "{line}: {screen}"
        );
    }
    bash.send("exit\r");
    bash.wait_end();
}

#[test]
fn zsh_completes_names_of_the_daemon_that_the_line_names() {
    if !is_installed("zsh") {
        skip!("zsh is not installed");
    }
    let (here, other) = daemons();
    std::fs::create_dir(here.path("functions")).expect("a new folder");
    let script = here.tm(&["completions", "zsh"]).stdout;
    std::fs::write(here.path("functions/_tm"), script).expect("written");
    let setup = format!(
        "fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D; \
         unsetopt automenu; {PRINTS} echo loaded''.\r"
    );
    let mut zsh = shell(&here, &["zsh", "-f", "-i"], &setup);
    check(&mut zsh, &here, &other);
    zsh.send("exit\r");
    zsh.wait_end();
}

#[test]
fn fish_completes_names_of_the_daemon_that_the_line_names() {
    if !is_installed("fish") {
        skip!("fish is not installed");
    }
    let (here, other) = daemons();
    let script = here.tm(&["completions", "fish"]).stdout;
    std::fs::write(here.path("tm.fish"), script).expect("written");
    let complete = |line: &str| {
        let line = line.replace('\'', "\\'");
        let mut fish = command("fish", here.dir());
        let script = format!("source tm.fish; complete -C '{line}'");
        fish.args(["--no-config", "-c", &script]);
        run(fish).stdout
    };
    for (line, runs) in lines(&other) {
        let found = complete(&format!("{line}ot"));
        assert_eq!(found.contains("other:0"), runs, "{line}: {found}");
        // A file is no process.
        assert_eq!(complete(&format!("{line}my")), "", "{line}");
        assert_eq!(complete(&format!("{line}my:")), "", "{line}");
    }
    assert_eq!(complete("tm stop ther"), "there\nthere:0\n");
    assert_eq!(complete("tm attach ther"), "there:0\n");
    assert_eq!(complete("tm check taskm"), "taskmaster.yaml\n");
}

fn is_installed(shell: &str) -> bool {
    let mut version = Command::new(shell);
    version.arg("--version").stdout(Stdio::null());
    version.status().is_ok()
}
