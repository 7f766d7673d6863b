//! Bytes of a mirror, counted while it runs, for whoever shows how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures::StreamExt;

use crate::traits::ByteStream;

/// How many bytes something has done, of how many. Counted on one thread and read on another.
#[derive(Debug, Default)]
pub struct Meter {
    done: AtomicU64,
    total: OnceLock<u64>,
}

impl Meter {
    /// Bytes that were carried over, or found to be there already.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes that it will be; `None` until that is known.
    pub fn total(&self) -> Option<u64> {
        self.total.get().copied()
    }

    /// Says how many bytes it will be. The first word counts.
    pub fn expect(&self, total: u64) {
        let _ = self.total.set(total);
    }

    /// Counts bytes.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what passes through a stream.
    pub(crate) fn count(self: &Arc<Self>, content: ByteStream) -> ByteStream {
        let meter = self.clone();
        let counted = content.inspect(move |piece| {
            if let Ok(piece) = piece {
                meter.add(piece.len() as u64);
            }
        });
        counted.boxed()
    }
}
