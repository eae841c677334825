//! From the command line to the first turn, and from the last turn to the end.

use crate::config::{self, Config, Environment};
use crate::reactor::daemon::child_environment;
use crate::reactor::daemon::instance::Place;
use crate::reactor::daemon::logging;
use crate::reactor::daemon::signals;
use crate::reactor::disk::Disk;
use crate::reactor::disk::access::UserAccess;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::poller::{Poller, Source};
use crate::reactor::process::pidfile::write_atomically;
use crate::reactor::{Reactor, clock};
use crate::supervisor::{Event, FileSink, Identity, Stall, Supervisor};
use crate::sys;
use crate::sys::daemonize::{ForkSide, ReadyPipe};
use crate::sys::signalfd::SignalFd;
use crate::sys::socket::Listener;
use crate::text::plural::plural;
use log::LevelFilter;
use mio::Interest;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    /// The config file; searched for when not given.
    pub config: Option<PathBuf>,
    /// Go to the background.
    pub daemonize: bool,
    /// Only check the config.
    pub check: bool,
    /// The control socket, whatever the config says.
    pub socket: Option<PathBuf>,
    /// The log's level, whatever the config says.
    pub log_level: Option<LevelFilter>,
}

/// The daemon from start to end; returns its exit code.
pub fn daemon_main(options: &DaemonOptions) -> i32 {
    sys::signalfd::restore_sigchld();
    if options.daemonize {
        // Whoever waits for their end is not to wait for a daemon.
        sys::daemonize::close_inherited();
    }
    match start(options) {
        Ok(code) => code,
        Err(text) => {
            eprintln!("{}", text.trim_end());
            1
        }
    }
}

fn start(options: &DaemonOptions) -> Result<i32, String> {
    let config = load(options)?;
    for warning in &config.warnings {
        eprintln!("{warning}");
    }
    if options.check {
        let programs = plural(config.programs.len(), "program", "programs");
        println!("{}: ok, {programs}", config.path.display());
        return Ok(0);
    }
    if !options.daemonize {
        return serve(options, config, None);
    }
    // Before any thread, poll or signalfd: none of them survives a fork.
    let forked = sys::daemonize::daemonize();
    match forked.map_err(failed("fork"))? {
        ForkSide::Parent(outcome) => outcome.wait().map(|_| 0),
        ForkSide::Child(ready) => Ok(serve_in_background(options, config, ready)),
    }
}

fn load(options: &DaemonOptions) -> Result<Config, String> {
    let environment = Environment::current();
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    config::find(options.config.as_deref(), &here, &environment)
        .and_then(|path| config::load(&path, &environment))
        .map_err(|error| error.to_string())
}

fn serve_in_background(options: &DaemonOptions, config: Config, ready: ReadyPipe) -> i32 {
    // What went wrong before it was ready, the parent has told.
    serve(options, config, Some(ready)).unwrap_or(1)
}

/// Gives up root if the config says so, takes the socket, and turns until the end.
fn serve(options: &DaemonOptions, config: Config, ready: Option<ReadyPipe>) -> Result<i32, String> {
    let prepared = prepare(options, config, ready.is_some());
    let mut reactor = match prepared {
        Ok(prepared) => prepared,
        Err(text) => {
            if let Some(ready) = ready {
                // The parent tells; it waits for exactly this.
                let _ = ready.failed(&text);
            }
            return Err(text);
        }
    };
    // Started through `tm` it would go by the client's name in `ps` and `top`.
    if let Err(error) = rustix::thread::set_name(c"tmd") {
        log::warn!("cannot set the process's name: {error}");
    }
    let programs = reactor.config.programs.clone();
    reactor.clock.tick();
    reactor
        .supervisor
        .handle_event(Event::Configure(programs), reactor.clock.now());
    reactor.apply();
    if let Some(ready) = ready {
        // No file system is kept busy by where the daemon happened to be started.
        let moved = std::env::set_current_dir("/");
        let detached = moved
            .and_then(|()| sys::daemonize::detach_stdio())
            .and_then(|()| ready.ready());
        if let Err(error) = detached {
            log::warn!("cannot go to the background properly: {error}");
        }
    }
    let result = reactor.run();
    finish(reactor);
    match result {
        Ok(()) => Ok(0),
        Err(error) => Err(format!("tmd: epoll: {error}")),
    }
}

