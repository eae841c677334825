//! The user interface: tables, colours, times, merged output, and the signals that end a client.

pub(crate) mod bottom_line;
pub(crate) mod event_loop;
pub(crate) mod fatal_signals;
pub(crate) mod gap_filter;
pub(crate) mod held_line;
pub(crate) mod json_lines;
pub(crate) mod line_writers;
pub(crate) mod live_view;
pub(crate) mod local_time;
pub(crate) mod merge;
pub(crate) mod messages;
pub(crate) mod own_output;
pub(crate) mod stdout_watch;
pub(crate) mod style;
pub(crate) mod table;
