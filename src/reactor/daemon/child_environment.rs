//! The environment of supervised processes.

use crate::supervisor::{Identity, Process};
use crate::sys;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Variables that describe the daemon's own surroundings; never inherited.
const PRIVATE: [&str; 14] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "WINDOW",
    "COLUMNS",
    "LINES",
];

/// Variables that describe a user's session and folders. A program of another user neither may nor
/// should use these.
const PERSONAL: [&str; 7] = [
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "MAIL",
];

/// The user that the daemon runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DaemonUser {
    /// The one that started it.
    Caller,
    /// That of `daemon.user`.
    Dropped,
}

/// The variables that processes inherit, worked out once.
#[derive(Debug, Clone)]
pub(crate) struct Inherited {
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    path: Option<Vec<u8>>,
    socket: Vec<u8>,
    /// The daemon's user.
    uid: u32,
}

impl Inherited {
    /// The daemon's variables, with its own user and its socket. The variables that describe a user
    /// are only filled in where they are unset, unless the daemon has become another user.
    pub(crate) fn new(
        variables: impl Iterator<Item = (OsString, OsString)>,
        own: Option<(&Identity, DaemonUser)>,
        socket: &Path,
    ) -> Self {
        let mut kept = BTreeMap::new();
        for (name, value) in variables {
            let name = name.as_bytes();
            if !is_one_of(&PRIVATE, name) {
                kept.insert(name.to_vec(), value.as_bytes().to_vec());
            }
        }
        let path = kept.get(b"PATH".as_slice()).cloned();
        if let Some((identity, user)) = own {
            let mut described = BTreeMap::new();
            describe_user(&mut described, identity);
            match user {
                DaemonUser::Dropped => {
                    kept.retain(|name, _| !is_one_of(&PERSONAL, name));
                    kept.extend(described);
                }
                DaemonUser::Caller => {
                    described.append(&mut kept);
                    kept = described;
                }
            }
        }
        let socket = socket.as_os_str().as_bytes().to_vec();
        Inherited {
            variables: kept,
            path,
            socket,
            uid: own.map_or_else(sys::runtime::effective_uid, |(identity, _)| identity.uid),
        }
    }

    /// The environment of one process, and its `PATH`.
    pub(crate) fn environment_of(&self, process: &Process) -> (Vec<CString>, Option<String>) {
        let launch = &process.launch;
        let mut variables = if launch.inherit_env {
            self.variables.clone()
        } else {
            self.clean()
        };
        if let Some(identity) = &launch.identity {
            if identity.uid != self.uid {
                variables.retain(|name, _| !is_one_of(&PERSONAL, name));
            }
            describe_user(&mut variables, identity);
        }
        let mut set = |name: &str, value: &[u8]| {
            variables.insert(name.as_bytes().to_vec(), value.to_vec());
        };
        if launch.tty.is_some() {
            // The daemon's own terminal is not the process's.
            set("TERM", b"xterm-256color");
            set("COLORTERM", b"truecolor");
        }
        for (name, value) in launch.env.iter() {
            set(name, value.as_bytes());
        }
        set("TM_PROGRAM", process.program.as_bytes());
        set("TM_INSTANCE", process.instance.to_string().as_bytes());
        set("TM_PROCESS", process.name.as_bytes());
        set("TM_SOCKET", &self.socket);
        let path = variables.get(b"PATH".as_slice());
        let path = path.map(|path| String::from_utf8_lossy(path).into_owned());
        let pairs = variables.into_iter().map(|(mut pair, value)| {
            pair.push(b'=');
            pair.extend(value);
            pair
        });
        // An environment cannot contain NUL, and the config rejects it.
        (
            pairs.filter_map(|pair| CString::new(pair).ok()).collect(),
            path,
        )
    }

    /// The variables without `inherit_env`: the user, and a path to find programs.
    fn clean(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut kept = BTreeMap::new();
        for name in ["HOME", "USER", "LOGNAME", "SHELL"] {
            if let Some(value) = self.variables.get(name.as_bytes()) {
                kept.insert(name.as_bytes().to_vec(), value.clone());
            }
        }
        let path = self.path.clone();
        let path = path.unwrap_or_else(|| sys::spawn::DEFAULT_PATH.as_bytes().to_vec());
        kept.insert(b"PATH".to_vec(), path);
        kept
    }
}

fn is_one_of(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|one| one.as_bytes() == name)
}

