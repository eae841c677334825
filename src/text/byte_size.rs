//! Formats sizes for people.

/// A size in bytes in the config's notation: `4KiB`, `50MiB`, `1000`. Lossless.
pub(crate) fn byte_size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = |shift: &u32| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match units.iter().find(|(shift, _)| fits(shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_without_a_fraction_is_used() {
        for (bytes, text) in [
            (0, "0"),
            (1000, "1000"),
            (4096, "4KiB"),
            (1 << 20, "1MiB"),
            (50 << 20, "50MiB"),
            (1536 << 20, "1536MiB"),
            (3 << 30, "3GiB"),
        ] {
            assert_eq!(byte_size(bytes), text);
        }
    }
}
