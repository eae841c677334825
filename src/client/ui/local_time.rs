//! Durations and local times for display.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats a span in at most two units: `12s`, `3m12s`, `2h05m`, `1d02h`.
pub(crate) fn short_span(seconds: f64) -> String {
    // The cast saturates: negative numbers and NaN become 0.
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Formats Unix nanoseconds as RFC 3339 in UTC with milliseconds, as the daemon does.
pub(crate) fn utc_rfc3339(unix_ns: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(unix_ns)) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => "?".to_string(),
    }
}

/// Formats an RFC 3339 time as the local time of day. Returns other text unchanged.
pub(crate) fn clock_time(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(timestamp) => format_local(timestamp, "%H:%M:%S%.3f"),
        Err(_) => rfc3339.to_string(),
    }
}

/// Formats an RFC 3339 time as local date and time. Returns other text unchanged.
pub(crate) fn date_time(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(timestamp) => format_local(timestamp, "%Y-%m-%d %H:%M:%S"),
        Err(_) => rfc3339.to_string(),
    }
}

fn format_local(timestamp: Timestamp, format: &str) -> String {
    timestamp
        .to_zoned(TimeZone::system())
        .strftime(format)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_match_those_of_the_daemon() {
        assert_eq!(utc_rfc3339(1_500_000_000), "1970-01-01T00:00:01.500Z");
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let cases = [
            (0.4, "0s"),
            (59.9, "59s"),
            (192.0, "3m12s"),
            (7_500.0, "2h05m"),
        ];
        for (seconds, text) in cases {
            assert_eq!(short_span(seconds), text);
        }
        assert_eq!(short_span(94_000.0), "1d02h");
        assert_eq!(short_span(-1.0), "0s");
        assert_eq!(short_span(f64::NAN), "0s");
    }
}
