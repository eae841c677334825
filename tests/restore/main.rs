//! Re-attach is exact. A late client sees the same screen as a terminal that was attached from the
//! start, for any cut of the stream and any size of the ring.

mod daemon;
mod live;
mod oracle;
mod random;
mod recorded;
mod seeded;
#[path = "../support/mod.rs"]
mod support;
