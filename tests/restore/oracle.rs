//! The reference, an emulator without code in common with ours, and the comparison with it.

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::{Cursor, Dimensions};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::{CharsetIndex, Processor, Timeout};
use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;
use taskmaster::ring::Ring;
use taskmaster::terminal::Terminal;

/// The number of later cuts at which a late client is still compared.
const FOLLOWED: usize = 3;

/// An emulator of the reference kind.
pub struct Reference {
    term: Term<Titles>,
    parser: Processor<Never>,
    title: Titles,
}

/// Draws synchronised updates at once, since only the resulting state is compared.
#[derive(Default)]
struct Never;

impl Timeout for Never {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

#[derive(Clone, Default)]
struct Titles(Rc<RefCell<String>>);

impl EventListener for Titles {
    fn send_event(&self, event: Event) {
        match event {
            Event::Title(title) => *self.0.borrow_mut() = title,
            Event::ResetTitle => self.0.borrow_mut().clear(),
            _ => {}
        }
    }
}

#[derive(Clone, Copy)]
struct Size(u16, u16);

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.0.into()
    }
    fn screen_lines(&self) -> usize {
        self.0.into()
    }
    fn columns(&self) -> usize {
        self.1.into()
    }
}

impl Reference {
    pub fn new(rows: u16, cols: u16) -> Reference {
        let config = Config {
            kitty_keyboard: true,
            scrolling_history: 2000,
            ..Config::default()
        };
        let title = Titles::default();
        Reference {
            term: Term::new(config, &Size(rows, cols), title.clone()),
            parser: Processor::new(),
            title,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.term, bytes);
    }

    /// Whether the last row is marked as continuing below the screen, since it moved there. No
    /// sequence sets that mark. It matters only to a terminal that later copies the row.
    fn continues_below(&self) -> bool {
        let grid = self.term.grid();
        let last = &grid[grid.bottommost_line()][grid.last_column()];
        last.flags.contains(Flags::WRAPLINE)
    }

    /// Describes the visible state, and the state that further output and input depend on. With
    /// `wraps` it includes which rows continue in the next one.
    pub fn look(&self, wraps: bool) -> Vec<String> {
        let grid = self.term.grid();
        let (rows, cols) = (grid.screen_lines(), grid.columns());
        let mut out = Vec::new();
        // A cursor restored with a pending wrap may be in a row that already wrapped.
        let (waits, point) = (grid.cursor.input_needs_wrap, grid.cursor.point);
        for row in 0..rows {
            let mut line = String::new();
            for col in 0..cols {
                let cell = &grid[Line(row as i32)][Column(col)];
                // Only the last column, above another row, marks a row as continuing.
                let waits = waits && point.line == row as i32;
                let inside = col + 1 == cols && row + 1 < rows;
                describe(cell, wraps && inside && !waits, &mut line);
            }
            out.push(line);
        }
        out.push(format!("cursor {}", described(&grid.cursor)));
        out.push(format!("mode {:?}", self.term.mode()));
        out.push(format!("style {:?}", self.term.cursor_style()));
        out.push(format!("title {:?}", self.title.0.borrow()));
        let colours = self.term.colors();
        let set = (0..260).filter_map(|index| Some((index, colours[index]?)));
        out.push(format!("colours {:?}", set.collect::<Vec<_>>()));
        out
    }

    /// Describes the saved cursor.
    pub fn saved(&self) -> String {
        described(&self.term.grid().saved_cursor)
    }
}

fn described(cursor: &Cursor<Cell>) -> String {
    let mut template = String::new();
    describe(&cursor.template, false, &mut template);
    let charsets = [CharsetIndex::G0, CharsetIndex::G1].map(|index| cursor.charsets[index]);
    let (point, wrap) = (cursor.point, cursor.input_needs_wrap);
    format!("{point:?} {wrap} {template} {charsets:?}")
}

fn describe(cell: &Cell, wraps: bool, out: &mut String) {
    // A tab is stored in the first column that it skips, and shows as a blank.
    out.push(if cell.c == '\t' { ' ' } else { cell.c });
    out.extend(cell.zerowidth().into_iter().flatten());
    let mut flags = cell.flags;
    // The spacer is invisible, and remains after its wide character is gone.
    flags.remove(Flags::LEADING_WIDE_CHAR_SPACER);
    if !wraps {
        flags.remove(Flags::WRAPLINE);
    }
    let plain = Cell::default();
    if (cell.fg, cell.bg, flags) != (plain.fg, plain.bg, plain.flags) {
        let _ = write!(out, "<{:?} {:?} {:x}>", cell.fg, cell.bg, flags.bits());
    }
    if let Some(colour) = cell.underline_color() {
        let _ = write!(out, "<_{colour:?}>");
    }
    if let Some(link) = cell.hyperlink() {
        // The emulator generates an id for a link without one.
        let id = link.id();
        let id = if id.ends_with("_alacritty") { "" } else { id };
        let _ = write!(out, "<{id};{}>", link.uri());
    }
}

