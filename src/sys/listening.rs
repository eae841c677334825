//! The ports and sockets that a process listens on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};

/// Descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 256;

/// Bytes of one table of sockets that are read.
const TABLE_BYTES_MAX: u64 = 256 * 1024;

/// The ports, as `port 80`, and the paths of sockets that a process listens on, each once. Empty if
/// this process may not look.
pub(crate) fn listening(pid: i32) -> Vec<String> {
    let sockets = sockets_of(pid);
    if sockets.is_empty() {
        return Vec::new();
    }
    let mut listeners = BTreeMap::new();
    for name in ["tcp", "tcp6"] {
        read_table(pid, name, |line| listeners.extend(tcp_listener(line)));
    }
    read_table(pid, "unix", |line| listeners.extend(unix_listener(line)));
    let names = listeners.into_iter();
    let names = names.filter_map(|(inode, name)| sockets.contains(&inode).then_some(name));
    let names: BTreeSet<String> = names.collect();
    names.into_iter().collect()
}

/// The inodes of the sockets that a process holds.
fn sockets_of(pid: i32) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    let links = entries.take(DESCRIPTORS_MAX).filter_map(|entry| {
        let link = fs::read_link(entry.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    });
    links.collect()
}

fn read_table(pid: i32, name: &str, mut line: impl FnMut(&str)) {
    let Ok(table) = File::open(format!("/proc/{pid}/net/{name}")) else {
        return;
    };
    let lines = BufReader::new(table.take(TABLE_BYTES_MAX)).lines();
    lines
        .skip(1)
        .map_while(Result::ok)
        .for_each(|text| line(&text));
}

/// The inode and the port of a line of `/proc/net/tcp` whose socket listens.
fn tcp_listener(line: &str) -> Option<(u64, String)> {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
    let mut fields = line.split_ascii_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if fields.nth(1)? != "0A" {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some((inode, format!("port {port}")))
}

/// The inode and the path of a line of `/proc/net/unix` whose socket listens.
fn unix_listener(line: &str) -> Option<(u64, String)> {
    // Num: RefCount Protocol Flags Type St Inode Path
    let mut fields = line.splitn(8, ' ');
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    /// `__SO_ACCEPTCON` of the kernel.
    const ACCEPTS: u32 = 1 << 16;
    if flags & ACCEPTS == 0 {
        return None;
    }
    let rest = fields.nth(2)?.trim_start();
    let rest = match fields.next() {
        Some(more) => format!("{rest} {more}"),
        None => rest.to_string(),
    };
    let (inode, path) = rest.trim_start().split_once(' ')?;
    Some((inode.parse().ok()?, path.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_tables_show_who_listens() {
        let line = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
            0        0 4711 1 0";
        assert_eq!(tcp_listener(line), Some((4711, "port 8080".to_string())));
        assert_eq!(tcp_listener(&line.replace(" 0A ", " 01 ")), None);
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 99812 /run/a b.sock";
        assert_eq!(
            unix_listener(line),
            Some((99812, "/run/a b.sock".to_string()))
        );
        assert_eq!(unix_listener(&line.replace("00010000", "00000000")), None);
        for broken in ["", "a b c", "sl local_address"] {
            assert_eq!((tcp_listener(broken), unix_listener(broken)), (None, None));
        }
    }

    #[test]
    fn a_process_listens_on_what_it_has_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let path = folder.path().join("s");
        let _unix = UnixListener::bind(&path).expect("a socket");
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let found = listening(own);
        let port = tcp.local_addr().expect("an address").port();
        assert!(found.contains(&format!("port {port}")), "{found:?}");
        assert!(found.contains(&path.display().to_string()), "{found:?}");
        assert_eq!(listening(i32::MAX), Vec::<String>::new());
    }
}
