//! The heap of the process.

#![allow(unsafe_code)]

/// Lets all threads share one arena of the allocator. The GNU C library gives each thread an arena of its own, which keeps what the thread
/// has freed: with a handful of threads that allocate seldom, an upload would take a megabyte more. Call it before any thread starts.
pub(super) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) sets a number inside the allocator, and no other thread allocates at the same time. If the number is refused,
    // nothing changes.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
