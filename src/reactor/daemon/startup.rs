//! From the command line to the first turn, and from the last turn to the exit.

use crate::config::{self, Config, Environment, ForeignFile};
use crate::reactor::Reactor;
use crate::reactor::clock::{Clock, Timers, unix_ns};
use crate::reactor::control::client_table::Clients;
use crate::reactor::control::event_history::History;
use crate::reactor::control::pending::PendingRequests;
use crate::reactor::control::shares::CLIENTS_MAX;
use crate::reactor::daemon::child_environment::{DaemonUser, Inherited};
use crate::reactor::daemon::config_loader::Wake;
use crate::reactor::daemon::instance::{Instance, InstanceLock};
use crate::reactor::daemon::options::DaemonOptions;
use crate::reactor::daemon::settings::Settings;
use crate::reactor::daemon::{logging, open_files, signals};
use crate::reactor::disk::Disk;
use crate::reactor::disk::access::UserAccess;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::cgroups::Cgroups;
use crate::reactor::process::pidfile::{remove_own, write_atomically};
use crate::reactor::process::processes::Processes;
use crate::reactor::process::spawner::Spawner;
use crate::reactor::process::survey::Survey;
use crate::supervisor::{Event, FileSink, Identity, Stall, Supervisor};
use crate::sys;
use crate::sys::daemonize::{ForkSide, ReadyPipe};
use crate::sys::signalfd::SignalFd;
use crate::sys::socket::SocketFile;
use crate::text::printable::{printable, printable_lines};
use mio::Interest;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Runs the daemon. Returns its exit code.
pub fn daemon_main(options: &DaemonOptions) -> i32 {
    sys::signalfd::restore_sigchld();
    if let Err(error) = sys::signalfd::block(&signals::REQUESTS) {
        eprintln!("tmd: warning: cannot block signals: {error}");
    }
    // A program that waits for these descriptors to close must not wait for the daemon, and
    // neither `daemon.user` nor a program may get a file that only the caller could open.
    sys::daemonize::close_inherited();
    match start(options) {
        Ok(code) => code,
        Err(text) => {
            eprintln!("{}", printable_lines(text.trim_end()));
            1
        }
    }
}

