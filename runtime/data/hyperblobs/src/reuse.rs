//! Which chunks a core already holds, so that a writer refers to them and does not store them again.

use std::collections::HashMap;

use bytes::Bytes;
use core_store::Core;

use crate::block_map::MapBlock;
use crate::error::BlobError;

/// Chunks by the hash of their content, which is the hash that the core's Merkle tree has for the block.
#[derive(Debug, Default)]
pub struct ChunkIndex {
    chunks: HashMap<[u8; 32], MapBlock>,
}

impl ChunkIndex {
    /// Adds a block of the core, if its content is here.
    pub(crate) fn add_local(&mut self, core: &Core, index: u64) -> Result<(), BlobError> {
        if let Some(leaf) = core.leaf(index)? {
            self.insert(
                leaf.hash,
                MapBlock {
                    index,
                    byte_length: leaf.size,
                },
            );
        }
        Ok(())
    }

    /// Chunks known.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// True when no chunk is known.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The block that holds a chunk of this hash and length. The disk may have spoilt a stored length: such a block is not referred to.
    pub(crate) fn get(&self, hash: &[u8; 32], byte_length: u64) -> Option<MapBlock> {
        let known = self.chunks.get(hash).copied();
        known.filter(|block| block.byte_length == byte_length)
    }

    pub(crate) fn insert(&mut self, hash: [u8; 32], block: MapBlock) {
        self.chunks.entry(hash).or_insert(block);
    }
}

pub(crate) fn hash(chunk: &Bytes) -> [u8; 32] {
    hypercore::merkle::hash_leaf(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_whose_stored_length_is_spoilt_is_not_referred_to() {
        let mut known = ChunkIndex::default();
        let chunk = Bytes::from_static(b"chunk");
        let block = MapBlock {
            index: 3,
            byte_length: 5 ^ 64,
        };
        known.insert(hash(&chunk), block);
        assert!(known.get(&hash(&chunk), 5).is_none());
        let sound = known.get(&hash(&chunk), 5 ^ 64);
        assert_eq!(sound.map(|block| block.index), Some(3));
    }
}
