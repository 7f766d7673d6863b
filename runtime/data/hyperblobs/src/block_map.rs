//! Block maps: npm `hyperblobs` `lib/block-map.js`. Each map block is version 0, a count, and (block, bytes) pairs, all
//! variable-length integers of compact-encoding; at most 8192 pairs to a block and 64 blocks to a map.

use bytes::Bytes;
use compact_encoding::CompactEncoding;

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
                let mut out = Vec::with_capacity(4 + blocks.len() * 8);
                put_uint(&mut out, 0);
                put_uint(&mut out, blocks.len() as u64);
                for block in blocks {
                    put_uint(&mut out, block.index);
                    put_uint(&mut out, block.byte_length);
                }
                out.into()
            })
            .collect()
    }

    /// Reads one block of a map and appends its chunks. `at` is the block's number, for errors.
    pub fn decode_block(&mut self, at: u64, block: &[u8]) -> Result<(), BlobError> {
        let damaged = |what| BlobError::Map { block: at, what };
        let (version, rest) = uint(block).ok_or(damaged("it is empty"))?;
        if version > 0 {
            return Err(damaged("it has a newer version; update this program"));
        }
        let (count, mut rest) = uint(rest).ok_or(damaged("it ends early"))?;
        // A pair takes two bytes at least: no count can make us allocate more than the block is worth.
        if count > rest.len() as u64 / 2 {
            return Err(damaged("it ends early"));
        }
        self.blocks.reserve(count as usize);
        for _ in 0..count {
            let (index, after) = uint(rest).ok_or(damaged("it ends early"))?;
            let (byte_length, after) = uint(after).ok_or(damaged("it ends early"))?;
            self.blocks.push(MapBlock { index, byte_length });
            rest = after;
        }
        Ok(())
    }
}

fn uint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    u64::decode(bytes).ok()
}

/// One byte below 253, else a marker and 2, 4 or 8 bytes, little endian.
fn put_uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0xfd => out.push(value as u8),
        0xfd..0x1_0000 => {
            out.push(0xfd);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(0xfe);
            out.extend_from_slice(&(value as u32).to_le_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&value.to_le_bytes());
        }
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
        fn maps_survive_the_round_trip(pairs in prop::collection::vec((any::<u64>(), any::<u64>()), 0..300)) {
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
