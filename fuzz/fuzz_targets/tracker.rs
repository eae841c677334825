//! A terminal's bytes, however they are cut, lead to the same modes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = (usize::from(input.0) + 1, input.1);
    assert_eq!(
        bytes.chunks(cut).map(<[u8]>::len).sum::<usize>(),
        bytes.len()
    );
});
