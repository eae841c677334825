//! Clients that take more than their share of connections, memory or work.
