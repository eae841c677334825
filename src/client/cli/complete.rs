//! Completion scripts and their live names, from the table of verbs.

use crate::client::cli::command::{Cli, Global, NAMES, ShellName, tm_command};
use crate::client::context::{Context, write_stdout};
use crate::client::daemon::received::parse_as_sent;
use crate::client::error::{ClientError, exit};
use crate::config::{self, Environment, signal_names};
use crate::sys::privileges::open_as;
use crate::text::printable::is_control;
use crate::wire::{Call, StatusReply, TargetsParams};
use clap::{CommandFactory, FromArgMatches, ValueHint};
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// The verb that takes `PROGRAM=N`.
const SCALE: &str = "scale";

/// The verb whose first argument is a signal.
const SIGNAL: &str = "signal";

/// Runs `completions`.
///
/// # Errors
/// When the output fails.
pub(crate) fn completions(shell: ShellName) -> Result<i32, ClientError> {
    write_stdout(script(shell).as_bytes())?;
    Ok(exit::DONE)
}

/// Runs `__complete-names`: prints the names that the verb takes, one a line, of the daemon that
/// the line selects. Without that daemon it prints none.
///
/// # Errors
/// When the output fails.
pub(crate) fn complete_names(
    context: &Context,
    verb: Option<&str>,
    line: Option<&str>,
) -> Result<i32, ClientError> {
    let context = match line {
        Some(line) => &context.for_line(selection(line)),
        None => context,
    };
    if let Ok(names) = live_names(context, verb.unwrap_or_default()) {
        context.print_lines(&names)?;
    }
    Ok(exit::DONE)
}

/// Returns the global flags on a line that is still being typed, and that begins with `tm`. Quotes
/// are removed and `~/` is expanded. Nothing else is: no part of the line is run.
pub(crate) fn selection(line: &str) -> Global {
    // An unclosed quote ends the words.
    let words = shlex::Shlex::new(line);
    let matches = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(words);
    // Only the flags: the arguments of the verb may be missing.
    let flags = matches.and_then(|matches| Global::from_arg_matches(&matches));
    let flags = flags.unwrap_or_default();
    Global {
        config: flags.config.map(without_tilde),
        socket: flags.socket.map(without_tilde),
        daemon_user: flags.daemon_user,
        ..Global::default()
    }
}

/// Expands `~/` at the start, as shells do.
fn without_tilde(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path,
    }
}

/// Returns programs, processes, groups and `all`. For `scale`: programs, each with `=`. For a verb
/// that takes one process: processes. Leaves out names with control characters, which no config
/// has.
///
/// # Errors
/// When the connection or the call fails.
pub(crate) fn live_names(context: &Context, verb: &str) -> Result<Vec<String>, ClientError> {
    let call = Call::Status(TargetsParams {
        targets: vec!["all".to_string()],
    });
    let mut connection = context.connect()?;
    let mut reply: StatusReply = parse_as_sent(connection.call_value(&call)?)?;
    let sound = |name: &str| !name.contains(is_control);
    reply
        .processes
        .retain(|process| sound(&process.name) && sound(&process.program));
    let mut names: Vec<String> = Vec::new();
    if verb == SCALE {
        let programs = reply.processes.iter().map(|process| &process.program);
        names.extend(programs.map(|program| format!("{program}=")));
        names.dedup();
        return Ok(names);
    }
    if takes_one_process(verb) {
        return Ok(reply
            .processes
            .into_iter()
            .map(|process| process.name)
            .collect());
    }
    for process in reply.processes {
        if names.last() != Some(&process.program) && !names.contains(&process.program) {
            names.push(process.program);
        }
        names.push(process.name);
    }
    names.push("all".to_string());
    names.extend(groups(&connection.config()?));
    Ok(names)
}

/// Returns the groups of a config; none if the config cannot be read.
fn groups(config: &Path) -> Vec<String> {
    let loaded = config::load(config, &Environment::current(open_as));
    let groups = loaded.map(|config| config.groups).unwrap_or_default();
    groups.into_keys().map(|name| format!("@{name}")).collect()
}

/// Whether a verb takes exactly one process.
fn takes_one_process(verb: &str) -> bool {
    let command = Cli::command();
    let Some(verb) = command.find_subcommand(verb) else {
        return false;
    };
    verb.get_positionals().any(|argument| {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().any(|name| name.as_str() == "PROCESS")
    })
}

/// Returns the verbs that take names of processes, with their aliases.
pub(crate) fn verbs_of_targets() -> Vec<String> {
    let command = Cli::command();
    let takes_names = |verb: &&clap::Command| {
        verb.get_positionals()
            .any(|argument| argument.get_value_hint() == NAMES)
    };
    let verbs = command.get_subcommands().filter(takes_names);
    verbs
        .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_visible_aliases()))
        .map(str::to_string)
        .collect()
}

