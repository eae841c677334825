//! Sources as the rules read them: found, and with what is not code blanked out.

use std::fs;
use std::path::Path;

/// A file, as rules see it.
pub struct Source {
    /// Relative to the package, with `/`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Rust: the content of comments and literals replaced by blanks. Otherwise the same.
    pub code: String,
}

impl Source {
    /// Creates a source from a text, without a file.
    pub fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") {
            blank_out(text)
        } else {
            text.to_string()
        };
        Source {
            path: path.to_string(),
            text: text.to_string(),
            code,
        }
    }

    /// The top-level module a file below `src` belongs to; none for the crate's root.
    pub fn module(&self) -> Option<&str> {
        let rest = self
            .path
            .strip_prefix("src/")
            .filter(|rest| *rest != "lib.rs")?;
        Some(
            rest.split_once('/')
                .map_or(rest.trim_end_matches(".rs"), |(module, _)| module),
        )
    }

    /// The code up to its unit tests, which may do as they like; nothing of a file of tests.
    pub fn product(&self) -> &str {
        let is_tests = self.path.ends_with("tests.rs") || self.path.contains("/tests/");
        if is_tests && self.path.starts_with("src/") {
            return "";
        }
        let tests = self
            .code
            .find("#[cfg(test)]\nmod ")
            .unwrap_or(self.code.len());
        &self.code[..tests]
    }
}

/// Every text of the package that rules apply to.
pub fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [
        "src",
        "tests",
        "test-programs",
        "fuzz/fuzz_targets",
        "bench",
        "docs",
        ".ci",
    ] {
        walk(root, &root.join(folder), &mut found);
    }
    let entries = fs::read_dir(root).expect("the package's folder can be read");
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "md") {
            found.extend(read(root, &path));
        }
    }
    assert!(
        found.len() > 20,
        "only {} files found below {root:?}",
        found.len()
    );
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for path in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        let generated = ["fixtures", "man"].iter().any(|name| path.ends_with(name));
        if generated || path.extension().is_some_and(|kind| kind == "svg") {
            // Recorded and generated files may have any length.
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            found.extend(read(root, &path));
        }
    }
}

fn read(root: &Path, path: &Path) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    let relative = path.strip_prefix(root).expect("found below the root");
    Some(Source::new(relative.to_str()?, &text))
}

/// The same text with the content of comments, strings and characters as blanks; newlines and
/// the number of bytes stay.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + skipped(&text[at..], at > 0 && text[..at].ends_with(is_word));
        if end == at {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("whole characters were replaced by blanks")
}

/// How many bytes of a comment or literal begin here; 0 for code.
fn skipped(rest: &str, in_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if rest.starts_with('"') {
        return string_len(rest);
    }
    if !in_word && rest.starts_with('r') {
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        if rest[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = 2 + hashes;
            return rest[from..]
                .find(&close)
                .map_or(rest.len(), |end| from + end + close.len());
        }
    }
    if rest.starts_with('\'') {
        character_len(rest)
    } else {
        0
    }
}

fn string_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Length of a character literal; 0 for a lifetime.
fn character_len(rest: &str) -> usize {
    let mut characters = rest[1..].char_indices();
    match characters.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |end| end + 4),
        Some(_) => characters
            .next()
            .filter(|(_, c)| *c == '\'')
            .map_or(0, |(end, _)| end + 2),
        None => 0,
    }
}

/// The identifier a text begins with.
pub fn identifier(text: &str) -> &str {
    let end = text
        .find(|character| !is_word(character))
        .unwrap_or(text.len());
    &text[..end]
}

/// Identifiers and other words.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_word(character))
        .filter(|word| !word.is_empty())
}

/// Whether an identifier can hold it.
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the number, from 1, of the line at this offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[test]
fn only_code_is_left() {
    let text =
        "let a = \"fn x\\\"{\"; // fn y\nlet c = '{'; fn f<'a>(r: &'a str) /* { */ { r#\"}\"# }";
    let code = blank_out(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.matches(['{', '}']).collect::<String>(), "{}");
    assert!(
        code.contains("fn f<'a>(r: &'a str)") && !code.contains("fn x") && !code.contains("y\n")
    );
}