fn start(options: &DaemonOptions) -> Result<i32, String> {
    let config = load(options)?;
    if !options.warned {
        for warning in &config.warnings {
            eprintln!("{warning}");
        }
    }
    if options.check {
        println!("{}", printable(&config.verdict()));
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
    let environment = Environment::current(sys::privileges::open_as);
    let here = config::working_directory().unwrap_or_else(|_| PathBuf::from("/"));
    let found = config::find(options.config.as_deref(), &here, &environment);
    let path = found.map_err(|error| {
        let texts = error.diagnostics.iter().map(|one| format!("tmd: {one}"));
        texts.collect::<Vec<_>>().join("\n")
    })?;
    let foreign = ForeignFile::of(&path, sys::runtime::effective_uid());
    if let Some(foreign) = foreign.filter(|_| options.config.is_none()) {
        return Err(format!("tmd: {}", foreign.text()));
    }
    config::load(&path, &environment).map_err(|error| error.to_string())
}

fn serve_in_background(options: &DaemonOptions, config: Config, ready: ReadyPipe) -> i32 {
    // The parent has reported a failure before readiness.
    serve(options, config, Some(ready)).unwrap_or(1)
}

/// Gives up root if the config says so, takes the socket, and runs until a shutdown.
fn serve(options: &DaemonOptions, config: Config, ready: Option<ReadyPipe>) -> Result<i32, String> {
    let prepared = prepare(options, config, ready.is_some());
    let mut reactor = match prepared {
        Ok(prepared) => prepared,
        Err(text) => {
            if let Some(ready) = ready {
                // The parent waits for this and reports it.
                let _ = ready.failed(&text);
            }
            return Err(text);
        }
    };
    // Otherwise a daemon started through `tm` has the client's name in `ps` and `top`.
    if let Err(error) = rustix::thread::set_name(c"tmd") {
        log::warn!("cannot set the name of the process: {error}");
    }
    let programs = reactor.settings.take_programs();
    reactor.clock.tick();
    reactor
        .supervisor
        .handle_event(Event::Configure(programs), reactor.clock.now());
    reactor.apply();
    if let Some(ready) = ready {
        // The daemon must not keep the file system of its start directory busy.
        let moved = std::env::set_current_dir("/");
        let detached = moved
            .and_then(|()| sys::daemonize::detach_stdio())
            .and_then(|()| ready.ready());
        if let Err(error) = detached {
            log::warn!("cannot detach from the terminal: {error}");
        }
    }
    let result = reactor.run();
    exit(reactor);
    match result {
        Ok(()) => Ok(0),
        Err(error) => Err(format!("tmd: epoll: {error}")),
    }
}

fn prepare(options: &DaemonOptions, config: Config, background: bool) -> Result<Reactor, String> {
    if sys::runtime::effective_uid() == 0 {
        sys::privileges::leave_session_keyring();
    }
    if drops_to(&config).is_some() {
        InstanceLock::note_as_root(&config)?;
        sys::daemonize::detach_stdin().map_err(failed("standard input"))?;
    }
    let (config, dropped_root) = drop_privileges(config)?;
    let lock = InstanceLock::acquire(options, &config, dropped_root)?;
    let instance = Instance::listen(lock, &config.daemon)?;
    let mut files = CreatedFiles {
        socket: instance.listener().file(),
        pidfile: None,
    };
    if let Some(path) = &config.daemon.pidfile {
        if let Err(error) = write_atomically(path, sys::runtime::own_pid()) {
            files.remove();
            let text = sys::path_error(path, &error);
            return Err(format!("tmd: daemon.pidfile {text}"));
        }
        files.pidfile = Some(path.clone());
    }
    build(options, config, instance, background).inspect_err(|_| files.remove())
}

/// Files that a failed start removes. Locks and link go with the instance.
struct CreatedFiles {
    socket: SocketFile,
    pidfile: Option<PathBuf>,
}

impl CreatedFiles {
    fn remove(&self) {
        // Another program may have removed them already, or written its own pid.
        let own = sys::runtime::own_pid();
        let _ = self.pidfile.as_ref().map(|path| remove_own(path, own));
        let _ = self.socket.remove();
    }
}

/// `daemon.user`, if the daemon is root and has to become that user.
fn drops_to(config: &Config) -> Option<Identity> {
    let user = config.daemon.user.clone()?;
    let drops = sys::runtime::effective_uid() == 0 && user.uid != 0;
    drops.then_some(user)
}

/// Becomes `daemon.user` for everything that follows, including reloads. Returns whether root was
/// given up.
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
    // Only root can run programs as other users; loading the config again checks that.
    let config = config::load(
        &config.path,
        &Environment::current(sys::privileges::open_as),
    )
    .map_err(|error| format!("as daemon.user {}:\n{error}", user.user))?;
    Ok((config, true))
}

fn build(
    options: &DaemonOptions,
    config: Config,
    instance: Instance,
    background: bool,
) -> Result<Reactor, String> {
    let nofile = sys::rlimit::raise_nofile().map_err(failed("RLIMIT_NOFILE"))?;
    sys::descendants::become_subreaper().map_err(failed("become subreaper"))?;
    let bystanders = sys::descendants::descendants(&[sys::runtime::own_pid()]);
    // Signals are blocked before any other thread exists, so that no thread takes one.
    let signals = SignalFd::new(&signals::HANDLED).map_err(failed("signalfd"))?;
    let poller = poller_for(&signals, &instance).map_err(failed("epoll"))?;
    let waker = poller.waker().map_err(failed("eventfd"))?;
    let wake: Wake = Arc::new(move || {
        // The counter of an eventfd does not overflow by one wake for each completion.
        let _ = waker.wake();
    });
    let wake_by_disk = Arc::clone(&wake);
    let mut disk =
        Disk::start(Arc::new(UserAccess), move || wake_by_disk()).map_err(failed("disk thread"))?;
    start_logging(options, &config, instance.path(), &mut disk, background);
    if let Some(text) = open_files::warning(&config.programs) {
        log::warn!("{text}");
    }
    let settings = Settings::new(config, options.log_level, wake);
    log_start(&settings.config().path, instance.path());
    let says = background && !options.warned;
    name_survivors(&settings, instance.path(), says);
    let own = own_identity();
    let user = match settings.boot().user {
        Some(_) => DaemonUser::Dropped,
        None => DaemonUser::Caller,
    };
    let own = own.as_ref().map(|own| (own, user));
    let inherited = Inherited::new(std::env::vars_os(), own, instance.path());
    let mut clients = Clients::new(CLIENTS_MAX);
    clients.limit_files(sys::rlimit::nofile().0);
    Ok(Reactor {
        poller,
        clock: Clock::start(),
        timers: Timers::default(),
        supervisor: Supervisor::new(),
        settings,
        instance,
        signals,
        log_files: LogFiles::new(disk),
        processes: Processes::default(),
        survey: Survey::sparing(&bystanders),
        spawner: Spawner::new(inherited, nofile, Cgroups::create()),
        clients,
        pending: PendingRequests::default(),
        history: History::default(),
        started_ns: unix_ns(),
        finished: false,
    })
}

