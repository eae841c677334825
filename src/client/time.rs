//! Durations and times as people read and write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Reads `5`, `500ms`, `5s`, `1m30s`, `1h`, `2d`.
///
/// # Errors
/// In words for the user.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a duration; write 5, 500ms, 5s, 1m30s or 1h");
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| refused());
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: f64 = number.parse().map_err(|_| refused())?;
        seconds += number * unit_seconds(unit).ok_or_else(refused)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(refused());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

/// A span in at most two units: `12s`, `3m12s`, `2h05m`, `1d02h`.
pub fn short_span(seconds: f64) -> String {
    // Saturates: negative and broken numbers become 0.
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Unix nanoseconds as local RFC 3339 with milliseconds.
pub fn local_rfc3339(unix_ns: u64) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(unix_ns)) else {
        return "?".to_string();
    };
    format_local(timestamp, "%Y-%m-%dT%H:%M:%S%.3f%:z")
}

/// An RFC 3339 time as the local time of day, or with its date when that is another day than
/// `today_of`; left as it is when it is not RFC 3339.
pub fn clock_time(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(timestamp) => format_local(timestamp, "%H:%M:%S%.3f"),
        Err(_) => rfc3339.to_string(),
    }
}

/// The same with its date.
pub fn date_time(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(timestamp) => format_local(timestamp, "%Y-%m-%d %H:%M:%S"),
        Err(_) => rfc3339.to_string(),
    }
}

fn format_local(timestamp: Timestamp, format: &str) -> String {
    timestamp.to_zoned(TimeZone::system()).strftime(format).to_string()
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let read = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("5"), Ok(5_000));
        assert_eq!(read("0.25"), Ok(250));
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("1m30s"), Ok(90_000));
        assert_eq!(read("1h"), Ok(3_600_000));
        for bad in ["", "s", "5x", "-1", "1e99", "1m30", "inf"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let cases = [(0.4, "0s"), (59.9, "59s"), (192.0, "3m12s"), (7_500.0, "2h05m")];
        for (seconds, text) in cases {
            assert_eq!(short_span(seconds), text);
        }
        assert_eq!(short_span(94_000.0), "1d02h");
        assert_eq!(short_span(-1.0), "0s");
        assert_eq!(short_span(f64::NAN), "0s");
    }
}
