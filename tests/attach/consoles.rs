//! A client on a terminal, and what remains of the terminal when the client is gone.

use crate::emulator::left_on;
use crate::support::{Daemon, PATIENCE, Terminal};
use rustix::termios::Termios;
use serde_json::{Value, json};
use std::time::Instant;
use taskmaster::terminal::Tracker;

/// Echoes: `raw:0` each byte at once, `line:0` each line.
pub const ECHO: &str = "programs:\n  raw: {cmd: '@BIN@/echo_tty raw', tty: true, starttime: 0}\n  \
    line: {cmd: '@BIN@/echo_tty line', tty: true, starttime: 0}\n";

/// `tm attach` below a shell that outlives it, so that the terminal can be looked at afterwards.
pub struct Console {
    /// The terminal of the shell.
    pub terminal: Terminal,
    before: Termios,
}

impl Console {
    /// Attaches on a terminal of 24 rows and 80 columns.
    pub fn attach(daemon: &Daemon, arguments: &str) -> Console {
        Console::sized(daemon, arguments, 24, 80)
    }

    /// Attaches on a terminal of another size.
    pub fn sized(daemon: &Daemon, arguments: &str, rows: u16, cols: u16) -> Console {
        let script = format!(
            "read -r go; tm attach {arguments}; echo \"over: $?.\"; \
             read -r rest; echo \"rest: <$rest>.\""
        );
        Console::begin(daemon.terminal(&["sh", "-c", &script], rows, cols))
    }

    /// Attaches on a terminal whose command first waits for a line.
    pub fn begin(mut terminal: Terminal) -> Console {
        let before = terminal.termios();
        terminal.send("\n");
        Console { terminal, before }
    }

    /// Waits for the client's end and checks that the terminal is as before. Returns the exit code.
    pub fn wait_over(&mut self) -> i32 {
        self.terminal
            .expect_screen("the end of the client", |screen| {
                screen.contains("over: ") && screen.ends_with('.')
            });
        self.assert_restored();
        let screen = self.terminal.contents();
        let code = screen.rsplit("over: ").next().unwrap_or_default();
        let code = code.trim_end_matches('.').parse();
        code.unwrap_or_else(|_| panic!("no exit code: {screen}"))
    }

    /// Fails unless the shell reads only new input after the client, and no terminal answers.
    pub fn expect_nothing_left_to_read(&mut self) {
        self.terminal.send("mine\n");
        self.terminal.expect("rest: <mine>.");
    }

    /// Fails if a mode that the process or the client turned on is left.
    pub fn assert_restored(&self) {
        let mut seen = Tracker::new(0);
        seen.feed(self.terminal.raw());
        let left = String::from_utf8_lossy(&seen.reset_sequence()).into_owned();
        let nothing = Tracker::new(0).reset_sequence();
        assert_eq!(left, String::from_utf8_lossy(&nothing), "still turned on");
        let raw = self.terminal.raw();
        assert_eq!(left_on(raw), left_on(b""), "another emulator");
        let count = |part| count(self.terminal.raw(), part);
        assert_eq!(count(b"\x1b[22;2t"), count(b"\x1b[23;2t"), "titles");
        let modes = |termios: &Termios| {
            format!(
                "{:?} {:?} {:?} {:?} {:?}",
                termios.input_modes,
                termios.output_modes,
                termios.control_modes,
                termios.local_modes,
                termios.special_codes
            )
        };
        assert_eq!(modes(&self.terminal.termios()), modes(&self.before));
        let screen = self.terminal.screen();
        let shown = self.terminal.contents();
        assert!(!screen.alternate_screen(), "alternate screen:\n{shown}");
        assert!(!screen.hide_cursor(), "no cursor:\n{shown}");
        assert!(!screen.application_cursor() && !screen.application_keypad());
        assert!(!screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert_eq!(screen.attributes_formatted(), vt100_default());
    }

    /// Waits until bytes have come a number of times, anywhere in the output.
    pub fn expect_bytes(&mut self, bytes: &[u8]) {
        let deadline = Instant::now() + PATIENCE;
        while !contains(self.terminal.raw(), bytes) {
            let more = self.terminal.read_until(deadline);
            assert!(
                more,
                "{:?} never came:\n{}",
                String::from_utf8_lossy(bytes),
                self.terminal.contents()
            );
        }
    }
}

fn vt100_default() -> String {
    let size = std::num::NonZero::new(2).expect("not zero");
    let fresh = vt100::Parser::new(size, size, 0);
    fresh.screen().attributes_formatted()
}

/// Counts how often bytes occur in others.
pub fn count(all: &[u8], part: &[u8]) -> usize {
    all.windows(part.len())
        .filter(|window| *window == part)
        .count()
}

/// Whether bytes occur in others.
pub fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// Returns the rows of `tm clients` for a process.
pub fn clients(daemon: &Daemon, process: &str) -> Vec<Value> {
    let rows = daemon.status(process)["clients"].take();
    rows.as_array().cloned().unwrap_or_default()
}

/// Returns the pid of the only client.
pub fn client_pid(daemon: &Daemon, process: &str) -> i32 {
    let rows = clients(daemon, process);
    assert_eq!(rows.len(), 1, "{}", json!(rows));
    rows[0]["pid"].as_i64().expect("a client has a pid") as i32
}
