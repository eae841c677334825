//! Access control. The connection carries the caller's identity; only this module decides.

use crate::config::{AccessSettings, Principal};
use crate::sys;
use crate::sys::socket::Peer;
use crate::wire::{Access, Call, RpcError, code};
use serde_json::json;

/// Checks the caller's access, and logs every control request with its caller.
///
/// # Errors
/// When the config does not grant it.
pub(crate) fn permit(peer: &Peer, call: &Call, rules: &AccessSettings) -> Result<(), RpcError> {
    let access = call.access();
    let (method, params) = call.to_parts();
    if !allowed(peer, access, rules, sys::runtime::effective_uid()) {
        log::warn!("uid {} pid {}: {method} denied", peer.uid, peer.pid);
        let needed = match access {
            Access::Read => "read",
            Access::Control => "control",
        };
        let message = format!(
            "uid {} may not {method}: daemon.access.{needed} does not list it",
            peer.uid
        );
        let data = json!({"uid": peer.uid, "method": method, "access": needed});
        return Err(RpcError::new(code::PERMISSION, message).with_data(data));
    }
    if access == Access::Control {
        // Input can be a secret.
        let params = match method.as_str() {
            "send" => json!({"process": params["process"]}),
            _ => params,
        };
        log::info!("uid {} pid {}: {method} {params}", peer.uid, peer.pid);
    }
    Ok(())
}

/// Whether `peer` has this access: root and the daemon's own user always, others as the config
/// says. Control access includes read access.
fn allowed(peer: &Peer, wanted: Access, rules: &AccessSettings, own_uid: u32) -> bool {
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
