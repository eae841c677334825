//! A command line split into words as a shell would, but without a shell.

use super::interpolate::expression_length;

/// The words of a command, and a shell operator found among them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The words, quotes removed. A `${…}` never splits a word, whatever it contains.
    pub words: Vec<String>,
    /// The first text that only a shell would interpret.
    pub operator: Option<String>,
    /// The first `$NAME` between double quotes.
    pub quoted_variable: Option<String>,
    /// Another line begins, and not with an option.
    pub has_lines: bool,
}

/// Splits on blanks. `'…'`, `"…"` and `\` quote as in a POSIX shell. A word that begins with `#`
/// starts a comment.
///
/// # Errors
/// A quote that is never closed, or a `\` at the very end.
pub(super) fn split(text: &str) -> Result<CommandLine, String> {
    let mut splitter = Splitter {
        rest: text,
        ..Splitter::default()
    };
    splitter.run()?;
    Ok(CommandLine {
        words: splitter.words,
        operator: splitter.operator,
        quoted_variable: splitter.quoted_variable,
        has_lines: splitter.has_lines,
    })
}

#[derive(Default)]
struct Splitter<'a> {
    rest: &'a str,
    words: Vec<String>,
    word: Option<String>,
    /// The unquoted text of the current word, to search for operators.
    bare: String,
    operator: Option<String>,
    quoted_variable: Option<String>,
    /// The current line is not the first one with words.
    after_newline: bool,
    has_lines: bool,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.next() {
            match c {
                ' ' | '\t' | '\r' => self.end_word(),
                '\n' => {
                    self.end_word();
                    self.after_newline = !self.words.is_empty();
                }
                '#' if self.word.is_none() => self.comment(),
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '\\' => match self.raw() {
                    Some('\n') => {}
                    Some(escaped) => self.push(escaped),
                    None => return Err("ends in a lone `\\`".to_string()),
                },
                c => {
                    self.push(c);
                    self.bare.push(c);
                }
            }
        }
        self.end_word();
        Ok(())
    }

    /// The next character. Copies a `${…}` into the word unchanged.
    fn next(&mut self) -> Option<char> {
        while let Some(length) = expression_length(self.rest) {
            let (expression, rest) = self.rest.split_at(length);
            self.word.get_or_insert_default().push_str(expression);
            self.rest = rest;
        }
        if self.rest.starts_with("$${") {
            // An escaped dollar: the second one begins no expression.
            self.word.get_or_insert_default().push('$');
            self.rest = &self.rest[2..];
            return Some('$');
        }
        self.raw()
    }

    fn raw(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn comment(&mut self) {
        self.operator.get_or_insert_with(|| "#".to_string());
        self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
    }

    fn single_quoted(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(c) => self.push(c),
                None => return Err("a `'` is never closed".to_string()),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        let unclosed = || "a `\"` is never closed".to_string();
        loop {
            match self.next().ok_or_else(unclosed)? {
                '"' => return Ok(()),
                '\\' => match self.raw().ok_or_else(unclosed)? {
                    '\n' => {}
                    c @ ('$' | '`' | '"' | '\\') => self.push(c),
                    c => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                '$' => {
                    self.push('$');
                    let is_name = |c: &char| *c == '_' || c.is_ascii_alphanumeric();
                    let name: String = self.rest.chars().take_while(is_name).collect();
                    if !name.is_empty() {
                        self.quoted_variable.get_or_insert(name);
                    }
                }
                c => self.push(c),
            }
        }
    }

    fn end_word(&mut self) {
        let bare = std::mem::take(&mut self.bare);
        let Some(word) = self.word.take() else { return };
        if std::mem::take(&mut self.after_newline) {
            self.has_lines |= !word.starts_with('-');
        }
        if self.operator.is_none() {
            self.operator = operator(&bare, self.words.is_empty());
        }
        self.words.push(word);
    }
}

/// The part of an unquoted word that only a shell would interpret.
fn operator(bare: &str, first: bool) -> Option<String> {
    if first && let Some((name, _)) = bare.split_once('=') {
        let named = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        if named && !name.is_empty() {
            return Some(format!("{name}="));
        }
    }
    for found in ["&&", "||", ">>", "<<", "$(", "|", ">", "<", "`", "*"] {
        if bare.contains(found) {
            return Some(found.to_string());
        }
    }
    for found in ["&", ";"] {
        if bare.ends_with(found) {
            return Some(found.to_string());
        }
    }
    let dollar = bare.find('$').map(|index| &bare[index + 1..]);
    let name: String = dollar?
        .chars()
        .take_while(|c| *c == '_' || c.is_ascii_alphanumeric())
        .collect();
    (!name.is_empty()).then(|| format!("${name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text).expect("the text splits").words
    }

    fn found(text: &str) -> Option<String> {
        split(text).expect("the text splits").operator
    }

    #[test]
    fn quotes_as_in_a_shell() {
        assert_eq!(
            words("a  'b c' \"d \\\" e\" f\\ g"),
            ["a", "b c", "d \" e", "f g"]
        );
        assert_eq!(
            words("nginx -g 'daemon off;'"),
            ["nginx", "-g", "daemon off;"]
        );
        assert_eq!(words("a '' \"\""), ["a", "", ""]);
        assert_eq!(words("a\\\nb # no"), ["ab"]);
        assert_eq!(words(" \n\t"), [""; 0]);
    }

    #[test]
    fn an_expression_is_part_of_one_word() {
        assert_eq!(words("run ${ARGS:-a b} x"), ["run", "${ARGS:-a b}", "x"]);
        assert_eq!(words("${A:-it's}'${B}'"), ["${A:-it's}${B}"]);
        assert_eq!(words("echo $${A b}"), ["echo", "$${A", "b}"]);
        assert_eq!(words("echo ${A"), ["echo", "${A"]);
    }

    #[test]
    fn unclosed_quotes_are_errors() {
        for text in ["'", "a \"b", "a \\", "\"\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_shells_work_is_noticed() {
        let cases = [
            ("a | b", "|"),
            ("a && b", "&&"),
            ("a>b", ">"),
            ("sleep 1 &", "&"),
            ("sleep 1; true", ";"),
            ("ls *.c", "*"),
            ("echo $(date)", "$("),
            ("echo $HOME", "$HOME"),
            ("A=1 env", "A="),
            ("run # it", "#"),
        ];
        for (text, operator) in cases {
            assert_eq!(found(text).as_deref(), Some(operator), "{text}");
        }
        let quiet = [
            "sh -c 'a | b; c > d'",
            "sh -c \"echo $HOME\"",
            "find . -name '*.c'",
            "curl http://a/?b=c&d=e",
            "run --name=x ${A:-*}",
            "awk '{print $1}'",
            "echo 5$",
        ];
        for text in quiet {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn lines_and_quoted_variables_are_noticed() {
        let lines = |text| split(text).expect("the text splits").has_lines;
        assert!(lines("cd x\nrun y\n"));
        for text in [
            "a b\n",
            "\na b",
            "a \\\n b",
            "a\n  --port 1\n",
            "sh -c 'a\nb'",
        ] {
            assert!(!lines(text), "{text}");
        }
        let quoted = |text| split(text).expect("the text splits").quoted_variable;
        assert_eq!(quoted("curl -H \"key: $KEY\"").as_deref(), Some("KEY"));
        assert_eq!(quoted("a '$KEY' \"${KEY}\" \"5$\""), None);
    }

    #[test]
    fn agrees_with_the_reference_splitter() {
        let alphabet = ['a', ' ', '\'', '"', '\\', '\n', '#', '$', 'é'];
        let mut seed = 1_u32;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..10 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push(alphabet[(seed >> 16) as usize % alphabet.len()]);
            }
            // The reference treats a continued line as a word; a shell does not.
            if text.contains("\\\n") {
                continue;
            }
            let ours = split(&text).ok().map(|found| found.words);
            assert_eq!(ours, shlex::split(&text), "{text:?}");
        }
    }
}
