//! The words of an attachment: the line on entry, the size, the help.

use super::Session;
use crate::client::attach::hint::{self, HintText};
use crate::client::ui::table::wrap;
use crate::text::plural::plural;

/// The width of the keys in the help, with the blanks around them.
const KEYS_WIDTH: usize = 19;

impl Session {
    pub(super) fn greeting(&self) -> HintText {
        let watching = if self.settings.read_only {
            " read-only"
        } else {
            ""
        };
        let (name, remarks) = (&self.process, &self.remarks);
        let size = self.process_size();
        let short = if self.is_too_small() {
            format!("{size}, larger than yours")
        } else if !self.role.driver && self.is_too_large() {
            format!("{size}, smaller than yours")
        } else {
            String::new()
        };
        let (other, shorter) = match short.is_empty() {
            true => (String::new(), Vec::new()),
            false => {
                let long = format!("its terminal is {short}");
                (format!(" ({long})"), vec![long, short])
            }
        };
        if let Some((state, reason)) = &self.down {
            let waiting = format!("waiting for its next start{remarks}");
            let short = format!("{name} is {state}; {waiting}");
            let about = match reason.is_empty() {
                true => short.clone(),
                false => format!("{name} is {state}, {reason}; {waiting}"),
            };
            return HintText {
                shorter: vec![about.clone(), short, format!("{name} is {state}")],
                about,
                ..hint::ways_out(&self.keys, &self.settings.selection, &self.process)
            };
        }
        HintText {
            about: format!("attached{watching} to {name}{remarks}{other}"),
            shorter,
            ..hint::ways_out(&self.keys, &self.settings.selection, &self.process)
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
        let short = format!("{size}, {words}");
        let text = HintText {
            about: format!("{name}'s terminal is {short}"),
            shorter: vec![short],
            leave: String::new(),
            help: hint::help_key(&self.keys),
        };
        if self.settings.redraws && self.settings.replay {
            self.ask_redraw();
            self.show_hint_over(text);
        } else {
            // Unknown counts as wide.
            let cols = usize::from(self.screen.size().1).wrapping_sub(1);
            self.notice(&text.fit(cols));
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
                    ", or type: the last client that typed sets the size, unless tty.size is set",
                );
            }
        }
        let cols = match usize::from(self.screen.size().1) {
            0 => usize::MAX,
            cols => cols,
        };
        let mut lines: Vec<String> = text.lines().flat_map(|line| wrap(line, cols)).collect();
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
            let room = cols.saturating_sub(KEYS_WIDTH).max(KEYS_WIDTH);
            for (index, does) in wrap(&does, room).into_iter().enumerate() {
                let keys = if index == 0 { &keys } else { "" };
                lines.push(format!("  {keys:<16} {does}"));
            }
        }
        lines.join("\n")
    }
}
