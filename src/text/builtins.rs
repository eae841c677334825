//! Words that a shell interprets itself, and what a config has instead.

/// The words, and what to write instead.
const BUILTINS: [(&str, &str); 14] = [
    ("cd", "set `workingdir`"),
    ("pushd", "set `workingdir`"),
    ("export", "put the variable under `env`"),
    ("source", "use `env_file` for variables"),
    (".", "use `env_file` for variables"),
    ("exec", "remove `exec`: no shell stays behind"),
    ("umask", "set `umask`"),
    ("set", "remove it"),
    ("unset", "remove it"),
    ("alias", "write the command itself"),
    ("eval", "write the command itself"),
    ("trap", "remove it"),
    ("ulimit", "run it in a shell"),
    ("function", "run it in a shell"),
];

/// The mistake of a command whose program is such a word, and the help. `None` for any other.
pub(crate) fn builtin(program: &str) -> Option<(String, String)> {
    let (name, instead) = BUILTINS.iter().find(|(name, _)| *name == program)?;
    let message = format!("`{name}` is a part of shells, not a program");
    Some((message, format!("{instead}, or add `shell: true`")))
}
