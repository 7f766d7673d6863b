//! What members of a base write into cores: what decodes is encoded again to something that decodes to the same, within a bound of memory.
//! The first byte picks the kind.

#![no_main]

use autobase::messages::{EncryptionDescriptor, Info, ManifestData, Member, OplogMessage};
use bosc_fuzz::within;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((pick, bytes)) = input.split_first() else {
        return;
    };
    // A signature that is elsewhere takes a byte, and 88 when it is read; the message, and what it is encoded to and read from again.
    within(4096 + 200 * bytes.len(), || decode(pick % 5, bytes));
});

fn decode(pick: u8, bytes: &[u8]) {
    match pick {
        0 => {
            if let Ok(message) = OplogMessage::decode(bytes) {
                let again = OplogMessage::decode(&message.encode()).expect("of our own");
                assert_eq!(again.node, message.node);
                assert_eq!(again.checkpoint, message.checkpoint);
                assert_eq!(again.digest, message.digest);
                assert_eq!(again.trace, message.trace);
            }
        }
        1 => {
            if let Ok(info) = Info::decode(bytes) {
                assert_eq!(Info::decode(&info.encode()), Ok(info));
            }
        }
        2 => {
            if let Ok(member) = Member::decode(bytes) {
                assert_eq!(Member::decode(&member.encode()), Ok(member));
            }
        }
        3 => {
            if let Ok(data) = ManifestData::decode(bytes) {
                assert_eq!(ManifestData::decode(&data.encode()), Ok(data));
            }
        }
        _ => {
            if let Ok(descriptor) = EncryptionDescriptor::decode(bytes) {
                assert_eq!(EncryptionDescriptor::decode(&descriptor.encode()), Ok(descriptor));
            }
        }
    }
}
