//! Re-attach is exact: what a client that comes late is sent shows what a terminal shows that was
//! there all the time, wherever the stream is cut, and however much of it is kept.

mod daemon;
mod live;
mod oracle;
mod random;
mod recorded;
mod seeded;
#[path = "../support/mod.rs"]
mod support;
