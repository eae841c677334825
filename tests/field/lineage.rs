//! Processes that belong to another, and processes that survive their daemon.
