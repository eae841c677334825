//! Rules about how the text looks.

use crate::source::{Source, identifier, is_word, line_of, words};
use crate::{LONG_ALLOWED, Violation};

/// Lines of a file.
pub const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Characters of a line.
pub const COLUMNS_MAX: usize = 100;

/// Words that would be a second name for a program or a process.
const SECOND_NAMES: [&str; 9] = [
    "service", "services", "task", "tasks", "job", "jobs", "proc", "procs", "svc",
];

/// Lines, functions and files over their limits.
pub fn length(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    if source.path.ends_with(".md") || source.path.ends_with(".yaml") {
        return found;
    }
    for (index, line) in source.text.lines().enumerate() {
        if line.chars().count() > COLUMNS_MAX {
            found.push((index + 1, format!("wider than {COLUMNS_MAX} columns")));
        }
    }
    for (place, line, lines, limit) in lengths(source) {
        let excused = LONG_ALLOWED.iter().find(|(known, ..)| *known == place);
        let limit = excused.map_or(limit, |(_, allowed, _)| *allowed);
        if lines > limit {
            found.push((line, format!("{place}: {lines} lines, {limit} allowed")));
        }
    }
    found
}

/// Whether a place (as in `LONG_ALLOWED`) is over its limit.
pub fn is_long(source: &Source, place: &str) -> bool {
    lengths(source)
        .iter()
        .any(|(found, _, lines, limit)| found == place && lines > limit)
}

/// The file and each function of it: name, first line, lines, limit.
fn lengths(source: &Source) -> Vec<(String, usize, usize, usize)> {
    let mut all = vec![(
        source.path.clone(),
        1,
        source.text.lines().count(),
        FILE_LINES_MAX,
    )];
    if !source.path.ends_with(".rs") {
        return all;
    }
    for (at, _) in source.code.match_indices("fn ") {
        let name = identifier(&source.code[at + 3..]);
        let starts_word = at == 0 || !source.code[..at].ends_with(is_word);
        let Some(end) = function_end(&source.code[at..]).filter(|_| starts_word) else {
            continue;
        };
        let lines = source.code[at..at + end].lines().count();
        let place = format!("{} {name}", source.path);
        all.push((place, line_of(&source.code, at), lines, FUNCTION_LINES_MAX));
    }
    all
}

/// Where the body of the function that begins here ends; none for a declaration without one.
fn function_end(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Marks of unfinished work.
pub fn leftovers(source: &Source) -> Vec<Violation> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let macros = ["todo!", "unimplemented!", "dbg!"];
    let mut found = Vec::new();
    for (index, (code, text)) in source.code.lines().zip(source.text.lines()).enumerate() {
        if let Some(mark) = marks
            .iter()
            .find(|mark| words(text).any(|word| word == **mark))
        {
            found.push((index + 1, format!("{mark}: do it, or open an issue")));
        }
        if let Some(name) = macros.iter().find(|name| code.contains(**name)) {
            found.push((index + 1, format!("{name} left in")));
        }
    }
    found
}

/// Sleeps in tests and product code, and ignored tests without a reason.
pub fn sleeping(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let folders = ["src/", "tests/", "test-programs/tests/"];
    if !folders.iter().any(|folder| source.path.starts_with(folder)) {
        return found;
    }
    for (index, code) in source.code.lines().enumerate() {
        if source.path.ends_with(".rs") && words(code).any(|word| word == "sleep") {
            found.push((index + 1, "sleep: wait for the event itself".to_string()));
        }
        if code.contains("#[ignore]") {
            found.push((index + 1, "#[ignore] without a reason".to_string()));
        }
    }
    found
}

/// A second noun for the same thing, and `get_`.
pub fn names(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    if !source.path.starts_with("src/") {
        return found;
    }
    let keywords = [
        "fn", "struct", "enum", "trait", "type", "mod", "const", "static",
    ];
    for (index, line) in source.code.lines().enumerate() {
        let all: Vec<&str> = words(line).collect();
        for pair in all.windows(2).filter(|pair| keywords.contains(&pair[0])) {
            let snake = to_snake(pair[1]);
            if snake.split('_').any(|word| SECOND_NAMES.contains(&word)) {
                found.push((index + 1, format!("{}: say program or process", pair[1])));
            }
            if pair[0] == "fn" && snake.starts_with("get_") {
                found.push((index + 1, format!("{}: drop the get_", pair[1])));
            }
        }
    }
    found
}

fn to_snake(name: &str) -> String {
    let mut snake = String::new();
    let mut was_lower = false;
    for character in name.chars() {
        if character.is_uppercase() && was_lower {
            snake.push('_');
        }
        was_lower = character.is_lowercase();
        snake.extend(character.to_lowercase());
    }
    snake
}

/// Documents that cite line numbers.
pub fn line_numbers(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let cited = [".rs:", ".rs#L", ".md#L"].iter().any(|mark| {
            let follows = |(at, _)| line[at + mark.len()..].starts_with(|c: char| c.is_numeric());
            line.match_indices(mark).any(follows)
        });
        if source.path.ends_with(".md") && cited {
            found.push((
                index + 1,
                "a line number goes stale: name the item".to_string(),
            ));
        }
    }
    found
}
