//! One file for each verb, or family of verbs.

pub(crate) mod foreground;
pub(crate) mod logs;
pub(crate) mod progress;
pub(crate) mod reload;
pub(crate) mod start_stop;
pub(crate) mod status;
pub(crate) mod tell;
pub(crate) mod up;
