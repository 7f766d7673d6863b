//! Hashes, namespaces and signed bytes as npm `hypercore` and `hypercore-crypto` make them
//! (tests/vectors/scripts/hypercore-keys.js).

use hypercore::merkle::{self, Node};
use hypercore::{Key, KeyPair, crypto, signature};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/hypercore/keys.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn keys_and_discovery_keys() {
    let v = vectors();
    for case in list(&v["discovery_keys"]) {
        let (key, expected) = (array(&case["key"]), array::<32>(&case["discovery_key"]));
        assert_eq!(Key(key).discovery_key().0, expected);
        assert_eq!(Key(key).discovery_key().0, expected);
    }
    let pair = KeyPair::from_seed(array(&v["key_pair"]["seed"]));
    assert_eq!(pair.public_key.0, array::<32>(&v["key_pair"]["public_key"]));
    assert_eq!(*pair.secret_key(), array::<64>(&v["key_pair"]["secret_key"]));
}

#[test]
fn hashes_of_the_tree() {
    let v = vectors();
    for case in list(&v["leaves"]) {
        let block = vec![7; uint(&case["length"]) as usize];
        assert_eq!(merkle::hash_leaf(&block), array::<32>(&case["hash"]));
    }
    let node = |value: &Value| Node {
        index: uint(&value["index"]),
        size: uint(&value["size"]),
        hash: array(&value["hash"]),
    };
    let nodes: Vec<Node> = list(&v["nodes"]).iter().map(node).collect();
    assert_eq!(
        merkle::hash_parent(&nodes[0], &nodes[1]),
        array::<32>(&v["parent"])
    );
    assert_eq!(
        merkle::hash_parent(&nodes[1], &nodes[0]),
        array::<32>(&v["parent"])
    );
    assert_eq!(merkle::tree_hash(&nodes), array::<32>(&v["tree"]));
    assert_eq!(merkle::tree_hash(&[]), array::<32>(&v["empty_tree"]));
}

#[test]
fn namespaces_and_capabilities() {
    let v = vectors();
    let namespaces: Vec<[u8; 32]> = list(&v["namespaces"]).iter().map(array).collect();
    assert_eq!(base::hash::namespaces("hypercore", 6), namespaces);
    assert_eq!(*crypto::MANIFEST, array::<32>(&v["others"]["manifest"]));
    assert_eq!(
        *crypto::DEFAULT_NAMESPACE,
        array::<32>(&v["others"]["default_namespace"])
    );
    for (initiator, expected) in [true, false].into_iter().zip(list(&v["capabilities"])) {
        assert_eq!(
            crypto::replication_capability(initiator, &[3; 32], &[5; 64]),
            array::<32>(expected)
        );
    }
}

#[test]
fn what_signatures_cover() {
    for case in list(&vectors()["signables"]) {
        let (length, fork) = (uint(&case["length"]), uint(&case["fork"]));
        let (context, hash) = (array(&case["context"]), array(&case["hash"]));
        assert_eq!(
            signature::signable(&context, &hash, length, fork)[..],
            bytes(&case["signable"])
        );
        assert_eq!(
            signature::signable_compat(&hash, length, fork),
            bytes(&case["compat"])
        );
    }
}
