//! An independent emulator, which shows the modes that the next program on a terminal would find.

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::test::TermSize;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::{CharsetIndex, NamedColor, Processor};
use std::sync::{Arc, Mutex};

const ROWS: usize = 24;
const COLS: usize = 80;

#[derive(Clone, Default)]
struct Title(Arc<Mutex<Option<String>>>);

impl EventListener for Title {
    fn send_event(&self, event: Event) {
        let title = match event {
            Event::Title(title) => Some(title),
            Event::ResetTitle => None,
            _ => return,
        };
        *self.0.lock().expect("no thread panicked") = title;
    }
}

/// Describes every mode that a program may have left on. If none is left, the result equals that of
/// no bytes.
pub fn left_on(bytes: &[u8]) -> String {
    let title = Title::default();
    let config = Config {
        kitty_keyboard: true,
        ..Config::default()
    };
    let size = TermSize::new(COLS, ROWS);
    let mut terminal = Term::new(config, &size, title.clone());
    let mut parser: Processor = Processor::new();
    // The shell's own title.
    parser.advance(&mut terminal, b"\x1b]2;before\x07");
    parser.advance(&mut terminal, bytes);
    let cursor = &terminal.grid().cursor;
    let sets = [CharsetIndex::G0, CharsetIndex::G1].map(|index| cursor.charsets[index]);
    let colours = [
        NamedColor::Foreground,
        NamedColor::Background,
        NamedColor::Cursor,
    ];
    let template = &cursor.template;
    let mut state = format!(
        "{:?} {:?} {sets:?} {:?} {:?} {:?} {:?} title {:?}",
        terminal.mode(),
        terminal.cursor_style(),
        colours.map(|colour| terminal.colors()[colour]),
        (template.fg, template.bg, template.flags),
        template.hyperlink(),
        parser.sync_bytes_count(),
        title.0.lock().expect("no thread panicked"),
    );
    // Drawing shows margins and the character set; popping shows the keyboard's stack.
    parser.advance(
        &mut terminal,
        b"\x1b[2J\x1b[Htop\x1b[999;999Hq\x1b[999;1H\nlow",
    );
    let cell = |line, column| terminal.grid()[Line(line)][Column(column)].c;
    let (last, edge) = (ROWS as i32 - 1, COLS - 1);
    let shown: String = [
        cell(0, 0),
        cell(last - 1, edge),
        cell(last, 0),
        cell(last, 2),
    ]
    .into_iter()
    .collect();
    state.push_str(&format!(" {shown:?}"));
    parser.advance(&mut terminal, b"\x1b[<1u");
    state.push_str(&format!(" {:?}", terminal.mode()));
    state
}
