//! User identity: dropping root permanently, and acting as another user for one file operation.

use super::retry;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

/// Becomes this user permanently, in every thread, and verifies that root cannot be regained.
///
/// After an error the process may have a mixed identity and must exit.
pub(crate) fn drop_for_good(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and length are those of a live slice; gid_t is u32.
    retry(|| unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::setresuid(uid, uid, uid) })?;
    if raw::is_exactly(uid, gid, groups.len()) && !raw::root_can_return(uid, gid) {
        // Its memory may hold what only root could read: that user must not trace it or read it.
        set_dumpable(false);
        return Ok(());
    }
    let text = format!("privileges not dropped: the process can act as others than user {uid}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// Runs `body` with the file-system identity of this user, in this thread only. Restores the
/// identity afterwards, even if `body` panics.
///
/// Files are opened and created as that user would, without root's override. Fails without
/// running `body` if the identity cannot be taken (not root). Aborts the process if the old
/// identity cannot be restored, because a mixed one would be unsafe.
pub(crate) fn as_user<R>(
    uid: u32,
    gid: u32,
    groups: &[u32],
    body: impl FnOnce() -> R,
) -> io::Result<R> {
    let identity = BorrowedIdentity::take(uid, gid, groups)?;
    let result = body();
    drop(identity);
    Ok(result)
}

/// Opens a file for reading with the file permissions of this user, without waiting for the writer
/// of a FIFO. A process that is not root opens it with its own.
pub(crate) fn open_as(uid: u32, gid: u32, groups: &[u32], path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    };
    match super::runtime::effective_uid() {
        0 => as_user(uid, gid, groups, open)?,
        _ => open(),
    }
}

/// A borrowed file-system identity; dropping the value restores the thread's own.
struct BorrowedIdentity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl BorrowedIdentity {
    fn take(uid: u32, gid: u32, groups: &[u32]) -> io::Result<BorrowedIdentity> {
        let own = own_groups()?;
        was_dumpable();
        if raw::set_groups(groups) < 0 {
            return Err(io::Error::last_os_error());
        }
        let before = BorrowedIdentity {
            uid: raw::fs_uid(),
            gid: raw::fs_gid(),
            groups: own,
        };
        raw::set_fs_gid(gid);
        raw::set_fs_uid(uid);
        if raw::fs_uid() != uid || raw::fs_gid() != gid {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok(before)
    }
}

impl Drop for BorrowedIdentity {
    fn drop(&mut self) {
        raw::set_fs_uid(self.uid);
        raw::set_fs_gid(self.gid);
        let groups = raw::set_groups(&self.groups);
        if groups < 0 || raw::fs_uid() != self.uid || raw::fs_gid() != self.gid {
            std::process::abort();
        }
        if was_dumpable() {
            set_dumpable(true);
        }
    }
}

/// Whether the process was dumpable at the first call. The kernel clears that flag with every
/// change of identity; then `/proc/self` belongs to root and no cores are written.
fn was_dumpable() -> bool {
    static BEFORE: OnceLock<bool> = OnceLock::new();
    // SAFETY: the option takes no memory.
    *BEFORE.get_or_init(|| unsafe { libc::prctl(libc::PR_GET_DUMPABLE) } == 1)
}

fn set_dumpable(dumpable: bool) {
    // SAFETY: the option takes an integer; it fails only for a value that is neither 0 nor 1.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, usize::from(dumpable)) };
}

/// Leaves the session keyring of the user who started this process, for an empty one that its
/// holders can read but not add to: programs of several users will share it. A kernel without
/// keyrings, or a sandbox that forbids their use, leaves nothing to protect.
pub(crate) fn leave_session_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    const SETPERM: libc::c_long = 5;
    /// For its possessor: view, read and search.
    const PERMISSIONS: libc::c_long = 0x0b00_0000;
    let nameless: libc::c_long = 0;
    // SAFETY: a null name asks for a new keyring; no memory is involved.
    let keyring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nameless) };
    if keyring > 0 {
        // SAFETY: both are numbers.
        unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, keyring, PERMISSIONS) };
    }
}

