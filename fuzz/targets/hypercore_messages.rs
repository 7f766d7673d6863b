//! The messages of `hypercore/alpha`: what decodes is encoded again to something that decodes to the same, and no message
//! takes more memory than a few times its size. The first byte picks the message.

#![no_main]

use bosc_fuzz::within;
use bytes::Bytes;
use hypercore::messages::{self, Range, Sync, Want};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((pick, bytes)) = input.split_first() else {
        return;
    };
    // A node of 34 bytes becomes 48, and the bytes, what they say, both anew, and a copy to compare are held at once.
    within(1024 + 8 * bytes.len(), || decode(pick % 9, bytes));
});

fn decode(pick: u8, bytes: &[u8]) {
    match pick {
        0 => {
            if let Ok(sync) = Sync::decode(bytes) {
                assert_eq!(Sync::decode(&sync.encode()), Ok(sync));
            }
        }
        1 => {
            if let Ok(range) = Range::decode(bytes) {
                assert_eq!(Range::decode(&range.encode()), Ok(range));
            }
        }
        2 => {
            if let Ok(want) = Want::decode(bytes) {
                assert_eq!(Want::decode(&want.encode()), Ok(want));
            }
        }
        3 => {
            if let Ok((start, words)) = messages::decode_bitfield(bytes) {
                assert!(4 * words.len() <= bytes.len());
                let again = messages::encode_bitfield(start, &words);
                assert_eq!(messages::decode_bitfield(&again), Ok((start, words)));
            }
        }
        4 => {
            if let Ok(capability) = messages::decode_handshake(bytes) {
                let again = messages::encode_handshake(&capability);
                assert_eq!(messages::decode_handshake(&again), Ok(capability));
            }
        }
        5 | 6 => {
            if let Ok((id, request)) = messages::decode_request(bytes) {
                let again = messages::encode_request(id, &request);
                assert_eq!(messages::decode_request(&again), Ok((id, request)));
            }
        }
        7 => {
            if let Ok(id) = messages::decode_id(bytes) {
                assert_eq!(messages::decode_id(&messages::encode_id(id)), Ok(id));
                assert_eq!(messages::decode_id(&messages::encode_no_data(id, 1)), Ok(id));
            }
        }
        _ => {
            let bytes = Bytes::copy_from_slice(bytes);
            if let Ok((id, data)) = messages::decode_data(&bytes) {
                let again = Bytes::from(messages::encode_data(id, &data));
                assert_eq!(messages::decode_data(&again), Ok((id, data)));
            }
        }
    }
}
