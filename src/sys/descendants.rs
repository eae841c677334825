//! What is left of a process after its leader: found by parentage, group, session and
//! environment.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Makes orphans of our children ours, so that none escapes.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: the option takes an integer.
    super::retry(|| unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_usize) }).map(|_| ())
}

/// A process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its id.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgid: i32,
    /// Its session.
    pub sid: i32,
    /// `R`, `S`, `D`, `Z` and so on.
    pub state: char,
    /// Clock ticks since boot; with the pid it names a process for ever.
    pub starttime: u64,
}

/// A process that outlived its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Straggler {
    /// Its id.
    pub pid: i32,
    /// Its process group.
    pub pgid: i32,
    /// Its session.
    pub sid: i32,
    /// Its command line, shortened.
    pub command: String,
}

impl Straggler {
    /// Adds the command line to what is known.
    pub fn of(stat: &Stat) -> Straggler {
        let Stat { pid, pgid, sid, .. } = *stat;
        Straggler {
            pid,
            pgid,
            sid,
            command: command(pid),
        }
    }
}

/// The processes whose parent we are, zombies included, in the order of their pids.
pub fn direct_children() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut children = children_of(own).unwrap_or_else(|| {
        let all = all().into_iter();
        all.filter(|stat| stat.ppid == own)
            .map(|stat| stat.pid)
            .collect()
    });
    children.sort_unstable();
    children
}

/// Everything below `roots`, these not included, zombies included. A process whose parent ended
/// during the walk can be missed: look again until nothing is left.
pub fn descendants(roots: &[i32]) -> Vec<Stat> {
    match descendants_by_children(roots) {
        Some(found) => found,
        None => descendants_by_scan(roots, &all()),
    }
}

/// Every process there is.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str().and_then(|name| name.parse().ok()));
    pids.filter_map(stat).collect()
}

/// One process; `None` when there is none.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(pid, &read_bounded(format!("/proc/{pid}/stat"), 4096)?)
}

/// A variable of the environment a process was started with, such as `TM_PROCESS`. `None` when it
/// has none, or is not ours to look at.
pub fn environ_value(pid: i32, name: &str) -> Option<String> {
    let environ = read_bounded(format!("/proc/{pid}/environ"), ENVIRON_BYTES_MAX)?;
    environ.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The command line of a process for people: arguments joined, control characters replaced, at
/// most 60 characters; `[name]` when it has none (a zombie).
pub fn command(pid: i32) -> String {
    let line = read_bounded(format!("/proc/{pid}/cmdline"), 1024).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let line = line.trim_end_matches('\0').replace('\0', " ");
    if line.trim().is_empty() {
        let name = read_bounded(format!("/proc/{pid}/comm"), 64).unwrap_or_default();
        return format!("[{}]", shorten(String::from_utf8_lossy(&name).trim_end()));
    }
    shorten(&line)
}

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

/// From the children lists of all threads; `None` when the kernel does not keep them.
fn children_of(pid: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Some(children);
    };
    for thread in threads.flatten() {
        match read_all(&thread.path().join("children")) {
            Ok(list) => {
                let list = String::from_utf8_lossy(&list);
                children.extend(
                    list.split_whitespace()
                        .filter_map(|pid| pid.parse::<i32>().ok()),
                );
            }
            // Either the thread has ended, or there are no such files at all.
            Err(_) if !Path::new("/proc/thread-self/children").exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}

fn descendants_by_children(roots: &[i32]) -> Option<Vec<Stat>> {
    let mut found = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut parents = roots.to_vec();
    while let Some(parent) = parents.pop() {
        for child in children_of(parent)? {
            // A pid that was reused during the walk must not send us round in circles.
            if seen.insert(child) && !roots.contains(&child) {
                found.extend(stat(child));
                parents.push(child);
            }
        }
    }
    Some(found)
}

fn descendants_by_scan(roots: &[i32], all: &[Stat]) -> Vec<Stat> {
    let mut family = std::collections::BTreeSet::from_iter(roots.iter().copied());
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
    // The name may hold anything, also spaces and parentheses: what counts comes after the last.
    let end_of_name = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end_of_name + 1..)?).ok()?;
    let mut fields = rest.split_whitespace();
    Some(Stat {
        pid,
        state: fields.next()?.chars().next()?,
        ppid: fields.next()?.parse().ok()?,
        pgid: fields.next()?.parse().ok()?,
        sid: fields.next()?.parse().ok()?,
        // Field 22 of the line, of which the session was field 6.
        starttime: fields.nth(15)?.parse().ok()?,
    })
}

fn read_bounded(path: String, bytes_max: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(bytes_max)
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}

fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}
