//! What the targets share: a count of the memory that a piece of code takes, and small helpers to damage valid bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arbitrary::Arbitrary;

/// Counts what is allocated, so that a target can say what its code may take. Targets run on one thread.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let live = LIVE.load(Relaxed).wrapping_add(bytes);
    LIVE.store(live, Relaxed);
    if live > PEAK.load(Relaxed) {
        PEAK.store(live, Relaxed);
    }
}

fn shrunk(bytes: usize) {
    LIVE.store(LIVE.load(Relaxed).wrapping_sub(bytes), Relaxed);
}

// SAFETY: every call goes to the system's allocator with the very arguments it was made with; only counters are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps the rules of `alloc`, which are the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: as above; what is freed here was allocated by the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        shrunk(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// Runs `code`, and fails if it takes more than `most` bytes of memory at any one time.
pub fn within<T>(most: usize, code: impl FnOnce() -> T) -> T {
    let before = live();
    PEAK.store(before, Relaxed);
    let result = code();
    let taken = PEAK.load(Relaxed).wrapping_sub(before);
    assert!(
        taken <= most,
        "{taken} bytes of memory, where {most} are the most it may take"
    );
    result
}

/// A small damage to valid bytes.
#[derive(Debug, Clone, Arbitrary)]
pub enum Damage {
    /// Another byte at a place.
    Byte(u16, u8),
    /// Cut off at a place.
    Cut(u16),
    /// Bytes put in at a place.
    Insert(u16, Vec<u8>),
    /// Bytes taken out from a place on.
    Remove(u16, u8),
}

impl Damage {
    /// Damages `bytes`.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |place: u16, length: usize| usize::from(place) % (length + 1);
        match self {
            Self::Byte(place, value) => {
                let length = bytes.len();
                if let Some(byte) = bytes.get_mut(at(*place, length)) {
                    *byte = *value;
                }
            }
            Self::Cut(place) => bytes.truncate(at(*place, bytes.len())),
            Self::Insert(place, more) => {
                let at = at(*place, bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(place, count) => {
                let at = at(*place, bytes.len());
                let end = (at + usize::from(*count)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}
