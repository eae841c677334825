//! reactor
pub mod disk_file;
pub mod disk_format;
pub mod output;
