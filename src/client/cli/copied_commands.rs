//! Commands within messages, which users copy.
//!
//! Pure.

use crate::client::cli::command::{Global, visible_verbs};

/// The flags that select the daemon, as they are typed in a shell; empty for none.
pub(crate) fn selection(global: &Global) -> String {
    let config = global.config.as_ref().map(|path| ("-c", path));
    let socket = global.socket.as_ref().map(|path| ("--socket", path));
    let given = config.into_iter().chain(socket).map(|(flag, path)| {
        let path = path.to_string_lossy();
        let quoted = shlex::try_quote(&path).unwrap_or(path.clone());
        format!("{flag} {quoted}")
    });
    given.collect::<Vec<_>>().join(" ")
}

/// Adds these flags to each `tm VERB` in a text that selects no daemon by itself.
pub(crate) fn with_selection(text: &str, selection: &str) -> String {
    if selection.is_empty() || text.contains(" -c ") || text.contains("--socket") {
        return text.to_string();
    }
    let verbs = visible_verbs();
    let is_verb = |rest: &str| {
        let verb = rest.split(|c: char| !c.is_ascii_lowercase()).next();
        verb.is_some_and(|verb| verbs.iter().any(|known| known == verb))
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("tm ") {
        let (before, after) = rest.split_at(at + 3);
        let starts = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || "/-_.'".contains(c));
        out.push_str(before);
        if starts && is_verb(after) {
            out.push_str(selection);
            out.push(' ');
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_daemon_that_the_line_named() {
        let global = Global {
            config: Some("my x.yaml".into()),
            ..Global::default()
        };
        let selection = selection(&global);
        assert_eq!(selection, "-c 'my x.yaml'");
        for (text, wanted) in [
            (
                "to see why: tm why a:0",
                "to see why: tm -c 'my x.yaml' why a:0",
            ),
            (
                "tm start a; tm logs a",
                "tm -c 'my x.yaml' start a; tm -c 'my x.yaml' logs a",
            ),
            ("start it: tm up -c x.yaml", "start it: tm up -c x.yaml"),
            ("tm is in the background", "tm is in the background"),
            ("run atm why", "run atm why"),
            ("/bin/tm why", "/bin/tm why"),
        ] {
            assert_eq!(with_selection(text, &selection), wanted);
        }
        assert_eq!(with_selection("tm why a", ""), "tm why a");
        let socket = Global {
            socket: Some("/s".into()),
            ..Global::default()
        };
        assert_eq!(super::selection(&socket), "--socket /s");
    }
}
