//! Wire messages and capabilities against those that npm `hypercore` 11.37.1 makes
//! (tests/vectors/scripts/hypercore-messages.js).

use bytes::Bytes;
use hypercore::crypto::replication_capability;
use hypercore::merkle::Node;
use hypercore::messages::*;
use hypercore::proof::{
    Data, DataBlock, DataHash, DataSeek, DataUpgrade, Request, RequestBlock, RequestSeek, RequestUpgrade,
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/hypercore/messages.json")).unwrap()
}

fn message(name: &str) -> Bytes {
    hex::decode(vectors()["messages"][name].as_str().unwrap())
        .unwrap()
        .into()
}

fn node(index: u64) -> Node {
    Node {
        index,
        size: 300 * index,
        hash: [index as u8; 32],
    }
}

#[test]
fn requests_are_upstreams() {
    let block = Request {
        block: Some(RequestBlock { index: 300, nodes: 4 }),
        ..Request::default()
    };
    let all = Request {
        fork: 3,
        block: Some(RequestBlock { index: 5, nodes: 2 }),
        hash: Some(RequestBlock { index: 6, nodes: 1 }),
        seek: Some(RequestSeek {
            bytes: 5_000_000_000,
            padding: 1,
        }),
        upgrade: Some(RequestUpgrade {
            start: 0,
            length: 1000,
        }),
        manifest: true,
        priority: 2,
    };
    for (name, id, request) in [("requestBlock", 1, block), ("requestAll", 70_000, all)] {
        assert_eq!(encode_request(id, &request), message(name), "{name}");
        assert_eq!(decode_request(&message(name)), Ok((id, request)), "{name}");
    }
    assert_eq!(encode_id(254), message("cancel"));
}

#[test]
fn answers_are_upstreams() {
    let block = Data {
        block: Some(DataBlock {
            index: 4,
            value: Bytes::from_static(b"block"),
            nodes: vec![node(1), node(2)],
        }),
        ..Data::default()
    };
    let proofs = Data {
        fork: 1,
        hash: Some(DataHash {
            index: 7,
            nodes: vec![node(3)],
        }),
        seek: Some(DataSeek {
            bytes: 900,
            nodes: Vec::new(),
        }),
        upgrade: Some(DataUpgrade {
            start: 2,
            length: 9,
            nodes: vec![node(5)],
            additional_nodes: vec![node(6)],
            signature: vec![8; 64],
        }),
        ..Data::default()
    };
    for (name, id, data) in [("dataBlock", 1, block), ("dataProofs", 300, proofs)] {
        assert_eq!(encode_data(id, &data), message(name), "{name}");
        assert_eq!(decode_data(&message(name)), Ok((id, data)), "{name}");
    }
    assert_eq!(encode_no_data(300, INVALID_REQUEST), message("noData"));
}

#[test]
fn states_and_ranges_are_upstreams() {
    let bare = Sync {
        fork: 2,
        length: 70_000,
        remote_length: 300,
        ..Sync::default()
    };
    let full = Sync {
        can_upgrade: true,
        uploading: true,
        downloading: true,
        has_manifest: true,
        allow_push: true,
        ..bare
    };
    for (name, sync) in [("syncBare", bare), ("syncFull", full)] {
        assert_eq!(sync.encode(), message(name), "{name}");
        assert_eq!(Sync::decode(&message(name)), Ok(sync), "{name}");
    }
    let (start, length) = (1 << 21, 1 << 21);
    let many = Want {
        start,
        length,
        any: false,
    };
    let any = Want {
        start: 1,
        length: 2,
        any: true,
    };
    for (name, want) in [("want", many), ("wantAny", any)] {
        assert_eq!(want.encode(), message(name), "{name}");
        assert_eq!(Want::decode(&message(name)), Ok(want), "{name}");
    }
    for (name, drop, length) in [("rangeOne", false, 1), ("rangeDrop", true, 500)] {
        let range = Range {
            drop,
            start: 9,
            length,
        };
        assert_eq!(range.encode(), message(name), "{name}");
        assert_eq!(Range::decode(&message(name)), Ok(range), "{name}");
    }
    let words = vec![1, 0xdead_beef];
    assert_eq!(encode_bitfield(32, &words), message("bitfield"));
    assert_eq!(decode_bitfield(&message("bitfield")), Ok((32, words)));
}

#[test]
fn handshakes_and_capabilities_are_upstreams() {
    assert_eq!(encode_handshake(&[9; 32]), message("handshake"));
    assert_eq!(decode_handshake(&message("handshake")), Ok([9; 32]));
    for (i, is_initiator) in [true, false].into_iter().enumerate() {
        let ours = replication_capability(is_initiator, &[3; 32], &[5; 64]);
        assert_eq!(hex::encode(ours), vectors()["capability"][i].as_str().unwrap());
    }
}
