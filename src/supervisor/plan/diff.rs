//! The difference between two programs: what a reload does to each process, and why.

use crate::supervisor::{
    Autorestart, Autostart, FileSink, Identity, KillMode, Launch, Policy, Process, Program,
    RestartDelays, Sink, SizePolicy, Stall, State, Stdin, Tty, Variables, signal_name,
};
use crate::text::byte_size::byte_size;
use crate::text::duration::exact;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The effect of a reload or of scaling on each process, in display order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One entry for each present and future process.
    pub entries: Vec<PlanEntry>,
}

/// The effect of a plan on one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanEntry {
    /// `PROGRAM:INDEX`.
    pub process: String,
    /// The action.
    pub action: PlanAction,
}

/// The action of a plan on a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanAction {
    /// Create it.
    Add,
    /// Stop and forget it.
    Remove,
    /// Stop it and start it with its new launch, because of these changes.
    Restart(Vec<Change>),
    /// Apply these changes without a restart. For a process that is down this includes the changes
    /// that the next start uses.
    Live(Vec<Change>),
    /// Leave it alone.
    Unchanged,
}

/// One changed key, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The config's key, such as `stoptime`, or `env.NAME`.
    pub key: String,
    /// The old value; empty if hidden, as for environment variables.
    pub from: String,
    /// The new value; empty if hidden.
    pub to: String,
    /// It applies at the next start of the process, which is not up.
    pub next_start: bool,
}

/// The number of processes for each action of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PlanCounts {
    /// Processes that are created.
    pub(crate) added: usize,
    /// Processes that are stopped and forgotten.
    pub(crate) removed: usize,
    /// Processes that are restarted.
    pub(crate) restarted: usize,
    /// Processes that change without a restart.
    pub(crate) live: usize,
    /// Processes that stay as they are.
    pub(crate) unchanged: usize,
}

impl PlanAction {
    pub(crate) fn is_restart(&self) -> bool {
        matches!(self, PlanAction::Restart(_))
    }
}

impl Plan {
    /// Whether any process changes.
    pub fn changes(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.action != PlanAction::Unchanged)
    }

    /// The number of processes of each action.
    pub(crate) fn counts(&self) -> PlanCounts {
        let mut counts = PlanCounts::default();
        for entry in &self.entries {
            match entry.action {
                PlanAction::Add => counts.added += 1,
                PlanAction::Remove => counts.removed += 1,
                PlanAction::Restart(_) => counts.restarted += 1,
                PlanAction::Live(_) => counts.live += 1,
                PlanAction::Unchanged => counts.unchanged += 1,
            }
        }
        counts
    }
}

/// Whether two launches differ in a key that a living process cannot adopt.
pub(crate) fn needs_restart(old: &Launch, new: &Launch) -> bool {
    old != new && !launch_changes(old, new).restart.is_empty()
}

/// The action on a process when its program changes from `old` to `new`.
pub(crate) fn action(process: &Process, old: &Program, new: &Program) -> PlanAction {
    let launch = new.launch.expand(new, process.instance);
    let mut changes = launch_changes(&process.launch, &launch);
    let restart = !changes.restart.is_empty();
    let policy = policy_changes(&old.policy, &new.policy);
    let concerns_runs = policy.iter().any(|change| !is_about_stops(&change.key));
    let count = changes.restart.len();
    let mut all = changes.restart;
    all.append(&mut changes.live);
    all.extend(policy);
    let restart = match process.state {
        // It gave up under the old config.
        State::Fatal => !all.is_empty(),
        State::Exited => restart || concerns_runs,
        _ => restart && process.restarts_when_changed(),
    };
    all.extend(change(
        "autostart",
        autostart(old.autostart),
        autostart(new.autostart),
    ));
    if restart {
        PlanAction::Restart(all)
    } else if all.is_empty() {
        PlanAction::Unchanged
    } else {
        for change in &mut all[..count] {
            change.next_start = true;
        }
        PlanAction::Live(all)
    }
}

/// Whether a key of the policy matters only while a process stops.
fn is_about_stops(key: &str) -> bool {
    matches!(key, "stopsignal" | "stoptime" | "killmode")
}

