//! Walking over the writes of a bee, in the order in which they were made.

use bytes::Bytes;
use core_store::{Download, DownloadRange};

use crate::bee::Bee;
use crate::error::BeeError;

/// Blocks asked of peers ahead of the one that is read.
const AHEAD: u64 = 64;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The block that it made.
    pub seq: u64,
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
    /// It took the key out of the bee.
    pub deletion: bool,
}

/// Writes, one after the other; see [`Bee::history`].
pub struct History {
    bee: Bee,
    start: u64,
    end: u64,
    reverse: bool,
    /// The blocks `.1.0..1.1` are on their way.
    ahead: Option<(Download, (u64, u64))>,
}

impl History {
    pub(crate) fn new(bee: Bee, start: u64, end: u64) -> Self {
        Self {
            bee,
            start,
            end,
            reverse: false,
            ahead: None,
        }
    }

    /// The newest first.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// The next write; `None` at the end. Waits for peers when a block is missing here. Cancel safe: a cancelled call loses nothing.
    pub async fn next(&mut self) -> Result<Option<Change>, BeeError> {
        if self.start >= self.end {
            self.ahead = None;
            return Ok(None);
        }
        let seq = if self.reverse { self.end - 1 } else { self.start };
        self.fetch_ahead(seq);
        let node = self.bee.node(seq, seq).await?;
        if self.reverse {
            self.end -= 1;
        } else {
            self.start += 1;
        }
        Ok(Some(Change {
            seq,
            key: node.key.clone(),
            value: node.value.clone(),
            deletion: node.is_deletion(seq),
        }))
    }

    fn fetch_ahead(&mut self, seq: u64) {
        let covered = |(_, (from, to)): &(Download, (u64, u64))| (*from..*to).contains(&seq);
        if self.ahead.as_ref().is_some_and(covered) {
            return;
        }
        let (from, to) = if self.reverse {
            (seq.saturating_sub(AHEAD - 1).max(self.start), seq + 1)
        } else {
            (seq, seq.saturating_add(AHEAD).min(self.end))
        };
        let missing = !self.bee.core().has_range(from, to);
        let range = DownloadRange {
            start: from,
            end: Some(to),
        };
        self.ahead = missing.then(|| (self.bee.core().download(range), (from, to)));
    }
}
