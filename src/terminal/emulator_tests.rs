use super::*;
use crate::ring::Ring;

/// A terminal behind a small ring, and a model that received all output.
struct Comparison {
    ring: Ring,
    terminal: Terminal,
    all: Model,
}

impl Comparison {
    fn new(rows: u16, cols: u16, capacity: usize) -> Comparison {
        let mut all = Model::new(rows, cols);
        all.screen_mut().keep_history(HISTORY_KEPT);
        Comparison {
            ring: Ring::new(capacity),
            terminal: Terminal::new(0, rows, cols),
            all,
        }
    }

    fn feed(&mut self, text: &str) {
        for chunk in text.as_bytes().chunks(1000) {
            let kept = self.ring.read(0).slices;
            self.terminal
                .before_evict(kept, self.ring.capacity(), chunk.len());
            self.ring.write(chunk);
            self.terminal.feed(chunk);
            self.all.feed(chunk);
        }
    }

    fn resize(&mut self, rows: u16, cols: u16) {
        self.terminal.resize(rows, cols);
        self.all.screen_mut().resize(rows, cols);
    }

    fn check(&self, what: &str) {
        let mut found = self.terminal.model(self.ring.read(0).slices, 0);
        let mut wanted = self.all.clone();
        for model in [&mut found, &mut wanted] {
            let screen = model.screen_mut();
            screen.keep_history(0);
            if screen.alternate.is_none() {
                // The alternate screen is cleared when it is turned on.
                screen.pages[1].rows.clear();
                screen.pages[1].cursor = Default::default();
            }
        }
        let (found, wanted) = (found.screen(), wanted.screen());
        assert_eq!(found.page().rows, wanted.page().rows, "{what}");
        assert!(found.is_like(wanted), "{what}: {found:?}");
    }
}

#[test]
fn only_the_end_of_plain_lines_is_replayed() {
    let mut world = Comparison::new(24, 80, 256 * 1024);
    world.feed("\x1b]2;a title\x07\x1b[5;9H\x1b7\x1b[2J");
    for line in 0..6000 {
        let colour = line % 8;
        world.feed(&format!(
            "line {line} \x1b[3{colour}mof many\x1b[m{}\r\n",
            "·".repeat(line % 90)
        ));
    }
    let kept = world.ring.read(0).slices;
    let begin = world
        .terminal
        .latest_start(kept, 100)
        .expect("a late beginning");
    assert!(begin + 64 * 1024 > world.ring.head(), "not late: {begin}");
    world.check("lines");
    let all = world.terminal.replay(kept, 100, false);
    let wanted = snapshot(&all, kept, world.terminal.tracker(), true);
    assert!(world.terminal.snapshot(kept, 100) == wanted);
    // Longer histories are complete, too.
    let history = world.terminal.model(kept, 1000);
    assert!(world.terminal.latest_start(kept, 1000) < Some(begin));
    assert_eq!(history.screen().page().rows, all.screen().page().rows);
}

/// At least `bytes` bytes of a spinner in one place.
fn spin(bytes: usize) -> String {
    let turn = "\x1b[5;10H/\x1b[5;10H-\x1b[5;10H\\\x1b[5;10H|";
    turn.repeat(1 + bytes / turn.len())
}

#[test]
fn what_was_painted_long_ago_is_there() {
    for screen in ["\x1b[?1049h", "", "text\r\n\x1b[2J"] {
        for capacity in [4096, 64 * 1024] {
            let mut world = Comparison::new(24, 80, capacity);
            world.feed(&format!("$ program\r\n{screen}"));
            for row in 1..24 {
                world.feed(&format!("\x1b[{row};3H\x1b[3{}mrow {row}\x1b[m", row % 8));
            }
            world.feed("\x1b[2;20r\x1b7\x1b(0\x1b[1;31m");
            world.feed(&spin(capacity * 5));
            assert!(world.ring.tail() > 4000);
            world.check(&format!("{screen:?}, {capacity}"));
            assert!(world.terminal.memory() > 0);
        }
    }
}

#[test]
fn plain_lines_never_need_a_model() {
    let line = "\x1b[32mINFO\x1b[0m a line of a log, which runs on and on\x1b[K\r\n";
    let mut world = Comparison::new(24, 80, 64 * 1024);
    for _ in 0..200 {
        world.feed(&line.repeat(100));
        assert_eq!(world.terminal.memory(), 0);
    }
    world.check("lines");
}

#[test]
fn a_model_goes_when_all_is_plain_again_and_what_was_saved_stays() {
    let mut world = Comparison::new(24, 80, 16 * 1024);
    world.feed("\x1b[4;7H\x1b[35m\x1b7\x1b[m\x1b[H\x1b[30G\x1bH\x1b[?1049h");
    world.feed(&spin(100_000));
    assert!(world.terminal.memory() > 0);
    world.feed("\x1b[?1049l");
    world.feed(&"line\r\n".repeat(20_000));
    assert!(
        world.terminal.memory() < 4096,
        "{}",
        world.terminal.memory()
    );
    world.check("saved");
    // Without saved state the model is dropped.
    world.feed("\x1bc");
    world.feed(&"line\r\n".repeat(20_000));
    world.check("reset");
    assert_eq!(world.terminal.memory(), 0);
}

