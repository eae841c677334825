//! Turns an entry of `programs`, merged with the defaults, into a `supervisor::Program`.

use super::command_line;
use super::diagnostics::shown;
use super::identity::{self, Wanted};
use super::keys;
use super::layers::{Layers, text_map};
use super::lowering_context::{Lowering, Value};
use super::node::{Location, NodeKind};
use super::placeholder_checks::{Vars, placeholders};
use super::program_environment::environment;
use super::restart_keys;
use super::shell_habits;
use super::streams::{self, SinkStream};
use super::values::{boolean_help, boolean_of};
use crate::supervisor::{
    Autorestart, Autostart, KillMode, Launch, PROCESSES_MAX, Policy, Program, Sink, signal_names,
    signal_number,
};
use crate::text::suggest::did_you_mean;

/// A program and the locations that later checks need.
pub(super) struct Lowered {
    pub program: Program,
    /// The location and the key of its pidfile.
    pub pidfile_at: Option<(Location, String)>,
    /// The locations and keys of `stdout` and `stderr`.
    pub sinks_at: [Option<(Location, String)>; 2],
    /// The location and the key of its working directory.
    pub workingdir_at: Option<(Location, String)>,
}

/// Reads every key and reports each error. A faulty key keeps its default. `name` is `None` for
/// `defaults` itself, which needs no command.
pub(super) fn lower(cx: &mut Lowering, name: Option<(&str, Location)>, layers: &Layers) -> Lowered {
    let vars = text_map(cx, layers, "vars");
    let numprocs = layers
        .find("numprocs")
        .and_then(|v| cx.integer(&v, 0, PROCESSES_MAX));
    let autostart = layers
        .find("autostart")
        .and_then(|value| autostart(cx, &value));
    let place_of = |key| layers.find(key).map(|value| (value.at(), value.key));
    let mut policy = policy(cx, layers);
    let launch = launch(cx, name, layers, &vars);
    policy.hangup = launch.tty.is_some() && layers.find("stopsignal").is_none();
    let program = Program {
        name: name.map_or("", |(name, _)| name).to_string(),
        numprocs: numprocs.unwrap_or(1),
        autostart: autostart.unwrap_or(Autostart::Yes),
        policy,
        launch,
        vars,
    };
    if let Some((_, at)) = name {
        cx.count_processes(at, &layers.own.key, &program);
    }
    Lowered {
        program,
        pidfile_at: place_of("pidfile"),
        sinks_at: [place_of("stdout"), place_of("stderr")],
        workingdir_at: place_of("workingdir"),
    }
}

fn policy(cx: &mut Lowering, layers: &Layers) -> Policy {
    let mut policy = Policy::default();
    if let Some(found) = layers
        .find("autorestart")
        .and_then(|value| autorestart(cx, &value))
    {
        policy.autorestart = found;
    }
    if let Some(found) = layers
        .find("exitcodes")
        .and_then(|value| exitcodes(cx, &value))
    {
        policy.exitcodes = found;
    }
    if let Some(found) = layers
        .find("startretries")
        .and_then(|v| cx.integer(&v, 0, 1_000_000))
    {
        policy.startretries = found;
    }
    if let Some(found) = layers
        .find("starttime")
        .and_then(|value| cx.duration(&value))
    {
        policy.starttime = found;
    }
    if let Some(found) = layers
        .find("stopsignal")
        .and_then(|value| signal(cx, &value))
    {
        policy.stopsignal = found;
    }
    if let Some(found) = layers
        .find("stoptime")
        .and_then(|value| cx.duration(&value))
    {
        policy.stoptime = found;
    }
    let modes = [
        ("group", KillMode::Group),
        ("mixed", KillMode::Mixed),
        ("process", KillMode::Process),
    ];
    if let Some(found) = layers
        .find("killmode")
        .and_then(|value| cx.choice(&value, &modes))
    {
        policy.killmode = found;
    }
    if let Some(found) = layers
        .find("restart")
        .and_then(|value| restart_keys::delays(cx, &value))
    {
        policy.restart = found;
    }
    policy
}

fn launch(
    cx: &mut Lowering,
    name: Option<(&str, Location)>,
    layers: &Layers,
    vars: &Vars,
) -> Launch {
    let mut launch = Launch {
        workingdir: cx.base.clone(),
        ..Launch::default()
    };
    launch.argv = command(cx, name, layers, vars);
    if let Some(found) = layers
        .find("inherit_env")
        .and_then(|value| cx.boolean(&value))
    {
        launch.inherit_env = found;
    }
    if let Some(value) = layers.find("workingdir") {
        let text = cx.nonempty(&value, "a path");
        let path = text.and_then(|text| streams::path(cx, &value, &text, vars));
        launch.workingdir = path.unwrap_or_default();
    }
    if let Some(found) = layers.find("umask").and_then(|value| cx.octal(&value)) {
        launch.umask = found;
    }
    if let Some(found) = layers
        .find("buffer")
        .and_then(|v| cx.size(&v, 1024, 1 << 30))
    {
        launch.buffer = usize::try_from(found).unwrap_or(launch.buffer);
    }
    if let Some(value) = layers.find("pidfile") {
        let text = cx.nonempty(&value, "a path");
        launch.pidfile = text.and_then(|text| streams::file_path(cx, &value, &text, vars));
    }
    streams(cx, layers, vars, &mut launch);
    let wanted = Wanted {
        user: layers.find("user"),
        group: layers.find("group"),
        supplementary: layers.find("supplementary_groups"),
    };
    launch.identity = identity::identity(cx, &wanted);
    if let Some(value) = layers.find("cmd").filter(|_| name.is_some()) {
        shell_habits::check_script(cx, &value, &launch);
    }
    // The defaults alone name no user with whose permissions a file could be read.
    let reader = name.map(|_| launch.identity.as_ref());
    (launch.env, launch.env_fault) = environment(cx, layers, vars, reader);
    launch
}

