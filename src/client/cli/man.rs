//! Man pages, from the table of verbs.

use crate::client::cli::complete::visible_command;
use crate::client::cli::daemon_cli::DaemonCli;
use crate::client::cli::help::heading;
use crate::client::error::{ClientError, exit};
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use std::io;
use std::path::Path;

/// The description of `tm`.
const TM: &str = "tm controls the daemon tmd, which keeps the programs of a config file running. \
                  Without a verb, tm opens the control shell.";

/// The description of `tmd`.
const TMD: &str = "tmd starts the programs of a config file, supervises them and restarts those \
                   that fail. It runs in the foreground until a signal or tm ends it.";

/// Runs `__man`: writes tm.1, tmd.1 and a page for each verb.
///
/// # Errors
/// When the directory cannot be written to.
pub(crate) fn man(directory: &Path) -> Result<i32, ClientError> {
    write_pages(directory)
        .map_err(|error| ClientError::Failed(format!("{}: {error}", directory.display())))?;
    Ok(exit::DONE)
}

fn write_pages(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut tm = visible_command();
    tm.build();
    for verb in tm.get_subcommands() {
        write_page(directory, verb)?;
    }
    write_page(directory, &tm)?;
    write_page(directory, &DaemonCli::command())
}

/// Writes the page of a command. Its help after the options becomes sections of the page.
fn write_page(directory: &Path, command: &clap::Command) -> io::Result<()> {
    let after_help = command.get_after_help().map(ToString::to_string);
    let source = concat!("tm ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    overview(command).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    sections(&after_help.unwrap_or_default()).to_writer(&mut page)?;
    see_also(command).to_writer(&mut page)?;
    std::fs::write(directory.join(man.get_filename()), page)
}

/// Turns help text into sections of a page.
fn sections(help: &str) -> Roff {
    let mut roff = Roff::new();
    for line in help.lines() {
        match heading(line) {
            Some(heading) => {
                roff.control("SH", [heading.to_uppercase().as_str()]);
                roff.control("nf", []);
            }
            None => {
                roff.text([roman(line)]);
            }
        }
    }
    roff
}

/// The synopsis, with the values of options, and the description if it says more than the name.
fn overview(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    let options = command.get_arguments();
    let options = options.filter(|option| !option.is_positional() && !option.is_hide_set());
    for option in options {
        line.push(roman(" ["));
        line.extend(spelled(option));
        line.push(roman("]"));
    }
    for positional in command.get_positionals() {
        let many = if takes_many(positional) { "..." } else { "" };
        let (open, close) = match positional.is_required_set() {
            true => (" ", many.to_string()),
            false => (" [", format!("]{many}")),
        };
        line.extend([roman(open), italic(value_of(positional)), roman(close)]);
    }
    if command.has_subcommands() {
        line.extend([roman(" ["), italic("VERB"), roman("]")]);
    }
    roff.text(line);
    let description = match name {
        "tm" => TM,
        "tmd" => TMD,
        _ => return roff,
    };
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(description)]);
    roff
}

/// An option in its shortest form, with its value.
fn spelled(option: &clap::Arg) -> Vec<Inline> {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    let mut parts = vec![bold(short.or(long).unwrap_or_default())];
    if option.get_action().takes_values() {
        parts.extend([roman(" "), italic(value_of(option))]);
    }
    parts
}

fn value_of(argument: &clap::Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.first().map(ToString::to_string).unwrap_or_default()
}

fn takes_many(positional: &clap::Arg) -> bool {
    matches!(positional.get_action(), clap::ArgAction::Append)
}

/// The related pages.
fn see_also(command: &clap::Command) -> Roff {
    let mut pages = match command.get_bin_name().unwrap_or_else(|| command.get_name()) {
        "tm" => vec!["tmd(1)".to_string()],
        "tmd" => vec!["tm(1)".to_string()],
        _ => vec!["tm(1)".to_string(), "tmd(1)".to_string()],
    };
    let verbs = command.get_subcommands().map(clap::Command::get_name);
    pages.extend(verbs.map(|verb| format!("tm-{verb}(1)")));
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_written_for_both_programs_and_every_verb() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        man(directory.path()).expect("writable");
        for page in ["tm.1", "tmd.1", "tm-attach.1", "tm-logs.1"] {
            assert!(directory.path().join(page).is_file(), "{page}");
        }
        assert!(!directory.path().join("tm-__man.1").exists());
        let attach = std::fs::read_to_string(directory.path().join("tm-attach.1"));
        let attach = attach.expect("a page");
        assert!(
            attach.contains(".SH KEYS") && attach.contains("EXIT CODES"),
            "{attach}"
        );
        assert!(
            attach.contains("[\\fB\\-\\-detach\\-keys\\fR \\fIKEYS\\fR]"),
            "{attach}"
        );
        assert!(!attach.contains("SH DESCRIPTION"), "{attach}");
        assert!(attach.contains("SEE ALSO"), "{attach}");
    }
}
