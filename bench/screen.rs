//! `bench_screen ROWS COLS` reads a terminal stream from standard input and prints the final screen
//! as text, without trailing blanks.

use std::io::Read;
use std::num::NonZero;

fn main() -> std::io::Result<()> {
    let sizes: Vec<NonZero<u16>> = std::env::args()
        .skip(1)
        .map(|size| size.parse().expect("ROWS and COLS are numbers"))
        .collect();
    let [rows, cols] = sizes[..] else {
        panic!("usage: bench_screen ROWS COLS");
    };
    let mut stream = Vec::new();
    std::io::stdin().read_to_end(&mut stream)?;
    let mut parser = vt100::Parser::new(rows, cols, 0);
    parser.process(&stream);
    for row in parser.screen().rows(0, cols.get()) {
        println!("{}", row.trim_end());
    }
    Ok(())
}
