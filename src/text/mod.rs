//! Text that several layers read or write the same way: durations, times, plurals, patterns,
//! suggestions and control characters. Pure; imports no layer.

pub(crate) mod builtins;
pub(crate) mod byte_size;
pub(crate) mod duration;
pub(crate) mod error_message;
pub(crate) mod full_screen;
pub(crate) mod glob;
pub(crate) mod plural;
pub(crate) mod printable;
pub(crate) mod strip;
pub(crate) mod suggest;
pub(crate) mod timestamp;
