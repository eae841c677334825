//! The control socket: binds it safely and identifies its peers.

use super::retry;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of the longest path of a Unix socket.
pub(crate) const PATH_BYTES_MAX: usize = 107;

/// Connections that wait to be accepted: as many as the kernel allows.
const BACKLOG: i32 = i32::MAX;

/// A listening socket, non-blocking.
#[derive(Debug)]
pub(crate) struct Listener {
    inner: UnixListener,
    path: PathBuf,
    device_inode: Option<(u64, u64)>,
}

/// Why the control socket cannot be bound.
#[derive(Debug)]
pub(crate) enum BindError {
    /// The path has this many bytes, more than the kernel accepts.
    TooLong(PathBuf, usize),
    /// Another process listens there.
    InUse(PathBuf),
    /// The path exists and is not a socket.
    NotASocket(PathBuf),
    Io(PathBuf, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::TooLong(path, bytes) => write!(
                f,
                "{}: too long for a socket path: {bytes} bytes, {PATH_BYTES_MAX} at most; \
                 choose a shorter one with daemon.socket or --socket",
                path.display()
            ),
            BindError::InUse(path) => {
                write!(
                    f,
                    "{}: another process listens on this socket",
                    path.display()
                )
            }
            BindError::NotASocket(path) => write!(
                f,
                "{}: exists and is not a socket; remove it or choose another path",
                path.display()
            ),
            BindError::Io(path, error) => f.write_str(&super::path_error(path, error)),
        }
    }
}

impl std::error::Error for BindError {}

impl Listener {
    /// Binds, sets the mode and the group, and only then listens: until all is set, no client can
    /// connect. Replaces a stale socket, on which no process listens.
    pub(crate) fn bind(path: &Path, mode: u32, group: Option<u32>) -> Result<Listener, BindError> {
        let bytes = path.as_os_str().as_bytes().len();
        if bytes > PATH_BYTES_MAX {
            return Err(BindError::TooLong(path.to_path_buf(), bytes));
        }
        let failed = |error| BindError::Io(path.to_path_buf(), error);
        let mode = Mode::from_raw_mode(mode & 0o777);
        let socket = match bind_socket(path, mode) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                bind_socket(path, mode).map_err(failed)?
            }
            result => result.map_err(failed)?,
        };
        let file = BoundFile::open(path).map_err(failed)?;
        let listener = Listener {
            inner: UnixListener::from(socket),
            path: path.to_path_buf(),
            device_inode: Some(file.device_inode),
        };
        let ready = file.set_access(mode, group);
        let listens = ready.and_then(|()| Ok(rustix::net::listen(&listener.inner, BACKLOG)?));
        if let Err(error) = listens {
            let _ = listener.unlink();
            return Err(failed(error));
        }
        Ok(listener)
    }

    /// Accepts the next connection, non-blocking; `None` when none is queued.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            match self.inner.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    return Ok(Some(stream));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    // Interrupted, or the peer closed while queued: try the next one.
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the socket's file was removed, so that no client can connect.
    pub(crate) fn is_lost(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Removes the socket's file if it is still the one that was bound.
    pub(crate) fn unlink(&self) -> io::Result<()> {
        self.file().remove()
    }

    /// The socket's file, for removal after the listener is gone.
    pub(crate) fn file(&self) -> SocketFile {
        SocketFile {
            path: self.path.clone(),
            device_inode: self.device_inode,
        }
    }
}

/// The file of a bound socket.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_inode: Option<(u64, u64)>,
}

impl SocketFile {
    /// Removes the file if it is still the one that was bound.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.device_inode.is_none() || device_inode(&self.path) != self.device_inode {
            return Ok(());
        }
        std::fs::remove_file(&self.path)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> i32 {
        self.inner.as_raw_fd()
    }
}

/// A bound socket's file, held by a descriptor: whatever is at its path later, only this file is
/// changed.
struct BoundFile {
    fd: OwnedFd,
    device_inode: (u64, u64),
}

