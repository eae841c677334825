//! `reload` and `scale`: the plan of changes.

use crate::client::cli::command::{ReloadArgs, ScaleArgs};
use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{display_width, pad};
use crate::text::printable::printable;
use crate::wire::{Call, ChangeInfo, PlanEntryInfo, PlanReply, ReloadParams, ScaleParams};

/// Runs `reload`.
///
/// # Errors
/// Of the connection, the config or the output.
pub(crate) fn reload(context: &Context, args: &ReloadArgs) -> Result<i32, ClientError> {
    let call = Call::Reload(ReloadParams {
        dry_run: args.dry_run,
    });
    let reply: PlanReply = context.ask(&call, |reply: &PlanReply| rendered(context, reply))?;
    let changes = reply
        .entries
        .iter()
        .any(|entry| entry.action != "unchanged");
    if args.dry_run && changes {
        Ok(exit::USAGE)
    } else {
        Ok(exit::DONE)
    }
}

/// Prints a notice if the running processes differ from the config file. A daemon that cannot
/// tell is no reason for one. A `scale` alone needs none, unless the verb is to run the config.
pub(crate) fn notice_unapplied(context: &Context, runs_config: bool) {
    if context.global.quiet || context.global.json {
        return;
    }
    let call = Call::Reload(ReloadParams { dry_run: true });
    let connection = context.connect();
    let plan = connection.and_then(|mut connection| connection.call::<PlanReply>(&call));
    if let Some(text) = plan
        .ok()
        .as_ref()
        .and_then(|plan| unapplied(plan, runs_config))
    {
        context.notice(&text);
    }
}

/// The notice about a plan that was not applied.
fn unapplied(plan: &PlanReply, runs_config: bool) -> Option<String> {
    let is_scaled = |entry: &PlanEntryInfo| {
        let program = entry.process.rsplit_once(':').map(|(program, _)| program);
        let resized = matches!(entry.action.as_str(), "add" | "remove");
        resized
            && plan
                .scaled
                .iter()
                .any(|scaled| Some(scaled.as_str()) == program)
    };
    let scaled = printable(&plan.scaled.join(", "));
    let mut changed = plan.entries.iter().filter(|one| one.action != "unchanged");
    if changed.all(is_scaled) {
        let told = runs_config && !scaled.is_empty();
        return told.then(|| format!("scaled: {scaled}; to return to the config: tm reload"));
    }
    let undone = match scaled.as_str() {
        "" => String::new(),
        scaled => format!("; that undoes the scale of {scaled}"),
    };
    Some(format!(
        "the config file differs from what runs; apply it with: tm reload{undone}"
    ))
}

/// Runs `scale`.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn scale(context: &Context, args: &ScaleArgs) -> Result<i32, ClientError> {
    let call = |(program, numprocs): &(String, u32), dry_run| {
        Call::Scale(ScaleParams {
            program: program.clone(),
            numprocs: *numprocs,
            dry_run,
        })
    };
    if args.scales.len() > 1 {
        // A mistake in one of them changes nothing.
        let connection = &mut context.connect()?;
        for scale in &args.scales {
            let _: PlanReply = connection.call(&call(scale, true))?;
        }
    }
    for scale in &args.scales {
        let render = |reply: &PlanReply| rendered(context, reply);
        let _: PlanReply = context.ask(&call(scale, false), render)?;
    }
    Ok(exit::DONE)
}

fn rendered(context: &Context, reply: &PlanReply) -> Vec<String> {
    for warning in &reply.warnings {
        context.notice(&marked(warning));
    }
    if context.global.quiet {
        return Vec::new();
    }
    render(context.style, reply)
}

/// A warning that says that it is one. One about a line of the config does so itself, behind the
/// place. Other words before that are a daemon's, which could sound like the client's.
fn marked(warning: &str) -> String {
    match warning.split_once(": warning: ") {
        Some((place, _)) if !place.contains(' ') => warning.to_string(),
        _ => format!("warning: {warning}"),
    }
}

