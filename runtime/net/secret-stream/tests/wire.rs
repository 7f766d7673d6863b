//! The bytes on the wire after a handshake, as npm `@hyperswarm/secret-stream` writes them on both sides; see
//! tests/vectors/scripts/secret-stream-wire.js.

use base::hash::namespace;
use bytes::BytesMut;
use secret_stream::noise::HandshakeResult;
use secret_stream::{FrameDecoder, KeyPair, MAX_FRAME, SecretStream};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../tests/vectors/secret-stream/wire.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn handshake(v: &Value, is_initiator: bool) -> HandshakeResult {
    let (tx, rx) = (array(&v["initiator_tx"]), array(&v["initiator_rx"]));
    let keys = [1, 2].map(|seed| KeyPair::from_seed([seed; 32]).public_key);
    HandshakeResult {
        tx: if is_initiator { tx } else { rx },
        rx: if is_initiator { rx } else { tx },
        hash: array(&v["hash"]),
        public_key: keys[usize::from(!is_initiator)],
        remote_public_key: keys[usize::from(is_initiator)],
        is_initiator,
    }
}

#[test]
fn each_side_writes_the_recorded_bytes_and_reads_the_others() {
    let v = vectors();
    let messages: Vec<Vec<u8>> = v["messages"].as_array().unwrap().iter().map(bytes).collect();
    for (is_initiator, own, other) in [
        (true, "initiator", "responder"),
        (false, "responder", "initiator"),
    ] {
        let recorded = bytes(&v[own]);
        // Three bytes of length and 32 of id, then the random header of the cipher.
        let header = recorded[35..59].try_into().unwrap();
        let mut stream = SecretStream::with_header(&handshake(&v, is_initiator), &header);
        let mut wire = BytesMut::from(&stream.header()[..]);
        for message in &messages {
            stream.seal(message, &mut wire).unwrap();
        }
        assert!(wire == recorded[..], "what the {own} writes");

        let mut incoming = BytesMut::from(&bytes(&v[other])[..]);
        let mut frames = FrameDecoder::new(MAX_FRAME);
        let mut read = Vec::new();
        while let Some(frame) = frames.next(&mut incoming).unwrap() {
            read.extend(stream.open(frame).unwrap().map(|message| message.to_vec()));
        }
        assert!(read == messages, "what the {own} reads");
        assert!(incoming.is_empty());
    }
}

#[test]
fn namespaces_are_upstreams() {
    for (index, expected) in (0..).zip(vectors()["namespaces"].as_array().unwrap()) {
        assert_eq!(
            namespace("hyperswarm/secret-stream", index),
            array::<32>(expected)
        );
    }
}