impl BoundFile {
    /// Opens the file of a socket that this process has just bound.
    fn open(path: &Path) -> io::Result<BoundFile> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        if !is_socket || stat.st_uid != super::runtime::effective_uid() || stat.st_nlink != 1 {
            let text = "another process has replaced the socket's file";
            return Err(io::Error::other(text));
        }
        Ok(BoundFile {
            fd,
            device_inode: (stat.st_dev, stat.st_ino),
        })
    }

    fn set_access(&self, mode: Mode, group: Option<u32>) -> io::Result<()> {
        if let Some(group) = group {
            let group = Some(rustix::fs::Gid::from_raw(group));
            let flags = AtFlags::EMPTY_PATH;
            rustix::fs::chownat(&self.fd, "", None, group, flags)?;
        }
        let stat = rustix::fs::fstat(&self.fd)?;
        // The umask may have removed bits. A descriptor of this kind has no fchmod(2), so the
        // change goes through its entry in /proc, which leads to no other file.
        if Mode::from_raw_mode(stat.st_mode & 0o777) != mode {
            let entry = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
            rustix::fs::chmod(entry, mode)?;
        }
        Ok(())
    }
}

/// Binds a socket, which does not listen yet. The file is created with this mode, less the umask.
fn bind_socket(path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    // The file takes the mode of the socket.
    rustix::fs::fchmod(&socket, mode)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

/// Connects without waiting. The stream is non-blocking.
///
/// # Errors
/// `WouldBlock` when the listener's queue is full: it accepts no connection.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = new_socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Connects, and waits while too many connections wait to be accepted, for at most `patience`.
///
/// # Errors
/// As [`connect`]; `WouldBlock` when the time is over.
pub(crate) fn connect_within(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = new_socket()?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, None)?;
    Ok(UnixStream::from(socket))
}

/// Removes a socket on which no process listens.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Io(path.to_path_buf(), error);
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    // connect(2) reports the same error for a stale socket and for other files.
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket(path.to_path_buf()));
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_path_buf())),
    }
}

fn device_inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Bounds what the kernel keeps of the bytes that the peer has not read.
pub(crate) fn set_send_buffer(stream: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    Ok(sockopt::set_socket_send_buffer_size(stream, bytes)?)
}

/// The process at the other end of a connection, as the kernel recorded it at connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// 0 when the process is in a pid namespace that is invisible here.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups; empty on kernels without `SO_PEERGROUPS` (before 4.13).
    pub groups: Vec<u32>,
}

/// The peer of a connected Unix socket.
pub(crate) fn peer(stream: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut cred = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let size = size_of::<libc::ucred>();
    let read = socket_option(stream, libc::SO_PEERCRED, (&raw mut cred).cast(), size)?;
    if read != size {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(Peer {
        pid: cred.pid,
        uid: cred.uid,
        gid: cred.gid,
        groups: peer_groups(stream),
    })
}

/// Missing in libc. Two architectures use another number; groups are then empty.
const SO_PEERGROUPS: i32 = 59;
/// NGROUPS_MAX.
const GROUPS_MAX: usize = 65536;

fn peer_groups(stream: BorrowedFd<'_>) -> Vec<u32> {
    let width = size_of::<u32>();
    for room in [64, GROUPS_MAX] {
        let mut groups = vec![0_u32; room];
        let place = groups.as_mut_ptr().cast();
        match socket_option(stream, SO_PEERGROUPS, place, room * width) {
            Ok(bytes) => {
                groups.truncate(bytes / width);
                return groups;
            }
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) => {}
            Err(_) => break,
        }
    }
    Vec::new()
}

