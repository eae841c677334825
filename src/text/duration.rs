//! Formats durations for people.

use std::time::Duration;

/// A duration in the config's notation: `500ms`, `10s`, `1m30s`, `2h`. Lossless; `Duration::MAX` is
/// `forever`.
pub(crate) fn exact(duration: Duration) -> String {
    if duration == Duration::MAX {
        return "forever".to_string();
    }
    let seconds = duration.as_secs();
    let units = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
        (u64::from(duration.subsec_micros() % 1000), "us"),
        (u64::from(duration.subsec_nanos() % 1000), "ns"),
    ];
    let parts = units.iter().filter(|(count, _)| *count > 0);
    let text: String = parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_string()
    } else {
        text
    }
}

/// A measured duration in at most two units: `0.2s`, `12s`, `1m30s`, `2h05m`, `3d04h`. Rounds down:
/// 59.9 s is `59s`.
pub(crate) fn approximate(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_approximate() {
        let millis = Duration::from_millis;
        for (given, precise, rough) in [
            (millis(0), "0s", "0.0s"),
            (millis(500), "500ms", "0.5s"),
            (millis(9_990), "9s990ms", "9.9s"),
            (millis(59_990), "59s990ms", "59s"),
            (millis(90_000), "1m30s", "1m30s"),
            (millis(7_500_000), "2h5m", "2h05m"),
            (millis(273_600_000), "76h", "3d04h"),
            (Duration::from_micros(250), "250us", "0.0s"),
        ] {
            let found = (exact(given), approximate(given));
            assert_eq!((found.0.as_str(), found.1.as_str()), (precise, rough));
        }
        assert_eq!(exact(Duration::MAX), "forever");
    }
}
