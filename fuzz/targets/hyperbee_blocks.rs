//! Blocks of a bee: what decodes is encoded again to something that decodes to the same, within a bound of memory. The first byte
//! picks header or node.

#![no_main]

use bosc_fuzz::within;
use bytes::Bytes;
use hyperbee::{Header, Node};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((pick, rest)) = input.split_first() else {
        return;
    };
    let block = Bytes::copy_from_slice(rest);
    // A level of two bytes becomes 48, a number of one byte 8 and 16; vectors grow by doubling.
    within(4096 + 100 * rest.len(), || {
        if pick % 4 == 0 {
            if let Ok(header) = Header::decode(&block) {
                assert_eq!(Header::decode(&header.encode()), Ok(header));
            }
        } else if let Ok(node) = Node::decode(&block) {
            node.is_deletion(u64::from(*pick));
            assert!(node.index.len() <= rest.len());
            assert_eq!(Node::decode(&node.encode()), Ok(node));
        }
    });
});
