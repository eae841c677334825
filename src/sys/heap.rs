//! Memory of this process.

/// Gives memory that was freed back to the system. Between pieces in use it would stay with the
/// process.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and only returns free memory of the allocator, which the
    // allocator locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
