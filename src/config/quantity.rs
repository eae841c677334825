//! Parses durations, sizes, modes and whole numbers.

use std::time::Duration;

/// Longest duration, in nanoseconds: a hundred years.
const NANOS_MAX: u128 = 100 * 366 * 24 * 3600 * 1_000_000_000;

/// A duration: a number of seconds, or numbers with `us`, `ms`, `s`, `m`, `h` or `d`, such as
/// `500ms`, `1.5s` or `1m30s`.
///
/// # Errors
/// Returns a message for any other text, and for a duration that is negative or longer than a
/// hundred years.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err("a duration cannot be negative".to_string());
    }
    let unclear = || "not a duration; write seconds, or 500ms, 5s, 1m30s, 1h, 2d".to_string();
    let mut rest = trimmed;
    let mut total: u128 = 0;
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(unclear)?;
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let nanos: u128 = match unit {
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "" if number.len() == trimmed.len() => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3600 * 1_000_000_000,
            "d" => 24 * 3600 * 1_000_000_000,
            _ => return Err(unclear()),
        };
        if seen.contains(&unit) {
            return Err(unclear());
        }
        seen.push(unit);
        let more = scaled(number, nanos).ok_or_else(unclear)?;
        total = total.saturating_add(more);
        rest = after;
    }
    if seen.is_empty() {
        return Err(unclear());
    }
    if total > NANOS_MAX {
        return Err("longer than a hundred years".to_string());
    }
    let second = 1_000_000_000;
    let seconds = u64::try_from(total / second).map_err(|_| unclear())?;
    let nanos = u32::try_from(total % second).map_err(|_| unclear())?;
    Ok(Duration::new(seconds, nanos))
}

/// A size in bytes: a number, or one with `B`, `KB`, `MB`, `GB`, `TB` (also `K`, `KiB` and so on,
/// in any case). As in supervisord, a kilobyte is 1024 bytes in every spelling.
///
/// # Errors
/// Returns a message for any other text, and for more than 2^63 bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let unclear = || "not a size; write bytes, or 64KB, 10MiB, 1GB".to_string();
    let text = text.trim();
    if text.starts_with('-') {
        return Err("a size cannot be negative".to_string());
    }
    let (number, unit) = leading_number(text).ok_or_else(unclear)?;
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(unclear()),
    };
    let bytes = scaled(number, 1 << shift).ok_or_else(unclear)?;
    let fits = u64::try_from(bytes).ok().filter(|bytes| *bytes <= 1 << 63);
    fits.ok_or_else(|| "larger than 2^63 bytes".to_string())
}

/// An octal mode, in any spelling: `022`, `0o22`, `22`.
pub(super) fn parse_octal(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if !octal {
        return Err("not an octal number; write digits from 0 to 7, such as 022".to_string());
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("out of range (000 to 777)".to_string()),
    }
}

/// A decimal number without a leading zero, whose meaning depends on the YAML version.
pub(super) fn parse_integer(text: &str) -> Result<i128, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a whole number".to_string());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("a number with a leading zero is ambiguous".to_string());
    }
    text.parse().map_err(|_| "out of range".to_string())
}

/// Splits off digits with an optional decimal point.
fn leading_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.matches('.').count() <= 1;
    well_formed.then_some((number, rest))
}

/// A number times a unit, rounded down; `None` if it has too many digits.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 22 || fraction.len() > 12 {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u128>().ok()?
    };
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    whole.checked_add(part.checked_mul(unit)? / 10_u128.pow(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("10", 10_000_000),
            ("0", 0),
            ("0.5", 500_000),
            ("500ms", 500_000),
            ("5s", 5_000_000),
            ("1m30s", 90_000_000),
            ("1h", 3_600_000_000),
            ("1.5s", 1_500_000),
            ("2d", 172_800_000_000),
            ("7us", 7),
            (" 3s ", 3_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_micros(micros)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration() {
        let texts = [
            "", "s", "-1", "-1s", "1x", "1m30", "5 s", "1s1s", ".5", "5.", "1e9", "1..2s",
        ];
        for text in texts {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(
            parse_duration("101000d")
                .unwrap_err()
                .contains("hundred years")
        );
        assert!(parse_duration(&"9".repeat(20)).is_err());
        assert!(parse_duration(&"9".repeat(400)).is_err());
        assert!(parse_duration("9999999999999999999999d9999999999999999999999h").is_err());
    }

    #[test]
    fn sizes() {
        let cases = [
            ("0", 0),
            ("100", 100),
            ("64KB", 65_536),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("10MiB", 10 << 20),
            ("50MB", 50 << 20),
            ("1.5 GB", 3 << 29),
            ("7B", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1XB",
            "1 M B",
            "1e3",
            "9999999TB",
            &"9".repeat(99),
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn octal_in_every_spelling() {
        for text in ["022", "0o22", "22", "0022", "0o022"] {
            assert_eq!(parse_octal(text), Ok(0o22), "{text}");
        }
        assert_eq!(parse_octal("0"), Ok(0));
        assert_eq!(parse_octal("777"), Ok(0o777));
        for text in [
            "",
            "0o",
            "8",
            "019",
            "1000",
            "-1",
            "0x12",
            "77777777777777777777",
            "2 2",
        ] {
            assert!(parse_octal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(parse_integer("42"), Ok(42));
        assert_eq!(parse_integer("-1"), Ok(-1));
        assert_eq!(parse_integer("0"), Ok(0));
        for text in [
            "",
            "-",
            "1.0",
            "010",
            "0x10",
            "1_000",
            "ten",
            "--1",
            &"9".repeat(99),
        ] {
            assert!(parse_integer(text).is_err(), "{text}");
        }
    }
}
