//! Which files of a folder a drive is known to hold as they are, without reading them.

use std::sync::Arc;

use hyperblobs::BlobId;

use crate::entry::Entry;
use crate::error::DriveError;
use crate::local::LocalDrive;
use crate::memory::{Fact, Memory};
use crate::stamp::Stamp;
use crate::traits::Drive;

/// The files of a folder beside the contents of a drive.
pub(crate) struct Known<'a> {
    memory: &'a Arc<Memory>,
    local: &'a LocalDrive,
    /// The core of contents, and how often it was truncated: what a block is, is certain within that alone.
    core: [u8; 32],
    fork: [u8; 8],
    /// Blocks of the contents are missing, so that nothing of them counts as known: who reads them finds out which.
    lacking: bool,
}

impl<'a> Known<'a> {
    /// What `memory` knows of the files of `src` and the contents of `dst`, if it has to do with such two.
    pub(crate) async fn of(
        memory: Option<&'a Arc<Memory>>,
        src: &'a dyn Drive,
        dst: &dyn Drive,
    ) -> Result<Option<Self>, DriveError> {
        let (Some(memory), Some(local), Some(drive)) = (memory, src.as_local(), dst.as_hyperdrive()) else {
            return Ok(None);
        };
        let contents = drive.blobs().await?;
        Ok(Some(Self {
            memory,
            local,
            core: contents.key().0,
            fork: contents.fork().to_le_bytes(),
            lacking: !contents.has_range(0, contents.length()),
        }))
    }

    /// Whether the file that bears a stamp is known to be what an entry of the drive holds.
    pub(crate) fn holds(&self, stamp: &Stamp, entry: &Entry) -> bool {
        !self.lacking
            && entry
                .blob
                .is_some_and(|blob| self.memory.knows(self.fact(stamp, &blob)))
    }

    /// See [`Memory::settle`].
    pub(crate) async fn settle(&self) {
        self.memory.settle(self.local).await;
    }

    /// The file was read, and is what the drive holds at `blob`.
    pub(crate) fn learn(&self, stamp: &Stamp, blob: &BlobId) {
        self.memory.learn(self.fact(stamp, blob));
    }

    fn fact(&self, stamp: &Stamp, blob: &BlobId) -> Fact {
        let numbers = [
            blob.byte_offset,
            blob.block_offset,
            blob.block_length,
            blob.byte_length,
            blob.block_map.into(),
        ];
        let numbers = numbers.map(u64::to_le_bytes);
        Fact::new(
            stamp,
            &[b"staged", &self.core, &self.fork, numbers.as_flattened()],
        )
    }
}
