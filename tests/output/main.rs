//! Output of processes: files, rotation, full disks and `tm logs`.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod logs;
mod rotation;
mod runs;
mod trouble;

use std::time::Instant;
use support::{Daemon, PATIENCE, system::FolderWatch};

/// The lines `flood` writes of this length, `\n` included.
fn flood_lines(count: u64, length: usize) -> String {
    let line = |number| {
        format!(
            "{:.<width$}\n",
            format!("{number:010} "),
            width = length - 1
        )
    };
    (0..count).map(line).collect()
}

/// Waits until a file in the daemon's folder meets a condition. Returns its text.
fn wait_for_text(daemon: &Daemon, name: &str, wanted: impl Fn(&str) -> bool) -> String {
    let path = daemon.path(name);
    let folder = path.parent().expect("a file lies in a folder");
    let mut watch = FolderWatch::new(folder);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = daemon.read(name);
        if wanted(&text) {
            return text;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{name}: {text:?}\n{}", daemon.log());
        watch.wait(left);
    }
}
