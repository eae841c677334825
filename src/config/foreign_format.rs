//! Recognises the configs of other tools, so that one message replaces many about their keys.

use super::keys::TOP;
use crate::text::suggest::closest;

/// Another tool's config.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ForeignFormat {
    /// The line that shows it, from 1.
    pub line: u32,
    /// The name of the format, such as "a Procfile".
    pub name: &'static str,
    /// The counterparts of its keys.
    pub help: &'static str,
}

const SUPERVISORD: (&str, &str) = (
    "a supervisord.conf",
    "write each [program:NAME] as an entry of `programs`, with `cmd` for `command`; see \
     docs/coming-from.md",
);
const SYSTEMD: (&str, &str) = (
    "a systemd unit",
    "write it as an entry of `programs`, with `cmd` for ExecStart and `workingdir` for \
     WorkingDirectory",
);
const INI: (&str, &str) = (
    "an INI or TOML file",
    "write the config as YAML: `programs:` with an entry for each program",
);
const PROCFILE: (&str, &str) = (
    "a Procfile",
    "put the lines under `programs:` and write each as NAME: {cmd: COMMAND}",
);
const COMPOSE: (&str, &str) = (
    "a compose file",
    "write each of its services as an entry of `programs`, with `cmd` for `command` and `env` for \
     `environment`; programs run on this system, without an image",
);
const PROCESS_COMPOSE: (&str, &str) = (
    "a process-compose file",
    "write `programs` for `processes`, `cmd` for `command` and `workingdir` for `working_dir`",
);
const MPROCS: (&str, &str) = (
    "an mprocs file",
    "write `programs` for `procs`; `shell: TEXT` becomes `cmd: TEXT` with `shell: true`",
);
const PM2: (&str, &str) = (
    "a pm2 ecosystem file",
    "write each app as an entry of `programs`, with `cmd` for `script` and `args`",
);

/// The other tool whose config a text is, if it is surely none of ours.
pub(super) fn recognise(text: &str) -> Option<ForeignFormat> {
    let lines = || {
        let numbered = text.lines().enumerate();
        let numbered = numbered.map(|(index, line)| (index + 1, line.trim_end()));
        numbered.filter(|(_, line)| !matches!(line.trim_start().chars().next(), None | Some('#')))
    };
    let keys: Vec<(usize, &str)> = lines()
        .filter_map(|(number, line)| Some((number, top_key(line)?)))
        .collect();
    if keys.iter().any(|(_, key)| TOP.contains(key)) {
        return None;
    }
    let (line, (name, help)) = lines()
        .find_map(|(number, line)| Some((number, by_section(line, text)?)))
        .or_else(|| by_key(&keys, text))
        .or_else(|| by_script(text))
        .or_else(|| is_procfile(lines()).then_some((lines().next()?.0, PROCFILE)))?;
    Some(ForeignFormat {
        line: u32::try_from(line).unwrap_or(1),
        name,
        help,
    })
}

/// The key of a line that is not indented.
fn top_key(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let key = key.trim_matches(['"', '\'']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let is_key = !key.is_empty() && key.chars().all(plain);
    (is_key && (rest.is_empty() || rest.starts_with(' '))).then_some(key)
}

/// A format with `[sections]`.
fn by_section(line: &str, text: &str) -> Option<(&'static str, &'static str)> {
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    let kind = name.split(':').next().unwrap_or_default();
    match kind {
        "program" | "supervisord" | "supervisorctl" | "unix_http_server" | "inet_http_server"
        | "eventlistener" | "fcgi-program" | "rpcinterface" => Some(SUPERVISORD),
        "Unit" | "Service" | "Install" | "Socket" | "Timer" => Some(SYSTEMD),
        _ => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:[] \"".contains(c);
            let assigns = |line: &str| {
                let key = line.split_once('=').map(|(key, _)| key.trim());
                key.is_some_and(|key| !key.is_empty() && key.chars().all(plain))
            };
            (name.chars().all(plain) && text.lines().any(assigns)).then_some(INI)
        }
    }
}

/// A format that is YAML, by its first key and one of its other keys.
fn by_key(keys: &[(usize, &str)], text: &str) -> Option<(usize, (&'static str, &'static str))> {
    let formats: [(&str, &[&str], (&str, &str)); 4] = [
        (
            "services",
            &["image", "build", "command", "ports", "volumes"],
            COMPOSE,
        ),
        (
            "processes",
            &["command", "is_daemon", "availability"],
            PROCESS_COMPOSE,
        ),
        ("procs", &["shell", "cmd"], MPROCS),
        ("apps", &["script", "exec_mode", "name"], PM2),
    ];
    let below = |wanted: &[&str]| {
        let words = text
            .lines()
            .map(|line| line.trim_start_matches([' ', '-', '{', '"']));
        let mut words = words.filter_map(|line| line.split([':', '"']).next());
        words.any(|word| wanted.contains(&word))
    };
    formats.into_iter().find_map(|(top, inner, format)| {
        let (line, _) = keys.iter().find(|(_, key)| *key == top)?;
        below(inner).then_some((*line, format))
    })
}

/// A format that is JavaScript or JSON.
fn by_script(text: &str) -> Option<(usize, (&'static str, &'static str))> {
    let mut lines = text.lines().enumerate();
    let found = lines.find(|(_, line)| {
        let line = line.trim_start();
        line.starts_with("module.exports") || line.starts_with("\"apps\"")
    });
    found.map(|(index, _)| (index + 1, PM2))
}

/// Whether every line is `NAME: COMMAND`.
fn is_procfile<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> bool {
    let mut count = 0;
    for (_, line) in lines {
        let Some(key) = top_key(line) else {
            return false;
        };
        let command = line
            .split_once(": ")
            .map_or("", |(_, command)| command.trim());
        let is_text = !command.is_empty() && !command.starts_with(['{', '[', '|', '>', '&', '*']);
        let is_ours = key.starts_with("x-") || closest(key, TOP).is_some();
        if !is_text || is_ours {
            return false;
        }
        count += 1;
    }
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<&'static str> {
        recognise(text).map(|found| found.name)
    }

    #[test]
    fn other_tools_are_recognised() {
        let cases = [
            (
                "; a\n[supervisord]\nnodaemon=true\n[program:a]\ncommand=x\n",
                SUPERVISORD,
            ),
            (
                "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/x\n",
                SYSTEMD,
            ),
            ("[watcher:web]\ncmd = x\n", INI),
            ("# web\nweb: python app.py\nworker: rake jobs\n", PROCFILE),
            (
                "version: '3'\nservices:\n  web:\n    image: nginx\n",
                COMPOSE,
            ),
            ("processes:\n  a:\n    command: x\n", PROCESS_COMPOSE),
            ("procs:\n  a:\n    shell: x\n", MPROCS),
            ("apps:\n  - script: a.js\n    name: a\n", PM2),
            ("module.exports = {\n  apps: []\n}\n", PM2),
            ("{\n  \"apps\": [{\"script\": \"a.js\"}]\n}\n", PM2),
        ];
        for (text, (format, _)) in cases {
            assert_eq!(name(text), Some(format), "{text}");
        }
    }

    #[test]
    fn our_own_configs_are_not() {
        let ours = [
            "programs:\n  a: {cmd: x}\n",
            "programms: {}\n",
            "processes:\n  a: {cmd: x}\n",
            "services: {}\n",
            "x-a: text\n",
            "daemon: {socket: a}\nfoo: bar baz\n",
            "{\"programs\": {\"a\": {\"cmd\": \"x\"}}}\n",
            "",
            "# nothing\n",
        ];
        for text in ours {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
