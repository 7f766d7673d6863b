//! Block maps: npm `hyperblobs` `lib/block-map.js`. Each map block is version 0, a count, and (block, bytes) pairs, all
//! variable-length integers of compact-encoding; at most 8192 pairs to a block and 64 blocks to a map.

use base::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

use crate::error::BlobError;

/// Pairs in one block.
const PAIRS_PER_BLOCK: usize = 8192;
/// Blocks of one map.
pub(crate) const MAX_MAP_BLOCKS: u64 = 64;

/// One chunk of a file: the block that holds it and its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapBlock {
    /// Block of the core.
    pub index: u64,
    /// Bytes in that block.
    pub byte_length: u64,
}

/// The chunks of a file, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockMap {
    /// The chunks.
    pub blocks: Vec<MapBlock>,
}

impl BlockMap {
    /// Bytes of the file; `None` on overflow, which only a hostile map causes.
    pub fn byte_length(&self) -> Option<u64> {
        self.blocks
            .iter()
            .try_fold(0u64, |sum, block| sum.checked_add(block.byte_length))
    }

    /// More chunks than a map can list.
    pub fn is_full(&self) -> bool {
        self.blocks.len() >= PAIRS_PER_BLOCK * MAX_MAP_BLOCKS as usize
    }

    /// The map's blocks; none for an empty file.
    pub fn encode(&self) -> Vec<Bytes> {
        self.blocks
            .chunks(PAIRS_PER_BLOCK)
            .map(|blocks| {
                let mut w = Writer::with_capacity(4 + blocks.len() * 8);
                w.uint(0)
                    .list(blocks, |w, block| w.uint(block.index).uint(block.byte_length));
                w.finish().into()
            })
            .collect()
    }

    /// Reads one block of a map and appends its chunks. `at` is the block's number, for errors.
    pub fn decode_block(&mut self, at: u64, block: &[u8]) -> Result<(), BlobError> {
        let damaged = |what| BlobError::Map { block: at, what };
        let mut reader = Reader::new(block);
        let version = reader.uint().map_err(|_| damaged("it is empty"))?;
        if version > 0 {
            return Err(damaged("it has a newer version; update this program"));
        }
        self.read_pairs(&mut reader)
            .map_err(|_| damaged("it ends early or holds impossible numbers"))
    }

    fn read_pairs(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let count = reader.count(2)?;
        self.blocks.reserve(count);
        for _ in 0..count {
            self.blocks.push(MapBlock {
                index: reader.uint()?,
                byte_length: reader.uint()?,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(blocks: &[Bytes]) -> Result<BlockMap, BlobError> {
        let mut map = BlockMap::default();
        blocks
            .iter()
            .enumerate()
            .try_for_each(|(at, block)| map.decode_block(at as u64, block))?;
        Ok(map)
    }

    proptest! {
        #[test]
        fn maps_survive_the_round_trip(pairs in prop::collection::vec((0u64..=1 << 53, 0u64..=1 << 53), 0..300)) {
            let blocks = pairs.into_iter().map(|(index, byte_length)| MapBlock { index, byte_length }).collect();
            let map = BlockMap { blocks };
            prop_assert_eq!(decode(&map.encode()).unwrap(), map);
        }

        #[test]
        fn garbage_never_panics(block in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = BlockMap::default().decode_block(0, &block);
        }
    }

    #[test]
    fn long_maps_take_several_blocks() {
        let blocks = (0..20_000)
            .map(|n| MapBlock {
                index: n * 7,
                byte_length: 65_536 + n,
            })
            .collect();
        let map = BlockMap { blocks };
        assert_eq!(map.encode().len(), 3);
        assert_eq!(decode(&map.encode()).unwrap(), map);
        assert!(BlockMap::default().encode().is_empty());
    }

    #[test]
    fn a_count_beyond_the_block_is_refused_before_allocation() {
        let mut block = vec![0, 0xff];
        block.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(
            BlockMap::default()
                .decode_block(3, &block)
                .unwrap_err()
                .to_string()
                .contains("block 3")
        );
    }
}
