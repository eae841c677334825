//! Strangers: other users, hostile daemons and hostile programs try to make a daemon, a client or
//! root wait, grow, lose, print or run something.

#[path = "../support/mod.rs"]
mod support;

mod attackers;
mod blocked_starts;
mod client_trust;
mod completions;
mod config_secrets;
mod fake_daemon;
mod files;
mod lineage;
mod quotas;
mod quotas_of_work;
mod terminals;
mod users;
