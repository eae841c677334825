//! The same services, and others, in the way in which they start by default: in the background.

use super::support::{self, Daemon, PATIENCE, is_root, skip, system};
use super::{done, free_ports, install, postgres_bin, prepare_folders};
use serde_json::json;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Each goes to the background by default.
const BACKGROUND: &str = "
defaults: {starttime: 0, autorestart: never, workingdir: '@DIR@', stderr: stdout}
programs:
  nginx: {cmd: nginx -p @DIR@ -c @DIR@/nginx.conf}
  redis: {cmd: redis-server --port @REDIS@ --bind 127.0.0.1 --daemonize yes --dir @DIR@/redis}
  apache2: {cmd: apache2 -d @DIR@ -f @DIR@/apache.conf -k start}
  sshd: {cmd: /usr/sbin/sshd -f @DIR@/sshd.conf}
  postgres:
    cmd: [@PG@/pg_ctl, start, -w, -D, @DIR@/postgres, -l, @DIR@/postgres/log, -o,
      -p @POSTGRES@ -c listen_addresses=127.0.0.1 -c unix_socket_directories='']
    user: postgres
";

/// The files of those services, which name their ports.
const BACKGROUND_FILES: [(&str, &str); 3] = [
    (
        "nginx.conf",
        "error_log stderr; pid run/nginx.pid; events {}\n\
         http { access_log off; server { listen 127.0.0.1:@NGINX@; root @DIR@/www; } }\n",
    ),
    (
        "apache.conf",
        "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
         LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
         ServerName localhost\nListen 127.0.0.1:@APACHE@\nPidFile @DIR@/run/apache.pid\n\
         ErrorLog @DIR@/logs/apache\nUser www-data\nGroup www-data\n\
         DocumentRoot @DIR@/www\n",
    ),
    (
        "sshd.conf",
        "ListenAddress 127.0.0.1:@SSHD@\nPidFile @DIR@/run/sshd.pid\nHostKey @DIR@/run/key\n",
    ),
];

#[test]
#[ignore = "installs packages; .ci/run services runs it"]
fn real_services_that_go_to_the_background_are_named_and_stopped() {
    if !is_root() {
        skip!("needs root to install packages, and to start postgres as its user");
    }
    install();
    for cgroups in [true, false] {
        println!("with cgroups: {cgroups}");
        go_to_the_background(cgroups);
    }
}

fn go_to_the_background(cgroups: bool) {
    let folder = support::folder();
    let ports = free_ports::<5>();
    prepare_background(folder.path(), &ports);
    let socket = folder.path().join("tmd.sock");
    let mut daemon = Daemon::start_prepared(folder, socket.clone(), |tmd| {
        tmd.arg("--socket").arg(socket);
        if !cgroups {
            let script = "for mount in $(awk '$3 == \"cgroup2\" {print $2}' /proc/mounts); do
                mount -o remount,bind,ro $mount; done; exec \"$@\"";
            let mut unshare = support::command("unshare", tmd.get_current_dir().expect("a folder"));
            unshare.args(["--mount", "sh", "-c", script, "sh"]);
            unshare.arg(tmd.get_program()).args(tmd.get_args());
            *tmd = unshare;
        }
    });
    let mut pids = Vec::new();
    for name in ["nginx:0", "redis:0", "apache2:0", "sshd:0", "postgres:0"] {
        daemon.wait_ended(name);
        pids.extend(stragglers_of(&daemon, name));
    }
    println!("{}", daemon.tm(&["status"]).stdout);
    for name in ["nginx", "redis", "apache2", "sshd", "postgres"] {
        println!("{}", daemon.tm(&["why", name]).stdout);
    }
    let output = daemon.tm(&["stop", "all"]);
    assert_eq!(output.code, 0, "{output:?}");
    println!("{}", output.stdout);
    for pid in pids {
        assert!(!system::is_alive(pid), "pid {pid}\n{}", daemon.log());
    }
    for port in ports {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        assert!(bound.is_ok(), "{port}: {bound:?}");
    }
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
}

/// The stragglers of a process that listen, once `why` names a port. No event reports that.
fn stragglers_of(daemon: &Daemon, name: &str) -> Vec<i32> {
    let began = Instant::now();
    let mut watch = system::FolderWatch::new(daemon.dir());
    loop {
        let why = daemon.rpc("why", json!({"process": name}));
        if why.to_string().contains("listens on port") {
            let named = why["process"]["stragglers"].as_array().expect("a list");
            let pids = named
                .iter()
                .filter_map(|text| text.as_str()?.split(' ').next());
            return pids.filter_map(|pid| pid.parse().ok()).collect();
        }
        if began.elapsed() > PATIENCE {
            panic!(
                "{why}\n{}\n{}",
                daemon.tm(&["logs", name]).stdout,
                daemon.log()
            );
        }
        watch.wait(Duration::from_millis(5));
    }
}

fn prepare_background(folder: &Path, ports: &[u16; 5]) {
    let names = ["@NGINX@", "@REDIS@", "@APACHE@", "@SSHD@", "@POSTGRES@"];
    let filled = |text: &str| {
        let text = names
            .iter()
            .zip(ports)
            .fold(text.to_string(), |text, (name, port)| {
                text.replace(name, &port.to_string())
            });
        let text = text.replace("@PG@", &postgres_bin().display().to_string());
        text.replace("@DIR@", &folder.display().to_string())
    };
    support::write_config(folder, &filled(BACKGROUND));
    for (name, text) in BACKGROUND_FILES {
        fs::write(folder.join(name), filled(text)).expect("our folder");
    }
    prepare_folders(folder);
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(folder.join("run/key"));
    done(keygen);
    fs::create_dir_all("/run/sshd").expect("we are root");
}
