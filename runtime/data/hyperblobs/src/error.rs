//! What can go wrong with a blob, and whose fault it is.

use core_store::CoreError;

/// An error of [`crate::Blobs`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The core below failed.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The author of the core wrote a block map that cannot be read.
    #[error("the block map at block {block} cannot be read: {what}")]
    Map {
        /// First block of the map.
        block: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The author of the core wrote a blob id that contradicts the blocks.
    #[error("the blob at block {block} is damaged: {what}")]
    Damaged {
        /// First block of the blob.
        block: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A block is not here, and the caller did not want to wait for it.
    #[error("block {block} of the blobs is not here")]
    NotHere {
        /// The block.
        block: u64,
    },
    /// Another writer appended while a blob was written.
    #[error(
        "the blobs grew to length {found} instead of {expected}: another program writes to them; try again"
    )]
    Conflict {
        /// Length that this writer expected.
        expected: u64,
        /// Length found.
        found: u64,
    },
    /// The program is shutting down.
    #[error("the program is shutting down")]
    Stopped,
}
