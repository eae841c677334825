//! The client. Invoked as `tmd`, it runs the daemon, so that one executable is enough.

#[path = "tmd.rs"]
mod tmd;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next();
    let called = name.as_deref().map(Path::new).and_then(Path::file_name);
    if called == Some(OsStr::new("tmd")) {
        return tmd::main();
    }
    tmd::exit_code(taskmaster::client::main())
}
