//! Did you mean: the known word that is nearest to an unknown one.

/// Longer words are nobody's typing mistake, and comparing them costs the product of lengths.
const LENGTH_MAX: usize = 64;

/// The candidate closest to `word` by edit distance (insert, delete, replace, swap two
/// neighbours; case does not count), or `None` when none is close enough to have been meant:
/// within a third of the word's length, at least 1 and at most 3. The first of equals wins.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = letters(word)?;
    let mut best = None;
    let mut limit = (word.len() / 3).clamp(1, 3);
    for candidate in candidates {
        let Some(letters) = letters(candidate) else {
            continue;
        };
        if letters.len().abs_diff(word.len()) > limit {
            continue;
        }
        let distance = distance(&word, &letters);
        if distance <= limit && distance < word.len().max(letters.len()) {
            best = Some(candidate);
            if distance == 0 {
                break;
            }
            limit = distance - 1;
        }
    }
    best
}

fn letters(word: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    (!letters.is_empty() && letters.len() <= LENGTH_MAX).then_some(letters)
}

/// Restricted Damerau-Levenshtein distance, three rows at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
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
        assert_eq!(closest("", keys), None);
        assert_eq!(closest(&"x".repeat(100_000), keys), None);
    }

    #[test]
    fn a_single_letter_is_not_close_to_another() {
        assert_eq!(closest("a", ["b"]), None);
        assert_eq!(closest("a", ["ab"]), Some("ab"));
    }

    #[test]
    fn a_swap_counts_once() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
    }
}
