//! Transcripts recorded from the JavaScript packages; see tests/vectors/scripts/secret-stream.js.

use secret_stream::noise::{Handshake, HandshakeResult, Pattern};
use secret_stream::{KeyPair, Pull, Push, stream_id};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../tests/vectors/secret-stream/vectors.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

#[test]
fn handshakes_give_the_recorded_messages_and_keys() {
    let vectors = vectors();
    for case in vectors["handshakes"].as_array().unwrap() {
        let pattern = if case["pattern"] == "XX" {
            Pattern::XX
        } else {
            Pattern::IK
        };
        let statics = [0, 1].map(|side| KeyPair::from_seed(array(&case["staticSeeds"][side])));
        let [mut a, mut b] = [0, 1].map(|side| {
            Handshake::new(
                pattern,
                side == 0,
                &statics[side],
                &bytes(&case["prologue"]),
                (pattern == Pattern::IK && side == 0).then_some(statics[1].public_key),
            )
            .unwrap()
            .with_ephemeral(KeyPair::from_seed(array(&case["ephemeralSeeds"][side])))
        });
        let (mut from, mut to) = (&mut a, &mut b);
        for step in case["messages"].as_array().unwrap() {
            let message = from.send(&bytes(&step["payload"])).unwrap();
            assert_eq!(hex::encode(&message), step["message"].as_str().unwrap());
            assert_eq!(to.recv(&message).unwrap(), bytes(&step["payload"]));
            std::mem::swap(&mut from, &mut to);
        }
        let [a, b]: [HandshakeResult; 2] = [a.finish().unwrap(), b.finish().unwrap()];
        assert_eq!(a.tx, array::<32>(&case["initiatorTx"]));
        assert_eq!(a.rx, array::<32>(&case["initiatorRx"]));
        assert_eq!((b.rx, b.tx), (a.tx, a.rx));
        assert_eq!(a.hash, array::<64>(&case["hash"]));
        assert_eq!(b.hash, a.hash);
        assert_eq!(
            (a.remote_public_key, b.remote_public_key),
            (statics[1].public_key, statics[0].public_key)
        );
        assert_eq!(stream_id(&a.hash, true), array::<32>(&case["ids"][0]));
        assert_eq!(stream_id(&a.hash, false), array::<32>(&case["ids"][1]));
    }
}

#[test]
fn sealed_messages_are_the_recorded_ones() {
    let vectors = vectors();
    let case = &vectors["secretstream"];
    let (key, header) = (array(&case["key"]), array(&case["header"]));
    let (mut push, mut pull) = (Push::new(&key, &header), Pull::new(&key, &header));
    for frame in case["frames"].as_array().unwrap() {
        let (plain, mut sealed) = (bytes(&frame["plain"]), bytes(&frame["sealed"]));
        let mut own = vec![0; plain.len() + 17];
        own[1..=plain.len()].copy_from_slice(&plain);
        push.seal(&mut own);
        assert_eq!(own, sealed, "{} bytes", plain.len());
        assert_eq!(pull.open(&mut sealed).unwrap(), plain);
    }
    for frame in [&case["rekey"], &case["after"]] {
        assert_eq!(
            pull.open(&mut bytes(&frame["sealed"])).unwrap(),
            bytes(&frame["plain"])
        );
    }
}
