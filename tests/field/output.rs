//! Logs, rotation and merged output.
