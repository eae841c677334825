//! Random streams of escape sequences of every kind, complete and broken.
//!
//! They leave out sequences that terminals interpret differently; a comment says so at each place.
//! Half a wide character is such a case, so a stream has either wide characters or partly erased
//! lines.

/// A small generator of numbers; the same seed gives the same ones.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A stream, and the state that its next sequences depend on.
pub struct Stream {
    random: Random,
    pub bytes: Vec<u8>,
    pub size: (u16, u16),
    wide: bool,
    /// Whether the stream resets the terminal, after which some terminals forget the title.
    resets: bool,
    margins: bool,
    alternate: bool,
    saved: [bool; 2],
    keyboards: [usize; 2],
    titles: usize,
    tabs_cleared: bool,
}

/// Returns a stream of about `len` bytes.
pub fn stream(seed: u64, len: usize) -> Stream {
    let mut random = Random::new(seed);
    let size = (6 + random.below(20) as u16, 20 + random.below(70) as u16);
    let mut stream = Stream {
        wide: random.below(3) == 0,
        resets: random.below(4) == 0,
        random,
        bytes: Vec::new(),
        size,
        margins: false,
        alternate: false,
        saved: [false; 2],
        keyboards: [0; 2],
        titles: 0,
        tabs_cleared: false,
    };
    while stream.bytes.len() < len {
        stream.piece();
    }
    stream
}

impl Stream {
    fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn row(&mut self) -> usize {
        1 + self.random.below(self.size.0.into())
    }

    fn col(&mut self) -> usize {
        1 + self.random.below(self.size.1.into())
    }

    fn piece(&mut self) {
        match self.random.below(22) {
            0..=4 => self.text(),
            5..=6 => self.line_ends(),
            7..=9 => self.movement(),
            10..=11 if !self.wide => self.edit(),
            10..=11 => self.erase_whole(),
            12 => self.scroll(),
            13..=14 => self.rendition(),
            15 => self.mode(),
            16 => self.screen(),
            17 => self.cursor(),
            18 => self.string(),
            19 => self.charset_or_tabs(),
            20 => self.broken(),
            _ => self.rare(),
        }
    }

    fn text(&mut self) {
        const WORDS: [&str; 8] = [
            "a",
            "word",
            "two words",
            "  ",
            "0123456789",
            "~!",
            "é",
            "ñandú",
        ];
        const WIDE: [&str; 8] = [
            "日本",
            "語",
            "🎉",
            "e\u{301}",
            "👩\u{200d}👧",
            "한",
            "x",
            "ü\u{308}",
        ];
        for _ in 0..1 + self.random.below(9) {
            let word = self.random.pick(if self.wide { &WIDE } else { &WORDS });
            self.put(word);
        }
        if self.random.below(12) == 0 && !self.wide {
            let count = 1 + self.random.below(120);
            self.put(&format!("r\x1b[{count}b"));
        }
    }

    fn line_ends(&mut self) {
        let end = self
            .random
            .pick(&["\r\n", "\r\n", "\r\n", "\r", "\n", "\x0b", "\x08", "\x1bE"]);
        self.put(end);
    }

    fn movement(&mut self) {
        let (row, col, n) = (self.row(), self.col(), self.random.below(9));
        let text = match self.random.below(11) {
            0..=3 => format!("\x1b[{row};{col}H"),
            4 => format!("\x1b[{col}G"),
            5 => format!("\x1b[{row}d"),
            6 => format!("\x1b[{n}C"),
            7 => format!("\x1b[{n}D"),
            8 => format!("\x1b[{row};{col}f"),
            // Terminals differ in whether the margins stop it.
            _ if self.margins => String::new(),
            _ => format!(
                "\x1b[{n}{}",
                self.random.pick(&["A", "B", "E", "F", "a", "e"])
            ),
        };
        self.put(&text);
    }

    /// Within a line, from a place that the cursor was moved to: whether one that has still to
    /// wrap is in the last column or beyond it is not agreed on.
    fn edit(&mut self) {
        let (col, n) = (self.col(), 1 + self.random.below(9));
        let half = 1 + self.random.below(usize::from(self.size.1) / 2 - 1);
        let row = 3 + self.random.below(usize::from(self.size.0) - 2);
        let text = match self.random.below(9) {
            0..=2 => format!("\x1b[{col}G\x1b[{}K", self.random.below(3)),
            3 => format!("\x1b[{row};{col}H\x1b[{}J", self.random.below(3)),
            4 => format!("\x1b[{col}G\x1b[{n}X"),
            5 => format!("\x1b[{col}G\x1b[{n}@"),
            6 => format!("\x1b[{half}G\x1b[{n}P"),
            7 => "\x1b[4hinserted\x1b[4l".to_string(),
            _ => "\x1b[2J".to_string(),
        };
        self.put(&text);
    }