struct LaunchChanges {
    restart: Vec<Change>,
    live: Vec<Change>,
}

fn launch_changes(old: &Launch, new: &Launch) -> LaunchChanges {
    // An exhaustive pattern, so that the compiler reports a new field.
    let Launch {
        argv,
        env,
        env_fault,
        inherit_env,
        workingdir,
        umask,
        tty,
        stdin,
        stdout,
        stderr,
        identity,
        pidfile,
        buffer,
    } = old;
    let mut restart = Vec::new();
    let mut live = Vec::new();
    if *argv != new.argv {
        restart.push(changed("cmd", argv.join(" "), new.argv.join(" ")));
    }
    match &new.env_fault {
        // A run keeps its variables; only the next start fails.
        Some(fault) if env_fault.as_ref() != Some(fault) => {
            live.push(changed("env_file", String::new(), fault.to_string()));
        }
        Some(_) => {}
        None => restart.extend(env_changes(env, &new.env)),
    }
    restart.extend(change(
        "inherit_env",
        inherit_env.to_string(),
        new.inherit_env.to_string(),
    ));
    restart.extend(change(
        "workingdir",
        workingdir.clone(),
        new.workingdir.clone(),
    ));
    restart.extend(change(
        "umask",
        format!("{umask:03o}"),
        format!("{:03o}", new.umask),
    ));
    restart.extend(change("tty", terminal(*tty), terminal(new.tty)));
    restart.extend(change("stdin", input(stdin), input(&new.stdin)));
    sink_changes("stdout", stdout, &new.stdout, &mut restart, &mut live);
    sink_changes("stderr", stderr, &new.stderr, &mut restart, &mut live);
    if *identity != new.identity {
        restart.push(changed(
            "user",
            user(identity.as_ref()),
            user(new.identity.as_ref()),
        ));
    }
    restart.extend(change(
        "pidfile",
        path(pidfile.as_deref()),
        path(new.pidfile.as_deref()),
    ));
    let size = |bytes: usize| byte_size(bytes as u64);
    restart.extend(change("buffer", size(*buffer), size(new.buffer)));
    LaunchChanges { restart, live }
}

/// Lists only the names: values may be secrets.
fn env_changes(old: &Variables, new: &Variables) -> Vec<Change> {
    if Arc::ptr_eq(old, new) {
        return Vec::new();
    }
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    differing
        .map(|name| changed(&format!("env.{name}"), String::new(), String::new()))
        .collect()
}

fn sink_changes(
    key: &str,
    old: &Sink,
    new: &Sink,
    restart: &mut Vec<Change>,
    live: &mut Vec<Change>,
) {
    let (Sink::File(old), Sink::File(new)) = (old, new) else {
        restart.extend(change(key, sink(old), sink(new)));
        return;
    };
    let FileSink {
        path,
        direct,
        max_size,
        keep,
        mode,
        compress,
        timestamps,
        strip_ansi,
        stall,
    } = old;
    let named = |name: &str, from: String, to: String| change(&format!("{key}.{name}"), from, to);
    restart.extend(change(key, path.clone(), new.path.clone()));
    restart.extend(named("direct", direct.to_string(), new.direct.to_string()));
    live.extend(named(
        "max_size",
        byte_size(*max_size),
        byte_size(new.max_size),
    ));
    live.extend(named("keep", keep.to_string(), new.keep.to_string()));
    live.extend(named("mode", mode_text(*mode), mode_text(new.mode)));
    live.extend(named(
        "compress",
        compress.to_string(),
        new.compress.to_string(),
    ));
    live.extend(named(
        "timestamps",
        timestamps.to_string(),
        new.timestamps.to_string(),
    ));
    live.extend(named(
        "strip_ansi",
        strip_ansi.to_string(),
        new.strip_ansi.to_string(),
    ));
    live.extend(named("stall", stall_text(*stall), stall_text(new.stall)));
}

fn mode_text(mode: Option<u32>) -> String {
    mode.map_or("default".to_string(), |mode| format!("{mode:04o}"))
}