/// Reads a socket option into `place`, a buffer of `size` bytes; returns how many were written.
fn socket_option(
    stream: BorrowedFd<'_>,
    option: i32,
    place: *mut libc::c_void,
    size: usize,
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(size).unwrap_or(0);
    let fd = stream.as_raw_fd();
    // SAFETY: both callers pass a live buffer of `size` bytes of plain integers, and the kernel
    // writes no more than `length`.
    retry(|| unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, place, &raw mut length) })?;
    Ok(usize::try_from(length).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode_of(path: &Path) -> u32 {
        std::fs::symlink_metadata(path)
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    }

    #[test]
    fn a_socket_is_private_and_identifies_its_peers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let listener = Listener::bind(&path, 0o600, None).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert!(listener.accept().unwrap().is_none());
        let client = UnixStream::connect(&path).unwrap();
        readable(listener.as_fd());
        let stream = listener.accept().unwrap().expect("a connection");
        let peer = peer(stream.as_fd()).unwrap();
        assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        let own = rustix::process::getgroups().unwrap();
        assert_eq!(
            peer.groups,
            own.iter().map(|group| group.as_raw()).collect::<Vec<_>>()
        );
        let mut buffer = [0; 4];
        let error = crate::sys::io::read(stream.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(client);
        listener.unlink().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let first = Listener::bind(&path, 0o600, None).unwrap();
        let error = Listener::bind(&path, 0o600, None).unwrap_err();
        assert!(matches!(error, BindError::InUse(_)), "{error}");
        drop(first);
        let second = Listener::bind(&path, 0o660, None).unwrap();
        assert_eq!(mode_of(&path), 0o660);
        UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "foreign").unwrap();
        second.unlink().unwrap();
        assert!(path.exists(), "a foreign file is left alone");
    }

    #[test]
    fn a_file_put_in_the_sockets_place_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let victim = directory.path().join("secret");
        std::fs::write(&victim, "").unwrap();
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        let ordering = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The owner of the directory: replaces each socket by a link as it appears.
                while !over.load(ordering) {
                    let is_socket = std::fs::symlink_metadata(&path)
                        .is_ok_and(|found| found.file_type().is_socket());
                    if is_socket && std::fs::remove_file(&path).is_ok() {
                        // Another socket may be there by now.
                        let _ = std::os::unix::fs::symlink(&victim, &path);
                    }
                    std::hint::spin_loop();
                }
            });
            for _ in 0..2000 {
                let _ = std::fs::remove_file(&path);
                drop(Listener::bind(&path, 0o666, None));
                assert_eq!(mode_of(&victim), 0o600);
            }
            over.store(true, ordering);
        });
    }

    #[test]
    fn a_full_queue_makes_no_client_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let queued = std::iter::from_fn(|| connect(&path).ok()).take(64);
        let queued: Vec<UnixStream> = queued.collect();
        assert!(queued.len() < 64);
        let error = connect(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let error = Listener::bind(&path, 0o600, None).unwrap_err();
        assert!(matches!(error, BindError::InUse(_)), "{error}");
        let error = connect_within(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| connect_within(&path, Duration::from_secs(60)));
            let _first = listener.accept().unwrap();
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn only_a_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        let error = Listener::bind(&path, 0o600, None).unwrap_err();
        assert!(matches!(error, BindError::NotASocket(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_path_has_107_bytes_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let length = directory.path().as_os_str().len() + 1;
        let longest = directory.path().join("x".repeat(PATH_BYTES_MAX - length));
        Listener::bind(&longest, 0o600, None).unwrap();
        let error = Listener::bind(
            &directory.path().join("x".repeat(108 - length)),
            0o600,
            None,
        );
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("108 bytes, 107 at most; choose a shorter one"),
            "{text}"
        );
        let missing = directory.path().join("no/such");
        assert!(matches!(
            Listener::bind(&missing, 0o600, None),
            Err(BindError::Io(..))
        ));
    }

    #[test]
    fn the_group_can_be_another() {
        if !is_root() {
            return skipped("needs root");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let _listener = Listener::bind(&path, 0o660, Some(4343)).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().gid(), 4343);
    }
}
