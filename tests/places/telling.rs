//! Settings that a reload cannot change are named.

use super::home::Home;
use serde_json::Value;

#[test]
fn settings_for_the_next_start_are_named() {
    let home = Home::new();
    let config = home.project("a", "daemon: {pidfile: one.pid}");
    let daemon = home.start("a", &home.usual(&config));
    home.project(
        "a",
        "daemon: {pidfile: two.pid, socket: x.sock, log: {file: x.log}}",
    );
    // The second reload repeats it, since it still applies.
    for arguments in [&["reload", "--dry-run"][..], &["reload"], &["reload"]] {
        let output = home.tm("a", arguments);
        assert_eq!(output.code, 0, "{output:?}");
        for key in ["daemon.pidfile", "daemon.socket", "daemon.log.file"] {
            let line = format!("{key} changed; restart the daemon to apply it");
            assert!(output.stderr.contains(&line), "{output:?}");
        }
    }
    let output = home.tm("a", &["reload", "--dry-run", "--json"]);
    let reply: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let warnings = reply["warnings"].as_array().expect("a list");
    assert_eq!(warnings.len(), 3, "{reply}");
    home.project("a", "daemon: {pidfile: one.pid}");
    let output = home.tm("a", &["reload"]);
    assert_eq!(output.stderr, "", "{output:?}");
    // The daemon removes the pidfile that it created.
    home.project("a", "daemon: {pidfile: two.pid}");
    assert_eq!(home.tm("a", &["reload"]).code, 0);
    daemon.end();
    assert!(!home.path("a/one.pid").exists());
}
