//! Processes as `/proc` shows them: their parents, groups, sessions and environments. The daemon
//! finds stragglers by these.

use super::process_memory::{self, read_bounded};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Makes this process the new parent of descendants whose own parent ends.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: the option takes an integer.
    super::retry(|| unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_usize) }).map(|_| ())
}

/// A process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub pid: i32,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    /// `R`, `S`, `D`, `Z` and so on.
    pub state: char,
    /// Start time in clock ticks since boot; unique together with the pid.
    pub starttime: u64,
    /// Its name, which a fork keeps; a process may change it.
    pub name: Name,
    /// Its address space. None for a zombie, or a process that this one may not inspect.
    pub layout: Option<Layout>,
}

/// The name of a process, filled up with zeros.
pub(crate) type Name = [u8; 16];

/// Addresses that the kernel chose at the last exec of a process: those of its code, stack,
/// arguments and environment.
///
/// A fork keeps them until it execs, whatever else it changes. Other processes have others, since
/// the kernel chooses them at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layout(pub [u64; 4]);

impl Stat {
    /// Whether the process has ended but is not reaped.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The children of this process, zombies included, ordered by pid.
pub(crate) fn direct_children() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut children = children(own);
    children.sort_unstable();
    children
}

/// The pids of the children of a process, zombies included.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    children_of(pid).unwrap_or_else(|| {
        let all = all().into_iter();
        all.filter(|stat| stat.ppid == pid)
            .map(|stat| stat.pid)
            .collect()
    })
}

/// All descendants of `roots`, zombies included; `roots` themselves are not. A process whose
/// parent ends during the walk can be missed: repeat the walk until it finds nothing.
pub(crate) fn descendants(roots: &[i32]) -> Vec<Stat> {
    match descendants_by_children(roots, WALK_MAX) {
        Some(found) => found,
        None => descendants_by_scan(roots, &all()),
    }
}

/// Up to `max` descendants of a process, zombies included. None if the kernel lists no children.
pub(crate) fn first_descendants(root: i32, max: usize) -> Vec<Stat> {
    descendants_by_children(&[root], max).unwrap_or_default()
}

/// All processes.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str().and_then(|name| name.parse().ok()));
    pids.filter_map(stat).collect()
}

/// One process; `None` if it does not exist.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(pid, &read_bounded(format!("/proc/{pid}/stat"), 4096)?)
}

/// Whether a process, or the zombie that is left of it, has exec'd since its fork.
pub(crate) fn has_executed(pid: i32) -> bool {
    /// `PF_FORKNOEXEC` of the kernel.
    const FORKED_ONLY: u64 = 0x40;
    let flags = || {
        let line = read_bounded(format!("/proc/{pid}/stat"), 4096)?;
        let after_name = line.rsplit(|byte| *byte == b')').next()?;
        let fields = str::from_utf8(after_name).ok()?;
        fields.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()
    };
    flags().is_some_and(|flags| flags & FORKED_ONLY == 0)
}

