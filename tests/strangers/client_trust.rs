//! The client and daemons, sockets and files that it should not trust.
