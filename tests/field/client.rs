//! Verbs, the control shell and the checks of a config.
