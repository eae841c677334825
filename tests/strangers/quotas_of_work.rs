//! Clients and programs that make the daemon work: the owner is served meanwhile as before, and
//! the daemon's memory stays as it is.

use super::attackers::{
    OPERATOR, READER, Siege, alone, answer, assert_undisturbed, connect_as, crowd, delays,
    least_delays, memory, request, send, start,
};
use super::support::{self, Control, Daemon, is_root, skip};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Memory in KiB by which an attack may make the daemon grow: the share of one user, what one
/// request takes for a moment, and what the allocator keeps.
const GROWTH_MAX: u64 = 48 * 1024;

/// A thousand programs that are not started, and one that is.
fn thousand() -> Daemon {
    let mut programs = String::from("programs:\n  quiet: {cmd: sleep 1000, starttime: 0}\n");
    for number in 0..1000 {
        programs.push_str(&format!(
            "  p{number}: {{cmd: sleep 1000, autostart: false, env: {{A: '{number}', B: b}}}}\n"
        ));
    }
    start(&programs)
}

/// A terminal whose screen of 100 x 300 is full of colours, and as many lines above it as are kept.
fn colourful() -> Daemon {
    let daemon = start(
        "programs:\n  quiet: {cmd: sleep 1000, starttime: 0}\n  \
         screen: {cmd: 'sh screen.sh', tty: {rows: 100, cols: 300}, autostart: false}\n",
    );
    let script = r#"
awk 'BEGIN { for (i = 0; i < 60000; i++) printf "\033[3%d;4%dmX", i % 8, (i / 7) % 8 }'
echo; touch drawn; exec sleep 1000
"#;
    fs::write(daemon.path("screen.sh"), script).expect("it is ours");
    daemon.rpc("start", json!({"targets": ["screen"]}));
    let mut watch = support::system::FolderWatch::new(daemon.dir());
    let deadline = Instant::now() + support::PATIENCE;
    while !daemon.path("drawn").exists() {
        assert!(Instant::now() < deadline, "nothing is drawn");
        watch.wait(Duration::from_secs(1));
    }
    daemon
}

/// Lays a siege with one request and measures the owner's delays before and meanwhile. The owner
/// waits for one request of the others, not for all of them.
fn besiege(daemon: &Daemon, method: &str, params: &Value) {
    besiege_as(READER, daemon, method, params);
}

fn besiege_as(uid: u32, daemon: &Daemon, method: &str, params: &Value) {
    let request = &request(1, method, params);
    let mut owner = daemon.control();
    let one = median_of(&mut owner, method, params);
    let before = delays(&mut owner, "status", 51);
    let size = memory(daemon, "VmHWM:");
    let siege = Siege::lay(daemon, uid, 32, request);
    let during = least_delays(&mut owner, "status", 51);
    drop(siege);
    assert_undisturbed(&before, &during, 15 + 3 * one.as_millis() as u64);
    let grown = memory(daemon, "VmHWM:").saturating_sub(size);
    eprintln!("{method}: {one:?} each, {grown} KiB");
    assert!(grown < GROWTH_MAX, "{grown} KiB");
}

fn median_of(owner: &mut Control, method: &str, params: &Value) -> Duration {
    let mut all: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            owner.call(method, params.clone()).expect("an answer");
            began.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[2]
}

#[test]
fn dry_runs_delay_no_client() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    besiege(&thousand(), "reload", &json!({"dry_run": true}));
}

