//! Trees, proofs, seeks, manifests and signatures as npm `hypercore` makes them (tests/vectors/hypercore/core.json, recorded by
//! tests/vectors/scripts/hypercore.js).

use std::sync::LazyLock;

use bytes::Bytes;
use core_store::{Core, CoreOptions, Storage};
use hypercore::manifest::Manifest;
use hypercore::merkle::{Batch, Node, SeekResult};
use hypercore::proof::{
    Data, DataBlock, DataHash, DataSeek, DataUpgrade, Request, RequestBlock, RequestSeek, RequestUpgrade,
};
use hypercore::{Key, KeyPair, signature};
use serde_json::Value;

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../tests/vectors/hypercore/core.json")).unwrap()
});

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn hash(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn given(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| !value.is_null())
}

fn block(index: u64) -> Bytes {
    vec![index as u8 + 1; (index * 5 % 7) as usize].into()
}

/// A writable core of `length` blocks, as the script made it.
fn core(length: u64) -> Core {
    let key_pair = Some(KeyPair::from_seed([1; 32]));
    let options = CoreOptions {
        key_pair,
        ..CoreOptions::default()
    };
    let core = Core::open(&Storage::in_memory().unwrap(), options).unwrap();
    core.append(&(0..length).map(block).collect::<Vec<_>>()).unwrap();
    core
}

fn nodes(indices: &Value) -> Vec<Node> {
    let node = |index: &Value| {
        let stored = &VECTORS["nodes"][uint(index).to_string()];
        Node {
            index: uint(index),
            size: uint(&stored[0]),
            hash: hash(&stored[1]),
        }
    };
    list(indices).iter().map(node).collect()
}

fn request(value: &Value) -> Request {
    let block = |value: &Value| RequestBlock {
        index: uint(&value["index"]),
        nodes: uint(&value["nodes"]),
    };
    Request {
        block: given(&value["block"]).map(block),
        hash: given(&value["hash"]).map(block),
        seek: given(&value["seek"]).map(|seek| RequestSeek {
            bytes: uint(&seek["bytes"]),
            padding: uint(&seek["padding"]),
        }),
        upgrade: given(&value["upgrade"]).map(|upgrade| RequestUpgrade {
            start: uint(&upgrade["start"]),
            length: uint(&upgrade["length"]),
        }),
        ..Request::default()
    }
}

fn proof(value: &Value) -> Data {
    Data {
        fork: uint(&value["fork"]),
        block: given(&value["block"]).map(|part| DataBlock {
            index: uint(&part["index"]),
            value: block(uint(&part["index"])),
            nodes: nodes(&part["nodes"]),
        }),
        hash: given(&value["hash"]).map(|part| DataHash {
            index: uint(&part["index"]),
            nodes: nodes(&part["nodes"]),
        }),
        seek: given(&value["seek"]).map(|part| DataSeek {
            bytes: uint(&part["bytes"]),
            nodes: nodes(&part["nodes"]),
        }),
        upgrade: given(&value["upgrade"]).map(|part| DataUpgrade {
            start: uint(&part["start"]),
            length: uint(&part["length"]),
            nodes: nodes(&part["nodes"]),
            additional_nodes: nodes(&part["additional"]),
            signature: bytes(&part["signature"]),
        }),
        manifest: None,
    }
}

#[test]
fn trees_and_signatures_are_upstreams() {
    for tree in list(&VECTORS["trees"]) {
        let length = uint(&tree["length"]);
        let core = core(length);
        assert_eq!(core.key().0, hash(&VECTORS["key"]));
        assert_eq!(core.byte_length(), uint(&tree["byteLength"]));
        assert_eq!(core.tree_hash(length).unwrap(), hash(&tree["hash"]));
        let roots: Vec<u64> = core.tree().roots.iter().map(|root| root.index).collect();
        assert_eq!(serde_json::json!(roots), tree["roots"]);
        let asked = Request {
            upgrade: Some(RequestUpgrade { start: 0, length }),
            ..Request::default()
        };
        let upgrade = core.create_proof(&asked).unwrap().unwrap().upgrade.unwrap();
        assert_eq!(upgrade.signature, bytes(&tree["signature"]), "length {length}");
    }
    let cut = &VECTORS["truncated"];
    let length = uint(&cut["length"]);
    let core = core(21);
    core.truncate(length, None).unwrap();
    assert_eq!(core.fork(), uint(&cut["fork"]));
    assert_eq!(core.tree_hash(length).unwrap(), hash(&cut["hash"]));
    let asked = Request {
        fork: 1,
        upgrade: Some(RequestUpgrade { start: 0, length }),
        ..Request::default()
    };
    let upgrade = core.create_proof(&asked).unwrap().unwrap().upgrade.unwrap();
    assert_eq!(upgrade.signature, bytes(&cut["signature"]));
}

/// A seek beside a block or node to the right of the first root: upstream takes its offset for NaN there, so that it answers
/// offsets outside the subtree, which we refuse.
fn is_miscounted(asked: &Value, length: u64) -> bool {
    let target = asked["block"]["index"]
        .as_u64()
        .map(|index| 2 * index)
        .or(asked["hash"]["index"].as_u64());
    let first_root = hypercore::merkle::full_roots(length).first().map(|root| 2 * root);
    given(&asked["seek"]).is_some() && target > first_root
}

