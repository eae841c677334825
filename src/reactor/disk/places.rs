//! Finds the device of each directory of log files. Even that may hang, so each search has a
//! thread of its own.

use crate::reactor::disk::access::{FileAccess, Owner, run_as};
use crate::reactor::disk::route::Route;
use crate::reactor::disk::workers::DiskWaker;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Searches at one time.
const SEARCHES_MAX: usize = 32;

/// Directories whose worker is remembered.
const PLACES_MAX: usize = 1024;

/// The stack of a thread that searches.
const SEARCH_STACK: usize = 128 * 1024;

/// The directories, and the worker of each.
pub(super) struct Places {
    access: Arc<dyn FileAccess>,
    waker: DiskWaker,
    found: Arc<(Mutex<Vec<FoundPlace>>, Condvar)>,
    searches: BTreeMap<PathBuf, Vec<Arc<Route>>>,
    workers: BTreeMap<PathBuf, usize>,
}

/// A directory and its device, if that can be known.
type FoundPlace = (PathBuf, Option<u64>);

/// A directory whose search is done, and the routes that have waited for it.
pub(super) struct Place {
    pub directory: PathBuf,
    pub device: Option<u64>,
    pub routes: Vec<Arc<Route>>,
}

impl Places {
    pub(super) fn new(access: Arc<dyn FileAccess>, waker: DiskWaker) -> Places {
        Places {
            access,
            waker,
            found: Arc::default(),
            searches: BTreeMap::new(),
            workers: BTreeMap::new(),
        }
    }

    /// The worker of a directory, if it is known.
    pub(super) fn worker(&self, directory: &Path) -> Option<usize> {
        self.workers.get(directory).copied()
    }

    /// Remembers the worker of a directory.
    pub(super) fn remember(&mut self, directory: PathBuf, worker: usize) {
        if self.workers.len() >= PLACES_MAX {
            self.workers.clear();
        }
        self.workers.insert(directory, worker);
    }

    /// Searches the device of a directory for a route, with the permissions of `owner`. Returns
    /// `false` if no search can be started.
    pub(super) fn search(
        &mut self,
        directory: &Path,
        owner: Option<&Owner>,
        route: &Arc<Route>,
    ) -> bool {
        if let Some(routes) = self.searches.get_mut(directory) {
            routes.push(Arc::clone(route));
            return true;
        }
        if self.searches.len() >= SEARCHES_MAX || !self.start_search(directory, owner) {
            return false;
        }
        let routes = vec![Arc::clone(route)];
        self.searches.insert(directory.to_path_buf(), routes);
        true
    }

    fn start_search(&self, directory: &Path, owner: Option<&Owner>) -> bool {
        let (access, waker) = (Arc::clone(&self.access), Arc::clone(&self.waker));
        let found = Arc::clone(&self.found);
        let (directory, owner) = (directory.to_path_buf(), owner.cloned());
        let search = move || {
            let device = run_as(&*access, owner.as_ref(), || access.device(&directory));
            let mut places = found.0.lock().unwrap_or_else(PoisonError::into_inner);
            places.push((directory, device.ok()));
            drop(places);
            found.1.notify_all();
            waker();
        };
        let thread = thread::Builder::new().name("tmd-search".to_string());
        thread.stack_size(SEARCH_STACK).spawn(search).is_ok()
    }

    /// Takes the searches that are done.
    pub(super) fn take_found(&mut self) -> Vec<Place> {
        if self.searches.is_empty() {
            return Vec::new();
        }
        let mut found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = std::mem::take(&mut *found).into_iter();
        let done = found.filter_map(|(directory, device)| {
            let routes = self.searches.remove(&directory)?;
            Some(Place {
                directory,
                device,
                routes,
            })
        });
        done.collect()
    }

    /// Waits until a search is done, for at most `limit`. Returns whether there was any.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        if self.searches.is_empty() {
            return false;
        }
        let (found, condition) = &*self.found;
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = condition.wait_timeout_while(found, limit, |found| found.is_empty());
        drop(waited);
        true
    }
}
