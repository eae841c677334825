//! The library's config API on real files: the examples, and every kind of error.

mod errors;
mod files;
mod support;
mod values;
