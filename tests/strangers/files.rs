//! The owners of the files that the daemon reads and writes.
