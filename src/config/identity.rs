//! Resolves users and groups to ids, only while the config is loaded.

use super::diagnostics::shown;
use super::host_environment::{UserEntry, Users};
use super::lowering_context::{Lowering, Value};
use super::{AccessSettings, Principal};
use crate::supervisor::Identity;
use std::collections::BTreeSet;

/// The keys of a program that select its user and groups.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub user: Option<Value<'a>>,
    pub group: Option<Value<'a>>,
    pub supplementary: Option<Value<'a>>,
}

/// An error that was reported.
struct Reported;

/// The identity to run as; `None` for the daemon's own, and after an error.
pub(super) fn identity(cx: &mut Lowering, wanted: &Wanted) -> Option<Identity> {
    let group_given = wanted.group.is_some();
    // Resolves all keys before it gives up, so that every error is reported.
    let user = resolved(&wanted.user, |value| user_entry(cx, value, group_given));
    let gid = resolved(&wanted.group, |value| group_id(cx, value));
    let privileged = cx.daemon_uid == 0;
    let supplementary = if privileged {
        resolved(&wanted.supplementary, |value| group_ids(cx, value))
    } else {
        // Without root the key itself is an error: do not check its elements.
        Ok(None)
    };
    let (Ok(user), Ok(gid), Ok(supplementary)) = (user, gid, supplementary) else {
        return None;
    };
    if !privileged {
        refuse_changes(cx, wanted, user.as_ref(), gid);
        return None;
    }
    let changed = user.as_ref().is_some_and(|user| user.uid != cx.daemon_uid);
    let own_gid = gid.is_none_or(|gid| gid == cx.daemon_gid);
    if !changed && own_gid && supplementary.is_none() {
        return None;
    }
    let user = match user {
        Some(user) => user,
        None => own_entry(cx),
    };
    let gid = gid.unwrap_or(user.gid);
    let groups = match supplementary {
        Some(groups) => groups,
        None => groups_of(cx, wanted, &user, gid)?,
    };
    let UserEntry {
        name,
        uid,
        home,
        shell,
        ..
    } = user;
    Some(Identity {
        user: name,
        uid,
        gid,
        groups,
        home,
        shell,
    })
}