fn own_groups() -> io::Result<Vec<u32>> {
    // SAFETY: a length of 0 asks for the count only.
    let count = retry(|| unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
    let mut groups = vec![0_u32; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the buffer has room for `count` group ids.
    let count = retry(|| unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(usize::try_from(count).unwrap_or(0));
    Ok(groups)
}

/// Identity calls for this thread only; libc would change all threads. Safe between clone and
/// exec.
pub(crate) mod raw {
    use std::ffi::c_long;

    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    mod number {
        pub use libc::{
            SYS_getgroups32 as GETGROUPS, SYS_getresgid32 as GETRESGID,
            SYS_getresuid32 as GETRESUID, SYS_setfsgid32 as SETFSGID, SYS_setfsuid32 as SETFSUID,
            SYS_setgroups32 as SETGROUPS, SYS_setresgid32 as SETRESGID,
            SYS_setresuid32 as SETRESUID,
        };
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
    mod number {
        pub(crate) use libc::{
            SYS_getgroups as GETGROUPS, SYS_getresgid as GETRESGID, SYS_getresuid as GETRESUID,
            SYS_setfsgid as SETFSGID, SYS_setfsuid as SETFSUID, SYS_setgroups as SETGROUPS,
            SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID,
        };
    }

    /// 0, or -1 with errno set.
    pub(crate) fn set_groups(groups: &[u32]) -> c_long {
        // SAFETY: the pointer and length are those of a live slice.
        unsafe { libc::syscall(number::SETGROUPS, groups.len(), groups.as_ptr()) }
    }

    /// 0, or -1 with errno set.
    pub(crate) fn set_res_gid(gid: u32) -> c_long {
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(number::SETRESGID, gid, gid, gid) }
    }

    /// 0, or -1 with errno set.
    pub(crate) fn set_res_uid(uid: u32) -> c_long {
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(number::SETRESUID, uid, uid, uid) }
    }

    /// Whether all three user and group ids and the number of groups are these.
    pub(crate) fn is_exactly(uid: u32, gid: u32, groups: usize) -> bool {
        let mut uids = [!uid; 3];
        let mut gids = [!gid; 3];
        // SAFETY: the kernel writes one id through each of six pointers to live words; a length
        // of 0 asks for the count of groups only.
        let count = unsafe {
            let [real, effective, saved] = &mut uids;
            let none = std::ptr::null_mut::<u32>();
            libc::syscall(
                number::GETRESUID,
                &raw mut *real,
                &raw mut *effective,
                &raw mut *saved,
            );
            let [real, effective, saved] = &mut gids;
            libc::syscall(
                number::GETRESGID,
                &raw mut *real,
                &raw mut *effective,
                &raw mut *saved,
            );
            libc::syscall(number::GETGROUPS, 0, none)
        };
        uids == [uid; 3] && gids == [gid; 3] && usize::try_from(count) == Ok(groups)
    }

    /// Tries to regain the user or group root; whether either worked. Skips a user or group that
    /// is root by configuration.
    pub(crate) fn root_can_return(uid: u32, gid: u32) -> bool {
        uid != 0 && (set_res_uid(0) == 0 || gid != 0 && set_res_gid(0) == 0)
    }

    /// The file-system user of this thread.
    pub(crate) fn fs_uid() -> u32 {
        set_fs_uid(u32::MAX)
    }

    /// The file-system group of this thread.
    pub(crate) fn fs_gid() -> u32 {
        set_fs_gid(u32::MAX)
    }

    /// Sets the id if allowed and valid; returns the previous one either way.
    pub(crate) fn set_fs_uid(uid: u32) -> u32 {
        // SAFETY: no memory is involved. The kernel reports the id before the call, as an int.
        unsafe { libc::syscall(number::SETFSUID, uid) as u32 }
    }

    /// Sets the id if allowed and valid; returns the previous one either way.
    pub(crate) fn set_fs_gid(gid: u32) -> u32 {
        // SAFETY: as for the user.
        unsafe { libc::syscall(number::SETFSGID, gid) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn dumpable() -> i32 {
        // SAFETY: the option takes no memory.
        unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }
    }

    #[test]
    fn dropped_privileges_cannot_be_regained() {
        if !is_root() {
            return skipped("needs root");
        }
        alone(
            "sys::privileges::tests::dropped_privileges_cannot_be_regained",
            || {
                let (go, wait) = std::sync::mpsc::channel::<()>();
                let other = std::thread::spawn(move || {
                    let _ = wait.recv();
                    File::open("/etc/shadow").is_ok()
                });
                drop_for_good(4242, 4343, &[4444]).unwrap();
                drop(go);
                assert!(!other.join().unwrap(), "every thread has dropped");
                assert!(raw::is_exactly(4242, 4343, 1));
                // SAFETY: takes numbers only.
                assert_eq!(unsafe { libc::setuid(0) }, -1);
                assert_eq!(dumpable(), 0);
                drop_for_good(0, 0, &[]).unwrap_err();
            },
        );
    }

    #[test]
    fn an_ordinary_user_cannot_drop_to_another() {
        alone(
            "sys::privileges::tests::an_ordinary_user_cannot_drop_to_another",
            || {
                if is_root() {
                    drop_for_good(4242, 4343, &[]).unwrap();
                }
                let error = drop_for_good(4545, 4545, &[]).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
                let error = as_user(4545, 4545, &[], || ()).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            },
        );
    }

    #[test]
    fn files_are_opened_as_the_user_and_only_there() {
        if !is_root() {
            return skipped("needs root");
        }
        alone(
            "sys::privileges::tests::files_are_opened_as_the_user_and_only_there",
            || {
                let directory = tempfile::tempdir().unwrap();
                let wide = std::fs::Permissions::from_mode(0o777);
                std::fs::set_permissions(directory.path(), wide).unwrap();
                let file = directory.path().join("log");
                let made = as_user(4242, 4343, &[4444], || {
                    assert!(File::open("/etc/shadow").is_err(), "no override of root");
                    assert_eq!(own_groups().unwrap(), [4444]);
                    std::fs::write(&file, "x")
                });
                made.unwrap().unwrap();
                let metadata = std::fs::metadata(&file).unwrap();
                assert_eq!((metadata.uid(), metadata.gid()), (4242, 4343));
                File::open("/etc/shadow").unwrap();
                assert_eq!(dumpable(), 1);
                let before = own_groups().unwrap();
                let panicked = std::panic::catch_unwind(|| as_user(4242, 4343, &[1], || panic!()));
                assert!(panicked.is_err());
                assert_eq!((raw::fs_uid(), raw::fs_gid()), (0, 0));
                assert_eq!(own_groups().unwrap(), before);
            },
        );
    }

    #[test]
    fn another_thread_stays_who_it_is() {
        if !is_root() {
            return skipped("needs root");
        }
        alone(
            "sys::privileges::tests::another_thread_stays_who_it_is",
            || {
                let other = as_user(4242, 4343, &[], || {
                    // A new thread inherits its creator's identity; existing ones keep theirs.
                    std::fs::metadata("/proc/self/task").map(|_| raw::fs_uid())
                });
                assert_eq!(other.unwrap().unwrap(), 4242);
                assert_eq!(std::thread::spawn(raw::fs_uid).join().unwrap(), 0);
            },
        );
    }
}
