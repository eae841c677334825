//! reactor
pub mod disk;
pub mod disk_file;
pub mod disk_format;
mod disk_worker;
pub mod log;
pub mod output;
