//! The config in force, and the settings that only a restart of the daemon changes.

use crate::config::{Config, DaemonSettings};
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::daemon::config_loader::{Caller, ConfigLoader, Loaded, Wake};
use crate::reactor::daemon::{logging, open_files};
use crate::supervisor::{Program, Time};
use log::LevelFilter;
use std::time::Duration;

/// The daemon's settings.
#[derive(Debug)]
pub(crate) struct Settings {
    config: Config,
    /// The settings at the start of the daemon; some of them stay in force until its end.
    boot: DaemonSettings,
    /// The command line's log level.
    log_level: Option<LevelFilter>,
    loader: ConfigLoader,
    /// When the findings of a config were last logged for a user other than the owner.
    findings_logged: Option<Time>,
}

/// The time between two such logs.
const FINDINGS_EVERY: Duration = Duration::from_secs(1);

impl Settings {
    /// The settings at the start of the daemon. `wake` wakes the reactor from another thread.
    pub(crate) fn new(config: Config, log_level: Option<LevelFilter>, wake: Wake) -> Settings {
        Settings {
            boot: config.daemon.clone(),
            config,
            log_level,
            loader: ConfigLoader::new(wake),
            findings_logged: None,
        }
    }

    /// The config in force, without its programs.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The programs, which belong to the supervisor from then on.
    pub(crate) fn take_programs(&mut self) -> Vec<Program> {
        std::mem::take(&mut self.config.programs)
    }

    /// The settings at the start of the daemon.
    pub(crate) fn boot(&self) -> &DaemonSettings {
        &self.boot
    }

    /// Has another thread load the config file, without applying it.
    pub(crate) fn request_load(&mut self, caller: Caller) {
        self.loader.request(caller);
        self.load_next();
    }

    /// A config that was loaded so, and those who asked for it.
    pub(crate) fn take_loaded(&mut self) -> Option<(Vec<Caller>, Option<Loaded>)> {
        self.loader.take_loaded()
    }

    /// Starts the next load, if it is needed. The one before must have been applied: the next one
    /// compares the members of groups with those in force.
    pub(crate) fn load_next(&mut self) {
        let config = &self.config;
        self.loader.start(&config.path, &config.daemon.access);
    }

    /// Whether a user other than the owner may have the findings of a config logged now.
    pub(crate) fn may_log_findings(&mut self, now: Time) -> bool {
        let recent = |at: Time| now.since(at) < FINDINGS_EVERY;
        if self.findings_logged.is_some_and(recent) {
            return false;
        }
        self.findings_logged = Some(now);
        true
    }

    /// The client is gone.
    pub(crate) fn forget(&mut self, client: ConnectionId) {
        self.loader.forget(client);
    }

    /// Replaces the config, and sets the log level.
    pub(crate) fn replace(&mut self, new: Config) {
        self.config = new;
        self.set_log_level();
    }

    /// Sets the log level; the command line's level takes precedence.
    fn set_log_level(&self) {
        logging::set_level(self.config.daemon.log.level, self.log_level);
    }

    /// The warnings of a config, and those about settings that take a restart to apply.
    pub(crate) fn warnings_about(&self, new: &Config) -> Vec<String> {
        let mut warnings: Vec<String> = new.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(self.restart_warnings(&new.daemon));
        warnings.extend(open_files::warning(&new.programs));
        warnings
    }

    /// Warnings about settings in `new` that differ from the start and take a restart to apply.
    fn restart_warnings(&self, new: &DaemonSettings) -> Vec<String> {
        let boot = &self.boot;
        let fixed = [
            ("daemon.socket", boot.socket != new.socket),
            ("daemon.socket_mode", boot.socket_mode != new.socket_mode),
            ("daemon.socket_group", boot.socket_group != new.socket_group),
            ("daemon.user", boot.user != new.user),
            ("daemon.pidfile", boot.pidfile != new.pidfile),
            ("daemon.log.file", boot.log.file != new.log.file),
            ("daemon.log.format", boot.log.format != new.log.format),
            ("daemon.log.syslog", boot.log.syslog != new.log.syslog),
        ];
        let changed = fixed.iter().filter(|(_, differs)| *differs);
        changed
            .map(|(key, _)| format!("{key} changed; restart the daemon to apply it"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};
    use crate::sys::privileges::open_as;
    use std::fs;
    use std::sync::Arc;

    fn settings(text: &str) -> Settings {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tm.yaml");
        fs::write(&path, text).expect("written");
        let config = config::load(&path, &Environment::current(open_as)).expect("a valid config");
        Settings::new(config, None, Arc::new(|| ()))
    }

    const PROGRAMS: &str = "programs:\n  a:\n    cmd: /bin/true\n";

    #[test]
    fn settings_that_need_a_restart_are_reported() {
        let boot = settings(PROGRAMS);
        let changed =
            "daemon:\n  pidfile: /tmp/x.pid\n  log:\n    level: debug\n    format: json\n";
        let new = settings(&format!("{changed}{PROGRAMS}"));
        let warnings = boot.restart_warnings(&new.config.daemon);
        let expected = [
            "daemon.pidfile changed; restart the daemon to apply it",
            "daemon.log.format changed; restart the daemon to apply it",
        ];
        assert_eq!(warnings, expected);
    }

    #[test]
    fn a_setting_is_compared_with_the_start_after_reloads_too() {
        let mut settings = settings(PROGRAMS);
        let changed = format!("daemon:\n  pidfile: /tmp/x.pid\n{PROGRAMS}");
        let new = self::settings(&changed).config;
        settings.replace(new.clone());
        assert_eq!(settings.restart_warnings(&new.daemon).len(), 1);
        let boot = settings.boot().clone();
        assert_eq!(settings.restart_warnings(&boot), Vec::<String>::new());
    }
}