/// A line for each process and one with the counts.
pub(crate) fn render(style: Style, reply: &PlanReply) -> Vec<String> {
    let width = reply
        .entries
        .iter()
        .map(|entry| display_width(&printable(&entry.process)))
        .max()
        .unwrap_or(0);
    let mut lines: Vec<String> = reply
        .entries
        .iter()
        .map(|entry| entry_line(style, entry, width, reply.applied))
        .collect();
    lines.push(summary(reply));
    lines
}

fn entry_line(style: Style, entry: &PlanEntryInfo, width: usize, applied: bool) -> String {
    let (sign, word, paint) = match entry.action.as_str() {
        "add" => ("+", "added", Paint::Green),
        "remove" => ("-", "removed", Paint::Red),
        "restart" if applied => ("~", "restarted", Paint::Yellow),
        "restart" => ("~", "restart", Paint::Yellow),
        "live" if at_next_start(entry) => ("≈", "at its next start", Paint::Cyan),
        "live" if applied => ("≈", "changed live", Paint::Cyan),
        "live" => ("≈", "live", Paint::Cyan),
        "unchanged" => ("=", "unchanged", Paint::Dim),
        other => ("?", other, Paint::Bold),
    };
    let listed = |later: bool| {
        let changes = entry.changes.iter();
        let changes = changes.filter(|change| change.next_start == later);
        let changes: Vec<String> = changes.map(change).collect();
        match changes.is_empty() {
            true => String::new(),
            false => format!(" ({})", changes.join(", ")),
        }
    };
    let (now, later) = (listed(false), listed(true));
    let between = match now.is_empty() || later.is_empty() {
        true => "",
        false => ", at its next start",
    };
    let name = pad(&printable(&entry.process), width);
    style.paint(
        paint,
        &format!("{sign} {name}  {word}{now}{between}{later}"),
    )
}

/// Whether the process is down, and no change matters before its next start.
fn at_next_start(entry: &PlanEntryInfo) -> bool {
    let mut changes = entry.changes.iter();
    !entry.changes.is_empty() && changes.all(|change| change.next_start)
}

fn change(change: &ChangeInfo) -> String {
    let (key, from, to) = (&change.key, printable(&change.from), printable(&change.to));
    match (from.as_str(), to.as_str()) {
        ("", "") => key.clone(),
        ("", to) => format!("{key} → {to}"),
        (from, "") => format!("{key} {from} → none"),
        (from, to) => format!("{key} {from} → {to}"),
    }
}

