//! Words for people, and the text that every layer reads or writes the same way: durations,
//! times, plurals, patterns, did-you-mean and control characters. Pure, and imports no layer.

pub mod duration;
pub mod glob;
pub mod plural;
pub mod printable;
pub mod strip;
pub mod suggest;
pub mod timestamp;
