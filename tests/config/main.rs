//! The library's config API on real files: the examples, and each way to get it wrong.

mod errors;
mod files;
mod support;
mod values;
