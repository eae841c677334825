//! Control sequences from programs, files and the wire on the way to a terminal.
