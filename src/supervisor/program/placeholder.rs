//! Placeholders: what differs from one process of a program to the next.

use crate::supervisor::{Launch, Program, Sink, Stdin};
use crate::text::suggest;
use std::collections::BTreeMap;

impl Launch {
    /// The launch of process `instance`: `{program}`, `{instance}`, `{instance:02}`,
    /// `{numprocs}` and `{vars.NAME}` replaced in the command, the environment's values, the
    /// directory, the output and input files and the pidfile.
    ///
    /// Anything else in braces stays as it is, and so does `${...}`, which is the shell's.
    /// What a placeholder stands for is not looked at again.
    ///
    /// Where both streams go to one file, standard error becomes [`Sink::Stdout`]: only in one
    /// pipe do they keep the order and the lines that the process wrote.
    pub fn expand(&self, program: &Program, instance: u32) -> Launch {
        let expand = |text: &str| expand(text, program, instance);
        let mut launch = self.clone();
        launch.argv = self.argv.iter().map(|word| expand(word)).collect();
        for value in launch.env.values_mut() {
            *value = expand(value);
        }
        launch.workingdir = expand(&self.workingdir);
        launch.pidfile = self.pidfile.as_deref().map(expand);
        if let Stdin::File(path) = &mut launch.stdin {
            *path = expand(path);
        }
        for sink in [&mut launch.stdout, &mut launch.stderr] {
            if let Sink::File(file) = sink {
                file.path = expand(&file.path);
            }
        }
        if let (Sink::File(out), Sink::File(err)) = (&launch.stdout, &launch.stderr)
            && out.path == err.path
            && !out.direct
            && !err.direct
        {
            launch.stderr = Sink::Stdout;
        }
        launch
    }
}

/// Something in braces that looks as if it was meant to be a placeholder, but is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceholderProblem {
    /// As written, with the braces.
    pub token: String,
    /// It names a variable that is not in `vars`: certainly a mistake. Otherwise it is only
    /// close to a placeholder's name and stays as it is.
    pub unknown_variable: bool,
    /// What was probably meant, with the braces.
    pub suggestion: Option<String>,
}

/// What looks like a placeholder in `text` and is none, for the config to report.
pub fn placeholder_problems(
    text: &str,
    vars: &BTreeMap<String, String>,
) -> Vec<PlaceholderProblem> {
    pieces(text)
        .filter_map(|piece| problem(piece, vars))
        .collect()
}

fn problem(piece: Piece<'_>, vars: &BTreeMap<String, String>) -> Option<PlaceholderProblem> {
    let Piece::Braces(inner) = piece else {
        return None;
    };
    let (unknown_variable, suggestion) = match Placeholder::parse(inner) {
        Some(Placeholder::Variable(name)) if !vars.contains_key(name) => {
            let close = suggest::closest(name, vars.keys().map(String::as_str));
            (true, close.map(|name| format!("{{vars.{name}}}")))
        }
        Some(_) => return None,
        None => (false, Some(near_miss(inner)?)),
    };
    Some(PlaceholderProblem {
        token: format!("{{{inner}}}"),
        unknown_variable,
        suggestion,
    })
}

/// The placeholder that `inner` is close to without being one.
fn near_miss(inner: &str) -> Option<String> {
    let (word, format) = inner.split_once(':').unwrap_or((inner, ""));
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    if !plain || word.len() < 5 {
        return None;
    }
    if let Some((head, name)) = word.split_once('.') {
        let meant = head.eq_ignore_ascii_case("var") || head.eq_ignore_ascii_case("vars");
        return meant.then(|| format!("{{vars.{name}}}"));
    }
    let close = suggest::closest(word, ["program", "instance", "numprocs"])?;
    let digits = format.trim_start_matches('0');
    match digits.parse::<u32>() {
        Ok(width) if close == "instance" => Some(format!("{{instance:0{width}}}")),
        _ => Some(format!("{{{close}}}")),
    }
}

fn expand(text: &str, program: &Program, instance: u32) -> String {
    if !text.contains('{') {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Braces(inner) => match value(inner, program, instance) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push('{');
                    out.push_str(inner);
                    out.push('}');
                }
            },
        }
    }
    out
}

fn value(inner: &str, program: &Program, instance: u32) -> Option<String> {
    match Placeholder::parse(inner)? {
        Placeholder::Program => Some(program.name.clone()),
        Placeholder::Instance { width } => Some(format!("{instance:0width$}")),
        Placeholder::Numprocs => Some(program.numprocs.to_string()),
        Placeholder::Variable(name) => program.vars.get(name).cloned(),
    }
}

enum Placeholder<'a> {
    Program,
    Instance { width: usize },
    Numprocs,
    Variable(&'a str),
}

/// More digits than any index needs are no placeholder, so that no text can grow by much.
const WIDTH_MAX: usize = 20;

impl Placeholder<'_> {
    fn parse(inner: &str) -> Option<Placeholder<'_>> {
        match inner {
            "program" => return Some(Placeholder::Program),
            "instance" => return Some(Placeholder::Instance { width: 0 }),
            "numprocs" => return Some(Placeholder::Numprocs),
            _ => {}
        }
        if let Some(name) = inner.strip_prefix("vars.") {
            return Some(Placeholder::Variable(name));
        }
        let digits = inner.strip_prefix("instance:0")?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let width: usize = digits.parse().ok()?;
        (width <= WIDTH_MAX).then_some(Placeholder::Instance { width })
    }
}