fn describe_user(variables: &mut BTreeMap<Vec<u8>, Vec<u8>>, identity: &Identity) {
    let described = [
        ("HOME", &identity.home),
        ("USER", &identity.user),
        ("LOGNAME", &identity.user),
        ("SHELL", &identity.shell),
    ];
    for (name, value) in described {
        variables.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Autostart, Launch, Policy, ProcessId, Program, Time};

    fn process(launch: Launch) -> Process {
        let program = Program {
            name: "web".to_string(),
            numprocs: 1,
            autostart: Autostart::Yes,
            policy: Policy::default(),
            launch,
            vars: BTreeMap::new(),
        };
        Process::new(ProcessId(0), &program, 0, Time::default())
    }

    fn text(pairs: &[CString]) -> Vec<String> {
        pairs
            .iter()
            .map(|pair| pair.to_string_lossy().into_owned())
            .collect()
    }

    fn inherited() -> Inherited {
        let variables = [
            ("PATH", "/bin"),
            ("TMUX", "x"),
            ("LANG", "C"),
            ("NOTIFY_SOCKET", "y"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        Inherited::new(variables.into_iter(), None, Path::new("/run/x.sock"))
    }

    #[test]
    fn the_daemons_own_surroundings_are_not_inherited() {
        let (pairs, path) = inherited().environment_of(&process(Launch::default()));
        let expected = [
            "LANG=C",
            "PATH=/bin",
            "TM_INSTANCE=0",
            "TM_PROCESS=web:0",
            "TM_PROGRAM=web",
            "TM_SOCKET=/run/x.sock",
        ];
        assert_eq!(text(&pairs), expected);
        assert_eq!(path.as_deref(), Some("/bin"));
    }

    #[test]
    fn the_home_of_the_caller_is_inherited_and_that_of_daemon_user_is_not() {
        let identity = Identity {
            user: "ann".to_string(),
            uid: 7,
            gid: 7,
            groups: Vec::new(),
            home: "/home/ann".to_string(),
            shell: "/bin/sh".to_string(),
        };
        for (user, home) in [
            (DaemonUser::Caller, "/x"),
            (DaemonUser::Dropped, "/home/ann"),
        ] {
            let variables = [("HOME".into(), "/x".into())];
            let own = Some((&identity, user));
            let inherited = Inherited::new(variables.into_iter(), own, Path::new("/run/x.sock"));
            let (pairs, _) = inherited.environment_of(&process(Launch::default()));
            let pairs = text(&pairs);
            assert!(pairs.contains(&format!("HOME={home}")), "{pairs:?}");
            assert!(pairs.contains(&"USER=ann".to_string()), "{pairs:?}");
        }
    }

    #[test]
    fn a_program_of_another_user_gets_no_session_of_the_daemons_user() {
        let identity = |uid| Identity {
            user: "joe".to_string(),
            uid,
            gid: uid,
            groups: Vec::new(),
            home: "/home/joe".to_string(),
            shell: "/bin/sh".to_string(),
        };
        let own = identity(0);
        let names = PERSONAL.iter().chain(["LANG"].iter());
        let variables: Vec<(OsString, OsString)> =
            names.map(|name| (name.into(), "x".into())).collect();
        let names_with = |own: (&Identity, DaemonUser), launch: Launch| {
            let variables = variables.clone().into_iter();
            let inherited = Inherited::new(variables, Some(own), Path::new("/run/x.sock"));
            let (pairs, _) = inherited.environment_of(&process(launch));
            text(&pairs)
        };
        let has = |pairs: &[String], name: &str| {
            pairs
                .iter()
                .any(|pair| pair.starts_with(&format!("{name}=")))
        };
        let launch = |uid| Launch {
            identity: Some(identity(uid)),
            env: std::sync::Arc::new(BTreeMap::from([("MAIL".to_string(), "m".into())])),
            ..Launch::default()
        };
        let pairs = names_with((&own, DaemonUser::Caller), launch(7));
        for name in &PERSONAL[..6] {
            assert!(!has(&pairs, name), "{name}: {pairs:?}");
        }
        assert!(pairs.contains(&"MAIL=m".to_string()), "{pairs:?}");
        assert!(has(&pairs, "LANG"), "{pairs:?}");
        // The daemon's own user keeps its session, unless the daemon has become that user.
        let pairs = names_with((&own, DaemonUser::Caller), launch(0));
        assert!(has(&pairs, "XDG_RUNTIME_DIR"), "{pairs:?}");
        let pairs = names_with((&own, DaemonUser::Dropped), Launch::default());
        assert!(!has(&pairs, "XDG_RUNTIME_DIR"), "{pairs:?}");
    }

    #[test]
    fn a_clean_environment_still_finds_programs() {
        let launch = Launch {
            inherit_env: false,
            env: std::sync::Arc::new(BTreeMap::from([("A".to_string(), "1".into())])),
            ..Launch::default()
        };
        let (pairs, _) = inherited().environment_of(&process(launch));
        let pairs = text(&pairs);
        assert!(pairs.contains(&"PATH=/bin".to_string()), "{pairs:?}");
        assert!(pairs.contains(&"A=1".to_string()), "{pairs:?}");
        assert!(
            !pairs.iter().any(|pair| pair.starts_with("LANG=")),
            "{pairs:?}"
        );
    }
}
