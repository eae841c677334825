//! Tests that cannot run here report that instead of passing silently.

use std::fs::OpenOptions;
use std::io::Write;

/// Ends a test that cannot run here, with the reason.
macro_rules! skip {
    ($reason:expr) => {
        return $crate::support::skip::report($reason)
    };
}
pub(crate) use skip;

/// Prints `SKIPPED TEST: REASON`. Tests that pass have their output captured, so the line is also
/// appended to the file that `TM_TEST_SKIPS` names, where CI counts it.
pub fn report(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("?"));
    print!("{line}");
    if let Some(path) = std::env::var_os("TM_TEST_SKIPS") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("TM_TEST_SKIPS names a file that can be written");
    }
}