fn streams(cx: &mut Lowering, layers: &Layers, vars: &Vars, launch: &mut Launch) {
    if let Some(found) = layers
        .find("tty")
        .and_then(|value| streams::tty(cx, &value))
    {
        launch.tty = found;
    }
    if let Some(found) = layers
        .find("stdin")
        .and_then(|value| streams::stdin(cx, &value))
    {
        launch.stdin = found;
    }
    let mut read = |name, stream| -> Option<Sink> {
        layers
            .find(name)
            .and_then(|value| streams::sink(cx, &value, stream, vars))
    };
    if let Some(found) = read("stdout", SinkStream::Stdout) {
        launch.stdout = found;
    }
    if let Some(found) = read("stderr", SinkStream::Stderr) {
        launch.stderr = found;
    }
    if launch.tty.is_none() {
        return;
    }
    for name in ["stdin", "stderr"] {
        // Ignores the defaults: they may be meant for other programs.
        if let Some(value) = layers.own.find(name) {
            let message = "has no effect with `tty`: the terminal is its only stream";
            cx.warning(
                value.at(),
                &value.key,
                message,
                Some("remove it".to_string()),
            );
        }
    }
}

fn autostart(cx: &mut Lowering, value: &Value) -> Option<Autostart> {
    if value
        .written()
        .is_some_and(|scalar| scalar.text == "unless-stopped")
    {
        let message = "this version of tmd does not support `unless-stopped`";
        return cx.refuse(value, message, Some("write true or false"));
    }
    cx.boolean(value)
        .map(|yes| if yes { Autostart::Yes } else { Autostart::No })
}

fn autorestart(cx: &mut Lowering, value: &Value) -> Option<Autorestart> {
    let expected = "one of always, never, unexpected, true, false";
    let text = cx.text(value, expected)?;
    match (text.as_str(), boolean_of(&text)) {
        ("always", _) | (_, Some(true)) => return Some(Autorestart::Always),
        ("never", _) | (_, Some(false)) => return Some(Autorestart::Never),
        ("unexpected", _) => return Some(Autorestart::Unexpected),
        _ => {}
    }
    let near = match text.as_str() {
        "on-failure" | "on-abnormal" => Some("write unexpected".to_string()),
        text => boolean_help(text).map(str::to_string),
    };
    let help = near.or_else(|| did_you_mean(&text, ["always", "never", "unexpected"]));
    cx.refuse(
        value,
        format!("expected {expected}, found {}", shown(&text)),
        help.as_deref(),
    )
}

fn exitcodes(cx: &mut Lowering, value: &Value) -> Option<Vec<i32>> {
    if let Some(text) = value.written().map(|scalar| scalar.text.as_str())
        && let Some(list) = list_in(text)
    {
        let help = format!("write it as {list}");
        return cx.refuse(
            value,
            format!("{}: not a whole number", shown(text)),
            Some(&help),
        );
    }
    let items = cx.one_or_list(value, "an exit code or a list of them")?;
    // Reads all items before it gives up, so that every error is reported.
    let given: Vec<Option<u32>> = items.iter().map(|item| cx.integer(item, 0, 255)).collect();
    let mut codes: Vec<i32> = given
        .into_iter()
        .map(|code| code.and_then(|code| i32::try_from(code).ok()))
        .collect::<Option<_>>()?;
    codes.sort_unstable();
    codes.dedup();
    Some(codes)
}

/// The numbers in a text such as `0,2`, as a list.
fn list_in(text: &str) -> Option<String> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let numbers: Vec<&str> = words.collect();
    let numeric = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let several = numbers.len() > 1 && numbers.iter().all(numeric);
    several.then(|| format!("[{}]", numbers.join(", ")))
}

fn signal(cx: &mut Lowering, value: &Value) -> Option<i32> {
    let text = cx.nonempty(value, "a signal's name or number")?;
    if let Some(number) = signal_number(&text) {
        return Some(number);
    }
    let upper = text.to_ascii_uppercase();
    let help = did_you_mean(upper.strip_prefix("SIG").unwrap_or(&upper), signal_names());
    cx.refuse(
        value,
        format!("there is no signal {}", shown(&text)),
        help.as_deref(),
    )
}

