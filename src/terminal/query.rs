//! Queries that programs send to their terminal, and the replies of a plain one.

/// A query by a program that waits for the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// DA1.
    PrimaryAttributes,
    /// DA2.
    SecondaryAttributes,
    /// DSR 5.
    Status,
    /// CPR (DSR 6), or DECXCPR (`CSI ? 6 n`).
    CursorPosition {
        /// DECXCPR.
        private: bool,
    },
    /// DECRQM, the state of a mode.
    Mode {
        /// A DEC private mode, not an ANSI mode.
        private: bool,
        /// The mode's number.
        mode: u16,
    },
    /// XTVERSION.
    Version,
}

impl Query {
    /// The reply of a plain terminal. `cursor` is row and column from 0.
    pub(crate) fn answer(self, cursor: (u16, u16)) -> Vec<u8> {
        let (row, col) = (u32::from(cursor.0) + 1, u32::from(cursor.1) + 1);
        let text = match self {
            Query::PrimaryAttributes => "\x1b[?62;22c".to_string(),
            Query::SecondaryAttributes => "\x1b[>1;10;0c".to_string(),
            Query::Status => "\x1b[0n".to_string(),
            Query::CursorPosition { private: false } => format!("\x1b[{row};{col}R"),
            Query::CursorPosition { private: true } => format!("\x1b[?{row};{col}R"),
            Query::Mode { private, mode } => {
                let mark = if private { "?" } else { "" };
                format!("\x1b[{mark}{mode};0$y")
            }
            Query::Version => format!("\x1bP>|tm {}\x1b\\", env!("CARGO_PKG_VERSION")),
        };
        text.into_bytes()
    }
}