pub(super) fn summary(reply: &PlanReply) -> String {
    let count = |action: &str| {
        reply
            .entries
            .iter()
            .filter(|entry| entry.action == action)
            .count()
    };
    let later = reply.entries.iter();
    let later = later.filter(|entry| entry.action == "live" && at_next_start(entry));
    let later = later.count();
    let at_next_start = match later {
        0 => String::new(),
        _ => format!("{later} at the next start, "),
    };
    if reply
        .entries
        .iter()
        .all(|entry| entry.action == "unchanged")
    {
        return format!("No change: {} unchanged.", count("unchanged"));
    }
    let (begin, [add, remove, restart, live]) = match reply.applied {
        true => ("Applied", ["added", "removed", "restarted", "changed live"]),
        false => (
            "Plan",
            ["to add", "to remove", "to restart", "to change live"],
        ),
    };
    format!(
        "{begin}: {} {add}, {} {remove}, {} {restart}, {} {live}, {at_next_start}{} unchanged.",
        count("add"),
        count("remove"),
        count("restart"),
        count("live") - later,
        count("unchanged")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(process: &str, action: &str, changes: &[(&str, &str, &str)]) -> PlanEntryInfo {
        let change = |(key, from, to): &(&str, &str, &str)| ChangeInfo {
            key: (*key).to_string(),
            from: (*from).to_string(),
            to: (*to).to_string(),
            next_start: false,
        };
        PlanEntryInfo {
            process: process.to_string(),
            action: action.to_string(),
            changes: changes.iter().map(change).collect(),
        }
    }

    #[test]
    fn a_plan_reads_like_terraform() {
        let reply = PlanReply {
            entries: vec![
                entry("new:0", "add", &[]),
                entry("old:0", "remove", &[]),
                entry("web:0", "restart", &[("cmd", "", "")]),
                entry("worker:0", "live", &[("stoptime", "10s", "3s")]),
                entry("db:0", "unchanged", &[]),
            ],
            ..PlanReply::default()
        };
        assert_eq!(
            render(Style::plain(), &reply),
            [
                "+ new:0     added",
                "- old:0     removed",
                "~ web:0     restart (cmd)",
                "≈ worker:0  live (stoptime 10s → 3s)",
                "= db:0      unchanged",
                "Plan: 1 to add, 1 to remove, 1 to restart, 1 to change live, 1 unchanged.",
            ]
        );
        let applied = PlanReply {
            applied: true,
            ..reply
        };
        let last = "Applied: 1 added, 1 removed, 1 restarted, 1 changed live, 1 unchanged.";
        assert_eq!(
            render(Style::plain(), &applied).last().map(String::as_str),
            Some(last)
        );
    }

    #[test]
    fn what_a_stopped_process_gets_at_its_next_start_is_not_live() {
        let mut stopped = entry("job:0", "live", &[("cmd", "a", "b")]);
        stopped.changes[0].next_start = true;
        let mut both = entry(
            "web:0",
            "live",
            &[("cmd", "", ""), ("stoptime", "10s", "3s")],
        );
        both.changes[0].next_start = true;
        let reply = PlanReply {
            entries: vec![stopped, both],
            applied: true,
            ..PlanReply::default()
        };
        assert_eq!(
            render(Style::plain(), &reply),
            [
                "≈ job:0  at its next start (cmd a → b)",
                "≈ web:0  changed live (stoptime 10s → 3s), at its next start (cmd)",
                "Applied: 0 added, 0 removed, 0 restarted, 1 changed live, 1 at the next start, \
                 0 unchanged.",
            ]
        );
    }

    #[test]
    fn each_warning_says_that_it_is_one() {
        let of_a_line = "a.yaml:3:5: warning: programs.a: x";
        assert_eq!(marked(of_a_line), of_a_line);
        assert_eq!(marked("too few open files"), "warning: too few open files");
        let forged = "tm: all is well: warning: x";
        assert_eq!(marked(forged), format!("warning: {forged}"));
    }

    #[test]
    fn the_own_scale_is_not_a_changed_file() {
        let mut plan = PlanReply {
            entries: vec![
                entry("web:0", "unchanged", &[]),
                entry("web:1", "remove", &[]),
            ],
            scaled: vec!["web".to_string()],
            ..PlanReply::default()
        };
        assert_eq!(unapplied(&plan, false), None);
        let text = "scaled: web; to return to the config: tm reload";
        assert_eq!(unapplied(&plan, true).as_deref(), Some(text));
        plan.entries.push(entry("db:0", "restart", &[]));
        let text = "the config file differs from what runs; apply it with: tm reload; that undoes \
                    the scale of web";
        assert_eq!(unapplied(&plan, true).as_deref(), Some(text));
        plan.scaled.clear();
        let text = "the config file differs from what runs; apply it with: tm reload";
        assert_eq!(unapplied(&plan, true).as_deref(), Some(text));
    }

    #[test]
    fn an_empty_plan_says_so() {
        let reply = PlanReply {
            entries: vec![entry("a:0", "unchanged", &[])],
            ..PlanReply::default()
        };
        assert_eq!(
            render(Style::plain(), &reply),
            ["= a:0  unchanged", "No change: 1 unchanged."]
        );
    }
}
