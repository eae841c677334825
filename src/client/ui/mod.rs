//! What people see and what ends a client: tables, colours, times, merged output, signals.

pub(crate) mod fatal_signals;
pub(crate) mod live_view;
pub(crate) mod local_time;
pub(crate) mod merge;
pub(crate) mod stdout_watch;
pub(crate) mod style;
pub(crate) mod table;
