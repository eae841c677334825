//! Placeholders: the values that differ between processes of a program.

use crate::supervisor::{Identity, Launch, Program, Sink, Stdin};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Launch {
    /// Whether the process gets an input that clients can write to.
    pub(crate) fn takes_input(&self) -> bool {
        self.tty.is_some() || self.stdin == Stdin::Pipe
    }

    /// The launch of process `instance`: `{program}`, `{instance}`, `{instance:02}`,
    /// `{numprocs}` and `{vars.NAME}` replaced in the command, the environment's values, the
    /// directory, the output and input files and the pidfile.
    ///
    /// Anything else in braces stays as it is, and so does `${...}`, which is the shell's.
    /// Values are not expanded again.
    ///
    /// Where both streams go to one file, standard error becomes [`Sink::Stdout`]: only in one
    /// pipe do they keep the order and the lines that the process wrote.
    pub fn expand(&self, program: &Program, instance: u32) -> Launch {
        let values = program.values(instance);
        let expand = |text: &str| expand(text, &values);
        let mut launch = self.clone();
        launch.argv = self.argv.iter().map(|word| expand(word)).collect();
        if self.has_own_env(&values) {
            let expanded = |value: &Arc<str>| match expanded_length(value, &values) {
                Some(_) => expand(value).into(),
                None => Arc::clone(value),
            };
            let env = self.env.iter();
            let env = env.map(|(name, value)| (name.clone(), expanded(value)));
            launch.env = Arc::new(env.collect());
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

    /// Bytes that a process takes for the texts that it does not share with others, about.
    pub(crate) fn own_bytes(&self, values: &Values) -> usize {
        let length = |text: &str| {
            let length = expanded_length(text, values);
            length.unwrap_or(text.len()).saturating_add(24)
        };
        let path = |sink: &Sink| match sink {
            Sink::File(file) => length(&file.path),
            Sink::Ring | Sink::Discard | Sink::Stdout => 0,
        };
        let variable = |(name, value): (&String, &Arc<str>)| {
            let own = expanded_length(value, values).unwrap_or(0);
            own.saturating_add(name.len() + 64)
        };
        let mut parts: Vec<usize> = self.argv.iter().map(|word| length(word)).collect();
        if self.has_own_env(values) {
            parts.extend(self.env.iter().map(variable));
        }
        parts.extend([
            length(&self.workingdir),
            path(&self.stdout),
            path(&self.stderr),
        ]);
        parts.extend(self.pidfile.as_deref().map(length));
        if let Stdin::File(path) = &self.stdin {
            parts.push(length(path));
        }
        if let Some(identity) = &self.identity {
            let Identity {
                user,
                home,
                shell,
                groups,
                ..
            } = identity;
            parts.extend([user.len(), home.len(), shell.len(), 4 * groups.len()]);
        }
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// Whether the values of variables differ between the processes.
    fn has_own_env(&self, values: &Values) -> bool {
        let mut texts = self.env.values();
        texts.any(|value| expanded_length(value, values).is_some())
    }
}

impl Program {
    /// Bytes of the texts that this number of its processes do not share, about.
    pub(crate) fn bytes_of_processes(&self, numprocs: u32) -> usize {
        let values = Values {
            numprocs,
            ..self.values(numprocs)
        };
        let count = usize::try_from(numprocs).unwrap_or(usize::MAX);
        self.launch.own_bytes(&values).saturating_mul(count)
    }

    /// The values of the placeholders for process `instance`.
    pub(crate) fn values(&self, instance: u32) -> Values<'_> {
        Values {
            program: &self.name,
            instance,
            numprocs: self.numprocs,
            vars: &self.vars,
        }
    }
}

/// The values of the placeholders for one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub program: &'a str,
    pub instance: u32,
    pub numprocs: u32,
    pub vars: &'a BTreeMap<String, String>,
}

/// Replaces every placeholder of a text. Unknown variables stay as they are.
pub(crate) fn expand(text: &str, values: &Values) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (start, inner) in braces(text) {
        if let Some(value) = values.of(inner) {
            out.push_str(&text[copied..start]);
            out.push_str(&value);
            copied = start + inner.len() + 2;
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// The length of a text with every placeholder replaced; `None` if it has none.
pub(crate) fn expanded_length(text: &str, values: &Values) -> Option<usize> {
    let mut found = None;
    for (_, inner) in braces(text) {
        if let Some(length) = values.length_of(inner) {
            let so_far = found.unwrap_or(text.len()) - (inner.len() + 2);
            found = Some(so_far.saturating_add(length));
        }
    }
    found
}

impl Values<'_> {
    fn length_of(&self, inner: &str) -> Option<usize> {
        match Placeholder::parse(inner)? {
            Placeholder::Variable(name) => self.vars.get(name).map(String::len),
            Placeholder::Program => Some(self.program.len()),
            Placeholder::Instance { .. } | Placeholder::Numprocs => {
                self.of(inner).map(|text| text.len())
            }
        }
    }

    fn of(&self, inner: &str) -> Option<String> {
        match Placeholder::parse(inner)? {
            Placeholder::Program => Some(self.program.to_string()),
            Placeholder::Instance { width } => Some(format!("{:0width$}", self.instance)),
            Placeholder::Numprocs => Some(self.numprocs.to_string()),
            Placeholder::Variable(name) => self.vars.get(name).cloned(),
        }
    }
}

/// A placeholder, read from the text between its braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placeholder<'a> {
    Program,
    /// At least `width` digits.
    Instance {
        width: usize,
    },
    Numprocs,
    /// `vars.NAME`; the variable may not exist.
    Variable(&'a str),
}

/// Maximum width in `{instance:0N}`: bounds the growth of a text.
const WIDTH_MAX: usize = 99;

impl Placeholder<'_> {
    /// Names without a parameter.
    pub(crate) const NAMES: [&'static str; 3] = ["program", "instance", "numprocs"];

    /// Parses the text between braces; `None` for ordinary text.
    pub(crate) fn parse(inner: &str) -> Option<Placeholder<'_>> {
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

/// The text between each innermost pair of braces, and the index of the opening one. Skips `${…}`,
/// which belongs to the shell.
pub(crate) fn braces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let opening = text
        .match_indices('{')
        .filter(|(index, _)| !text[..*index].ends_with('$'));
    opening.filter_map(|(index, _)| {
        let rest = &text[index + 1..];
        let end = rest.find(['{', '}'])?;
        let closed = rest[end..].starts_with('}');
        closed.then(|| (index, &rest[..end]))
    })
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

    fn expand_for_7(text: &str) -> String {
        let Program { name, vars, .. } = program();
        let values = Values {
            program: &name,
            instance: 7,
            numprocs: 3,
            vars: &vars,
        };
        expand(text, &values)
    }

    #[test]
    fn known_placeholders_are_replaced_and_values_left_alone() {
        let expand = |text: &str| expand_for_7(text);
        assert_eq!(expand("{program}-{instance}/{numprocs}"), "web-7/3");
        assert_eq!(expand("{instance:02} {instance:05}"), "07 00007");
        assert_eq!(expand("{instance:0015}"), format!("{:015}", 7));
        assert_eq!(expand("{instance:099}"), format!("{:099}", 7));
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
            "{instance:0}",
            "{instance:0100}",
            "{instance:0999999999}",
            "{instance:0+3}",
            "{}",
            "}{",
        ] {
            assert_eq!(expand_for_7(text), text);
        }
    }

    #[test]
    fn every_text_of_a_launch_is_expanded() {
        let mut program = program();
        program.launch.argv = vec!["{program}".to_string()];
        let env = BTreeMap::from([("{program}".to_string(), "{instance}".into())]);
        program.launch.env = Arc::new(env);
        program.launch.workingdir = "/{program}".to_string();
        program.launch.pidfile = Some("/{instance}".to_string());
        program.launch.stdin = Stdin::File("/in{instance}".to_string());
        let launch = program.launch.expand(&program, 1);
        assert_eq!(launch.argv, ["web"]);
        assert_eq!(launch.env.get("{program}").map(|value| &**value), Some("1"));
        assert_eq!(launch.workingdir, "/web");
        assert_eq!(launch.pidfile.as_deref(), Some("/1"));
        assert_eq!(launch.stdin, Stdin::File("/in1".to_string()));
    }

    #[test]
    fn the_length_of_an_expanded_text_is_known_before() {
        let Program { name, vars, .. } = program();
        let values = Values {
            program: &name,
            instance: 7,
            numprocs: 300,
            vars: &vars,
        };
        for text in [
            "{program}-{instance}/{numprocs}",
            "x{instance:05}{vars.port}{vars.unknown}y",
            "{{program}}ö",
        ] {
            let length = expand(text, &values).len();
            assert_eq!(expanded_length(text, &values), Some(length), "{text}");
        }
        assert_eq!(expanded_length("{x} ${program}", &values), None);
    }

    #[test]
    fn processes_share_the_variables_that_do_not_differ() {
        let mut program = program();
        let set = |program: &mut Program, name: &str, value: &str| {
            Arc::make_mut(&mut program.launch.env).insert(name.to_string(), value.into());
        };
        set(&mut program, "A", &"x".repeat(100_000));
        let (one, two) = (
            program.launch.expand(&program, 0),
            program.launch.expand(&program, 1),
        );
        assert!(Arc::ptr_eq(&one.env, &two.env));
        assert!(program.bytes_of_processes(10) < 1000);
        set(&mut program, "B", "{instance}");
        let (one, two) = (
            program.launch.expand(&program, 0),
            program.launch.expand(&program, 1),
        );
        assert!(Arc::ptr_eq(&one.env["A"], &two.env["A"]));
        assert_eq!(&*two.env["B"], "1");
        assert!(program.bytes_of_processes(10) < 3000);
        set(&mut program, "B", &"{vars.port}".repeat(1000));
        assert!(program.bytes_of_processes(10) > 100_000);
        assert_eq!(program.bytes_of_processes(0), 0);
    }

    #[test]
    fn one_file_for_both_streams_is_one_pipe() {
        let file = |path: &str, direct| {
            Sink::File(FileSink {
                path: path.to_string(),
                direct,
                max_size: 0,
                keep: 0,
                mode: None,
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
}
