//! Invalid configs, failing starts and unknown names.

use super::support::{self, Daemon, Output};

fn check(yaml: &str) -> Output {
    let folder = support::folder();
    let config = support::write_config(folder.path(), yaml);
    let mut check = support::command("tm", folder.path());
    check.arg("check").arg(config);
    support::run(check)
}

#[test]
fn a_config_is_checked_without_running_anything() {
    let folder = support::folder();
    let config = support::write_config(
        folder.path(),
        "programs: {a: {cmd: touch @DIR@/ran, starttime: 0}, b: {cmd: 'a | b'}}\n",
    );
    let mut tmd = support::command("tmd", folder.path());
    tmd.arg("-t").arg("-c").arg(&config);
    let output = support::run(tmd);
    assert_eq!(output.code, 0, "{output:?}");
    let all = output.stdout + &output.stderr;
    assert!(
        all.contains("warning") && all.contains("shell: true"),
        "{all}"
    );
    assert!(!folder.path().join("ran").exists());
    let output = check("programs:\n  a: {cmd: sleep 1, stoptim: 3}\n");
    assert_eq!(output.code, 1, "{output:?}");
    let all = output.stdout + &output.stderr;
    assert!(
        all.contains("taskmaster.yaml:2:") && all.contains("`stoptime`"),
        "{all}"
    );
}

#[test]
fn a_program_without_a_command_is_refused() {
    for yaml in [
        "programs:\n  a: {starttime: 0}\n",
        "programs:\n  a: {cmd: ''}\n",
        "programs:\n  a: {cmd: []}\n",
    ] {
        let output = check(yaml);
        assert_eq!(output.code, 1, "{yaml}: {output:?}");
        let all = output.stdout + &output.stderr;
        assert!(all.contains("programs.a") && all.contains("cmd"), "{all}");
    }
}

#[test]
fn a_start_that_fails_says_at_which_step_and_why() {
    let daemon = Daemon::start(
        "defaults: {startretries: 0, autostart: false}\n\
         programs:\n\
         \x20 exec: {cmd: /no/such/command}\n\
         \x20 rights: {cmd: /etc/passwd}\n\
         \x20 folder: {cmd: sleep 1, workingdir: /no/such/folder}\n\
         \x20 code: {cmd: '@BIN@/exit_code 7'}\n\
         \x20 well: {cmd: sleep 1000, starttime: 0}\n",
    );
    for (program, reason) in [
        ("exec", "exec /no/such/command: No such file or directory"),
        ("rights", "exec /etc/passwd: Permission denied"),
        ("folder", "chdir /no/such/folder: No such file or directory"),
        ("code", "exit 7"),
    ] {
        let output = daemon.tm(&["start", program]);
        assert_eq!(output.code, 1, "{output:?}");
        let all = output.stdout + &output.stderr;
        assert!(all.contains(reason), "{program}: {all}");
        assert_eq!(daemon.status(&format!("{program}:0"))["state"], "FATAL");
    }
    // A failing start does not keep the same command from starting another program.
    let output = daemon.tm(&["start", "exec", "well"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(daemon.status("well:0")["state"], "RUNNING");
}

#[test]
fn an_unknown_name_is_an_error_in_config_and_command() {
    let output = check("groups: {all_of_it: [web, wbe]}\nprograms: {web: {cmd: sleep 1}}\n");
    assert_eq!(output.code, 1, "{output:?}");
    let all = output.stdout + &output.stderr;
    assert!(all.contains("wbe") && all.contains("`web`"), "{all}");
    let daemon =
        Daemon::start("groups: {front: [web]}\nprograms: {web: {cmd: sleep 1000, starttime: 0}}\n");
    let pid = daemon.pid_of("web:0");
    for target in ["wbe", "web:1", "@fornt", "w?b:7"] {
        for verb in ["start", "stop", "restart"] {
            let output = daemon.tm(&[verb, target]);
            assert_eq!(output.code, 1, "{verb} {target}: {output:?}");
            assert!(output.stderr.contains(target), "{output:?}");
        }
    }
    // All or nothing: one unknown name keeps the command from doing anything.
    assert_eq!(daemon.tm(&["stop", "web", "unknown"]).code, 1);
    assert_eq!(daemon.pid_of("web:0"), pid);
    assert_eq!(daemon.tm(&["restart", "@front"]).code, 0);
    assert_ne!(daemon.pid_of("web:0"), pid);
}
