//! Local times for display.

use jiff::Timestamp;
use jiff::tz::TimeZone;

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
