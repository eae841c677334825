//! How a process ended.

use std::fmt;

/// The end of a process: a code or a signal, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Called `exit` with this code.
    Code(i32),
    /// Killed by a signal.
    Signal {
        /// The signal's number, real-time signals included.
        signal: i32,
        /// Whether a core file was written.
        core: bool,
    },
}

impl Exit {
    /// Whether SIGKILL ended it.
    pub(crate) fn is_kill(self) -> bool {
        matches!(self, Exit::Signal { signal: 9, .. })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal { signal, core } => {
                let core = if *core { " (core dumped)" } else { "" };
                match signal_name(*signal) {
                    Some(name) => write!(f, "killed by SIG{name}{core}"),
                    None => write!(f, "killed by signal {signal}{core}"),
                }
            }
        }
    }
}

/// Linux signal numbers and their names without `SIG` (x86, ARM and RISC-V numbering).
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The name of a signal without `SIG`; `RTMIN+n` for the real-time ones.
pub(crate) fn signal_name(number: i32) -> Option<String> {
    if (34..=64).contains(&number) {
        return Some(match number - 34 {
            0 => "RTMIN".to_string(),
            n => format!("RTMIN+{n}"),
        });
    }
    let found = SIGNALS.iter().find(|(_, n)| *n == number);
    found.map(|(name, _)| (*name).to_string())
}

/// The number of a signal written as `TERM`, `SIGTERM`, `term`, `15` or `RTMIN+3`.
pub(crate) fn signal_number(text: &str) -> Option<i32> {
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let offset = if rest.is_empty() {
            0
        } else {
            rest.strip_prefix('+')?.parse().ok()?
        };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// Every signal name without `SIG`, for completion and did-you-mean.
pub(crate) fn signal_names() -> impl Iterator<Item = &'static str> {
    SIGNALS.iter().map(|(name, _)| *name)
}