    fn erase_whole(&mut self) {
        let text = self
            .random
            .pick(&["\r\x1b[2K", "\x1b[2J", "\x1b[H\x1b[J", "\r\x1b[K"]);
        self.put(text);
    }

    fn scroll(&mut self) {
        let n = 1 + self.random.below(4);
        let (row, last) = (self.row(), self.size.0);
        match self.random.below(9) {
            0 => self.put(&format!("\x1b[{n}S")),
            1 => self.put(&format!("\x1b[{n}T")),
            2 => self.put(&format!("\r\x1b[{n}L")),
            3 => self.put(&format!("\r\x1b[{n}M")),
            4 => self.put("\x1bM"),
            5 => self.put("\x1bD"),
            6 if row + 1 < usize::from(last) => {
                let bottom = row + 1 + self.random.below(usize::from(last) - row);
                self.put(&format!("\x1b[{row};{bottom}r"));
                self.margins = true;
            }
            7 if self.margins => {
                // Places are counted from there. Home is left as home: where the cursor goes
                // when they are no more is not agreed on.
                self.put("\x1b[?6h\x1b[2;3Hin the region\x1b[r\x1b[?6l");
                self.margins = false;
            }
            _ => {
                self.put("\x1b[r");
                self.margins = false;
            }
        }
    }

    fn rendition(&mut self) {
        let n = self.random.below(256);
        let text = match self.random.below(8) {
            0..=1 => "\x1b[m".to_string(),
            2 => format!("\x1b[38;5;{n};48;2;{n};1;2m"),
            3 => format!("\x1b[58:5:{n};4:3m"),
            4 => format!("\x1b[38:2::{n}:7:8m"),
            5 => format!(
                "\x1b[{}m",
                self.random
                    .pick(&["22", "23", "24", "25", "27", "28", "29"])
            ),
            6 => format!(
                "\x1b[{}m",
                self.random
                    .pick(&["4:0", "4:2", "4:5", "59", "39", "49", "9"])
            ),
            _ => {
                let colours = ["31", "42", "97", "100", "1", "2", "3", "4", "5", "7", "8"];
                let (one, two) = (self.random.pick(&colours), self.random.pick(&colours));
                format!("\x1b[{one};{two}m")
            }
        };
        self.put(&text);
    }

    fn mode(&mut self) {
        let on = self.random.pick(&["h", "l"]);
        let text = match self.random.below(9) {
            0 => format!(
                "\x1b[?{}{on}",
                self.random.pick(&["25", "1", "2004", "1004", "12"])
            ),
            1 => self.random.pick(&["\x1b=", "\x1b>"]).to_string(),
            2 => {
                // Terminals differ in whether turning one mouse mode off ends another.
                let mode = self.random.pick(&["1000", "1002", "1003"]);
                format!("\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?{mode}h\x1b[?1006{on}")
            }
            3 => format!("\x1b[{} q", self.random.below(7)),
            4 => "\x1b[?7lmuch text that does not wrap at the edge of the screen but stays there \
                  with its last letter\x1b[?7h"
                .to_string(),
            5 => "\x1b[20h\x1b[20l".to_string(),
            6 => "\x1b[?2026hshown at once\x1b[?2026l".to_string(),
            _ => return self.keyboard(),
        };
        self.put(&text);
    }

    fn keyboard(&mut self) {
        let n = self.random.below(32);
        let depth = &mut self.keyboards[usize::from(self.alternate)];
        let text = match *depth {
            0..4 => {
                *depth += 1;
                format!("\x1b[>{n}u")
            }
            _ => {
                *depth -= 2;
                "\x1b[<2u".to_string()
            }
        };
        self.put(&text);
        if self.random.below(4) == 0 {
            self.put("\x1b[=5;1u\x1b[=2;2u\x1b[=4;3u\x1b[<u");
            let depth = &mut self.keyboards[usize::from(self.alternate)];
            *depth = depth.saturating_sub(1);
        }
    }

    fn screen(&mut self) {
        if self.random.below(2) == 0 {
            return self.text();
        }
        // Modes 47 and 1047 are unknown to the reference.
        self.alternate = !self.alternate;
        self.saved[usize::from(self.alternate)] = !self.alternate;
        if self.alternate {
            self.put("\x1b[?1049h");
        } else {
            // Terminals differ in the keyboard stack of a screen that is left.
            self.put("\x1b[<9u\x1b[?1049l");
            self.keyboards[1] = 0;
        }
    }