#[test]
fn colours_without_an_end_are_remembered() {
    let mut world = Comparison::new(10, 40, 4096);
    world.feed("\x1b[1;34;45m");
    world.feed(&"line\r\n".repeat(5000));
    world.check("a colour set once");
}

#[test]
fn changes_of_size_take_place_where_they_were() {
    for capacity in [4096, 1 << 20] {
        let mut world = Comparison::new(24, 80, capacity);
        let mut sizes = [(30, 100), (10, 40), (24, 80), (5, 200), (50, 20)]
            .into_iter()
            .cycle();
        for step in 0..60 {
            world.feed(&format!(
                "{}\x1b[2;5Hstep {step}\x1b[9;1H",
                "wrapped text ".repeat(20)
            ));
            if step % 7 == 3 {
                world.feed("\x1b[?1049hfull\x1b[4;4H screen");
            }
            if step % 7 == 5 {
                world.feed("\x1b[?1049l\r\n");
            }
            let (rows, cols) = sizes.next().expect("endless");
            world.resize(rows, cols);
            if capacity > 4096 && step > 50 {
                continue;
            }
            world.check(&format!("step {step}, {capacity}"));
        }
    }
}

#[test]
fn a_storm_of_sizes_is_bounded() {
    let mut world = Comparison::new(24, 80, 4096);
    for n in 0..1000 {
        world.resize(10 + n % 30, 20 + n % 90);
        world.feed("x");
    }
    assert!(world.terminal.sizes.len() <= SIZES_MAX);
    world.feed("\x1b[2J\x1b[Hdone");
    world.check("after the storm");
}

#[test]
fn text_is_rewrapped_and_the_cursor_stays_in_it() {
    let mut model = Model::new(5, 20);
    model.screen_mut().keep_history(100);
    model.feed("one\r\n0123456789abcdefghijklmnopq\r\n$ ".as_bytes());
    let rows = |model: &Model| -> Vec<String> {
        let rows = model.screen().page().rows.iter();
        rows.map(|row| {
            let mut text = String::new();
            row.write_text(&mut text);
            text.trim_end().to_string()
        })
        .collect()
    };
    let place = |model: &Model| {
        let cursor = &model.screen().page().cursor;
        (cursor.row, cursor.col)
    };
    model.screen_mut().resize(5, 40);
    let wide = ["one", "0123456789abcdefghijklmnopq", "$", "", ""];
    assert_eq!(
        (rows(&model), place(&model)),
        (wide.map(String::from).to_vec(), (2, 2))
    );
    model.screen_mut().resize(5, 10);
    let narrow = ["one", "0123456789", "abcdefghij", "klmnopq", "$"];
    assert_eq!(
        (rows(&model), place(&model)),
        (narrow.map(String::from).to_vec(), (4, 2))
    );
    model.screen_mut().resize(2, 10);
    assert_eq!(
        (rows(&model), place(&model)),
        (vec!["klmnopq".into(), "$".into()], (1, 2))
    );
    model.feed("日本語日本語".as_bytes());
    model.screen_mut().resize(3, 7);
    model.screen_mut().resize(3, 80);
    assert!(
        rows(&model).contains(&"$ 日本語日本語".to_string()),
        "{:?}",
        rows(&model)
    );
}

#[test]
fn lines_kept_as_text_are_shown_as_lines_kept_as_rows() {
    let line = "\x1b[1;32mgreen\x1b[m and a rather long line that wraps at the end of \
        漢字漢字漢字 e\u{301}\r\n";
    let clear = "\x1b[3J";
    let mut stream = String::new();
    for number in 0..400 {
        stream.push_str(&" ".repeat(number % 7));
        stream.push_str(line);
        stream.push_str(if number % 3 == 0 {
            "\t\x1b[44mx\x1b[K\x1b[m\r\n"
        } else {
            "y"
        });
    }
    for stream in [
        stream.clone(),
        format!("{stream}{clear}{stream}"),
        stream + clear,
    ] {
        let kept = (stream.as_bytes(), &b""[..]);
        for lines in [101, 150, 1000] {
            for cols in [9, 10, 80] {
                let mut terminal = Terminal::new(0, 5, cols);
                terminal.feed(stream.as_bytes());
                let [rows, text] = [false, true].map(|as_text| {
                    let model = terminal.model_with(kept, lines, as_text);
                    assert_eq!(model.screen().scrollback.is_some(), as_text);
                    snapshot(&model, kept, terminal.tracker(), true)
                });
                assert_eq!(
                    String::from_utf8(rows),
                    String::from_utf8(text),
                    "{lines} {cols}"
                );
            }
        }
    }
}
