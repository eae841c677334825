//! `why`: causes, what happens next, and the remedy.

use crate::client::cli::command::ProcessArgs;
use crate::client::context::Context;
use crate::client::error::{ClientError, exit};
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::{cut, wrap};
use crate::sys::tty;
use crate::text::full_screen::full_screen_notice;
use crate::text::printable::printable;
use crate::wire::{Call, ProcessParams, WhyReply};
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Runs the verb.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn run(context: &Context, args: &ProcessArgs) -> Result<i32, ClientError> {
    let call = Call::Why(ProcessParams {
        process: args.process.clone(),
    });
    let render = |reply: &WhyReply| {
        let mut lines = render(context.style, width(), &copyable(context, reply));
        if let Some(notice) = lines.last_mut().filter(|_| reply.process.full_screen) {
            *notice = context.copyable(notice);
        }
        lines
    };
    let _: WhyReply = context.ask(&call, render)?;
    Ok(exit::DONE)
}

/// The answer, with commands that reach the same daemon.
fn copyable(context: &Context, reply: &WhyReply) -> WhyReply {
    let causes = reply.causes.iter();
    WhyReply {
        causes: causes.map(|text| context.copyable(text)).collect(),
        next: context.copyable(&reply.next),
        remedy: reply.remedy.as_ref().map(|text| context.copyable(text)),
        ..reply.clone()
    }
}

/// The columns of the headings.
const INDENT: usize = 9;

/// The columns of a line of output. A longer one says no more, and hides the answer.
const OUTPUT_WIDTH_MAX: usize = 200;

/// The columns of the terminal. Lines are not wrapped elsewhere.
fn width() -> usize {
    let out = std::io::stdout();
    match out.is_terminal() {
        true => tty::window_size(out.as_fd()).map_or(80, |(_, cols)| usize::from(cols)),
        false => usize::MAX,
    }
}

/// The answer of `why` for people.
pub(crate) fn render(style: Style, width: usize, reply: &WhyReply) -> Vec<String> {
    let process = &reply.process;
    let name = style.paint(Paint::Bold, &printable(&process.name));
    let state = style.state(&process.state);
    let heading = format!("{name} is {state}");
    // The summary begins with the same words, without their colours.
    let since = |verb| {
        let rest = reply
            .summary
            .strip_prefix(&format!("{} {verb} {}", process.name, process.state))?;
        Some(format!("{name} {verb} {state}{}", printable(rest)))
    };
    let mut lines = match since("has been").or_else(|| since("has been in")) {
        Some(line) => vec![line],
        None if reply.summary.is_empty() => vec![heading],
        None => vec![heading, format!("  {}", printable(&reply.summary))],
    };
    let mut part = |heading: &str, texts: &[String]| {
        for (index, text) in texts.iter().enumerate() {
            let heading = if index == 0 { heading } else { "" };
            let heading = style.paint(Paint::Bold, &format!("{heading:<8}"));
            lines.push(format!("{heading} {text}"));
        }
    };
    let clean = |texts: &[String]| texts.iter().map(|text| printable(text)).collect::<Vec<_>>();
    let fold = |text: &str| wrap(&printable(text), width.saturating_sub(INDENT));
    let causes: Vec<String> = reply.causes.iter().flat_map(|text| fold(text)).collect();
    part("because", &causes);
    if !reply.next.is_empty() {
        part("next", &fold(&reply.next));
    }
    let pids: Vec<String> = reply
        .process
        .clients
        .iter()
        .map(|client| format!("client pid {}", client.pid))
        .collect();
    part("attached", &pids);
    part("left", &clean(&reply.process.stragglers));
    if let Some(remedy) = &reply.remedy {
        let painted = fold(remedy).into_iter();
        let painted: Vec<String> = painted
            .map(|line| style.paint(Paint::Yellow, &line))
            .collect();
        part("remedy", &painted);
    }
    let output = output(reply, width.saturating_sub(INDENT).min(OUTPUT_WIDTH_MAX));
    match reply.earlier_output {
        true => {
            lines.push(style.paint(Paint::Bold, "output of the run before"));
            lines.extend(output.iter().map(|line| format!("{:INDENT$}{line}", "")));
        }
        false => part("output", &output),
    }
    lines
}

/// The last lines of output, each cut to this width. A picture of a full screen is not readable as
/// lines.
fn output(reply: &WhyReply, width: usize) -> Vec<String> {
    let process = &reply.process;
    if process.full_screen {
        return vec![full_screen_notice(&printable(&process.name))];
    }
    let lines = reply.output.iter();
    lines.map(|line| cut(&printable(line), width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ProcessState, ProcessStatus};

    #[test]
    fn causes_and_remedy_are_shown() {
        let reply = WhyReply {
            process: ProcessStatus {
                name: "once:0".to_string(),
                state: ProcessState::Fatal,
                ..ProcessStatus::default()
            },
            summary: "gave up after 4 attempts".to_string(),
            causes: vec![
                "exit 0 after 0.1s".to_string(),
                "starttime is 1s".to_string(),
            ],
            next: "nothing until you start it".to_string(),
            remedy: Some("for a one-shot set starttime: 0".to_string()),
            output: vec!["done\x1b[2J".to_string()],
            earlier_output: false,
        };
        assert_eq!(
            render(Style::plain(), usize::MAX, &reply),
            [
                "once:0 is FATAL",
                "  gave up after 4 attempts",
                "because  exit 0 after 0.1s",
                "         starttime is 1s",
                "next     nothing until you start it",
                "remedy   for a one-shot set starttime: 0",
                "output   done\\u{1b}[2J",
            ]
        );
        let earlier = WhyReply {
            earlier_output: true,
            ..reply
        };
        let lines = render(Style::plain(), usize::MAX, &earlier);
        let end = ["output of the run before", "         done\\u{1b}[2J"];
        assert_eq!(lines[lines.len() - 2..], end);
    }

    #[test]
    fn output_is_cut_and_a_picture_left_out() {
        let mut reply = WhyReply {
            output: vec!["x".repeat(3000)],
            ..WhyReply::default()
        };
        reply.process.name = "edit:0".to_string();
        let last = |width, reply: &WhyReply| render(Style::plain(), width, reply).pop();
        let cut_to = |columns: usize| format!("output   {}…", "x".repeat(columns - 1));
        assert_eq!(last(80, &reply), Some(cut_to(71)));
        assert_eq!(last(usize::MAX, &reply), Some(cut_to(200)));
        reply.process.full_screen = true;
        let notice = "output   [full-screen output is left out; see it: tm peek edit:0]";
        assert_eq!(last(80, &reply).as_deref(), Some(notice));
    }

    #[test]
    fn a_summary_is_not_repeated() {
        let process = ProcessStatus {
            name: "web:0".to_string(),
            state: ProcessState::Running,
            ..ProcessStatus::default()
        };
        let reply = WhyReply {
            process,
            summary: "web:0 has been RUNNING for 3s, pid 7".to_string(),
            ..WhyReply::default()
        };
        assert_eq!(
            render(Style::plain(), usize::MAX, &reply),
            ["web:0 has been RUNNING for 3s, pid 7"]
        );
        let mut reply = reply;
        reply.process.state = ProcessState::Backoff;
        reply.summary = "web:0 has been in BACKOFF for 3s".to_string();
        assert_eq!(
            render(Style::plain(), usize::MAX, &reply),
            ["web:0 has been in BACKOFF for 3s"]
        );
    }
}