/// The value of a key; `None` if the key is absent.
fn resolved<T>(
    key: &Option<Value>,
    resolve: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, Reported> {
    match key {
        None => Ok(None),
        Some(value) => resolve(value).map(Some).ok_or(Reported),
    }
}

/// Reports keys that ask for another user or group than the daemon's, which needs root.
fn refuse_changes(cx: &mut Lowering, wanted: &Wanted, user: Option<&UserEntry>, gid: Option<u32>) {
    let same_user = user.is_none_or(|user| user.uid == cx.daemon_uid);
    let same_group = gid.is_none_or(|gid| gid == cx.daemon_gid);
    let refused = [
        wanted.user.as_ref().filter(|_| !same_user),
        wanted.group.as_ref().filter(|_| !same_group),
        wanted.supplementary.as_ref(),
    ];
    for value in refused.into_iter().flatten() {
        let (message, help) = if cx.drops_root {
            let message = "cannot be changed: `daemon.user` drops root permanently";
            (message, "remove `daemon.user`, or this key")
        } else {
            let message = "needs root: the daemon runs as an ordinary user";
            (message, "start the daemon as root, or remove the key")
        };
        cx.refuse::<()>(value, message, Some(help));
    }
}

fn user_entry(cx: &mut Lowering, value: &Value, group_given: bool) -> Option<UserEntry> {
    let text = cx.nonempty(value, "a user's name or number")?;
    let number = text.bytes().all(|b| b.is_ascii_digit());
    let answer = match text.parse::<u32>() {
        // The highest id means "unchanged" to the kernel.
        Ok(u32::MAX) | Err(_) if number => {
            return cx.refuse(value, format!("{} is not a user id", shown(&text)), None);
        }
        Ok(uid) => cx.users.user_of_id(uid).map(|entry| match entry {
            None if group_given => Some(nameless(uid)),
            entry => entry,
        }),
        Err(_) => cx.users.user(&text),
    };
    match answer {
        Ok(Some(user)) => Some(user),
        Ok(None) if number => {
            let message = format!("no user has the id {text}");
            cx.refuse(value, message, Some("set `group` too to use it anyway"))
        }
        Ok(None) => cx.refuse(
            value,
            format!("there is no user {}", shown(&text)),
            Some("create the user, or name another"),
        ),
        Err(reason) => cx.refuse(value, unanswered(&reason), None),
    }
}

fn unanswered(reason: &str) -> String {
    format!("the user database cannot be read: {reason}")
}

/// An entry for a user that the database does not have.
fn nameless(uid: u32) -> UserEntry {
    UserEntry {
        name: uid.to_string(),
        uid,
        gid: u32::MAX,
        home: "/".to_string(),
        shell: "/bin/sh".to_string(),
    }
}

fn own_entry(cx: &Lowering) -> UserEntry {
    let known = cx.users.user_of_id(cx.daemon_uid).ok().flatten();
    let nameless = || UserEntry {
        gid: cx.daemon_gid,
        ..nameless(cx.daemon_uid)
    };
    known.unwrap_or_else(nameless)
}

fn groups_of(cx: &mut Lowering, wanted: &Wanted, user: &UserEntry, gid: u32) -> Option<Vec<u32>> {
    match cx.users.groups_of(&user.name, gid) {
        Ok(groups) => Some(groups),
        Err(reason) => match wanted.user.as_ref().or(wanted.group.as_ref()) {
            Some(value) => cx.refuse(value, unanswered(&reason), None),
            None => None,
        },
    }
}

/// The id of a group given by name or number.
pub(super) fn group_id(cx: &mut Lowering, value: &Value) -> Option<u32> {
    let text = cx.nonempty(value, "a group's name or number")?;
    group_named(cx, value, &text)
}

fn group_named(cx: &mut Lowering, value: &Value, text: &str) -> Option<u32> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            Ok(u32::MAX) | Err(_) => {
                cx.refuse(value, format!("{} is not a group id", shown(text)), None)
            }
            Ok(gid) => Some(gid),
        };
    }
    match cx.users.group(text) {
        Ok(Some(gid)) => Some(gid),
        Ok(None) => cx.refuse(
            value,
            format!("there is no group {}", shown(text)),
            Some("create the group, or name another"),
        ),
        Err(reason) => cx.refuse(value, unanswered(&reason), None),
    }
}

fn group_ids(cx: &mut Lowering, value: &Value) -> Option<Vec<u32>> {
    let items = cx.list(value, "a list of groups")?;
    let found: Vec<Option<u32>> = items.iter().map(|item| group_id(cx, item)).collect();
    let mut groups: Vec<u32> = found.into_iter().collect::<Option<_>>()?;
    groups.sort_unstable();
    groups.dedup();
    Some(groups)
}

/// `daemon.access`: users by name or number, groups with `@` before it.
pub(super) fn access(
    cx: &mut Lowering,
    read: Option<Value>,
    control: Option<Value>,
) -> AccessSettings {
    let read = principals(cx, read);
    let control = principals(cx, control);
    let groups = read.iter().chain(&control).filter_map(|one| match one {
        Principal::Group(gid) => Some(*gid),
        Principal::User(_) => None,
    });
    // Without an answer, no user counts as having left.
    let members = groups.filter_map(|gid| Some((gid, cx.users.members(gid).ok()?)));
    AccessSettings {
        members: members.collect(),
        read,
        control,
        former_members: BTreeSet::new(),
    }
}

fn principals(cx: &mut Lowering, value: Option<Value>) -> Vec<Principal> {
    let Some(value) = value else {
        return Vec::new();
    };
    let items = cx
        .list(&value, "a list of users and @groups")
        .unwrap_or_default();
    items
        .iter()
        .filter_map(|item| principal(cx, item))
        .collect()
}

fn principal(cx: &mut Lowering, value: &Value) -> Option<Principal> {
    let text = cx.nonempty(value, "a user, or a group as @name")?;
    match text.strip_prefix('@') {
        Some(group) => group_named(cx, value, group).map(Principal::Group),
        None => {
            // A number needs no entry: it is compared with the caller's, never run as.
            let uid = text.parse().ok().filter(|uid| *uid != u32::MAX);
            match uid {
                Some(uid) => Some(Principal::User(uid)),
                None => user_entry(cx, value, false).map(|user| Principal::User(user.uid)),
            }
        }
    }
}
