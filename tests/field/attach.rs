//! Attachments.

mod foreground;
mod keys;
mod pictures;
mod pipes;
mod signals;
mod terminals;