/// Where to cut a stream, and through what.
pub struct Cuts<'a> {
    pub what: &'a str,
    pub stream: &'a [u8],
    pub size: (u16, u16),
    /// Size of the ring.
    pub kept: usize,
    /// Offsets in ascending order.
    pub at: Vec<usize>,
}

/// Feeds a stream through a ring. At each cut a late client receives a snapshot. It must show the
/// same as a terminal that was attached all along, then and at the next cuts. Returns the number of
/// cuts.
pub fn check(cuts: &Cuts<'_>) -> usize {
    let (rows, cols) = cuts.size;
    let mut ring = Ring::new(cuts.kept);
    let mut terminal = Terminal::new(0, rows, cols);
    let mut there_all_along = Reference::new(rows, cols);
    let mut late: Vec<(usize, bool, Reference)> = Vec::new();
    let mut before = 0;
    for cut in cuts.at.iter().copied().chain([cuts.stream.len()]) {
        let piece = &cuts.stream[before..cut];
        for chunk in piece.chunks(1500) {
            terminal.before_evict(ring.read(0).slices, ring.capacity(), chunk.len());
            ring.write(chunk);
            terminal.feed(chunk);
        }
        there_all_along.feed(piece);
        for (came, wraps, reference) in &mut late {
            reference.feed(piece);
            let what = format!("{}, come at {came}, at {cut}", cuts.what);
            let (wanted, found) = (there_all_along.look(*wraps), reference.look(*wraps));
            compare(&what, &wanted, &found, cuts.stream, *came);
        }
        let wanted = there_all_along.look(true);
        let mut fresh = Reference::new(rows, cols);
        fresh.feed(b"\x1b[31muser\x1b[m$ tm attach\r\n");
        // Some clients are new, and some had fallen behind.
        let history = if cut % 3 == 0 { 0 } else { 200 };
        fresh.feed(&terminal.snapshot(ring.read(0).slices, history));
        let what = format!("{}, cut at {cut}", cuts.what);
        compare(&what, &wanted, &fresh.look(true), cuts.stream, cut);
        if !terminal.tracker().alternate() {
            assert_eq!(
                fresh.saved(),
                there_all_along.saved(),
                "{what}: the saved cursor"
            );
        }
        // The main screen below an alternate one cannot be compared.
        let hidden = terminal.tracker().alternate() || there_all_along.continues_below();
        late.push((cut, !hidden, fresh));
        if late.len() > FOLLOWED {
            late.remove(0);
        }
        before = cut;
    }
    // Back on the main screen, if they were on the other.
    there_all_along.feed(b"\x18\x1b[?1049l");
    for (came, wraps, reference) in &mut late {
        reference.feed(b"\x18\x1b[?1049l");
        let what = format!("{}, come at {came}, left", cuts.what);
        let (wanted, found) = (there_all_along.look(*wraps), reference.look(*wraps));
        compare(&what, &wanted, &found, cuts.stream, *came);
    }
    cuts.at.len() + 1
}

fn compare(what: &str, wanted: &[String], found: &[String], stream: &[u8], cut: usize) {
    for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
        if wanted != found {
            let around = &stream[cut.saturating_sub(300)..cut];
            let before = String::from_utf8_lossy(around);
            let same = wanted
                .chars()
                .zip(found.chars())
                .take_while(|(a, b)| a == b)
                .count();
            let part = |text: &str| text.chars().skip(same).take(150).collect::<String>();
            let (wanted, found) = (part(wanted), part(found));
            panic!(
                "{what}, line {index} from {same}:\nwanted {wanted}\n found {found}\n\
                 after {before:?}"
            );
        }
    }
}

/// Returns about `count` nearly even cuts of a stream.
pub fn spread(len: usize, count: usize) -> Vec<usize> {
    let step = 1 + len / count;
    // An odd step also cuts characters and sequences.
    (1..len).step_by(step | 1).collect()
}
