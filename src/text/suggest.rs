//! Suggestions: the known word closest to an unknown one.

/// Longest word to compare. The comparison is quadratic, and longer words are not typing errors.
const LENGTH_MAX: usize = 64;

/// The candidate closest to `word` by edit distance (insert, delete, replace, swap neighbours;
/// case does not count), or `None` when none is within a third of the longer word's length (at
/// least 1, at most 3). The first of equals wins.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = comparable(word)?;
    let length = word.chars().count();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let Some(known) = comparable(candidate) else {
            continue;
        };
        let known_length = known.chars().count();
        let longer = length.max(known_length);
        let limit = best.map_or((longer / 3).clamp(1, 3), |(least, _)| least - 1);
        if length.abs_diff(known_length) > limit {
            continue;
        }
        let distance = strsim::osa_distance(&word, &known);
        // A word of one letter must not match every other one.
        if distance <= limit.min((longer / 3).clamp(1, 3)) && distance < longer {
            best = Some((distance, candidate));
            if distance == 0 {
                break;
            }
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// ``did you mean `…`?`` with the closest candidate.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

fn comparable(word: &str) -> Option<String> {
    let compared = !word.is_empty() && word.len() <= LENGTH_MAX * 4;
    let lower = compared.then(|| word.to_lowercase())?;
    (lower.chars().count() <= LENGTH_MAX).then_some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_found() {
        let keys = ["starttime", "stoptime", "stopsignal", "startretries", "cmd"];
        assert_eq!(closest("startime", keys), Some("starttime"));
        assert_eq!(closest("stop_time", keys), Some("stoptime"));
        assert_eq!(closest("StopSignal", keys), Some("stopsignal"));
        assert_eq!(closest("cdm", keys), Some("cmd"));
        assert_eq!(closest("command", keys), None);
        assert_eq!(closest("colour", keys), None);
        assert_eq!(closest("", keys), None);
        assert_eq!(closest(&"x".repeat(100_000), keys), None);
    }

    #[test]
    fn a_single_letter_is_not_close_to_another() {
        assert_eq!(closest("a", ["b"]), None);
        assert_eq!(closest("a", ["ab"]), Some("ab"));
    }

    #[test]
    fn the_first_of_equals_wins_and_the_closer_one_before_it() {
        assert_eq!(closest("abcd", ["abce", "abcf"]), Some("abce"));
        assert_eq!(closest("abcdef", ["abxxef", "abcxef"]), Some("abcxef"));
        let meant = did_you_mean("autostrat", ["autostart", "autorestart"]);
        assert_eq!(meant.as_deref(), Some("did you mean `autostart`?"));
    }
}
