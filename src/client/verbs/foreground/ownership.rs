//! Whether a daemon ends with the foreground `up` that shows it.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};

/// The relation of a foreground `up` to its daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// It started the daemon, which ends with it.
    Owner,
    /// The daemon ran before. Only a key of the user stops it.
    Visitor,
    /// It was typed in the control shell: its end leads back to the prompt.
    ControlShell,
}

/// The answer of a foreground `up` to a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalAnswer {
    /// Reload the config.
    Reload,
    /// Stop everything and end the daemon.
    Stop,
    /// End only this client.
    Leave,
}

impl Ownership {
    /// The answer to a signal. SIGHUP asks for a reload unless the terminal has `hung_up`.
    pub(crate) fn answer(self, signal: i32, hung_up: bool) -> SignalAnswer {
        match (self, signal) {
            (Ownership::ControlShell, _) => SignalAnswer::Leave,
            (_, SIGHUP) if !hung_up => SignalAnswer::Reload,
            (Ownership::Owner, _) | (Ownership::Visitor, SIGINT | SIGQUIT) => SignalAnswer::Stop,
            (Ownership::Visitor, _) => SignalAnswer::Leave,
        }
    }

    /// The effect of Ctrl-C.
    pub(crate) fn interrupt_hint(self) -> &'static str {
        match self {
            Ownership::Owner | Ownership::Visitor => "ctrl-c stops everything",
            Ownership::ControlShell => "ctrl-c returns to the prompt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::SIGTERM;

    #[test]
    fn only_the_client_that_started_the_daemon_ends_it_without_a_key() {
        for (signal, hung_up, owner, visitor) in [
            (SIGINT, false, SignalAnswer::Stop, SignalAnswer::Stop),
            (SIGQUIT, false, SignalAnswer::Stop, SignalAnswer::Stop),
            (SIGTERM, false, SignalAnswer::Stop, SignalAnswer::Leave),
            (SIGHUP, true, SignalAnswer::Stop, SignalAnswer::Leave),
            (SIGHUP, false, SignalAnswer::Reload, SignalAnswer::Reload),
        ] {
            assert_eq!(Ownership::Owner.answer(signal, hung_up), owner);
            assert_eq!(Ownership::Visitor.answer(signal, hung_up), visitor);
            let shell = Ownership::ControlShell.answer(signal, hung_up);
            assert_eq!(shell, SignalAnswer::Leave);
        }
    }
}
