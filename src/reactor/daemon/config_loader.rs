//! Loads the config file for dry runs, on another thread: it takes the longer, the more programs
//! there are, and the user database may take any time.
//!
//! One load runs at a time. The requests that arrive meanwhile share the next one.

use crate::config::{self, Config, ConfigError, Environment};
use crate::reactor::control::connection::ConnectionId;
use crate::sys::privileges::open_as;
use crate::wire::Id;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Clients that one load answers. A reply can be large.
const CALLERS_MAX: usize = 16;

/// A client and the id of its request.
pub(crate) type Caller = (ConnectionId, Option<Id>);

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

    /// Loads the config for a client, before the others if it is the `first` to be served.
    pub(crate) fn request(&mut self, caller: Caller, first: bool, path: &Path) {
        match first {
            true => self.waiting.push_front(caller),
            false => self.waiting.push_back(caller),
        }
        self.start(path);
    }

    /// Takes the result of a load that is over, and starts the next one if it is needed. There is
    /// no result when the thread could not start or has panicked.
    pub(crate) fn take_loaded(&mut self, path: &Path) -> Option<(Vec<Caller>, Option<Loaded>)> {
        let loaded = match self.running.as_ref()?.try_recv() {
            Ok(loaded) => Some(loaded),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => None,
        };
        self.running = None;
        let served = std::mem::take(&mut self.served);
        self.start(path);
        Some((served, loaded))
    }

    /// Drops the request of a client that is gone.
    pub(crate) fn forget(&mut self, client: ConnectionId) {
        self.waiting.retain(|(other, _)| *other != client);
        self.served.retain(|(other, _)| *other != client);
    }

    fn start(&mut self, path: &Path) {
        if self.running.is_some() || self.waiting.is_empty() {
            return;
        }
        let (sender, receiver) = channel();
        let path = path.to_path_buf();
        let waking = WakeAtEnd(Arc::clone(&self.wake));
        let load = move || {
            // Dropped after the result is sent, also when the thread panics or cannot start.
            let _waking = waking;
            // The reactor may be gone.
            let _ = sender.send(config::load(&path, &Environment::current(open_as)));
        };
        let thread = std::thread::Builder::new().name("tmd-plan".to_string());
        if let Err(error) = thread.spawn(load) {
            log::warn!("cannot start a thread for a dry run: {error}");
        }
        let count = self.waiting.len().min(CALLERS_MAX);
        self.served = self.waiting.drain(..count).collect();
        self.running = Some(receiver);
    }
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
