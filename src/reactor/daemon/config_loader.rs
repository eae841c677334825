//! Loads the config file for reloads and dry runs, on another thread: it takes the longer, the more
//! programs there are, and the user database may take any time.
//!
//! One load runs at a time. The requests that arrive meanwhile share the next one.

use crate::config::{self, AccessSettings, Config, ConfigError, Environment};
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::control::permissions::Account;
use crate::sys::privileges::open_as;
use crate::wire::Id;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Clients that one load answers. A reply can be large.
const CALLERS_MAX: usize = 16;

/// A request for a load.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The client and the id of its request; `None` for a signal.
    pub client: Option<(ConnectionId, Option<Id>)>,
    /// The account that the request counts against.
    pub account: Account,
    /// The purpose.
    pub purpose: Use,
}

impl Caller {
    /// A reload that no client waits for.
    pub(crate) fn signal() -> Caller {
        Caller {
            client: None,
            account: Account::Owner,
            purpose: Use::Apply,
        }
    }
}

/// The purpose of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Show what a reload would change.
    Show,
    /// Apply it.
    Apply,
}

/// The result of a load.
pub(crate) type Loaded = Result<Config, ConfigError>;

/// Wakes the reactor.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The load that runs, and the requests for it and for the next ones.
pub(crate) struct ConfigLoader {
    wake: Wake,
    running: Option<Receiver<Loaded>>,
    /// Whom the running load answers.
    served: Vec<Caller>,
    /// Whom later ones answer.
    waiting: VecDeque<Caller>,
}

impl ConfigLoader {
    /// No load yet.
    pub(crate) fn new(wake: Wake) -> ConfigLoader {
        ConfigLoader {
            wake,
            running: None,
            served: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Adds a request for a load, before the others if it is the owner's. Signals that wait
    /// together are one request.
    pub(crate) fn request(&mut self, caller: Caller) {
        let known = |other: &Caller| other.client.is_none();
        if caller.client.is_none() && self.waiting.iter().any(known) {
            return;
        }
        match caller.account {
            Account::Owner => self.waiting.push_front(caller),
            Account::User(_) => self.waiting.push_back(caller),
        }
    }

    /// Takes the result of a load that is over. There is no result when the thread could not start
    /// or has panicked. The next load starts with [`ConfigLoader::start`].
    pub(crate) fn take_loaded(&mut self) -> Option<(Vec<Caller>, Option<Loaded>)> {
        let loaded = match self.running.as_ref()?.try_recv() {
            Ok(loaded) => Some(loaded),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => None,
        };
        self.running = None;
        Some((std::mem::take(&mut self.served), loaded))
    }

    /// Drops the dry run of a client that is gone. Its reload stays, as a signal's.
    pub(crate) fn forget(&mut self, client: ConnectionId) {
        let is_gone = |caller: &Caller| {
            let mut clients = caller.client.iter();
            clients.any(|(other, _)| *other == client)
        };
        let applies = |caller: &Caller| is_gone(caller) && caller.purpose == Use::Apply;
        let apply = self.waiting.iter().any(applies);
        self.waiting.retain(|caller| !is_gone(caller));
        if apply {
            self.request(Caller::signal());
        }
        for caller in self.served.iter_mut().filter(|caller| is_gone(caller)) {
            caller.client = None;
        }
    }

    /// Starts the next load if there are requests for it and none runs. `access` is in force.
    pub(crate) fn start(&mut self, path: &Path, access: &AccessSettings) {
        if self.running.is_some() || self.waiting.is_empty() {
            return;
        }
        let (sender, receiver) = channel();
        let (path, access) = (path.to_path_buf(), access.clone());
        let waking = WakeAtEnd(Arc::clone(&self.wake));
        let load = move || {
            // Dropped after the result is sent, also when the thread panics or cannot start.
            let _waking = waking;
            // The reactor may be gone.
            let _ = sender.send(load(&path, &access));
        };
        let thread = std::thread::Builder::new().name("tmd-load".to_string());
        if let Err(error) = thread.spawn(load) {
            log::warn!("cannot start a thread that loads the config: {error}");
        }
        let count = self.waiting.len().min(CALLERS_MAX);
        self.served = self.waiting.drain(..count).collect();
        self.running = Some(receiver);
    }
}

fn load(path: &Path, access: &AccessSettings) -> Loaded {
    let environment = Environment::current(open_as);
    let mut new = config::load(path, &environment)?;
    let users = environment.users;
    let uid = |name: &str| users.user(name).ok().flatten().map(|user| user.uid);
    new.daemon.access.note_former_members(access, uid);
    Ok(new)
}

struct WakeAtEnd(Wake);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl std::fmt::Debug for ConfigLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("ConfigLoader");
        shown
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
