//! Warnings of `tm check`.

use super::support;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn check_warns_about_paths_at_which_a_start_would_fail() {
    let folder = support::folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(path("directory")).expect("a new folder");
    fs::write(path("file"), "").expect("a new file");
    symlink("file", path("link")).expect("a new link");
    rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), 0o600.into()).expect("a new FIFO");
    for (keys, warning) in [
        ("stdout: link", "this is a symbolic link"),
        ("stderr: {file: link}", "this is a symbolic link"),
        ("stdout: directory", "this is a directory"),
        ("stdout: fifo", "this is no regular file"),
        (
            "stdout: 'none/{instance}.log'",
            "its directory does not exist",
        ),
        ("pidfile: none/a.pid", "its directory does not exist"),
        ("workingdir: none", "this directory does not exist"),
        ("workingdir: file", "this is no directory"),
        ("stdout: file", ""),
        ("stdout: new, pidfile: new.pid, workingdir: directory", ""),
        ("stdout: {file: fifo, direct: true}", ""),
    ] {
        let yaml = format!("programs: {{a: {{cmd: sleep 1, {keys}}}}}\n");
        let config = support::write_config(folder.path(), &yaml);
        for (name, argument) in [("tm", "check"), ("tmd", "--check")] {
            let mut command = support::command(name, folder.path());
            match name {
                "tm" => command.arg(argument).arg(&config),
                _ => command.arg("-c").arg(&config).arg(argument),
            };
            let output = support::run(command);
            assert_eq!(output.code, 0, "{keys}: {output:?}");
            let all = format!("{}{}", output.stdout, output.stderr);
            let found = all.matches("warning:").count();
            assert_eq!(found, usize::from(!warning.is_empty()), "{keys}: {all}");
            assert!(all.contains(warning), "{keys}: {all}");
        }
    }
}

#[test]
fn check_warns_about_access_to_a_socket_that_others_cannot_open() {
    let folder = support::folder();
    for (keys, warns) in [
        ("access: {read: [root]}", true),
        ("access: {read: [root]}, socket_mode: 0640", true),
        ("access: {control: [root]}, socket_mode: 0666", false),
        ("access: {read: [root]}, socket_mode: 0660", false),
        ("access: {}", false),
    ] {
        let yaml = format!("daemon: {{{keys}}}\nprograms: {{a: {{cmd: sleep 1}}}}\n");
        let config = support::write_config(folder.path(), &yaml);
        let mut command = support::command("tm", folder.path());
        command.arg("check").arg(&config);
        let output = support::run(command);
        assert_eq!(output.code, 0, "{keys}: {output:?}");
        let all = format!("{}{}", output.stdout, output.stderr);
        let found = all.contains("users who cannot open the socket");
        assert_eq!(found, warns, "{keys}: {all}");
    }
}
