//! How the process's heap is kept: one for all threads, and what was freed at its end kept for the next batch.

/// Bytes at the end of the heap that are kept when they are free: what a batch of blocks needs on its way. Given back and asked for
/// again at each batch, they cost a page fault every 4 KiB, which was a tenth of a transfer's time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 8 << 20;
/// What is at least this large lies by itself, and is given back as soon as it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const APART: i32 = 4 << 20;

/// Has all threads share one heap. To be called by a program before it starts any; a library leaves that to the program.
///
/// By itself glibc gives each thread a heap, and memory that one freed serves no other: blocks that are received on one thread,
/// hashed on a second and written on a third then lie in memory several times over. Elsewhere than on glibc nothing is changed.
pub fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (what, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_TRIM_THRESHOLD, KEPT),
        (libc::M_MMAP_THRESHOLD, APART),
    ] {
        // SAFETY: it takes two numbers and sets the allocator's own options, under the allocator's lock.
        // A wish it does not grant leaves that option as it was.
        let _ = unsafe { libc::mallopt(what, value) };
    }
}
