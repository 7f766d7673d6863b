//! What a store has sent, received and mended since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the store was opened in this process; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Blocks sent to peers.
    pub blocks_up: u64,
    /// Their bytes, without proofs and encryption.
    pub bytes_up: u64,
    /// Blocks that peers sent and that verified.
    pub blocks_down: u64,
    /// Their bytes.
    pub bytes_down: u64,
    /// Stored blocks that the disk had spoilt, and that were dropped to be fetched again.
    pub blocks_damaged: u64,
    /// How often a core could not be written any more.
    pub write_failures: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    up: Traffic,
    down: Traffic,
    damaged: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Traffic {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    fn add(&self, bytes: u64) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Counters {
    pub(crate) fn sent(&self, bytes: u64) {
        self.up.add(bytes);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.down.add(bytes);
    }

    pub(crate) fn damaged(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            blocks_up: read(&self.up.blocks),
            bytes_up: read(&self.up.bytes),
            blocks_down: read(&self.down.blocks),
            bytes_down: read(&self.down.bytes),
            blocks_damaged: read(&self.damaged),
            write_failures: read(&self.failures),
        }
    }
}