fn prepare(options: &DaemonOptions, config: Config, background: bool) -> Result<Reactor, String> {
    let lock = match drops_to(&config) {
        Some(_) => Place::as_root(options, &config)?,
        None => None,
    };
    let (config, dropped) = drop_privileges(config)?;
    let mut place = Place::take(options, &config, dropped, lock)?;
    let listener = place.listen(&config.daemon)?;
    let socket = listener.file();
    let pidfile = config.daemon.pidfile.clone();
    // The rest of the place goes with its value.
    let gone = |text| {
        let _ = socket.remove();
        text
    };
    if let Some(path) = &pidfile {
        write_atomically(path, sys::runtime::own_pid())
            .map_err(|error| format!("tmd: daemon.pidfile {}", sys::path_error(path, &error)))
            .map_err(gone)?;
    }
    build(options, config, place, listener, background).map_err(|text| {
        // Somebody may have removed it already.
        let _ = pidfile.map(fs::remove_file);
        gone(text)
    })
}

/// `daemon.user`, for a root that is to give itself up.
fn drops_to(config: &Config) -> Option<Identity> {
    let user = config.daemon.user.clone()?;
    let drops = sys::runtime::effective_uid() == 0 && user.uid != 0;
    drops.then_some(user)
}

/// Everything after this, reloads too, happens as `daemon.user`.
fn drop_privileges(config: Config) -> Result<(Config, bool), String> {
    let Some(user) = drops_to(&config) else {
        return Ok((config, false));
    };
    sys::privileges::drop_for_good(user.uid, user.gid, &user.groups).map_err(|error| {
        format!(
            "tmd: daemon.user {}: {}",
            user.user,
            sys::error_text(&error)
        )
    })?;
    // What root could do with the programs' users, this user cannot: the config says so.
    let config = config::load(&config.path, &Environment::current())
        .map_err(|error| format!("as daemon.user {}:\n{error}", user.user))?;
    Ok((config, true))
}

fn build(
    options: &DaemonOptions,
    config: Config,
    place: Place,
    listener: Listener,
    background: bool,
) -> Result<Reactor, String> {
    let nofile = sys::rlimit::raise_nofile().map_err(failed("RLIMIT_NOFILE"))?;
    sys::descendants::become_subreaper().map_err(failed("become subreaper"))?;
    // Blocked before any other thread exists, so that none of them takes a signal.
    let signals = SignalFd::new(&signals::HANDLED).map_err(failed("signalfd"))?;
    let poller = poller_for(&signals, &listener).map_err(failed("epoll"))?;
    let waker = poller.waker().map_err(failed("eventfd"))?;
    let wake = move || {
        // The counter of an eventfd does not overflow by one wake a completion.
        let _ = waker.wake();
    };
    let mut disk =
        Disk::start(Arc::new(UserAccess), Box::new(wake)).map_err(failed("disk thread"))?;
    start_logging(options, &config, &listener, &mut disk, background);
    tell_start(&config.path, listener.path());
    let own = own_identity();
    let socket = listener.path().to_path_buf();
    let inherited = child_environment::Inherited::new(std::env::vars_os(), own.as_ref(), &socket);
    Ok(Reactor {
        poller,
        clock: clock::Clock::start(),
        timers: clock::Timers::default(),
        supervisor: Supervisor::new(),
        started_with: config.daemon.clone(),
        config,
        place,
        inherited,
        nofile,
        oom_score_adj: sys::rlimit::oom_score_of_children(),
        log_level: options.log_level,
        signals,
        listener,
        log_files: LogFiles::new(disk),
        children: HashMap::new(),
        leaders: HashMap::new(),
        connections: Slab::new(),
        connections_accepted: 0,
        full_since: None,
        outputs_ready: VecDeque::new(),
        connections_ready: VecDeque::new(),
        unflushed: BTreeSet::new(),
        dirty: Vec::new(),
        starts_due: VecDeque::new(),
        starts_took: Duration::ZERO,
        remains_due: BTreeSet::new(),
        nameless: BTreeMap::new(),
        waiters: crate::reactor::control::pending::Waiters::default(),
        history: crate::reactor::control::event_history::History::default(),
        started_ns: clock::unix_ns(),
        finished: false,
        flush_again: false,
        idle_armed: false,
        scratch: Vec::new(),
    })
}