    /// Restores only a saved cursor, since terminals differ without one.
    fn cursor(&mut self) {
        let saved = &mut self.saved[usize::from(self.alternate)];
        if *saved && self.random.below(2) == 0 {
            let text = self.random.pick(&["\x1b8", "\x1b[u"]);
            return self.put(text);
        }
        *saved = true;
        let text = self.random.pick(&["\x1b7", "\x1b[s"]);
        self.put(text);
    }

    fn string(&mut self) {
        let n = self.random.below(200);
        let text = match self.random.below(11) {
            0 | 1 if !self.resets => {
                format!("\x1b]{};title {n} é\x07", self.random.pick(&["0", "2"]))
            }
            2 if !self.resets => self.put_title_aside(),
            3 => format!("\x1b]8;;http://host/{n}\x1b\\link\x1b]8;;\x1b\\"),
            4 => format!("\x1b]8;id=l{n};http://host/{n}\x07and on"),
            5 => "\x1b]8;;\x07".to_string(),
            6 => format!("\x1b]4;{n};#10203{}\x07", n % 10),
            7 => self
                .random
                .pick(&["\x1b]104\x07", "\x1b]11;#123456\x07", "\x1b]111\x07"])
                .into(),
            8 => "\x1b]52;c;aGk=\x07\x1b]1337;File=x\x07\x1b]133;A\x1b\\".to_string(),
            9 => "\x1bPq#0;2;0;0;0#0~~@@\x1b\\\x1b_Ga=q;AAAA\x1b\\\x1b^pm\x1b\\".to_string(),
            _ => "\x1bP+q544e\x1b\\\x1b[c\x1b[>c\x1b[6n\x1b[?25$p\x1b]11;?\x07\x1b[?u".to_string(),
        };
        self.put(&text);
    }

    fn put_title_aside(&mut self) -> String {
        if self.titles > 2 {
            self.titles -= 1;
            return "\x1b[23;0;0t".to_string();
        }
        self.titles += 1;
        "\x1b[22;0;0t".to_string()
    }

    fn charset_or_tabs(&mut self) {
        let col = self.col();
        let text = match self.random.below(8) {
            // SO ends with its piece: terminals differ in whether the cursor saves it.
            0 => "\x1b(0lqqk\x1b(B".to_string(),
            1 => "\x1b)0\x0etqu x\x0f".to_string(),
            2 => "\x1b(0".to_string(),
            3 => "\x1b(B".to_string(),
            4 => format!("\x1b[{col}G\x1bH"),
            5 => {
                self.tabs_cleared = true;
                format!("\x1b[{col}G\x1b[g")
            }
            // Terminals differ in where a back tab without a stop ends.
            6 if !self.tabs_cleared => format!("\x1b[{col}G\x1b[2Z\x1b[I"),
            _ => "\r\tone\r\t\ttwo".to_string(),
        };
        self.put(&text);
    }

    fn broken(&mut self) {
        const BROKEN: [&[u8]; 13] = [
            b"\x1b[3\x18",
            b"\x1b[1;2\x1b[m",
            b"\x1b[2\rC",
            b"\x1b]7;cut off\x18",
            b"\x1b[12\x1a",
            b"\xff",
            b"\xc3(",
            b"\xe2\x82",
            b"\xf0\x9f\x8e\x1b[m",
            b"\0\x7f\x07\x05",
            b"\x1b\x1b[1m",
            b"\x1b[999;999;999x",
            b"\x1b%G\x1b#3\x1b[?9999h\x1b[>7z",
        ];
        let broken = BROKEN[self.random.below(BROKEN.len())];
        self.bytes.extend_from_slice(broken);
    }

    fn rare(&mut self) {
        match self.random.below(12) {
            0 => {
                self.put("\x1b[r\x1b[H\x1b#8");
                self.margins = false;
            }
            1 if self.resets => {
                self.put("\x1b[<9u\x1bc");
                (self.margins, self.alternate) = (false, false);
                (self.saved, self.keyboards) = ([false; 2], [0; 2]);
            }
            2 => {
                self.put("\x1b[3g");
                self.tabs_cleared = true;
            }
            4 => {
                for n in 0..self.random.below(40) {
                    self.put(&format!("plain line {n}\r\n"));
                }
            }
            _ => self.text(),
        }
    }
}
