//! The behaviours in dinit's integration tests that exist here, too.

#[path = "../support/mod.rs"]
mod support;

mod environment;
mod faults;
mod life;

/// Scenarios of dinit, and the tests here.
const COVERED: &[(&str, &str)] = &[
    (
        "basic",
        "a_program_that_runs_once_ends_exited_and_can_run_again",
    ),
    (
        "environ",
        "a_program_sees_the_daemons_environment_with_its_own_over_it",
    ),
    (
        "environ2",
        "environment_files_are_read_in_order_and_give_way_to_env",
    ),
    ("ps-environ", "each_process_receives_its_name"),
    ("var-subst", "variables_are_filled_in_and_stay_one_word"),
    ("restart", "a_restart_is_a_new_process_and_touches_no_other"),
    (
        "force-stop",
        "a_process_that_ignores_its_stop_signal_can_be_forced",
    ),
    ("check-lint", "a_config_is_checked_without_running_anything"),
    (
        "reload1",
        "a_reload_without_a_change_leaves_everything_alone",
    ),
    (
        "reload2",
        "a_reload_with_a_change_restarts_only_what_changed",
    ),
    ("no-command-error", "a_program_without_a_command_is_refused"),
    (
        "svc-start-fail",
        "a_start_that_fails_says_at_which_step_and_why",
    ),
    (
        "dep-not-found",
        "an_unknown_name_is_an_error_in_config_and_command",
    ),
    ("log-via-pipe", "output_continues_through_a_pipe"),
    ("catlog", "logs_are_there_after_the_end_and_over_runs"),
    ("xdg-config", "a_config_is_found_where_xdg_says"),
];

/// Scenarios that need a missing feature, and that feature.
const WAITING: &[(&str, &str)] = &[
    ("add-rm-dep", "depends_on"),
    ("before-after", "depends_on"),
    ("before-after2", "depends_on"),
    ("check-cycle", "depends_on"),
    ("check-cycle2", "depends_on"),
    ("cycles", "depends_on"),
    ("pseudo-cycle", "depends_on"),
    ("restart of what others need", "depends_on"),
    ("chain-to", "depends_on with condition: completed"),
    ("offline-enable", "autostart: unless-stopped"),
];

#[test]
fn every_scenario_has_its_test() {
    let sources = [
        include_str!("environment.rs"),
        include_str!("faults.rs"),
        include_str!("life.rs"),
    ];
    for (scenario, test) in COVERED {
        let wanted = format!("#[test]\nfn {test}() {{");
        let found = sources.iter().filter(|text| text.contains(&wanted)).count();
        assert_eq!(found, 1, "{scenario}: {test}");
    }
    // A scenario whose feature exists needs a test.
    let folder = support::folder();
    for (scenario, feature) in WAITING {
        let key = feature.split([' ', ':']).next().unwrap_or_default();
        let value = match key {
            "autostart" => "unless-stopped",
            _ => "[b]",
        };
        let yaml =
            format!("programs: {{a: {{cmd: sleep 1, {key}: {value}}}, b: {{cmd: sleep 1}}}}\n");
        let config = support::write_config(folder.path(), &yaml);
        let mut check = support::command("tm", folder.path());
        check.arg("check").arg(config);
        assert_eq!(support::run(check).code, 1, "{scenario} can be had: {yaml}");
    }
}