/// The processor time of the daemon's own thread, in which it serves clients.
fn own_time(daemon: &Daemon) -> Duration {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", daemon.pid())).expect("it lives");
    let nanoseconds = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

#[test]
fn no_request_about_a_thousand_processes_holds_the_daemon_for_long() {
    let _alone = alone();
    let folder = support::folder();
    let lines = (0..400).map(|number| format!("line {number} of the output of a process\n"));
    fs::write(folder.path().join("lines"), lines.collect::<String>()).expect("a new file");
    let config = "programs:\n  p: {cmd: cat lines, numprocs: 1000, starttime: 0, \
                  autorestart: never, autostart: false}\n  quiet: {cmd: sleep 1000}\n";
    support::write_config(folder.path(), config);
    let daemon = Daemon::start_in(folder, &[]);
    daemon.rpc("start", json!({"targets": ["p"]}));
    let mut owner = daemon.control();
    let mut requests = vec![
        ("status", json!({})),
        ("logs", json!({"targets": ["all"]})),
        ("logs", json!({"targets": ["all"], "lines": 10})),
        (
            "logs",
            json!({"targets": ["all"], "since_s": 1000, "stream": "stderr"}),
        ),
        ("events", json!({})),
        ("clients", json!({})),
        ("why", json!({"process": "p:999"})),
        ("peek", json!({"process": "p:999", "history": 5000})),
        ("scale", json!({"program": "quiet", "numprocs": 1})),
    ];
    // As many targets as a request can name.
    let targets: Vec<String> = (0..1000).map(|number| format!("p:{number}")).collect();
    requests.push(("status", json!({"targets": targets})));
    for (method, params) in requests {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let before = own_time(&daemon);
                owner.call(method, params.clone()).expect("an answer");
                // The reply to the next request is the end of the turn.
                owner.call("hello", json!({})).expect("an answer");
                own_time(&daemon) - before
            })
            .collect();
        times.sort_unstable();
        let text = params.to_string();
        let text: String = text.chars().take(60).collect();
        eprintln!("{method} {text}: {:?}", times[2]);
        assert!(
            times[2] < Duration::from_millis(10),
            "{method} {text}: {times:?}"
        );
    }
}

#[test]
fn reloads_delay_no_client() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    besiege_as(OPERATOR, &thousand(), "reload", &json!({}));
}

#[test]
fn a_large_environment_is_kept_once() {
    if !is_root() {
        skip!("needs root");
    }
    let folder = support::folder();
    let lines = (0..9).map(|number| format!("V{number}={}\n", "x".repeat(100_000)));
    fs::write(folder.path().join("big.env"), lines.collect::<String>()).expect("a new file");
    support::write_config(
        folder.path(),
        "programs:\n  big: {cmd: sleep 1000, env_file: big.env, autostart: false, \
         numprocs: 400, env: {N: '{instance}'}}\n",
    );
    let daemon = Daemon::start_in(folder, &[]);
    assert_eq!(daemon.all().len(), 400);
    let most = memory(&daemon, "VmHWM:");
    assert!(most < 40 * 1024, "{most} KiB");
    for _ in 0..5 {
        daemon.rpc("reload", json!({"dry_run": true}));
        daemon.rpc("reload", json!({}));
    }
    let most = memory(&daemon, "VmHWM:");
    assert!(most < 60 * 1024, "{most} KiB");
    // Memory of the loads is given back.
    let deadline = Instant::now() + support::PATIENCE;
    while memory(&daemon, "VmRSS:") > 30 * 1024 {
        assert!(
            Instant::now() < deadline,
            "{} KiB",
            memory(&daemon, "VmRSS:")
        );
        daemon.rpc("status", json!({"targets": ["big:0"]}));
    }
    let error = daemon.rpc_error("scale", json!({"program": "big", "numprocs": 10_001}));
    assert!(error.to_string().contains("at most 10000"), "{error}");
}

#[test]
fn the_status_of_all_delays_no_client_for_long() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = thousand();
    besiege(&daemon, "status", &json!({}));
}

#[test]
fn pictures_of_a_screen_delay_no_client_for_long() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = colourful();
    let params = json!({"process": "screen", "ansi": true, "history": 5000});
    besiege(&daemon, "peek", &params);
}

#[test]
fn what_no_client_reads_takes_a_limited_amount_of_memory() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = colourful();
    let mut owner = daemon.control();
    let peek = json!({"process": "screen", "ansi": true, "history": 1000});
    let one = median_of(&mut owner, "peek", &peek);
    let before = delays(&mut owner, "status", 51);
    let size = memory(&daemon, "VmHWM:");
    // Attached to the screen, without reading it.
    let watched = json!({"process": "screen", "read_only": true, "replay": true});
    let watchers = crowd(&daemon, READER, 100);
    for stream in &watchers {
        send(stream, request(1, "attach", &watched).as_bytes());
    }
    let during = delays(&mut owner, "status", 51);
    drop(watchers);
    // Replies that are not read.
    let unread = request(1, "events", &json!({})).repeat(1000);
    let silent = crowd(&daemon, READER, 200);
    for stream in &silent {
        stream
            .set_write_timeout(Some(Duration::from_millis(100)))
            .expect("it is a socket");
        send(stream, unread.as_bytes());
    }
    daemon.rpc("status", json!({}));
    let grown = memory(&daemon, "VmHWM:").saturating_sub(size);
    assert!(grown < GROWTH_MAX, "{grown} KiB");
    assert_undisturbed(&before, &during, 15 + 3 * one.as_millis() as u64);
}

