//! The environment of a config: variables, the daemon's ids and the user database. Passed as a
//! value, so that tests can provide their own.

use super::trusted_path::OpenAs;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt;
use std::rc::Rc;

/// The environment that a config is loaded in.
#[derive(Clone)]
pub struct Environment {
    /// The daemon's environment variables.
    pub variables: BTreeMap<String, String>,
    /// The daemon's effective user id.
    pub uid: u32,
    /// The daemon's effective group id.
    pub gid: u32,
    /// The database of users and groups.
    pub users: Rc<dyn Users>,
    /// Whether to warn about paths at which a start would fail. They may belong elsewhere.
    pub checks_paths: bool,
    /// Opens a file for reading with another user's permissions.
    pub open_as: OpenAs,
}

impl Environment {
    /// The environment and ids of this process, and the system's user database. Omits variables
    /// that are not UTF-8: a config cannot name them.
    pub fn current(open_as: OpenAs) -> Environment {
        let variables = std::env::vars_os();
        let text =
            variables.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Environment {
            variables: text.collect(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            users: Rc::new(SystemUsers),
            checks_paths: true,
            open_as,
        }
    }
}

impl fmt::Debug for Environment {
    /// Omits the variables, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Environment");
        shown
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .finish_non_exhaustive()
    }
}

/// An entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A database of users and groups. A look-up returns `None` if there is no such entry, and an error
/// message if the database cannot be read.
pub trait Users {
    /// The user of this name.
    fn user(&self, name: &str) -> Result<Option<UserEntry>, String>;
    /// The user of this id.
    fn user_of_id(&self, uid: u32) -> Result<Option<UserEntry>, String>;
    /// The id of the group of this name.
    fn group(&self, name: &str) -> Result<Option<u32>, String>;
    /// The ids of all groups a user is in, `gid` included.
    fn groups_of(&self, name: &str, gid: u32) -> Result<Vec<u32>, String>;
    /// The names of the users that a group lists.
    fn members(&self, gid: u32) -> Result<BTreeSet<String>, String> {
        let _ = gid;
        Ok(BTreeSet::new())
    }
}

/// The system's user database.
#[derive(Debug, Clone, Copy)]
pub struct SystemUsers;

impl Users for SystemUsers {
    fn user(&self, name: &str) -> Result<Option<UserEntry>, String> {
        found(User::from_name(name)).map(|user| user.map(entry))
    }

    fn user_of_id(&self, uid: u32) -> Result<Option<UserEntry>, String> {
        found(User::from_uid(Uid::from_raw(uid))).map(|user| user.map(entry))
    }

    fn group(&self, name: &str) -> Result<Option<u32>, String> {
        found(Group::from_name(name)).map(|group| group.map(|group| group.gid.as_raw()))
    }

    fn groups_of(&self, name: &str, gid: u32) -> Result<Vec<u32>, String> {
        let name = CString::new(name).map_err(|_| "the name contains a NUL".to_string())?;
        let groups =
            getgrouplist(&name, Gid::from_raw(gid)).map_err(|errno| errno.desc().to_string())?;
        Ok(groups.into_iter().map(Gid::as_raw).collect())
    }

    fn members(&self, gid: u32) -> Result<BTreeSet<String>, String> {
        let group = found(Group::from_gid(Gid::from_raw(gid)))?;
        Ok(group.map(|group| group.mem).into_iter().flatten().collect())
    }
}

/// Caches each look-up: thousands of programs name the same few users.
pub(super) struct CachedUsers<'a> {
    inner: &'a dyn Users,
    users: RefCell<BTreeMap<String, Answer<UserEntry>>>,
    users_of_id: RefCell<BTreeMap<u32, Answer<UserEntry>>>,
    groups: RefCell<BTreeMap<String, Answer<u32>>>,
    groups_of: RefCell<BTreeMap<(String, u32), Members>>,
}

type Answer<T> = Result<Option<T>, String>;
type Members = Result<Vec<u32>, String>;

impl<'a> CachedUsers<'a> {
    pub(super) fn new(inner: &'a dyn Users) -> CachedUsers<'a> {
        CachedUsers {
            inner,
            users: RefCell::default(),
            users_of_id: RefCell::default(),
            groups: RefCell::default(),
            groups_of: RefCell::default(),
        }
    }
}

impl Users for CachedUsers<'_> {
    fn user(&self, name: &str) -> Answer<UserEntry> {
        let mut known = self.users.borrow_mut();
        known
            .entry(name.to_string())
            .or_insert_with(|| self.inner.user(name))
            .clone()
    }

    fn user_of_id(&self, uid: u32) -> Answer<UserEntry> {
        let mut known = self.users_of_id.borrow_mut();
        known
            .entry(uid)
            .or_insert_with(|| self.inner.user_of_id(uid))
            .clone()
    }

    fn group(&self, name: &str) -> Answer<u32> {
        let mut known = self.groups.borrow_mut();
        known
            .entry(name.to_string())
            .or_insert_with(|| self.inner.group(name))
            .clone()
    }

    fn groups_of(&self, name: &str, gid: u32) -> Result<Vec<u32>, String> {
        let mut known = self.groups_of.borrow_mut();
        let ask = || self.inner.groups_of(name, gid);
        known
            .entry((name.to_string(), gid))
            .or_insert_with(ask)
            .clone()
    }

    fn members(&self, gid: u32) -> Result<BTreeSet<String>, String> {
        self.inner.members(gid)
    }
}

/// Some systems report an unknown name with one of these errors.
fn found<T>(answer: nix::Result<Option<T>>) -> Result<Option<T>, String> {
    use nix::errno::Errno;
    match answer {
        Ok(entry) => Ok(entry),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno.desc().to_string()),
    }
}

fn entry(user: User) -> UserEntry {
    UserEntry {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir.to_string_lossy().into_owned(),
        shell: user.shell.to_string_lossy().into_owned(),
    }
}
