//! The words of an attachment: the line on entry, the size, the help.

use super::Session;
use crate::client::attach::hint::{self, HintText};
use crate::text::plural::plural;

impl Session {
    pub(super) fn greeting(&self) -> HintText {
        let watching = if self.settings.read_only {
            " read-only"
        } else {
            ""
        };
        let (name, state) = (&self.process, &self.state);
        let size = self.process_size();
        let other = if self.is_too_small() {
            format!(" (its terminal is {size}, larger than yours)")
        } else if !self.role.driver && self.is_too_large() {
            format!(" (its terminal is {size}, smaller than yours)")
        } else {
            String::new()
        };
        HintText {
            about: format!("attached{watching} to {name}{state}{other}"),
            ..hint::ways_out(&self.keys, &self.process)
        }
    }

    /// Whether the process draws for a terminal larger than this one.
    pub(super) fn is_too_small(&self) -> bool {
        let (rows, cols) = self.screen.size();
        (0 < rows && rows < self.role.rows) || (0 < cols && cols < self.role.cols)
    }

    /// Whether the process draws for a terminal smaller than this one.
    fn is_too_large(&self) -> bool {
        let (rows, cols) = self.screen.size();
        let known = self.role.rows > 0 && self.role.cols > 0;
        known && (rows > self.role.rows || cols > self.role.cols)
    }

    pub(super) fn process_size(&self) -> String {
        format!("{}x{}", self.role.cols, self.role.rows)
    }

    /// How the two sizes differ, in words, unless the user has seen them.
    pub(super) fn note_size(&mut self) -> Option<&'static str> {
        let (told, words) = if self.is_too_small() {
            (&mut self.seen.larger, "larger than yours")
        } else if !self.role.driver && self.is_too_large() {
            (&mut self.seen.smaller, "smaller than yours")
        } else {
            return None;
        };
        (!std::mem::replace(told, true)).then_some(words)
    }

    /// Reports once that the process's terminal is larger than this one, and once that it is
    /// smaller.
    pub(super) fn report_size(&mut self) {
        let Some(words) = self.note_size().filter(|_| !self.settings.quiet) else {
            return;
        };
        let (name, size) = (&self.process, self.process_size());
        let text = HintText {
            about: format!("{name}'s terminal is {size}, {words}"),
            leave: String::new(),
            help: hint::help_key(&self.keys),
        };
        if self.settings.redraws && self.settings.replay {
            self.ask_redraw();
            self.show_hint_over(text);
        } else {
            self.notice(&text.to_string());
        }
    }

    pub(super) fn help(&self) -> String {
        let prefix = self.keys.prefix().unwrap_or_default();
        let letter = prefix.rsplit(['-', ' ']).next().unwrap_or_default();
        let role = match (self.role.driver, self.settings.read_only) {
            (true, _) => "driving",
            (false, true) => "watching, read-only",
            (false, false) => "watching",
        };
        let clients = self.role.clients.max(1);
        let clients = plural(clients, "client", "clients");
        let mut text = format!("{}: {role}, {clients} attached", self.process);
        if self.is_too_small() {
            let (rows, cols) = self.screen.size();
            let size = self.process_size();
            text.push_str(&format!(
                "\nits terminal is {size}, yours is {cols}x{rows}: enlarge yours"
            ));
            if !self.settings.read_only && !self.role.driver {
                text.push_str(
                    ",\nor type: the last client that typed sets the size, unless tty.size is set",
                );
            }
        }
        for (keys, does) in [
            (
                self.keys.shown(),
                "Detach; the process continues to run".to_string(),
            ),
            (
                format!("{prefix} {prefix}"),
                format!("Send {prefix} to the process, as does {prefix} {letter}"),
            ),
            (
                format!("{prefix} ["),
                "Show the output that has scrolled off the screen".to_string(),
            ),
            (
                format!("{prefix} n, p"),
                "Switch to the next or previous process".to_string(),
            ),
            (format!("{prefix} ctrl-z"), "Suspend tm".to_string()),
        ] {
            text.push_str(&format!("\n  {keys:<16} {does}"));
        }
        text
    }
}