/// Returns the verbs that take a file.
fn verbs_of_files() -> Vec<String> {
    let command = Cli::command();
    let verbs = command.get_subcommands().filter(|verb| {
        let mut arguments = verb.get_positionals();
        arguments.any(|argument| argument.get_value_hint() == ValueHint::FilePath)
    });
    verbs.map(|verb| verb.get_name().to_string()).collect()
}

/// Returns the options, of any verb, that take a value.
fn options_with_values() -> Vec<String> {
    let command = Cli::command();
    let verbs = command.get_subcommands();
    let arguments = verbs.chain([&command]).flat_map(clap::Command::get_opts);
    let mut options: Vec<String> = arguments
        .filter(|argument| argument.get_action().takes_values())
        .flat_map(|argument| {
            let long = argument.get_long().map(|long| format!("--{long}"));
            let short = argument.get_short().map(|short| format!("-{short}"));
            long.into_iter().chain(short)
        })
        .collect();
    options.sort();
    options.dedup();
    options
}

/// Returns the command of `tm` without its hidden verbs, which clap would complete.
pub(crate) fn visible_command() -> clap::Command {
    let command = tm_command();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    clap::Command::new("tm")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .subcommand_value_name("VERB")
        .about(command.get_about().cloned().unwrap_or_default())
        .after_help(command.get_after_help().cloned().unwrap_or_default())
        .args(command.get_arguments().cloned())
        .subcommands(verbs.cloned())
}

/// Returns the script that clap generates, extended by live names.
fn script(shell: ShellName) -> String {
    let generator = match shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut visible_command(), "tm", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let verbs = verbs_of_targets();
    match shell {
        ShellName::Bash => format!(
            "{script}\n{}",
            BASH_NAMES
                .replace("FILE_VERBS", &verbs_of_files().join("|"))
                .replace("VERBS", &verbs.join("|"))
                .replace("SIGNALS", &signal_names().collect::<Vec<_>>().join(" "))
                .replace("OPTIONS", &options_with_values().join("|"))
        ),
        // clap turns the hint for names into a completion of login names.
        ShellName::Zsh => script
            .replace(":_users", ":_tm_names")
            .replacen("\n_tm() {\n", &format!("\n_tm() {{\n{ZSH_LINE}"), 1)
            .replacen("#compdef tm\n", &format!("#compdef tm\n{ZSH_NAMES}"), 1),
        ShellName::Fish => {
            let script = script.replace("(__fish_complete_users)", FISH_NAMES);
            let others = verbs.iter().map(String::as_str);
            let others = others.filter(|verb| ![SCALE, SIGNAL].contains(verb));
            let (single, others): (Vec<&str>, Vec<&str>) =
                others.partition(|verb| takes_one_process(verb));
            let seen = |verbs: &str| format!("__fish_seen_subcommand_from {verbs}");
            let after_signal = |test: &str| {
                let seen = seen(SIGNAL);
                format!("{seen}; and test (commandline -opc)[-1] {test} {SIGNAL}")
            };
            let names_for = |verb: &str| FISH_NAMES.replace("names", &format!("names {verb}"));
            let scale = names_for(SCALE);
            // All of these get the same names.
            let process = names_for(single.first().copied().unwrap_or_default());
            let signals = signal_names().collect::<Vec<_>>().join(" ");
            let rules = [
                (seen(&others.join(" ")), FISH_NAMES),
                (seen(&single.join(" ")), process.as_str()),
                (seen(SCALE), scale.as_str()),
                (after_signal("="), signals.as_str()),
                (after_signal("!="), FISH_NAMES),
            ];
            let rule = |(condition, values): &(String, &str)| {
                format!("complete -c tm -n \"{condition}\" -f -a \"{values}\"\n")
            };
            rules
                .iter()
                .fold(script, |script, next| script + &rule(next))
        }
    }
}

const FISH_NAMES: &str =
    "(tm __complete-names --line (commandline -pc | string collect) 2>/dev/null)";

/// The words up to the cursor, before the functions for a verb shorten them.
const ZSH_LINE: &str = r#"    local tm_line="${(j: :)words[1,CURRENT-1]}"
"#;

const ZSH_NAMES: &str = r#"
_tm_names() {
    # $words starts after the verb here, so the context has to name it.
    local verb="${${curcontext##*:tm-command-}%%:*}"
    local -a names after
    names=(${(f)"$(tm __complete-names "$verb" --line "$tm_line" 2>/dev/null)"})
    [[ "$verb" == scale ]] && after=(-S '')
    # A colon is part of a name here.
    compadd "${after[@]}" -M 'r:|:=* r:|=*' -a names
}
"#;

