//! The messages of the DHT: what decodes is encoded again to something that decodes to the same, and none takes more memory than a
//! few times its size. The first byte picks the message.

#![no_main]

use bosc_fuzz::within;
use dht::fuzzing::{decode_holepunch, encode_holepunch};
use dht::hyper::messages::{Announce, Handshake, Holepunch, LookupReply, Mutable, Peer};
use dht::hyper::noise_payload::{NoisePayload, VERSION};
use dht::hyper::secure_payload::SecurePayload;
use dht::rpc::message::Message;
use libfuzzer_sys::fuzz_target;

macro_rules! again {
    ($kind:ident, $bytes:expr) => {
        if let Ok(message) = $kind::decode($bytes) {
            assert_eq!($kind::decode(&message.encode()).as_ref(), Ok(&message));
        }
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((pick, bytes)) = input.split_first() else {
        return;
    };
    // An IPv6 address of 18 bytes becomes 32, vectors grow by doubling, and what is read, written and read again is held at once.
    within(2048 + 16 * bytes.len(), || decode(pick % 11, bytes));
});

fn decode(pick: u8, bytes: &[u8]) {
    match pick {
        0 | 1 => {
            if let Ok(message) = Message::decode(bytes) {
                let again = match &message {
                    Message::Request(request) => request.encode(),
                    Message::Reply(reply) => reply.encode(),
                };
                assert_eq!(Message::decode(&again), Ok(message));
            }
        }
        2 => again!(Handshake, bytes),
        3 => again!(Holepunch, bytes),
        4 => again!(Peer, bytes),
        5 => {
            if let Ok(reply) = LookupReply::decode(bytes) {
                let records: Vec<Vec<u8>> = reply.peers.iter().map(Peer::encode).collect();
                let raw: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                let again = LookupReply::encode_raw(&raw, reply.bump);
                assert_eq!(LookupReply::decode(&again), Ok(reply));
            }
        }
        6 => again!(Announce, bytes),
        7 => {
            again!(Mutable, bytes);
            if let Ok((key, value)) = Mutable::decode_put(bytes) {
                assert_eq!(Mutable::decode_put(&value.encode_put(&key)), Ok((key, value)));
            }
        }
        8 => {
            if let Ok(payload) = NoisePayload::decode(bytes) {
                if payload.version == VERSION {
                    let again = NoisePayload::decode(&payload.encode()).expect("ours");
                    // The version of the secret stream is written as the one we speak.
                    let said = payload.secret_stream.map(|_| 1);
                    assert_eq!(
                        again,
                        NoisePayload {
                            secret_stream: said,
                            ..payload
                        }
                    );
                } else {
                    assert_eq!(
                        payload,
                        NoisePayload {
                            version: payload.version,
                            ..NoisePayload::default()
                        }
                    );
                }
            }
        }
        9 => {
            if let Ok(payload) = decode_holepunch(bytes) {
                assert_eq!(decode_holepunch(&encode_holepunch(&payload)), Ok(payload));
            }
        }
        _ => assert_eq!(
            SecurePayload::with_secret([7; 32]).open(bytes),
            None,
            "nobody seals without the secret"
        ),
    }
}