#[test]
fn waits_take_a_limited_amount_of_memory_and_time() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = thousand();
    let mut owner = daemon.control();
    let before = delays(&mut owner, "status", 51);
    let size = memory(&daemon, "VmHWM:");
    let waits = request(1, "wait", &json!({"targets": ["all"], "for": "fatal"})).repeat(100);
    let crowd = crowd(&daemon, READER, 60);
    for stream in &crowd {
        send(stream, waits.as_bytes());
    }
    let during = delays(&mut owner, "status", 51);
    let grown = memory(&daemon, "VmHWM:").saturating_sub(size);
    assert!(grown < GROWTH_MAX, "{grown} KiB");
    assert_undisturbed(&before, &during, 30);
    // One connection has a limited number of requests that wait.
    let stream = connect_as(READER, &daemon.socket()).expect("it connects");
    let wait = request(1, "wait", &json!({"targets": ["quiet"], "for": "fatal"}));
    send(&stream, wait.repeat(257).as_bytes());
    let refused = answer(&stream).expect("an answer");
    assert_eq!(refused["error"]["code"], -32003, "{refused}");
}

#[test]
fn memory_is_flat_under_every_attack_at_once() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = colourful();
    let size = memory(&daemon, "VmHWM:");
    let first = attack_at_once(&daemon);
    let grown = first.saturating_sub(size);
    assert!(grown < GROWTH_MAX, "{grown} KiB");
    let last = (0..3).map(|_| attack_at_once(&daemon)).max();
    let last = last.unwrap_or_default();
    assert!(last < first + 8 * 1024, "{first} KiB, then {last} KiB");
}

/// Returns the most memory that the daemon had so far.
fn attack_at_once(daemon: &Daemon) -> u64 {
    let peek = json!({"process": "screen", "ansi": true, "history": 5000});
    let stop = json!({"targets": ["all"]});
    let sieges = [
        Siege::lay(daemon, READER, 8, &request(1, "peek", &peek)),
        Siege::lay(daemon, READER, 8, &request(1, "status", &json!({}))),
        Siege::lay(daemon, READER, 8, &request(1, "events", &json!({}))),
        Siege::lay(daemon, READER, 8, &request(1, "stop", &stop)),
    ];
    let crowd = crowd(daemon, READER, 200);
    let half = format!("{}{}", request(1, "hello", &json!({})), "x".repeat(500_000));
    let watched = json!({"process": "screen", "read_only": true, "replay": true});
    let attach = request(1, "attach", &watched);
    std::thread::scope(|scope| {
        for part in crowd.chunks(25) {
            scope.spawn(|| {
                for (number, stream) in part.iter().enumerate() {
                    let patience = Some(Duration::from_millis(50));
                    stream.set_write_timeout(patience).expect("it is a socket");
                    let bytes = if number % 2 == 0 { &half } else { &attach };
                    send(stream, bytes.as_bytes());
                }
            });
        }
    });
    delays(&mut daemon.control(), "status", 51);
    drop(sieges);
    memory(daemon, "VmHWM:")
}

/// Chains of forks that run outside of the daemon until dropped: the same load for the machine.
struct Chains<'a> {
    daemon: &'a Daemon,
    heads: Vec<std::process::Child>,
}

impl Chains<'_> {
    fn start(daemon: &Daemon) -> Chains<'_> {
        let heads = (0..CHAINS).map(|_| {
            let mut head = std::process::Command::new("nice");
            head.args(["sh", "chain.sh", "outside.over"])
                .current_dir(daemon.dir())
                .stdout(std::process::Stdio::piped());
            head.spawn().expect("it starts")
        });
        Chains {
            daemon,
            heads: heads.collect(),
        }
    }
}

