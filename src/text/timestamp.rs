//! Points in time as RFC 3339 and as nanoseconds since 1970.

use jiff::Timestamp;
use std::time::Duration;

/// Nanoseconds since 1970, from the duration since then. Saturates after the year 2554.
pub(crate) fn nanoseconds(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-20T12:00:00.123Z`.
pub(crate) fn rfc3339(unix_ns: u64) -> String {
    // Cannot fail: the crate's range ends in the year 9999, the number's in 2554.
    let time = Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709Z");
    }

    #[test]
    fn nanoseconds_saturate() {
        assert_eq!(nanoseconds(Duration::from_micros(2)), 2_000);
        assert_eq!(nanoseconds(Duration::MAX), u64::MAX);
    }
}
