//! Programs that run as another user.

use super::support::{self, Daemon};
use super::*;
use std::os::unix::fs::symlink;

#[test]
fn a_program_runs_as_its_user_with_its_groups_and_its_home() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "defaults: {user: nobody, autorestart: never, starttime: 0}\n\
         programs:\n\
         \x20 plain: {cmd: '@DIR@/print_env', stdout: '@DIR@/logs/plain'}\n\
         \x20 groups: {cmd: '@DIR@/print_env', stdout: '@DIR@/logs/groups', group: adm,\n\
         \x20   supplementary_groups: [games, tty]}\n\
         \x20 number: {cmd: '@DIR@/print_env', stdout: '@DIR@/number', user: 0, group: adm}\n",
    );
    let plain = report(&daemon, "logs/plain");
    assert_eq!(plain["uid"], four(NOBODY));
    assert_eq!(plain["gid"], four(NOBODY));
    assert_eq!(plain["groups"], json!([NOBODY]));
    let env = &plain["env"];
    assert_eq!(env["HOME"], "/nonexistent");
    assert_eq!(env["SHELL"], "/usr/sbin/nologin");
    assert_eq!(
        (&env["USER"], &env["LOGNAME"]),
        (&json!("nobody"), &json!("nobody"))
    );

    let groups = report(&daemon, "logs/groups");
    assert_eq!(groups["uid"], four(NOBODY));
    assert_eq!(groups["gid"], four(4));
    assert_eq!(
        groups["groups"],
        json!([5, 60]),
        "those asked for and no other"
    );

    let number = report(&daemon, "number");
    assert_eq!((&number["uid"], &number["gid"]), (&four(0), &four(4)));
    assert_eq!(number["env"]["USER"], "root");

    let owner = |name: &str| {
        let metadata = fs::metadata(daemon.path(name)).expect("its log");
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
    };
    assert_eq!(owner("logs/plain"), (NOBODY, NOBODY, 0o640));
    assert_eq!(owner("logs/groups"), (NOBODY, 4, 0o640));
}

#[test]
fn a_process_with_another_user_gains_nothing_by_setuid_files() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "defaults: {cmd: '@DIR@/print_env', autorestart: never, starttime: 0}\n\
         programs:\n\
         \x20 less: {user: nobody, stdout: '@DIR@/logs/less'}\n\
         \x20 same: {user: root, stdout: '@DIR@/same'}\n\
         \x20 none: {stdout: '@DIR@/none'}\n",
    );
    assert_eq!(report(&daemon, "logs/less")["no_new_privs"], true);
    // A daemon that already has it passes it on.
    let own = fs::read_to_string("/proc/self/status").expect("we live");
    let own = own.contains("\nNoNewPrivs:\t1\n");
    assert_eq!(report(&daemon, "same")["no_new_privs"], own);
    assert_eq!(report(&daemon, "none")["no_new_privs"], own);
}

#[test]
fn a_number_without_a_user_is_possible_with_a_group() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "programs:\n  a: {cmd: '@DIR@/print_env --wait', user: 4242, group: 4343, starttime: 0}\n",
    );
    let row = daemon.wait_state("a:0", "RUNNING");
    let status = fs::read_to_string(format!("/proc/{}/status", row["pid"])).expect("it lives");
    assert!(
        status.contains("\nUid:\t4242\t4242\t4242\t4242\n"),
        "{status}"
    );
    assert!(
        status.contains("\nGid:\t4343\t4343\t4343\t4343\n"),
        "{status}"
    );
    assert!(status.contains("\nGroups:\t4343 \n"), "{status}");
}

#[test]
fn a_user_cannot_become_root_again_and_owns_what_it_makes() {
    if !is_root() {
        skip!("needs root");
    }
    let script = "umask; touch made; setpriv --reuid 0 true || echo stays; \
                  setpriv --regid 0 true || echo so too; cat /etc/shadow || echo nothing";
    let daemon = start(&format!(
        "programs:\n\
         \x20 a: {{cmd: [sh, -c, '{script}'], user: nobody, workingdir: '@DIR@/logs',\n\
         \x20   umask: 027, autorestart: never, starttime: 0, stdout: '@DIR@/logs/said'}}\n"
    ));
    daemon.wait_ended("a:0");
    assert_eq!(daemon.read("logs/said"), "0027\nstays\nso too\nnothing\n");
    let made = fs::metadata(daemon.path("logs/made")).expect("it made a file");
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o777),
        (NOBODY, NOBODY, 0o640)
    );
}

#[test]
fn the_terminal_belongs_to_the_user() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "programs:\n\
         \x20 a: {cmd: '@DIR@/print_env --wait', user: games, tty: true, starttime: 0}\n",
    );
    let row = daemon.wait_state("a:0", "RUNNING");
    let terminal = fs::read_link(format!("/proc/{}/fd/0", row["pid"])).expect("it lives");
    let metadata = fs::metadata(&terminal).expect("a terminal");
    assert_eq!(metadata.uid(), GAMES.0, "{}", terminal.display());
    assert_eq!(metadata.mode() & 0o007, 0, "others may not type");
}

#[test]
fn a_log_is_never_made_where_its_user_may_not_write() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "defaults: {user: nobody, startretries: 0, cmd: sleep 1000}\n\
         programs:\n\
         \x20 log: {stdout: '@DIR@/log'}\n\
         \x20 direct: {stdout: {file: '@DIR@/direct', direct: true}}\n",
    );
    for name in ["log", "direct"] {
        let row = daemon.wait_state(&format!("{name}:0"), "FATAL");
        let detail = row["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("Permission denied"), "{row}");
        assert!(
            detail.contains(&daemon.path(name).display().to_string()),
            "{row}"
        );
        assert!(!daemon.path(name).exists(), "made with root's rights");
    }
}