/// The words to execute; empty after an error.
fn command(
    cx: &mut Lowering,
    name: Option<(&str, Location)>,
    layers: &Layers,
    vars: &Vars,
) -> Vec<String> {
    let shell = layers
        .find("shell")
        .and_then(|value| cx.boolean(&value))
        .unwrap_or(false);
    let Some(value) = layers.find("cmd") else {
        // A misspelt key has its own error.
        if let Some((_, at)) = name.filter(|_| !is_misspelt(layers, "cmd")) {
            let help = "add `cmd: COMMAND`".to_string();
            cx.error(at, &layers.own.key, "`cmd` is missing", Some(help));
        }
        return Vec::new();
    };
    if value.written().is_some_and(|scalar| scalar.is_null()) {
        let help = "add the program to run, such as `cmd: sleep 60`";
        cx.refuse::<()>(&value, EMPTY, Some(help));
        return Vec::new();
    }
    let words = match (&value.node.kind, shell) {
        (NodeKind::List(_), true) => {
            let help = Some("write one string, or remove `shell: true`");
            cx.refuse(&value, "`shell: true` needs a string, found a list", help)
        }
        (NodeKind::List(_), false) => listed_words(cx, &value),
        (_, true) => cx
            .nonempty(&value, "a command")
            .map(|text| vec!["/bin/sh".to_string(), "-c".to_string(), text]),
        (_, false) => split_words(cx, &value),
    };
    let argv = words.unwrap_or_default();
    for word in &argv {
        placeholders(cx, &value, word, vars);
    }
    if argv
        .first()
        .is_some_and(|program| program.trim().is_empty())
    {
        cx.refuse::<()>(&value, EMPTY, Some(ADD_PROGRAM));
    }
    argv
}

const EMPTY: &str = "the command is empty";
const ADD_PROGRAM: &str = "add the program to run";

/// Whether the program has an unknown key that was meant to be this one.
fn is_misspelt(layers: &Layers, key: &str) -> bool {
    let meant = format!("`{key}`");
    let mut entries = layers.own.iter();
    entries.any(|(entry, _)| {
        let unknown = !keys::PROGRAM.contains(&entry.key.as_str());
        let help = keys::did_you_mean(&entry.key, &keys::PROGRAM);
        unknown && help.is_some_and(|help| help.contains(&meant))
    })
}

fn listed_words(cx: &mut Lowering, value: &Value) -> Option<Vec<String>> {
    let items = cx.list(value, "a list of words")?;
    if items.is_empty() {
        return cx.refuse(value, EMPTY, Some(ADD_PROGRAM));
    }
    let written = |item: &Value| item.written().map(|scalar| scalar.text.clone());
    let plain: Vec<String> = items.iter().filter_map(written).collect();
    shell_habits::check_list(cx, value, &plain);
    let words: Vec<Option<String>> = items.iter().map(|item| cx.text(item, "a word")).collect();
    words.into_iter().collect()
}

/// Splits before interpolating: a variable's value stays within its word.
fn split_words(cx: &mut Lowering, value: &Value) -> Option<Vec<String>> {
    let scalar = cx.scalar(value, "a command")?;
    let split = match command_line::split(&scalar.text) {
        Ok(split) => split,
        Err(reason) => {
            let comment = "` #` begins a comment in YAML; put all of the command in quotes";
            let source = cx.sources.get(value.at().file);
            let cut = source.is_some_and(|it| it.is_cut_by_comment(value.at(), &scalar.text));
            let help = (cut && scalar.plain).then_some(comment);
            return cx.refuse(value, format!("not a command line: {reason}"), help);
        }
    };
    if split.words.is_empty() {
        return cx.refuse(value, EMPTY, Some(ADD_PROGRAM));
    }
    if shell_habits::check_command(cx, value, &split.words) {
        // One warning for a command is enough.
    } else if split.has_lines {
        let message = "the lines become one command: it runs without a shell";
        let help = "add `shell: true`, or begin further lines with an option".to_string();
        cx.warning(value.at(), &value.key, message, Some(help));
    } else if let Some(operator) = split.operator {
        let message = match operator.as_str() {
            "#" => "everything after `#` is a comment".to_string(),
            _ => format!("`{operator}` has no special meaning: the command runs without a shell"),
        };
        cx.warning(value.at(), &value.key, message, Some(shell_help(&operator)));
    } else if let Some(name) = split.quoted_variable {
        shell_habits::check_quoted(cx, value, &split.words, &name);
    }
    let words = split.words.iter().map(|word| cx.interpolated(value, word));
    words.collect::<Vec<_>>().into_iter().collect()
}

/// The remedy for text that only a shell would interpret.
fn shell_help(operator: &str) -> String {
    let name = operator.trim_start_matches('$');
    let is_name = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    let instead = match operator.strip_suffix('=') {
        Some(name) => format!("put `{name}` under `env`, add `shell: true`"),
        None if operator.starts_with('$') && is_name => {
            format!("write `${{{name}}}`, add `shell: true`")
        }
        None => "add `shell: true`".to_string(),
    };
    format!("{instead}, or quote it")
}
