//! The restart brake and its key.
