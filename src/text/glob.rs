//! Patterns of names: `web*`, `*:0`, `web[1-3]`.

/// Whether a pattern matches all of a text: `*` is any run, `?` any character, `[abc]`, `[a-z]` and
/// `[!a]` one of a set. A `[` without its `]` stands for itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to resume when the text does not match after the last star.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = one_matches(&pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((after_star, taken)) = retry {
            retry = Some((after_star, taken + 1));
            (p, t) = (after_star, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The index after the pattern's element at `p`, if that element matches the character.
fn one_matches(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set(pattern, p) {
            Some((members, negated, end)) => (in_set(members, c) != negated).then_some(end),
            None => (c == '[').then_some(p + 1),
        },
        other => (other == c).then_some(p + 1),
    }
}

fn set(pattern: &[char], open: usize) -> Option<(&[char], bool, usize)> {
    let negated = matches!(pattern.get(open + 1), Some('!' | '^'));
    let first = open + 1 + usize::from(negated);
    // A bracket right after the opening one is a member.
    let close = (first + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
    Some((&pattern[first..close], negated, close + 1))
}

fn in_set(members: &[char], c: char) -> bool {
    let mut at = 0;
    while at < members.len() {
        if members.get(at + 1) == Some(&'-') && at + 2 < members.len() {
            if (members[at]..=members[at + 2]).contains(&c) {
                return true;
            }
            at += 3;
        } else {
            if members[at] == c {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?", "é", true),
            ("[!a]x", "bx", true),
            ("[^a]x", "ax", false),
            ("[]x", "]", false),
            ("[]]x", "]x", true),
            ("[a-]", "-", true),
            ("[", "[", true),
            ("*a*a*a*a*a*a*a*b", &"a".repeat(2000), false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
