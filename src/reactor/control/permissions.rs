//! Access control. The connection carries the caller's identity; only this module decides.

use crate::config::{AccessSettings, Principal};
use crate::sys;
use crate::sys::socket::Peer;
use crate::wire::{Access, Call, RpcError, code};
use serde_json::json;

/// The user whose quota a connection counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    /// Root and the daemon's own user.
    Owner,
    /// Another user.
    User(u32),
}

impl Account {
    /// The account of a caller.
    pub(crate) fn of(peer: &Peer) -> Account {
        match is_owner(peer, sys::runtime::effective_uid()) {
            true => Account::Owner,
            false => Account::User(peer.uid),
        }
    }
}

/// Checks the caller's access.
///
/// # Errors
/// When the config does not grant it.
pub(crate) fn permit(peer: &Peer, call: &Call, rules: &AccessSettings) -> Result<(), RpcError> {
    let access = call.access();
    if allowed(peer, access, rules) {
        return Ok(());
    }
    let needed = match access {
        Access::Read => "read",
        Access::Control => "control",
    };
    let (uid, method) = (peer.uid, call.method());
    let message = format!("uid {uid} may not {method}: daemon.access.{needed} does not list it");
    let data = json!({"uid": uid, "method": method, "access": needed});
    Err(RpcError::new(code::PERMISSION, message).with_data(data))
}

/// Checks whether a caller has any access at all.
///
/// # Errors
/// When it has none.
pub(crate) fn let_in(peer: &Peer, rules: &AccessSettings) -> Result<(), RpcError> {
    if allowed(peer, Access::Read, rules) {
        return Ok(());
    }
    let uid = peer.uid;
    let message = format!("uid {uid} may not use this daemon: daemon.access does not list it");
    let data = json!({"uid": uid, "access": "read"});
    Err(RpcError::new(code::PERMISSION, message).with_data(data))
}

/// Whether `peer` has this access: root and the daemon's own user always, others as the config
/// says. Control access includes read access.
pub(crate) fn allowed(peer: &Peer, wanted: Access, rules: &AccessSettings) -> bool {
    is_owner(peer, sys::runtime::effective_uid()) || listed(peer, wanted, rules)
}

fn is_owner(peer: &Peer, own_uid: u32) -> bool {
    peer.uid == 0 || peer.uid == own_uid
}

fn listed(peer: &Peer, wanted: Access, rules: &AccessSettings) -> bool {
    let names = |principals: &[Principal]| {
        principals.iter().any(|principal| match principal {
            Principal::User(uid) => peer.uid == *uid,
            Principal::Group(gid) => {
                let member = peer.gid == *gid || peer.groups.contains(gid);
                member && !rules.former_members.contains(&(peer.uid, *gid))
            }
        })
    };
    match wanted {
        Access::Read => names(&rules.read) || names(&rules.control),
        Access::Control => names(&rules.control),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_denied_unless_listed() {
        let peer = |uid, gid| Peer {
            pid: 1,
            uid,
            gid,
            groups: vec![50],
        };
        let rules = AccessSettings {
            read: vec![Principal::Group(50)],
            control: vec![Principal::User(7)],
            ..AccessSettings::default()
        };
        let none = AccessSettings::default();
        assert!(is_owner(&peer(0, 0), 1000));
        assert!(is_owner(&peer(1000, 1000), 1000));
        assert!(!is_owner(&peer(7, 7), 1000));
        let may = |uid, wanted, rules| listed(&peer(uid, uid), wanted, rules);
        assert!(!may(8, Access::Read, &none));
        assert!(may(8, Access::Read, &rules));
        assert!(!may(8, Access::Control, &rules));
        assert!(may(7, Access::Control, &rules));
        assert!(may(7, Access::Read, &rules));
        // A process keeps the groups that it was started with.
        let left = AccessSettings {
            former_members: [(8, 50)].into(),
            ..rules
        };
        assert!(!listed(&peer(8, 8), Access::Read, &left));
        assert!(listed(&peer(9, 9), Access::Read, &left));
    }
}
