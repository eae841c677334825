//! Recordings of programs, each on a terminal of 24 rows and 80 columns with a user at work.
//! `TM_RESTORE_RECORD=1` records them again, see `live`.

use super::oracle::{Cuts, check, spread};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::PathBuf;

pub const SIZE: (u16, u16) = (24, 80);

/// Ring sizes: enough for the output of most programs, and hardly any.
const KEPT: [usize; 2] = [64 * 1024, 4096];

/// Cuts of each stream, for each ring.
const CUTS: usize = 60;

pub fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/streams")
        .join(format!("{name}.gz"))
}

fn recording(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(path(name)).expect("it is in the repository");
    let mut stream = Vec::new();
    let mut reader = GzDecoder::new(file);
    reader.read_to_end(&mut stream).expect("it is whole");
    stream
}

fn check_all(what: &str, stream: &[u8]) {
    let mut total = 0;
    for kept in KEPT {
        total += check(&Cuts {
            what: &format!("{what} through {kept} bytes"),
            stream,
            size: SIZE,
            kept,
            at: spread(stream.len(), CUTS),
        });
    }
    eprintln!("{what}: {} bytes, {total} cuts", stream.len());
}

macro_rules! recordings {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                check_all(stringify!($name), &recording(stringify!($name)));
            }
        )*
    };
}

recordings!(vim, less, htop, top, python, bash, dialog, progress, lines);

/// A screen that is painted once, below a wheel that turns for much longer than the ring reaches.
#[test]
fn a_screen_that_was_painted_once_and_then_spun() {
    for (what, screen) in [("alternate", "\x1b[?1049h\x1b[2J"), ("main", "")] {
        let mut stream = format!("$ install\r\nline before\r\n{screen}\x1b[?25l");
        for row in 1..=23 {
            let text = format!(
                "\x1b[{row};4H\x1b[3{}mstep {row}\x1b[4;9mdone\x1b[m",
                row % 8
            );
            stream.push_str(&text);
        }
        stream.push_str("\x1b[3;20r\x1b[20;1H\x1b[1;44m\x1b(0");
        while stream.len() < 5 * 64 * 1024 {
            stream.push_str("\x1b7\x1b[12;60H-\x1b[12;60H\\\x1b8\x1b[12;60Hx\x1b[12;60H/");
        }
        stream.push_str("\x1b(B\x1b[m\x1b[r\x1b[?25h\x1b[?1049l$ ");
        check_all(&format!("a wheel on the {what} screen"), stream.as_bytes());
    }
}