/// A variable of the environment that a process was started with, such as `TM_PROCESS`. `None`
/// when it is unset, or the environment cannot be read.
pub(crate) fn environ_value(pid: i32, name: &str) -> Option<String> {
    let environ = process_memory::read(pid, "environ", ENVIRON_BYTES_MAX)?;
    environ.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The processes that claim, in their environment, to belong to a daemon with one of these sockets,
/// with the name that each claims. A claim counts only for the process of its own user, whom
/// `user_of` returns by the name, unless root makes it.
pub(crate) fn claimants(
    sockets: &[PathBuf],
    users: &BTreeSet<u32>,
    user_of: impl Fn(&str) -> u32,
) -> Vec<(Stat, String)> {
    let claim = |stat: Stat| {
        let owner = fs::metadata(format!("/proc/{}", stat.pid)).ok()?.uid();
        if stat.is_dead() || !users.contains(&owner) {
            return None;
        }
        let socket = environ_value(stat.pid, "TM_SOCKET")?;
        let ours = sockets
            .iter()
            .any(|path| path.as_os_str() == socket.as_str());
        let name = environ_value(stat.pid, "TM_PROCESS").filter(|_| ours)?;
        (owner == 0 || owner == user_of(&name)).then_some((stat, name))
    };
    all().into_iter().filter_map(claim).collect()
}

/// Whether a process ignores a signal.
pub(crate) fn ignores(pid: i32, signal: i32) -> bool {
    let mask = || {
        let status = read_bounded(format!("/proc/{pid}/status"), 16 * 1024)?;
        let status = String::from_utf8_lossy(&status).into_owned();
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        u64::from_str_radix(line?.trim(), 16).ok()
    };
    let bit = u32::try_from(signal - 1).ok();
    bit.and_then(|bit| mask()?.checked_shr(bit))
        .is_some_and(|bits| bits & 1 == 1)
}

/// Whether a process has a readable environment. During an exec it has none.
pub(crate) fn has_environ(pid: i32) -> bool {
    process_memory::read(pid, "environ", 1).is_some_and(|first| !first.is_empty())
}

/// The command line of a process for display: arguments joined, control characters replaced, at
/// most 60 characters; `[name]` when it has none (a zombie).
pub(crate) fn command(pid: i32) -> String {
    let line = process_memory::read(pid, "cmdline", 1024).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let line = line.trim_end_matches('\0').replace('\0', " ");
    if line.trim().is_empty() {
        let name = read_bounded(format!("/proc/{pid}/comm"), 64).unwrap_or_default();
        return format!("[{}]", shorten(String::from_utf8_lossy(&name).trim_end()));
    }
    shorten(&line)
}

/// Processes that one walk finds. One that forks without end must not make the walk endless.
const WALK_MAX: usize = 10_000;

const ENVIRON_BYTES_MAX: u64 = 4 * 1024 * 1024;
const COMMAND_CHARS_MAX: usize = 60;

fn shorten(text: &str) -> String {
    let clean = |character: char| {
        if character.is_control() {
            '?'
        } else {
            character
        }
    };
    if text.chars().count() <= COMMAND_CHARS_MAX {
        return text.chars().map(clean).collect();
    }
    let head = text.chars().take(COMMAND_CHARS_MAX - 1).map(clean);
    head.chain(['…']).collect()
}

/// Reads the children lists of all threads; `None` when the kernel does not provide them.
fn children_of(pid: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Some(children);
    };
    for thread in threads.flatten() {
        match fs::read(thread.path().join("children")) {
            Ok(list) => {
                let list = String::from_utf8_lossy(&list);
                children.extend(
                    list.split_whitespace()
                        .filter_map(|pid| pid.parse::<i32>().ok()),
                );
            }
            // Either the thread has ended, or the kernel has no such files.
            Err(_) if !Path::new("/proc/thread-self/children").exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}

fn descendants_by_children(roots: &[i32], max: usize) -> Option<Vec<Stat>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut parents = roots.to_vec();
    while let Some(parent) = parents.pop() {
        for child in children_of(parent)? {
            if found.len() >= max {
                return Some(found);
            }
            // A pid reused during the walk must not cause an endless loop.
            if seen.insert(child) && !roots.contains(&child) {
                found.extend(stat(child));
                parents.push(child);
            }
        }
    }
    Some(found)
}

fn descendants_by_scan(roots: &[i32], all: &[Stat]) -> Vec<Stat> {
    let mut family = BTreeSet::from_iter(roots.iter().copied());
    let mut found = Vec::new();
    loop {
        let is_new = |stat: &&Stat| family.contains(&stat.ppid) && !family.contains(&stat.pid);
        let generation: Vec<Stat> = all.iter().filter(is_new).copied().collect();
        if generation.is_empty() {
            return found;
        }
        family.extend(generation.iter().map(|stat| stat.pid));
        found.extend(generation);
    }
}

fn parse_stat(pid: i32, text: &[u8]) -> Option<Stat> {
    // The name may contain spaces and parentheses: the fields start after the last one.
    let end_of_name = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end_of_name + 1..)?).ok()?;
    let start_of_name = text.iter().position(|byte| *byte == b'(')? + 1;
    let mut name = Name::default();
    let shown = text.get(start_of_name..end_of_name)?;
    for (place, byte) in name.iter_mut().zip(shown) {
        *place = *byte;
    }
    let mut fields = rest.split_ascii_whitespace();
    Some(Stat {
        pid,
        state: fields.next()?.chars().next()?,
        ppid: fields.next()?.parse().ok()?,
        pgid: fields.next()?.parse().ok()?,
        sid: fields.next()?.parse().ok()?,
        // Field 22 of the line; the session was field 6.
        starttime: fields.nth(15)?.parse().ok()?,
        name,
        layout: parse_layout(fields),
    })
}

