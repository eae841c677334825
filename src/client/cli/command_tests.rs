use super::*;
use crate::client::cli::daemon_cli::DaemonCli;

#[test]
fn the_table_is_valid() {
    tm_command().debug_assert();
    DaemonCli::command().debug_assert();
}

#[test]
fn every_verb_has_a_group_and_every_group_only_verbs() {
    let grouped: Vec<&str> = GROUPS
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    let command = Cli::command();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let times = grouped
            .iter()
            .filter(|name| **name == verb.get_name())
            .count();
        assert_eq!(times, 1, "{}", verb.get_name());
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            !about.is_empty() && about.len() <= 64,
            "{}: {about}",
            verb.get_name()
        );
    }
    for name in grouped {
        assert!(command.find_subcommand(name).is_some(), "{name}");
    }
}

#[test]
fn sections_of_the_help_fit_80_columns() {
    let (tm, tmd) = (tm_command(), DaemonCli::command());
    let commands = tm.get_subcommands().chain([&tm, &tmd]);
    for text in commands.filter_map(clap::Command::get_after_help) {
        for line in text.to_string().lines() {
            assert!(line.chars().count() < 80, "{line}");
        }
    }
}

#[test]
fn scale_takes_programs_with_numbers() {
    assert_eq!(parse_scale("worker=4"), Ok(("worker".to_string(), 4)));
    assert!(parse_scale("worker").is_err());
    assert!(parse_scale("=4").is_err());
    assert!(parse_scale("worker=many").is_err());
}

#[test]
fn a_bad_number_of_lines_is_named() {
    let error = Cli::try_parse_from(["tm", "logs", "-n", "x"]).expect_err("no number");
    assert!(
        error.to_string().contains("expected a number of lines"),
        "{error}"
    );
}

#[test]
fn global_flags_are_accepted_anywhere() {
    let cli = Cli::try_parse_from(["tm", "status", "--json", "-q", "a", "b:0"]).expect("valid");
    assert!(cli.global.json && cli.global.quiet);
    assert!(Cli::try_parse_from(["tm", "start"]).is_err());
    assert!(Cli::try_parse_from(["tm", "tail", "-f", "a"]).is_ok());
}
