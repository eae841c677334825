//! One file for each verb, or for verbs that share their work.

pub(crate) mod act_live;
pub(crate) mod check;
pub(crate) mod clients;
pub(crate) mod daemons;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod foreground;
pub(crate) mod logs;
pub(crate) mod peek;
pub(crate) mod progress;
pub(crate) mod reload;
pub(crate) mod run_notices;
pub(crate) mod start_stop;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod up_daemon;
pub(crate) mod version;
pub(crate) mod why;
