//! A large config, reloaded as fast as it can be.

use super::support::{self, Daemon};
use super::{ends_well, figure};
use serde_json::json;

const PROGRAMS: usize = 1000;

fn config(turn: usize) -> String {
    let quiet = |index: usize| match index % 100 == turn {
        true => format!("  quiet{index}: {{cmd: sleep {turn}, autostart: false, stoptime: 3}}\n"),
        false => format!("  quiet{index}: {{cmd: sleep 1000, autostart: false}}\n"),
    };
    let all: String = (0..PROGRAMS).map(quiet).collect();
    format!("programs:\n  up: {{cmd: sleep 1000, starttime: 0, numprocs: 5}}\n{all}")
}

#[test]
fn a_thousand_programs_reloaded_again_and_again_touch_and_cost_nothing() {
    let daemon = Daemon::start(&config(0));
    let pids = || {
        let rows = daemon.rpc("status", json!({"targets": ["up"]}));
        let rows = rows["processes"].as_array().cloned().unwrap_or_default();
        rows.iter()
            .map(|row| row["pid"].clone())
            .collect::<Vec<_>>()
    };
    daemon.wait_state("up:4", "RUNNING");
    let before = pids();
    let mut memory = Vec::new();
    for turn in 1..=12 {
        support::write_config(daemon.dir(), &config(turn));
        let plan = daemon.rpc("reload", json!({}));
        let entries = plan["entries"].as_array().cloned().unwrap_or_default();
        let changed = entries
            .iter()
            .filter(|e| e["action"] != "unchanged")
            .count();
        // Ten programs get this turn's settings, and ten get their old ones back.
        assert_eq!(changed, 20, "turn {turn}");
        memory.push(figure(daemon.pid(), "RssAnon"));
    }
    assert_eq!(pids(), before);
    // The allocator's own ups and downs are some hundred KiB; one config kept would be 2 MiB.
    let (early, late) = memory.split_at(6);
    let highest = |half: &[u64]| half.iter().copied().max().unwrap_or(0);
    assert!(highest(late) <= highest(early) * 5 / 4, "{memory:?} KiB");
    ends_well(daemon);
}