enum Piece<'a> {
    Text(&'a str),
    /// What stands between the innermost braces.
    Braces(&'a str),
}

/// Cuts a text into what is in braces and what is not. `${...}` counts as text.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, length) = first_piece(rest);
        rest = &rest[length..];
        Some(piece)
    })
}

fn first_piece(text: &str) -> (Piece<'_>, usize) {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let inner = &text[open + 1..];
        let end = inner.find(['{', '}']);
        let closed = end.is_some_and(|end| inner[end..].starts_with('}'));
        if !closed || text[..open].ends_with('$') {
            from = open + 1;
            continue;
        }
        if open > 0 {
            return (Piece::Text(&text[..open]), open);
        }
        let end = end.unwrap_or_default();
        return (Piece::Braces(&inner[..end]), end + 2);
    }
    (Piece::Text(text), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Autostart, FileSink, Policy, Stall};

    fn program() -> Program {
        Program {
            name: "web".to_string(),
            numprocs: 3,
            autostart: Autostart::Yes,
            policy: Policy::default(),
            launch: Launch::default(),
            vars: BTreeMap::from([("port".to_string(), "80{instance}".to_string())]),
        }
    }

    #[test]
    fn known_placeholders_are_replaced_and_values_left_alone() {
        let expand = |text: &str| expand(text, &program(), 7);
        assert_eq!(expand("{program}-{instance}/{numprocs}"), "web-7/3");
        assert_eq!(expand("{instance:02} {instance:05}"), "07 00007");
        assert_eq!(expand("{vars.port}"), "80{instance}");
        assert_eq!(expand("{{program}}"), "{web}");
        assert_eq!(expand("{program"), "{program");
        assert_eq!(expand("ö{program}é}"), "öwebé}");
    }

    #[test]
    fn other_braces_stay() {
        for text in [
            "awk '{print $1}'",
            r#"{"a": {"b": 1}}"#,
            "${program} ${instance:02}",
            "{vars.unknown}",
            "{instance:2}",
            "{instance:0999999999}",
            "{instance:0+3}",
            "{}",
            "}{",
        ] {
            assert_eq!(expand(text, &program(), 7), text);
        }
    }

    #[test]
    fn every_text_of_a_launch_is_expanded() {
        let mut program = program();
        program.launch.argv = vec!["{program}".to_string()];
        program.launch.env = BTreeMap::from([("{program}".to_string(), "{instance}".to_string())]);
        program.launch.workingdir = "/{program}".to_string();
        program.launch.pidfile = Some("/{instance}".to_string());
        program.launch.stdin = Stdin::File("/in{instance}".to_string());
        let launch = program.launch.expand(&program, 1);
        assert_eq!(launch.argv, ["web"]);
        assert_eq!(launch.env.get("{program}").map(String::as_str), Some("1"));
        assert_eq!(launch.workingdir, "/web");
        assert_eq!(launch.pidfile.as_deref(), Some("/1"));
        assert_eq!(launch.stdin, Stdin::File("/in1".to_string()));
    }

    #[test]
    fn one_file_for_both_streams_is_one_pipe() {
        let file = |path: &str, direct| {
            Sink::File(FileSink {
                path: path.to_string(),
                direct,
                max_size: 0,
                keep: 0,
                compress: false,
                timestamps: false,
                strip_ansi: false,
                stall: Stall::Never,
            })
        };
        let mut program = program();
        let mut stderr = |out: Sink, err: Sink| {
            program.launch.stdout = out;
            program.launch.stderr = err;
            program.launch.expand(&program, 1).stderr
        };
        let merged = stderr(file("/{program}", false), file("/web", false));
        assert_eq!(merged, Sink::Stdout);
        let other = stderr(file("/{program}", false), file("/{instance}", false));
        assert_eq!(other, file("/1", false));
        let direct = stderr(file("/web", true), file("/web", true));
        assert_eq!(direct, file("/web", true));
    }

    #[test]
    fn mistakes_are_named() {
        let vars = program().vars;
        let found = |text: &str| {
            let problems = placeholder_problems(text, &vars).into_iter();
            problems
                .map(|p| (p.token, p.unknown_variable, p.suggestion))
                .collect::<Vec<_>>()
        };
        let one = |token: &str, unknown, suggestion: Option<&str>| {
            vec![(token.to_string(), unknown, suggestion.map(str::to_string))]
        };
        assert_eq!(
            found("{vars.prot}"),
            one("{vars.prot}", true, Some("{vars.port}"))
        );
        assert_eq!(found("{vars.else}"), one("{vars.else}", true, None));
        assert_eq!(
            found("{var.port}"),
            one("{var.port}", false, Some("{vars.port}"))
        );
        assert_eq!(
            found("{Program}"),
            one("{Program}", false, Some("{program}"))
        );
        assert_eq!(
            found("{instances:02}"),
            one("{instances:02}", false, Some("{instance:02}"))
        );
        assert_eq!(
            found("{instance:2}"),
            one("{instance:2}", false, Some("{instance:02}"))
        );
        assert_eq!(
            found("{program} {print $1} {\"a\":1} ${progam} {name}"),
            vec![]
        );
    }
}
