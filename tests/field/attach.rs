//! Attachments.

mod pipes;
mod signals;
