//! Attachments.

mod signals;
