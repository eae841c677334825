//! Checks across programs: shared files and the number of processes.

use super::lowering_context::Lowering;
use super::node::Location;
use super::program_entry::Lowered;
use crate::supervisor::placeholder;
use crate::supervisor::{FileSink, Launch, PROCESSES_OF_ALL_MAX, Program, Sink};
use std::collections::BTreeMap;

/// Checks the programs, and unifies the settings of those that share a log file.
pub(super) fn check(cx: &mut Lowering, lowered: &mut [Lowered], top: Location) {
    if lowered.is_empty() && !cx.failed() {
        let help = "add an entry with a `cmd` under `programs`".to_string();
        cx.warning(top, "programs", "there are no programs", Some(help));
    }
    let counts = lowered.iter().map(|one| one.program.numprocs as usize);
    let processes: usize = counts.sum();
    if processes > PROCESSES_OF_ALL_MAX {
        let message =
            format!("{processes} processes in total; at most {PROCESSES_OF_ALL_MAX} are allowed");
        cx.error(
            top,
            "programs",
            message,
            Some("lower `numprocs`".to_string()),
        );
        return;
    }
    if cx.are_processes_too_large() {
        return;
    }
    check_pidfiles(cx, lowered);
    share_logs(cx, lowered);
}

fn check_pidfiles(cx: &mut Lowering, lowered: &[Lowered]) {
    let mut pidfiles: BTreeMap<String, String> = BTreeMap::new();
    for Lowered {
        program,
        pidfile_at,
        ..
    } in lowered
    {
        let (Some(pidfile), Some((at, key))) = (&program.launch.pidfile, pidfile_at) else {
            continue;
        };
        for instance in 0..program.numprocs {
            let path = placeholder::expand(pidfile, &program.values(instance));
            let process = joined_process(&program.name, instance);
            if let Some(other) = pidfiles.get(&path) {
                let message = format!("`{process}` and `{other}` would share this file");
                let help = "put {program} and {instance} in its name".to_string();
                cx.error(*at, key, message, Some(help));
                break;
            }
            pidfiles.insert(path, process);
        }
    }
}

/// A log file has one set of options. If programs share a file but disagree, the options of the
/// first one in the config apply, regardless of which opens it first.
fn share_logs(cx: &mut Lowering, lowered: &mut [Lowered]) {
    let mut owners: BTreeMap<String, (usize, FileSink)> = BTreeMap::new();
    for index in 0..lowered.len() {
        let at = lowered[index].sinks_at.clone();
        for (stream, at) in at.into_iter().enumerate() {
            let program = &mut lowered[index].program;
            let paths = log_paths(program, stream);
            let Some(sink) = log_of(&mut program.launch, stream) else {
                continue;
            };
            let shared = paths
                .iter()
                .find_map(|path| owners.get(path))
                .filter(|(owner, _)| *owner != index)
                .cloned();
            let written = sink.clone();
            if let Some((_, first)) = &shared {
                *sink = FileSink {
                    path: written.path.clone(),
                    stall: written.stall,
                    ..first.clone()
                };
            }
            let (differs, sink) = (*sink != written, sink.clone());
            if let (Some((owner, _)), true, Some((at, key))) = (shared, differs, at) {
                let owner = &lowered[owner].program.name;
                let message = format!("`{owner}` also writes to this file, with other settings");
                let help = format!("the settings of `{owner}` apply; use the same for both");
                cx.warning(at, &key, message, Some(help));
            }
            for path in paths {
                owners.entry(path).or_insert((index, sink.clone()));
            }
        }
    }
}

/// The log files of one stream of a program's processes.
fn log_paths(program: &Program, stream: usize) -> Vec<String> {
    let launch = &program.launch;
    let Sink::File(sink) = [&launch.stdout, &launch.stderr][stream] else {
        return Vec::new();
    };
    let expanded = |instance| placeholder::expand(&sink.path, &program.values(instance));
    let mut paths: Vec<String> = (0..program.numprocs).map(expanded).collect();
    paths.dedup();
    paths
}

/// The file to which the daemon appends one of the streams.
fn log_of(launch: &mut Launch, stream: usize) -> Option<&mut FileSink> {
    match [&mut launch.stdout, &mut launch.stderr]
        .into_iter()
        .nth(stream)?
    {
        Sink::File(sink) if !sink.direct => Some(sink),
        Sink::File(_) | Sink::Ring | Sink::Discard | Sink::Stdout => None,
    }
}

fn joined_process(program: &str, instance: u32) -> String {
    format!("{program}:{instance}")
}
