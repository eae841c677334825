//! A temporary project, and a world of two users.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use taskmaster::config::{Config, ConfigError, Diagnostic, Environment, UserEntry, Users, load};
use taskmaster::supervisor::Program;

/// A user database of two.
pub struct FewUsers;

impl Users for FewUsers {
    fn user(&self, name: &str) -> Result<Option<UserEntry>, String> {
        let users = [("root", 0, "/root"), ("web", 33, "/var/www")];
        let found = users.iter().find(|(known, ..)| *known == name);
        Ok(found.map(|(name, id, home)| UserEntry {
            name: (*name).to_string(),
            uid: *id,
            gid: *id,
            home: (*home).to_string(),
            shell: "/bin/sh".to_string(),
        }))
    }

    fn user_of_id(&self, uid: u32) -> Result<Option<UserEntry>, String> {
        match uid {
            0 => self.user("root"),
            33 => self.user("web"),
            _ => Ok(None),
        }
    }

    fn group(&self, name: &str) -> Result<Option<u32>, String> {
        Ok(match name {
            "root" => Some(0),
            "web" => Some(33),
            "logs" => Some(4),
            "broken" => return Err("Input/output error".to_string()),
            _ => None,
        })
    }

    fn groups_of(&self, name: &str, gid: u32) -> Result<Vec<u32>, String> {
        Ok(if name == "web" {
            vec![gid, 4]
        } else {
            vec![gid]
        })
    }
}

pub fn environment(uid: u32) -> Environment {
    let variables = [
        ("HOME", "/home/me"),
        ("NAME", "two words"),
        ("EMPTY", ""),
        ("PORT", "80"),
    ];
    Environment {
        variables: variables
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into(),
        uid,
        gid: uid,
        users: Rc::new(FewUsers),
        checks_paths: false,
        open_as: |_, _, _, path| fs::File::open(path),
    }
}

/// A directory for one config.
pub struct Project(pub tempfile::TempDir);

impl Project {
    pub fn new() -> Project {
        Project(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Writes a file that no other user can write, and creates its directories.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, text).expect("the file is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode is set");
        path
    }

    pub fn load_as(&self, uid: u32, text: &str) -> Result<Config, ConfigError> {
        load(&self.file("taskmaster.yaml", text), &environment(uid))
    }

    /// Returns the canonical path of a file in it.
    pub fn path(&self, name: &str) -> String {
        let base = self
            .0
            .path()
            .canonicalize()
            .expect("the directory is there");
        base.join(name)
            .to_str()
            .expect("it is UTF-8")
            .trim_end_matches('/')
            .to_string()
    }
}

pub fn good(text: &str) -> Config {
    Project::new()
        .load_as(1000, text)
        .unwrap_or_else(|error| panic!("{error}"))
}

pub fn only(text: &str) -> Program {
    let mut programs = good(text).programs;
    assert_eq!(programs.len(), 1);
    programs.remove(0)
}

/// Returns every error and warning, without the file's name.
pub fn findings(result: Result<Config, ConfigError>) -> Vec<String> {
    let found = match result {
        Ok(config) => config.warnings,
        Err(error) => error.diagnostics,
    };
    let line = |d: &Diagnostic| {
        let text = d.to_string();
        let name = d.file.display().to_string();
        text.replacen(&name, "", 1)
    };
    found.iter().map(line).collect()
}

pub fn bad(text: &str) -> Vec<String> {
    let result = Project::new().load_as(1000, text);
    assert!(result.is_err(), "accepted: {text}");
    findings(result)
}

/// Checks no modes of the examples, since a checkout may be group-writable.
pub fn example(name: &str, variables: &[(&str, &str)]) -> Config {
    let mut environment = environment(0);
    environment.variables.extend(
        variables
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string())),
    );
    let text = fs::read(Path::new("configs").join(name)).expect("the example is there");
    load(&Project::new().file(name, text), &environment).unwrap_or_else(|e| panic!("{e}"))
}
