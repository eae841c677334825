//! Local times for display.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats an RFC 3339 time as the local time of day, with its zone. Returns other text unchanged.
pub(crate) fn clock_time(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(timestamp) => format_local(timestamp, "%H:%M:%S%.3f"),
        Err(_) => rfc3339.to_string(),
    }
}

/// Formats an RFC 3339 time as local date and time, with its zone. Returns other text unchanged.
pub(crate) fn date_time(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(timestamp) => format_local(timestamp, "%Y-%m-%d %H:%M:%S"),
        Err(_) => rfc3339.to_string(),
    }
}

/// Formats a time in the zone of `$TZ` or of the system, and marks the zone: `Z`, or `+02:00`.
fn format_local(timestamp: Timestamp, format: &str) -> String {
    format_in(TimeZone::system(), timestamp, format)
}

fn format_in(zone: TimeZone, timestamp: Timestamp, format: &str) -> String {
    let time = timestamp.to_zoned(zone);
    let mark = match time.offset().seconds() {
        0 => "Z",
        _ => "%:z",
    };
    time.strftime(&format!("{format}{mark}")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_names_its_zone() {
        let summer: Timestamp = "2026-07-01T22:30:00.123Z".parse().expect("a time");
        let shown = |zone: &str, format: &str| {
            let zone = TimeZone::get(zone).expect("a bundled zone");
            format_in(zone, summer, format)
        };
        assert_eq!(shown("UTC", "%H:%M:%S%.3f"), "22:30:00.123Z");
        assert_eq!(shown("Europe/Berlin", "%H:%M"), "00:30+02:00");
        assert_eq!(
            shown("America/New_York", "%m-%d %H:%M"),
            "07-01 18:30-04:00"
        );
        assert_eq!(clock_time("not a time"), "not a time");
    }
}
