//! States, stops, reloads and their order.
