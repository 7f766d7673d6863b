//! Where a blob is.

/// Place of a blob in its core, as kept in a drive's entries (npm `hyperblobs` blob ids).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct BlobId {
    /// First byte, counted from the start of the core.
    pub byte_offset: u64,
    /// First block.
    pub block_offset: u64,
    /// Blocks.
    pub block_length: u64,
    /// Bytes. Of a blob with a block map this is the length of the *map*; see [`crate::Blobs::byte_length`].
    pub byte_length: u64,
    /// The blocks hold a block map, not the content.
    pub block_map: bool,
}

impl BlobId {
    /// The block after the last one; `None` when the numbers overflow, which only a hostile id does.
    pub fn block_end(&self) -> Option<u64> {
        self.block_offset.checked_add(self.block_length)
    }
}