fn policy_changes(old: &Policy, new: &Policy) -> Vec<Change> {
    let Policy {
        autorestart,
        exitcodes,
        startretries,
        starttime,
        stopsignal,
        hangup,
        stoptime,
        killmode,
        restart,
    } = old;
    let RestartDelays {
        initial,
        burst,
        factor,
        max,
        jitter,
    } = restart;
    let delays = &new.restart;
    let all = [
        change(
            "autorestart",
            restarts(*autorestart),
            restarts(new.autorestart),
        ),
        change("exitcodes", codes(exitcodes), codes(&new.exitcodes)),
        change(
            "startretries",
            startretries.to_string(),
            new.startretries.to_string(),
        ),
        change("starttime", exact(*starttime), exact(new.starttime)),
        change(
            "stopsignal",
            stop_signals(*stopsignal, *hangup),
            stop_signals(new.stopsignal, new.hangup),
        ),
        change("stoptime", exact(*stoptime), exact(new.stoptime)),
        change("killmode", scope(*killmode), scope(new.killmode)),
        change(
            "restart.initial_delay",
            exact(*initial),
            exact(delays.initial),
        ),
        change("restart.burst", burst.to_string(), delays.burst.to_string()),
        change("restart.max_delay", exact(*max), exact(delays.max)),
        change(
            "restart.backoff_factor",
            factor.to_string(),
            delays.factor.to_string(),
        ),
        change(
            "restart.jitter",
            jitter.to_string(),
            delays.jitter.to_string(),
        ),
    ];
    all.into_iter().flatten().collect()
}

fn change(key: &str, from: String, to: String) -> Option<Change> {
    (from != to).then(|| changed(key, from, to))
}

fn changed(key: &str, from: String, to: String) -> Change {
    Change {
        key: key.to_string(),
        from,
        to,
        next_start: false,
    }
}

fn autostart(autostart: Autostart) -> String {
    match autostart {
        Autostart::Yes => "true".to_string(),
        Autostart::No => "false".to_string(),
    }
}

fn restarts(autorestart: Autorestart) -> String {
    match autorestart {
        Autorestart::Always => "always".to_string(),
        Autorestart::Never => "never".to_string(),
        Autorestart::Unexpected => "unexpected".to_string(),
    }
}

fn codes(codes: &[i32]) -> String {
    let codes: Vec<String> = codes.iter().map(i32::to_string).collect();
    format!("[{}]", codes.join(", "))
}

fn stop_signals(number: i32, hangup: bool) -> String {
    let name = signal_name(number).unwrap_or_else(|| number.to_string());
    let more = if hangup { ", HUP" } else { "" };
    format!("{name}{more}")
}

fn scope(killmode: KillMode) -> String {
    match killmode {
        KillMode::Group => "group".to_string(),
        KillMode::Mixed => "mixed".to_string(),
        KillMode::Process => "process".to_string(),
    }
}

fn terminal(tty: Option<Tty>) -> String {
    let Some(tty) = tty else {
        return "false".to_string();
    };
    let size = match tty.size {
        SizePolicy::Latest => "latest",
        SizePolicy::Smallest => "smallest",
        SizePolicy::Largest => "largest",
        SizePolicy::Fixed => "fixed",
    };
    format!("{}x{} {size}", tty.rows, tty.cols)
}

fn input(stdin: &Stdin) -> String {
    match stdin {
        Stdin::Null => "null".to_string(),
        Stdin::Pipe => "pipe".to_string(),
        Stdin::File(path) => path.clone(),
    }
}

fn sink(sink: &Sink) -> String {
    match sink {
        Sink::Ring => "ring".to_string(),
        Sink::Discard => "discard".to_string(),
        Sink::File(file) => file.path.clone(),
        Sink::Stdout => "stdout".to_string(),
    }
}

fn stall_text(stall: Stall) -> String {
    match stall {
        Stall::After(after) => exact(after),
        Stall::Never => "never".to_string(),
    }
}

fn user(identity: Option<&Identity>) -> String {
    match identity {
        None => "the daemon's".to_string(),
        Some(identity) => {
            let Identity { user, uid, gid, .. } = identity;
            format!("{user} ({uid}:{gid})")
        }
    }
}

fn path(path: Option<&str>) -> String {
    path.unwrap_or("none").to_string()
}