#[test]
fn links_and_files_of_others_in_a_users_folder_are_refused() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared_folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, "root's\n").expect("a file");
    set_mode(&secret, 0o600);
    for name in ["linked", "direct", "dangling"] {
        let target = if name == "dangling" {
            "/etc/made-by-tmd"
        } else {
            "../secret"
        };
        symlink(target, folder.path().join("logs").join(name)).expect("a link");
    }
    let of_root = folder.path().join("logs/of_root");
    fs::write(&of_root, "root's\n").expect("a file");
    set_mode(&of_root, 0o600);
    support::write_config(
        folder.path(),
        "defaults: {user: nobody, startretries: 0, cmd: 'echo overwritten', starttime: 0,\n\
         \x20 workingdir: /, autorestart: never}\n\
         programs:\n\
         \x20 linked: {stdout: '@DIR@/logs/linked'}\n\
         \x20 dangling: {stdout: '@DIR@/logs/dangling'}\n\
         \x20 direct: {stdout: {file: '@DIR@/logs/direct', direct: true}}\n\
         \x20 of_root: {stdout: '@DIR@/logs/of_root'}\n\
         \x20 pidfile: {cmd: sleep 1000, pidfile: '@DIR@/pidfile'}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    for name in ["linked", "dangling", "direct", "of_root"] {
        daemon.wait_state(&format!("{name}:0"), "FATAL");
    }
    let kept = |name: &str| {
        let metadata = fs::metadata(daemon.path(name)).expect("it is still there");
        (daemon.read(name), metadata.uid(), metadata.mode() & 0o777)
    };
    assert_eq!(kept("secret"), ("root's\n".to_string(), 0, 0o600));
    assert_eq!(kept("logs/of_root"), ("root's\n".to_string(), 0, 0o600));
    assert!(!Path::new("/etc/made-by-tmd").exists());
    daemon.wait_state("pidfile:0", "RUNNING");
    assert!(
        !daemon.path("pidfile").exists(),
        "not in root's folder as nobody"
    );
}

#[test]
fn input_is_read_with_the_users_own_rights() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared_folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, "root's\n").expect("a file");
    set_mode(&secret, 0o600);
    let open = folder.path().join("open");
    fs::write(&open, "everybody's\n").expect("a file");
    set_mode(&open, 0o644);
    symlink("../secret", folder.path().join("logs/in")).expect("a link");
    symlink("../open", folder.path().join("logs/way")).expect("a link");
    let fifo = Command::new("mkfifo")
        .arg(folder.path().join("fifo"))
        .status();
    assert!(fifo.expect("mkfifo is installed").success());
    support::write_config(
        folder.path(),
        "defaults: {cmd: cat, user: nobody, autorestart: never, starttime: 0, startretries: 0}\n\
         programs:\n\
         \x20 link: {stdin: '@DIR@/logs/in'}\n\
         \x20 plain: {stdin: '@DIR@/secret'}\n\
         \x20 fifo: {stdin: '@DIR@/fifo'}\n\
         \x20 may: {stdin: '@DIR@/logs/way', stdout: '@DIR@/logs/out'}\n\
         \x20 root: {stdin: '@DIR@/secret', stdout: '@DIR@/out', user: root}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    for (name, file) in [("link", "logs/in"), ("plain", "secret")] {
        let row = daemon.wait_state(&format!("{name}:0"), "FATAL");
        let detail = row["detail"].as_str().unwrap_or_default();
        let path = daemon.path(file);
        let expected = format!("stdin: open {}: Permission denied", path.display());
        assert!(detail.contains(&expected), "{row}");
    }
    daemon.wait_state("fifo:0", "FATAL");
    daemon.wait_ended("may:0");
    daemon.wait_ended("root:0");
    assert_eq!(daemon.read("logs/out"), "everybody's\n");
    assert_eq!(daemon.read("out"), "root's\n");
}

#[test]
fn rotated_logs_belong_to_the_user_too() {
    if !is_root() {
        skip!("needs root");
    }
    let daemon = start(
        "programs:\n\
         \x20 a:\n\
         \x20   cmd: [sh, -c, 'seq 10000']\n\
         \x20   user: nobody\n\
         \x20   starttime: 0\n\
         \x20   autorestart: never\n\
         \x20   stdout: {file: '@DIR@/logs/a', max_size: 20KB, keep: 5}\n",
    );
    daemon.wait_ended("a:0");
    for name in ["logs/a", "logs/a.1", "logs/a.2"] {
        let metadata = fs::metadata(daemon.path(name)).expect(name);
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY), "{name}");
    }
}

#[test]
fn an_ordinary_user_cannot_run_programs_as_another() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = shared_folder();
    let yaml = "programs:\n  a: {cmd: sleep 1000, user: games}\n  b: {cmd: x, group: adm}\n";
    support::write_config(folder.path(), yaml);
    let mut check = Command::new(folder.path().join("tmd"));
    check
        .arg("--check")
        .arg("-c")
        .arg(folder.path().join("taskmaster.yaml"));
    let output = support::run_with_input(as_nobody(check), "");
    assert_eq!(output.code, 1, "{output:?}");
    let text = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(text.matches("needs root").count(), 2, "{text}");
    assert!(text.contains("programs.a.user"), "{text}");
    assert!(text.contains("programs.b.group"), "{text}");
}

fn as_nobody(mut command: Command) -> Command {
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    command
}