/// Logs the processes of an earlier daemon, which was killed. They may hold the ports of those that
/// this one starts. In the background, a caller sees no log: `says` prints them too.
fn name_survivors(settings: &Settings, socket: &Path, says: bool) {
    let identities = settings.config().programs.iter();
    let identities = identities.filter_map(|program| program.launch.identity.as_ref());
    let mut users: BTreeSet<u32> = identities.map(|identity| identity.uid).collect();
    users.insert(sys::runtime::effective_uid());
    let own = sys::runtime::effective_uid();
    let user_of = |name: &str| settings.config().user_of(name).unwrap_or(own);
    let sockets = [socket.to_path_buf()];
    for (stat, name) in sys::descendants::claimants(&sockets, &users, user_of) {
        let command = sys::descendants::command(stat.pid);
        let pid = stat.pid;
        let text = format!("{name} of an earlier daemon still runs: pid {pid} {command}");
        log::warn!("{text}");
        if says {
            eprintln!("tmd: warning: {}", printable(&text));
        }
    }
}

fn log_start(config: &Path, socket: &Path) {
    log::info!(
        "tmd {} pid {} started: {}, socket {}",
        env!("CARGO_PKG_VERSION"),
        sys::runtime::own_pid(),
        config.display(),
        socket.display()
    );
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("tmd: {what}: {}", sys::error_text(&error))
}

fn poller_for(signals: &SignalFd, instance: &Instance) -> io::Result<Poller> {
    let mut poller = Poller::new()?;
    poller.add(signals.as_fd(), EventSource::Signals, Interest::READABLE)?;
    instance.watch(&mut poller)?;
    Ok(poller)
}

/// Starts the daemon's log. It goes to its file and, in the foreground, to standard error; in the
/// background without a file, to the state directory.
fn start_logging(
    options: &DaemonOptions,
    config: &Config,
    socket: &Path,
    disk: &mut Disk,
    background: bool,
) {
    let settings = &config.daemon.log;
    let file = match &settings.file {
        Some(file) => Some(file.clone()),
        None if background => state_log(&log_name(options, config, socket)),
        None => None,
    };
    let mut sinks = Vec::new();
    if let Some(file) = file {
        let sink = FileSink {
            path: file.display().to_string(),
            direct: false,
            max_size: 10 * 1024 * 1024,
            keep: 5,
            mode: None,
            compress: false,
            timestamps: false,
            strip_ansi: false,
            stall: Stall::After(Duration::from_secs(1)),
        };
        let log = disk.open(&sink, None);
        sinks.extend(disk.line_sender(log));
    }
    if !background && let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() {
        let log = disk.open_fd(stderr);
        sinks.extend(disk.line_sender(log));
    }
    logging::start(settings, options.log_level, sinks);
}

/// The name of the log in the background: that of the default socket of the config, or of the
/// requested socket.
fn log_name(options: &DaemonOptions, config: &Config, socket: &Path) -> PathBuf {
    let socket = match &options.socket {
        Some(_) => socket.to_path_buf(),
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

/// Every process is down: writes the last output and events, and removes the socket.
fn exit(mut reactor: Reactor) {
    reactor.kill_all_stragglers();
    reactor.flush_before_exit();
    log::info!("tmd pid {} ended", sys::runtime::own_pid());
    reactor.spawner.cgroups.remove_all();
    reactor.stop_disk();
    if let Some(path) = &reactor.settings.boot().pidfile {
        // Another program may have removed it already, or written its own pid.
        let _ = remove_own(path, sys::runtime::own_pid());
    }
    if let Err(error) = reactor.instance.unlink() {
        eprintln!("tmd: {}: {error}", reactor.instance.path().display());
    }
}