impl Drop for Chains<'_> {
    /// Ends the chains. All of a chain hold its pipe.
    fn drop(&mut self) {
        fs::write(self.daemon.path("outside.over"), "").expect("it is ours");
        for head in &mut self.heads {
            let mut rest = Vec::new();
            if let Some(output) = &mut head.stdout {
                let _ = std::io::Read::read_to_end(output, &mut rest);
            }
            let _ = head.wait();
        }
    }
}

const CHAINS: usize = 12;

/// The time from the death of a process to its next run.
fn restart_time(daemon: &Daemon) -> Duration {
    let pid = daemon.pid_of("quiet:0");
    let mut events = daemon.events();
    let began = Instant::now();
    support::kill(pid, rustix::process::Signal::KILL);
    events.wait_for("quiet:0", "RUNNING");
    began.elapsed()
}

#[test]
fn chains_of_forks_delay_nobody() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = start(&format!(
        "programs:\n  quiet: {{cmd: sleep 1000, starttime: 0, autorestart: always}}\n  \
         chain: {{cmd: 'nice sh chain.sh over', numprocs: {CHAINS}, starttime: 0, \
         autorestart: never, autostart: false}}\n"
    ));
    let script = "[ ! -e $1 ] && sh chain.sh $1 &\n";
    fs::write(daemon.path("chain.sh"), script).expect("it is ours");
    let mut owner = daemon.control();
    // The same load, but not below the daemon.
    let outside = Chains::start(&daemon);
    let before = delays(&mut owner, "status", 51);
    let restarted_before = restart_time(&daemon);
    drop(outside);
    daemon.rpc("start", json!({"targets": ["chain"]}));
    let during = least_delays(&mut owner, "status", 51);
    let restarted = restart_time(&daemon);
    fs::write(daemon.path("over"), "").expect("it is ours");
    eprintln!("restarts: {restarted_before:?}, then {restarted:?}");
    assert_undisturbed(&before, &during, 100);
    let limit = Duration::from_millis(1200) + restarted_before * 4;
    assert!(
        restarted < limit,
        "{restarted:?}, {restarted_before:?} before"
    );
}

#[test]
fn a_flood_of_filled_screens_and_links_is_drawn_at_once() {
    if !is_root() {
        skip!("needs root");
    }
    let _alone = alone();
    let daemon = start(
        "programs:\n  fill: {cmd: 'sh fill.sh', tty: {rows: 50, cols: 200}}\n  \
         links: {cmd: 'sh links.sh', tty: {rows: 50, cols: 200}}\n",
    );
    let wait = "while [ ! -e go ]; do sleep 0.05; done\n";
    let fill = r#"awk 'BEGIN { for (i = 0; i < 90000; i++) printf "\033[3%dm\033#8", i % 8 }'"#;
    let links = r#"awk 'BEGIN { x = sprintf("%900s", ""); gsub(" ", "y", x);
        for (i = 0; i < 40000; i++)
            printf "\033[%d;%dH\033]8;;http://x/%d%s\007L",
                (i / 200) % 50 + 1, i % 200 + 1, i, x }'"#;
    for (name, flood) in [("fill", fill), ("links", links)] {
        let script = format!("{wait}{flood}\ntouch {name}.done; exec sleep 1000\n");
        fs::write(daemon.path(&format!("{name}.sh")), script).expect("it is ours");
    }
    daemon.rpc("restart", json!({"targets": ["all"]}));
    let before = memory(&daemon, "VmRSS:");
    fs::write(daemon.path("go"), "").expect("it is ours");
    let mut watch = support::system::FolderWatch::new(daemon.dir());
    let deadline = Instant::now() + 3 * support::PATIENCE;
    while !(daemon.path("fill.done").exists() && daemon.path("links.done").exists()) {
        assert!(Instant::now() < deadline, "the flood does not end");
        watch.wait(Duration::from_secs(1));
    }
    let began = Instant::now();
    daemon.rpc("peek", json!({"process": "fill", "ansi": true}));
    let drawn = began.elapsed();
    daemon.rpc("peek", json!({"process": "links", "ansi": true}));
    let grown = memory(&daemon, "VmHWM:").saturating_sub(before);
    eprintln!("{drawn:?}, {grown} KiB");
    assert!(drawn < Duration::from_millis(400), "{drawn:?}");
    assert!(grown < 24 * 1024, "{grown} KiB");
}
