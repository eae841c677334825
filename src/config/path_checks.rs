//! Warns about paths that a start would fail at: logs, pidfiles, working directories. They may be
//! created before the start, so nothing here is an error.

use super::file_access::AtPath;
use super::lowering_context::Lowering;
use super::node::Location;
use super::program_entry::Lowered;
use crate::supervisor::{FileSink, Sink, placeholder};
use std::collections::BTreeSet;
use std::path::Path;

/// How many paths are looked at: a file system may be slow.
const LOOKS_MAX: usize = 1000;

/// The place of a key, and the key.
type KeyPlace = (Location, String);

/// Checks the paths of all programs, each path once.
pub(super) fn check(cx: &mut Lowering, lowered: &[Lowered]) {
    let mut seen = BTreeSet::new();
    for one in lowered {
        let launch = &one.program.launch;
        // Their start has the rights of that user, whose file systems may delay who looks.
        let user = launch.identity.as_ref().map(|identity| identity.uid);
        if user.is_some_and(|uid| uid != cx.daemon_uid) {
            continue;
        }
        let sinks = [&launch.stdout, &launch.stderr]
            .into_iter()
            .zip(&one.sinks_at);
        for (sink, place) in sinks {
            if let (Sink::File(sink), Some(place)) = (sink, place) {
                each(cx, &mut seen, one, &sink.path, place, |cx, path| {
                    log_fault(cx, sink, path)
                });
            }
        }
        if let (Some(pidfile), Some(place)) = (&launch.pidfile, &one.pidfile_at) {
            each(cx, &mut seen, one, pidfile, place, parent_fault);
        }
        if let Some(place) = &one.workingdir_at {
            each(
                cx,
                &mut seen,
                one,
                &launch.workingdir,
                place,
                workingdir_fault,
            );
        }
    }
}

/// The message and the help about a path.
type Fault = Option<(&'static str, String)>;

/// Warns about the first of a program's processes whose path has a fault.
fn each(
    cx: &mut Lowering,
    seen: &mut BTreeSet<String>,
    one: &Lowered,
    path: &str,
    (at, key): &KeyPlace,
    fault: impl Fn(&Lowering, &Path) -> Fault,
) {
    for instance in 0..one.program.numprocs {
        let path = placeholder::expand(path, &one.program.values(instance));
        // A `~` has a warning of its own.
        if path.contains("/~") || seen.len() >= LOOKS_MAX || !seen.insert(path.clone()) {
            return;
        }
        if let Some((message, help)) = fault(cx, Path::new(&path)) {
            cx.warning(*at, key, message, Some(help));
            return;
        }
    }
}

fn log_fault(cx: &Lowering, sink: &FileSink, path: &Path) -> Fault {
    let help = |text: &str| text.to_string();
    match cx.files.look(path, false) {
        AtPath::Nothing => parent_fault(cx, path),
        // The process writes to it by itself.
        _ if sink.direct => None,
        AtPath::Link => Some((
            "this is a symbolic link, to which no log is written",
            help("name the file itself"),
        )),
        AtPath::Directory => Some(("this is a directory", help("name a file in it"))),
        AtPath::Other => Some((
            "this is no regular file, so no log is written to it",
            help("name a regular file, or let the process open it: `direct: true`"),
        )),
        AtPath::File | AtPath::Unknown => None,
    }
}

fn parent_fault(cx: &Lowering, path: &Path) -> Fault {
    let parent = path.parent()?;
    match cx.files.look(parent, true) {
        AtPath::Nothing => Some((
            "its directory does not exist",
            format!("create it before the start: mkdir -p {}", parent.display()),
        )),
        _ => None,
    }
}

fn workingdir_fault(cx: &Lowering, path: &Path) -> Fault {
    match cx.files.look(path, true) {
        AtPath::Nothing => Some((
            "this directory does not exist",
            format!("create it before the start: mkdir -p {}", path.display()),
        )),
        AtPath::File | AtPath::Other => Some((
            "this is no directory",
            "name the directory to start in".to_string(),
        )),
        AtPath::Directory | AtPath::Link | AtPath::Unknown => None,
    }
}
