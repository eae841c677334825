//! Completion scripts, live names for them, and man pages: all from the table of verbs.

use crate::client::cli::command::{Cli, NAMES, ShellName, tm_command};
use crate::client::cli::daemon_cli::DaemonCli;
use crate::client::context::{Context, write_stdout};
use crate::client::error::{ClientError, exit};
use crate::config::{self, Environment};
use crate::wire::{Call, StatusReply, TargetsParams};
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;

/// The verb that takes programs with numbers.
const SCALE: &str = "scale";

/// Runs `completions`.
///
/// # Errors
/// Of the output.
pub fn completions(shell: ShellName) -> Result<i32, ClientError> {
    write_stdout(script(shell).as_bytes())?;
    Ok(exit::DONE)
}

/// Runs `__complete-names`: what the verb can be given, one a line; nothing without a daemon.
///
/// # Errors
/// Of the output.
pub fn complete_names(context: &Context, verb: Option<&str>) -> Result<i32, ClientError> {
    if let Ok(names) = live_names(context, verb.unwrap_or_default()) {
        context.print_lines(&names)?;
    }
    Ok(exit::DONE)
}

/// Programs, processes, groups and `all`; for `scale` only programs, each up to its number.
///
/// # Errors
/// Of the connection.
pub fn live_names(context: &Context, verb: &str) -> Result<Vec<String>, ClientError> {
    let call = Call::Status(TargetsParams {
        targets: vec!["all".to_string()],
    });
    let mut connection = context.connect()?;
    let reply: StatusReply = connection.call(&call)?;
    let mut names: Vec<String> = Vec::new();
    if verb == SCALE {
        let programs = reply.processes.iter().map(|process| &process.program);
        names.extend(programs.map(|program| format!("{program}=")));
        names.dedup();
        return Ok(names);
    }
    for process in reply.processes {
        if names.last() != Some(&process.program) && !names.contains(&process.program) {
            names.push(process.program);
        }
        names.push(process.name);
    }
    names.push("all".to_string());
    names.extend(groups(&connection.hello()?.config));
    Ok(names)
}

/// The groups of a config; none when it is not ours to read.
fn groups(config: &str) -> Vec<String> {
    let loaded = config::load(Path::new(config), &Environment::current());
    let groups = loaded.map(|config| config.groups).unwrap_or_default();
    groups.into_keys().map(|name| format!("@{name}")).collect()
}

/// The verbs that take names of processes, aliases included.
pub fn verbs_of_targets() -> Vec<String> {
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

/// The options of all verbs that take a value.
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

/// Runs `__man`: tm.1, tmd.1 and a page for each verb.
///
/// # Errors
/// When the directory cannot be written to.
pub fn man(directory: &Path) -> Result<i32, ClientError> {
    let failed =
        |error: std::io::Error| ClientError::Failed(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(DaemonCli::command(), directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    Ok(exit::DONE)
}

/// The whole script: what clap generates, and live names on top of it.
fn script(shell: ShellName) -> String {
    let generator = match shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut tm_command(), "tm", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let verbs = verbs_of_targets();
    match shell {
        ShellName::Bash => format!(
            "{script}\n{}",
            BASH_NAMES
                .replace("VERBS", &verbs.join("|"))
                .replace("OPTIONS", &options_with_values().join("|"))
        ),
        // The hint of names is the one clap turns into login names.
        ShellName::Zsh => script.replace(":_users", ":_tm_names").replacen(
            "#compdef tm\n",
            &format!("#compdef tm\n{ZSH_NAMES}"),
            1,
        ),
        ShellName::Fish => {
            let script = script.replace("(__fish_complete_users)", FISH_NAMES);
            let others: Vec<&str> = verbs
                .iter()
                .map(String::as_str)
                .filter(|verb| *verb != SCALE)
                .collect();
            let others = others.join(" ");
            format!(
                "{script}complete -c tm -n \"__fish_seen_subcommand_from {others}\" \
                 -f -a \"{FISH_NAMES}\"\n\
                 complete -c tm -n \"__fish_seen_subcommand_from {SCALE}\" \
                 -f -a \"(tm __complete-names {SCALE} 2>/dev/null)\"\n"
            )
        }
    }
}

const FISH_NAMES: &str = "(tm __complete-names 2>/dev/null)";

const ZSH_NAMES: &str = r#"
_tm_names() {
    # Of the words only what follows the verb is left by now.
    local verb="${${curcontext##*:tm-command-}%%:*}"
    local -a names after
    names=(${(f)"$(tm __complete-names "$verb" 2>/dev/null)"})
    [[ "$verb" == scale ]] && after=(-S '')
    # A colon is part of a name here.
    compadd "${after[@]}" -M 'r:|:=* r:|=*' -a names
}
"#;

/// Readline breaks words at colons and at; what stands before the last one must not be repeated.
const BASH_NAMES: &str = r#"
_tm_with_names() {
    _tm "$@"
    local word verb="" current="${COMP_LINE:0:COMP_POINT}"
    case "${COMP_WORDS[COMP_CWORD-1]}" in
        OPTIONS) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            VERBS) verb="$word" ;;
        esac
    done
    current="${current##*[[:space:]]}"
    if [[ -n "$verb" && "$current" != -* ]]; then
        local names prefix=""
        names="$(tm __complete-names "$verb" 2>/dev/null)"
        [[ "$verb" == scale ]] && compopt -o nospace 2>/dev/null
        [[ "$current" == @* && "$COMP_WORDBREAKS" == *@* ]] && prefix="@"
        [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]] && prefix="${current%"${current##*:}"}"
        COMPREPLY=()
        while IFS= read -r word; do
            COMPREPLY+=("${word#"$prefix"}")
        done < <(compgen -W "$names" -- "$current")
    fi
}
complete -F _tm_with_names -o nosort -o bashdefault tm 2>/dev/null ||
    complete -F _tm_with_names -o bashdefault tm
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_asks_for_live_names() {
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
        }
        assert!(script(ShellName::Zsh).contains(":_tm_names"));
        assert!(script(ShellName::Bash).contains("attach|"));
        // Programs with numbers are other names.
        assert!(verbs_of_targets().contains(&SCALE.to_string()));
        assert!(script(ShellName::Zsh).contains("such as worker=4:_tm_names"));
        assert!(script(ShellName::Fish).contains("tm __complete-names scale"));
        assert!(options_with_values().contains(&"--for".to_string()));
    }

    #[test]
    fn pages_are_written_for_both_programs_and_every_verb() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        man(directory.path()).expect("writable");
        for page in ["tm.1", "tmd.1", "tm-attach.1", "tm-logs.1"] {
            assert!(directory.path().join(page).is_file(), "{page}");
        }
    }
}
