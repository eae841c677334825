//! The library's config API on real files: the examples, and every kind of error.

mod bounds;
mod errors;
mod files;
mod habits;
mod support;
mod values;
