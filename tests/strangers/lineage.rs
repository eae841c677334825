//! Processes that hide from their daemon, or claim to belong to it.
