//! Words that comments, strings and documents do without.

use crate::source::{Source, tree};

/// Phrases to avoid, and what to write instead.
const PHRASES: [(&str, &str); 29] = [
    ("anew", "again, re-"),
    ("any more", "no longer"),
    ("told from", "distinguished from"),
    ("tells of", "reports"),
    ("is told", "receives, learns"),
    ("are told", "receive, learn"),
    ("was told", "received"),
    ("hears", "receives, learns"),
    ("whoever", "name the subject"),
    ("nobody", "no client, no process"),
    ("somebody", "a client, a user"),
    ("for ever", "forever, indefinitely"),
    ("all the same", "anyway"),
    ("so long", "up to, while"),
    ("so many", "up to N"),
    ("goes on", "continues"),
    ("go on", "continue"),
    ("altogether", "in total"),
    ("the whole", "all of, or nothing"),
    ("that holds", "that applies"),
    ("does not hold", "is invalid"),
    ("do not hold", "are invalid"),
    ("for want of", "without"),
    ("but for", "except"),
    ("at the begin", "at the start"),
    ("comes true", "is reached"),
    ("it goes now", "name what goes"),
    ("failed in a row", "the last N failed"),
    ("lives for", "is up for"),
];

/// First words of comments that are noun clauses or riddles.
const OPENINGS: [&str; 3] = ["what", "who", "whose"];

/// Where a phrase is right: file, phrase, reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "tests/tidy/prose.rs",
        "",
        "the list itself, and the snippets that show the rule",
    ),
    ("tests/privileges/daemon.rs", "nobody", THE_USER),
    ("tests/privileges/main.rs", "nobody", THE_USER),
    ("tests/privileges/user.rs", "nobody", THE_USER),
    ("tests/vm/clock/checks.sh", "nobody", THE_USER),
    ("tests/vm/run", "nobody", THE_USER),
    ("tests/vm/service/checks.sh", "nobody", THE_USER),
    ("tests/vm/service/etc/taskmaster.yaml", "nobody", THE_USER),
];

const THE_USER: &str = "a user of the system";

#[test]
fn plain_words() {
    let bad = [
        ("src/a.rs", "// made anew\n"),
        ("src/a.rs", "let s = \"not any more\";\n"),
        ("src/a.rs", "/// It is not there any\n/// more.\n"),
        ("src/a.rs", "f(\"nothing for \\\n    ever\");\n"),
        ("src/a.rs", "/// What is left.\n"),
        ("src/a.rs", "//! Whose.\n"),
        ("docs/a.md", "Nobody waits.\n"),
        (".ci/run", "# it goes on\n"),
    ];
    for (path, text) in bad {
        assert_eq!(phrases(&Source::new(path, text)).len(), 1, "{path}: {text}");
    }
    let good = [
        ("src/a.rs", "fn anew() { whoever() }\n"),
        (
            "src/a.rs",
            "// manew, nobodys\n// Returns what\n// What is a second line\n",
        ),
        ("docs/a.md", "What it does\n"),
        ("src/a.rs", "f(\"any\"); // more\n"),
    ];
    for (path, text) in good {
        assert_eq!(phrases(&Source::new(path, text)), [], "{path}: {text}");
    }
    let mut found = Vec::new();
    for source in tree() {
        for (line, what) in phrases(&source) {
            found.push(format!("{}:{line}: {what}", source.path));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Banned phrases and openings: line and what to do.
fn phrases(source: &Source) -> Vec<(usize, String)> {
    let excused = |phrase: &str| {
        let known = ALLOWED.iter().filter(|(file, ..)| *file == source.path);
        known
            .into_iter()
            .any(|(_, allowed, _)| phrase.contains(allowed))
    };
    let (text, starts) = prose(source);
    let line_at = |at: usize| starts.partition_point(|(start, _)| *start <= at) - 1;
    let mut found = Vec::new();
    for (phrase, instead) in PHRASES.iter().filter(|(phrase, _)| !excused(phrase)) {
        for (at, _) in text.match_indices(phrase) {
            let after = &text[at + phrase.len()..];
            let inside = text[..at].ends_with(char::is_alphanumeric)
                || (*phrase != "at the begin" && after.starts_with(char::is_alphanumeric));
            if !inside {
                let line = starts[line_at(at)].1;
                found.push((line, format!("\"{phrase}\": {instead}")));
            }
        }
    }
    let mut in_comment = false;
    for (index, line) in source.text.lines().enumerate() {
        let comment = source.path.ends_with(".rs").then(|| line.trim_start());
        let comment = comment.filter(|line| line.starts_with("//"));
        let content = comment.map_or("", |line| line.trim_start_matches(['/', '!']).trim());
        let first = content
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        let opening = OPENINGS.contains(&first.to_lowercase().as_str());
        if !in_comment && opening && !excused(first) {
            found.push((index + 1, format!("a comment begins with \"{first}\"")));
        }
        // A blank line in a comment begins another paragraph.
        in_comment = !content.is_empty();
    }
    found.sort();
    found
}

/// Comments and literals in lower case, lines joined by blanks; where each line starts in that.
fn prose(source: &Source) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut starts) = (String::new(), Vec::new());
    let is_code = source.path.ends_with(".rs");
    for (index, (line, code)) in source.text.lines().zip(source.code.lines()).enumerate() {
        starts.push((text.len(), index + 1));
        let kept: String = if is_code {
            let both = line.char_indices();
            let kept = both.map(|(at, c)| {
                let blanked = code.get(at..).is_some_and(|code| code.starts_with(' '));
                // Code separates what stands before and after it.
                if blanked || c == ' ' { c } else { '\u{b7}' }
            });
            kept.collect()
        } else {
            line.to_string()
        };
        let kept = kept
            .trim()
            .trim_start_matches(['/', '!', '#', '>'])
            .trim_end_matches('\\');
        let words: Vec<&str> = kept.split_whitespace().collect();
        text += &words.join(" ").to_lowercase();
        text.push(' ');
    }
    (text, starts)
}
