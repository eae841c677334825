//! `flood [BYTES] [LINE_LEN]`: writes BYTES bytes as fast as the reader takes them; 0 or no
//! argument means without end. The lines are numbered and have LINE_LEN bytes (64) with their
//! newline.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bytes = arguments
        .next()
        .map_or(0, |bytes| bytes.parse().expect("BYTES is a number"));
    let length = arguments
        .next()
        .map_or(64, |length| length.parse().expect("a number"));
    let total = if bytes == 0 { u64::MAX } else { bytes };
    let mut left = total;
    let mut number = 0_u64;
    let mut chunk = Vec::with_capacity(1 << 16);
    let mut output = io::stdout().lock();
    while left > 0 {
        chunk.clear();
        while chunk.len() < 1 << 15 {
            line(&mut chunk, number, length);
            number += 1;
        }
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        output.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    output.flush()
}

/// Appends line `number`: its number, then filling, then a newline; `length` bytes in all.
fn line(chunk: &mut Vec<u8>, number: u64, length: usize) {
    let end = chunk.len() + length.max(1) - 1;
    chunk.extend_from_slice(format!("{number:010} ").as_bytes());
    chunk.resize(end, b'.');
    chunk.push(b'\n');
}
