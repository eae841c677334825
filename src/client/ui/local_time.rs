//! Durations and times as people read and write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

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
    timestamp
        .to_zoned(TimeZone::system())
        .strftime(format)
        .to_string()
}