fn tell_start(config: &Path, socket: &Path) {
    log::info!(
        "tmd {} pid {} started: {}, socket {}",
        env!("CARGO_PKG_VERSION"),
        sys::runtime::own_pid(),
        config.display(),
        socket.display()
    );
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("tmd: {what}: {}", sys::error_text(&error))
}

fn poller_for(signals: &SignalFd, listener: &Listener) -> std::io::Result<Poller> {
    let mut poller = Poller::new()?;
    poller.add(signals.as_fd(), Source::Signals, Interest::READABLE)?;
    poller.add(listener.as_fd(), Source::Listener, Interest::READABLE)?;
    Ok(poller)
}

/// The daemon's log goes to its file and, in the foreground, to standard error; in the
/// background without a file, to the state directory.
fn start_logging(
    options: &DaemonOptions,
    config: &Config,
    listener: &Listener,
    disk: &mut Disk,
    background: bool,
) {
    let settings = &config.daemon.log;
    let file = match &settings.file {
        Some(file) => Some(file.clone()),
        None if background => state_log(&log_name(options, config, listener)),
        None => None,
    };
    let mut sinks = Vec::new();
    if let Some(file) = file {
        let sink = FileSink {
            path: file.display().to_string(),
            direct: false,
            max_size: 10 * 1024 * 1024,
            keep: 5,
            compress: false,
            timestamps: false,
            strip_ansi: false,
            stall: Stall::After(Duration::from_secs(1)),
        };
        let log = disk.open(&sink, None);
        sinks.extend(disk.line_sender(log));
    }
    if !background && let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() {
        let log = disk.open_fd(stderr);
        sinks.extend(disk.line_sender(log));
    }
    logging::start(settings, options.log_level, sinks);
}

/// The log in the background is named as the usual socket of the config, or as the one that was
/// asked for.
fn log_name(options: &DaemonOptions, config: &Config, listener: &Listener) -> PathBuf {
    let socket = match &options.socket {
        Some(_) => listener.path().to_path_buf(),
        None => sys::runtime::socket_path(Path::new(""), &config.path),
    };
    socket.with_extension("log")
}

fn state_log(name: &Path) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok();
    let state = sys::runtime::state_dir(
        sys::runtime::effective_uid(),
        variable("XDG_STATE_HOME").as_deref(),
        variable("HOME").as_deref(),
    );
    if let Err(error) = sys::runtime::prepare_state_dir(&state) {
        eprintln!("tmd: no log: {error}");
        return None;
    }
    Some(state.join(name.file_name()?))
}

/// The user the daemon runs as, if the user database knows it.
fn own_identity() -> Option<Identity> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()?;
    Some(Identity {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: Vec::new(),
        home: user.dir.to_string_lossy().into_owned(),
        shell: user.shell.to_string_lossy().into_owned(),
        user: user.name,
    })
}

/// Everything is down: the last output goes to the disk, the last news to the clients, the socket
/// goes away.
fn finish(mut reactor: Reactor) {
    reactor.sweep_all();
    reactor.last_words();
    log::info!("tmd pid {} ended", sys::runtime::own_pid());
    reactor.stop_disk();
    if let Some(path) = &reactor.started_with.pidfile {
        // Somebody may have removed it already.
        let _ = fs::remove_file(path);
    }
    if let Err(error) = reactor.listener.unlink() {
        eprintln!("tmd: {}: {error}", reactor.listener.path().display());
    }
    // The locks go last, and with them the right to take the socket's path.
    drop(reactor.place);
}
