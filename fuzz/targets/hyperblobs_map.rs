//! Block maps of blobs: what decodes is encoded again to the same pairs, within a bound of memory; sums and ends that overflow are
//! told as such.

#![no_main]

use bosc_fuzz::within;
use hyperblobs::{BlobId, BlockMap};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    within(1024 + 24 * bytes.len(), || {
        let mut map = BlockMap::default();
        if map.decode_block(0, bytes).is_ok() {
            assert!(2 * map.blocks.len() <= bytes.len());
            let sum: u128 = map.blocks.iter().map(|block| u128::from(block.byte_length)).sum();
            assert_eq!(
                map.byte_length().map(u128::from),
                Some(sum).filter(|sum| *sum <= u64::MAX.into())
            );
            let mut again = BlockMap::default();
            for block in map.encode() {
                again.decode_block(0, &block).expect("ours");
            }
            assert_eq!(again, map);
            if let [first, ..] = map.blocks[..] {
                let id = BlobId {
                    block_offset: first.index,
                    block_length: first.byte_length,
                    ..BlobId::default()
                };
                assert_eq!(
                    id.block_end().is_none(),
                    first.index > u64::MAX - first.byte_length
                );
            }
        }
    });
});
