//! Who may do what. Identity is the connection's; the decision is here and nowhere else.

use crate::config::{AccessSettings, Principal};
use crate::sys::socket::Peer;
use crate::wire::Access;

/// Whether `peer` may: root and the daemon's own user everything, others what the config says.
/// Who may control may also look.
pub fn allowed(peer: &Peer, wanted: Access, rules: &AccessSettings, own_uid: u32) -> bool {
    if peer.uid == 0 || peer.uid == own_uid {
        return true;
    }
    let listed = |principals: &[Principal]| {
        principals.iter().any(|principal| match principal {
            Principal::User(uid) => peer.uid == *uid,
            Principal::Group(gid) => peer.gid == *gid || peer.groups.contains(gid),
        })
    };
    match wanted {
        Access::Read => listed(&rules.read) || listed(&rules.control),
        Access::Control => listed(&rules.control),
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
        };
        let none = AccessSettings {
            read: Vec::new(),
            control: Vec::new(),
        };
        let may = |uid, wanted, rules| allowed(&peer(uid, uid), wanted, rules, 1000);
        assert!(may(0, Access::Control, &none));
        assert!(may(1000, Access::Control, &none));
        assert!(!may(8, Access::Read, &none));
        assert!(may(8, Access::Read, &rules));
        assert!(!may(8, Access::Control, &rules));
        assert!(may(7, Access::Control, &rules));
        assert!(may(7, Access::Read, &rules));
    }
}