/// The layout in the fields from the 23rd on. The kernel shows 0 or 1 in place of addresses that
/// do not exist (yet), or that the reader may not know.
fn parse_layout<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Layout> {
    let mut address = |skipped| {
        let address = fields.nth(skipped)?.parse().ok()?;
        (address > 1).then_some(address)
    };
    // Fields 26, 28, 48 and 50.
    let code = address(3)?;
    let stack = address(1)?;
    let arguments = address(19)?;
    let environment = address(1)?;
    Some(Layout([code, stack, arguments, environment]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd;
    use crate::sys::testing::*;

    #[test]
    fn odd_names_do_not_confuse() {
        let rest = "S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 1 1";
        let line = format!("42 (a) b (c)) {rest}\n");
        let stat = parse_stat(42, line.as_bytes()).unwrap();
        let expected = Stat {
            pid: 42,
            ppid: 7,
            pgid: 8,
            sid: 9,
            state: 'S',
            starttime: 777,
            name: *b"a) b (c)\0\0\0\0\0\0\0\0",
            layout: None,
        };
        assert_eq!(stat, expected);
        for broken in ["", "42 (a", "42 (a) S 1", "42 (a) S x 8 9"] {
            assert_eq!(parse_stat(42, broken.as_bytes()), None);
        }
    }

    #[test]
    fn a_fork_has_the_layout_of_its_parent_and_an_exec_another() {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let first = stat(own).and_then(|stat| stat.layout);
        assert!(first.is_some());
        let cat = cat(|_| {});
        let other = stat(cat.child.pid).and_then(|stat| stat.layout);
        assert_ne!(first, other);
        cat.end();
        // The subshell is a fork without an exec.
        let script = "cat /proc/$$/stat; (cat /proc/$(exec sh -c 'echo $PPID')/stat; :)";
        let mut output = std::process::Command::new("sh");
        let output = output.args(["-c", script]).output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        let layouts: Vec<_> = text
            .lines()
            .map(|line| parse_stat(1, line.as_bytes()).and_then(|stat| stat.layout))
            .collect();
        assert_eq!(layouts.len(), 2, "{text}");
        assert!(layouts[0].is_some(), "{text}");
        assert_eq!(layouts[0], layouts[1], "{text}");
    }

    #[test]
    fn addresses_that_are_hidden_are_no_layout() {
        let line = |code: &str, stack: &str| {
            let zeros = ["0"; 19].join(" ");
            let head = "42 (x) S 7 8 9 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 777 1 1 2";
            format!("{head} {code} 0 {stack} {zeros} 55 0 66 0 0\n")
        };
        let layout = |line: String| parse_stat(42, line.as_bytes()).and_then(|stat| stat.layout);
        assert_eq!(layout(line("33", "44")), Some(Layout([33, 44, 55, 66])));
        assert_eq!(layout(line("1", "0")), None);
        assert_eq!(layout(line("33", "0")), None);
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_stat() {
        assert_eq!(stat(i32::MAX), None);
    }

    #[test]
    fn commands_are_fit_to_be_shown() {
        assert_eq!(shorten("a\x1b[31mb"), "a?[31mb");
        assert_eq!(shorten(&"é".repeat(61)), format!("{}…", "é".repeat(59)));
        assert_eq!(command(i32::MAX), "[]");
    }

    #[test]
    fn the_environment_is_the_one_at_exec() {
        let cat = cat(|command| {
            command.envp = vec![c"TM_PROCESS_NOT=x".into(), c"TM_PROCESS=w:0".into()];
        });
        let value = |name| environ_value(cat.child.pid, name);
        assert_eq!(value("TM_PROCESS").as_deref(), Some("w:0"));
        assert_eq!(value("TM_PROC"), None);
        assert_eq!(command(cat.child.pid), "cat");
        cat.end();
    }

    #[test]
    fn a_whole_tree_is_found_and_adopted() {
        alone(
            "sys::descendants::tests::a_whole_tree_is_found_and_adopted",
            || {
                become_subreaper().unwrap();
                let mut piped = piped(&["sh", "-c", "sh -c \"$MIDDLE\" & wait"]);
                piped
                    .command
                    .envp
                    .push(c"MIDDLE=setsid sh -c \"$INNER\" & wait".into());
                piped
                    .command
                    .envp
                    .push(c"INNER=echo $$; exec sleep 60".into());
                let child = crate::sys::spawn::spawn(&piped.command).unwrap();
                drop(piped.command);
                let line = output_until(&piped.stdout, "\n");
                let grandchild: i32 = line.trim().parse().unwrap();
                assert_eq!(direct_children(), [child.pid]);
                let found = descendants(&[child.pid]);
                assert!(
                    found
                        .iter()
                        .any(|stat| stat.pid == grandchild && stat.sid == grandchild)
                );
                let mut pids: Vec<i32> = found.iter().map(|stat| stat.pid).collect();
                let scan = descendants_by_scan(&[child.pid], &all());
                let mut scanned: Vec<i32> = scan.iter().map(|stat| stat.pid).collect();
                pids.sort_unstable();
                scanned.sort_unstable();
                assert_eq!(pids, scanned, "the fallback agrees");

                pidfd::signal_group(child.pid, libc::SIGKILL).unwrap();
                exit_of(&child);
                let orphan = pidfd::open(grandchild).unwrap();
                // Its parents were in the killed group; it is adopted when the last of them ends.
                while !direct_children().contains(&grandchild) {
                    std::thread::yield_now();
                }
                let stat = stat(grandchild).unwrap();
                assert_eq!(stat.ppid, i32::try_from(std::process::id()).unwrap());
                pidfd::signal(std::os::fd::AsFd::as_fd(&orphan), libc::SIGKILL).unwrap();
                assert_eq!(output_of(&piped.stdout), "");
            },
        );
    }
}
