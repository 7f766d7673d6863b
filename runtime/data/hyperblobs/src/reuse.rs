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

    pub(crate) fn get(&self, hash: &[u8; 32]) -> Option<MapBlock> {
        self.chunks.get(hash).copied()
    }

    pub(crate) fn insert(&mut self, hash: [u8; 32], block: MapBlock) {
        self.chunks.entry(hash).or_insert(block);
    }
}

pub(crate) fn hash(chunk: &Bytes) -> [u8; 32] {
    hypercore::merkle::hash_leaf(chunk)
}