#[test]
fn proofs_are_upstreams() {
    let mut different = Vec::new();
    for tree in list(&VECTORS["trees"]) {
        let length = uint(&tree["length"]);
        let core = core(length);
        for case in list(&tree["proofs"]) {
            // Refusals come in two forms here, one error there.
            let ours = core.create_proof(&request(&case["request"])).ok().flatten();
            if ours.is_none() && is_miscounted(&case["request"], length) {
                continue;
            }
            if ours != given(&case["proof"]).map(proof) {
                different.push(format!(
                    "length {length}, {}: {ours:?}, not {}",
                    case["request"], case["proof"]
                ));
            }
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
fn upstreams_proofs_are_taken() {
    for tree in list(&VECTORS["trees"]) {
        let length = uint(&tree["length"]);
        for case in list(&tree["proofs"]) {
            let Some(theirs) = given(&case["proof"]) else {
                continue;
            };
            let data = proof(theirs);
            // Without an upgrade the proof speaks of the whole tree, else of what its asker had.
            let have = data.upgrade.as_ref().map_or(length, |upgrade| upgrade.start);
            let options = CoreOptions {
                manifest: Some(Manifest::single(KeyPair::from_seed([1; 32]).public_key)),
                ..CoreOptions::default()
            };
            let reader = Core::open(&Storage::in_memory().unwrap(), options).unwrap();
            if have > 0 {
                let asked = Request {
                    upgrade: Some(RequestUpgrade {
                        start: 0,
                        length: have,
                    }),
                    ..Request::default()
                };
                reader
                    .verify(core(have).create_proof(&asked).unwrap().unwrap())
                    .unwrap();
            }
            // A request may count fewer levels than its asker lacks; then upstream cannot check the answer either.
            let nodes = case["request"]["block"]["nodes"]
                .as_u64()
                .or(case["request"]["hash"]["nodes"].as_u64());
            let index = data
                .block
                .as_ref()
                .map(|block| 2 * block.index)
                .or(data.hash.as_ref().map(|hash| hash.index));
            if let (Some(nodes), Some(index)) = (nodes, index)
                && index < 2 * have
                && nodes != reader.missing_nodes(index).unwrap()
            {
                continue;
            }
            let wanted = data.block.clone();
            let applied = reader.verify(data.clone());
            let applied =
                applied.unwrap_or_else(|error| panic!("length {length}, {}: {error}", case["request"]));
            assert_eq!(applied.upgraded, data.upgrade.is_some());
            assert_eq!(reader.tree_hash(length).unwrap(), hash(&tree["hash"]));
            if let Some(wanted) = wanted {
                assert_eq!(reader.get_local(wanted.index).unwrap(), Some(wanted.value));
            }
        }
    }
}

#[test]
fn seeks_are_upstreams() {
    for tree in list(&VECTORS["trees"]) {
        let length = uint(&tree["length"]);
        let core = core(length);
        for (bytes, found) in (0..).zip(list(&tree["seeks"])) {
            let (block, offset) = (uint(&found[0]), uint(&found[1]));
            assert_eq!(
                core.seek_local(bytes).unwrap(),
                SeekResult::Found { block, offset },
                "length {length}, byte {bytes}"
            );
        }
    }
}

#[test]
fn manifests_are_upstreams() {
    for (name, case) in VECTORS["manifests"].as_object().unwrap() {
        let encoded = bytes(&case["encoded"]);
        let manifest = Manifest::decode(&encoded).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(manifest.encode(), encoded, "{name}");
        assert_eq!(manifest.key().0, hash(&case["key"]), "{name}");
    }
}

#[test]
fn signatures_are_judged_as_upstream_does() {
    let recorded = &VECTORS["signatures"];
    let mut tree = Batch::empty(0);
    for index in 0..uint(&recorded["length"]) {
        tree.append(&Node::leaf(index, &block(index)));
    }
    assert_eq!(tree.hash(), hash(&recorded["hash"]));
    for case in list(&recorded["cases"]) {
        let manifest = Manifest::decode(&bytes(&case["manifest"]));
        let accepted = manifest.is_ok_and(|manifest| {
            signature::verify(
                &manifest,
                &Key(hash(&case["key"])),
                &tree,
                &bytes(&case["signature"]),
            )
        });
        assert_eq!(accepted, case["accepted"].as_bool().unwrap(), "{}", case["name"]);
    }
}

/// Row ids hold 41 bits of an index. A block number beyond them must not be taken for the block whose row it would share.
#[test]
fn a_block_number_out_of_range_is_refused() {
    let writer = core(5);
    for index in [1 << 40, 1 << 41, (1 << 41) + 3, 1 << 53, u64::MAX] {
        let data = Data {
            block: Some(DataBlock {
                index,
                value: block(0),
                nodes: Vec::new(),
            }),
            ..Data::default()
        };
        assert!(writer.verify(data).is_err(), "block {index} was taken");
        writer.flush().unwrap();
        assert!(!writer.has(index));
        assert_eq!(writer.get_local(3).unwrap(), Some(block(3)));
    }
}