/// Readline breaks words at `:` and `@`. The replies must not repeat the text before the last
/// break.
///
/// The names come from a daemon, and bash runs the line that they become part of. So they are
/// inserted quoted, and nothing expands them: `compgen -W` would.
const BASH_NAMES: &str = r#"
_tm_names_of() {
    if [[ "${COMP_WORDS[COMP_CWORD-1]}" == signal ]]; then
        printf '%s\n' SIGNALS
    else
        tm __complete-names "$1" --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null
    fi
}
_tm_files() {
    local word="${COMP_WORDS[COMP_CWORD]}"
    [[ "$word" == "=" ]] && word=""
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
_tm_with_names() {
    _tm "$@"
    local word verb="" current="${COMP_LINE:0:COMP_POINT}"
    local last="${COMP_WORDS[COMP_CWORD-1]}"
    # Readline breaks `--config=FILE` into three words.
    [[ "$last" == "=" && COMP_CWORD -gt 1 ]] && last="${COMP_WORDS[COMP_CWORD-2]}"
    [[ "${COMP_WORDS[COMP_CWORD]}" == "=" ]] && last="${COMP_WORDS[COMP_CWORD-1]}"
    case "$last" in
        --config|--socket) _tm_files; return ;;
        OPTIONS) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            VERBS) verb="$word" ;;
            FILE_VERBS)
                if [[ -z "$verb" && "${COMP_WORDS[COMP_CWORD]}" != -* ]]; then
                    _tm_files
                    return
                fi ;;
        esac
    done
    current="${current##*[[:space:]]}"
    if [[ -n "$verb" && "$current" != -* ]]; then
        local name quoted="" prefix=""
        [[ "$current" == [\'\"]* ]] && quoted=yes current="${current:1}"
        [[ "$verb" == scale ]] && compopt -o nospace 2>/dev/null
        [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]] && prefix="${current%"${current##*:}"}"
        COMPREPLY=()
        while IFS= read -r name; do
            printf -v word %q "$name"
            # Within quotes a shell runs some names: offer those that need no quotes.
            [[ -n "$quoted" && "$word" != "$name" ]] && continue
            [[ "$word" == "$current"* ]] && COMPREPLY+=("${word#"$prefix"}")
        done < <(_tm_names_of "$verb")
    fi
}
complete -F _tm_with_names -o nosort -o bashdefault tm 2>/dev/null ||
    complete -F _tm_with_names -o bashdefault tm
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_completes_live_names() {
        for shell in [ShellName::Bash, ShellName::Zsh, ShellName::Fish] {
            let script = script(shell);
            assert!(script.contains("tm __complete-names"), "{shell:?}");
            assert!(
                script.contains("attach") && script.contains("dry-run"),
                "{shell:?}"
            );
            assert!(
                !script.contains("_users"),
                "{shell:?} completes login names"
            );
            assert!(
                !script.contains("__man"),
                "{shell:?} completes hidden verbs"
            );
        }
        assert!(script(ShellName::Zsh).contains(":_tm_names"));
        assert!(script(ShellName::Bash).contains("attach|"));
        // `scale` completes programs only.
        assert!(verbs_of_targets().contains(&SCALE.to_string()));
        assert!(script(ShellName::Zsh).contains("such as worker=4:_tm_names"));
        assert!(script(ShellName::Fish).contains("tm __complete-names scale --line"));
        assert!(script(ShellName::Zsh).contains("_tm() {\n    local tm_line="));
        assert!(script(ShellName::Fish).contains("[-1] = signal\" -f -a \"HUP "));
        assert!(script(ShellName::Bash).contains("printf '%s\\n' HUP "));
        assert!(script(ShellName::Zsh).contains("number:(HUP "));
        for (verb, one) in [
            ("why", true),
            ("attach", true),
            ("stop", false),
            ("", false),
        ] {
            assert_eq!(takes_one_process(verb), one, "{verb}");
        }
        assert!(options_with_values().contains(&"--for".to_string()));
    }

    #[test]
    fn the_line_selects_the_daemon_in_every_spelling() {
        let config = |path: &str| (Some(PathBuf::from(path)), None, None);
        let socket = |path: &str| (None, Some(PathBuf::from(path)), None);
        let home = std::env::var("HOME").unwrap_or_default();
        for (line, wanted) in [
            ("tm stop ", (None, None, None)),
            ("tm -c ../a.yaml stop ", config("../a.yaml")),
            ("tm -c../a.yaml stop w", config("../a.yaml")),
            ("tm -qc a.yaml stop ", config("a.yaml")),
            ("tm --config 'my a.yaml' stop \"w", config("my a.yaml")),
            ("tm --config=my\\ a.yaml attach ", config("my a.yaml")),
            ("tm stop -c a.yaml ", config("a.yaml")),
            ("tm wait --for running -c a.yaml ", config("a.yaml")),
            ("tm scale --config=$(touch x) ", config("$(touch")),
            ("tm -c ~/a.yaml stop ", config(&format!("{home}/a.yaml"))),
            ("tm --socket=/s stop ", socket("/s")),
            ("tm --socket '/a b' stop ", socket("/a b")),
        ] {
            let flags = selection(line);
            let found = (flags.config, flags.socket, flags.daemon_user);
            assert_eq!(found, wanted, "{line}");
        }
        let flags = selection("tm --daemon-user www stop ");
        assert_eq!(flags.daemon_user.as_deref(), Some("www"));
    }
}
