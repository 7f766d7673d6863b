//! Two cores that exchange requests and proofs by hand.

#![allow(dead_code)] // Each test file uses a part of it.

use bytes::Bytes;
use core_store::{Core, CoreOptions, Storage};
use hypercore::KeyPair;
use hypercore::proof::{Request, RequestBlock, RequestUpgrade};
use hypercore::replication::Handshake;

/// A core that one signer writes, in a store.
pub(crate) fn core_of(storage: &Storage, seed: u8) -> Core {
    let options = CoreOptions {
        key_pair: Some(KeyPair::from_seed([seed; 32])),
        ..Default::default()
    };
    Core::open(storage, options).unwrap()
}

pub(crate) fn reader(of: &Core) -> Core {
    let storage = Storage::in_memory().unwrap();
    Core::open(
        &storage,
        CoreOptions {
            key: Some(of.key()),
            ..Default::default()
        },
    )
    .unwrap()
}

pub(crate) fn block(seed: u64) -> Bytes {
    Bytes::from(vec![seed as u8; (seed % 37) as usize])
}

pub(crate) fn append(core: &Core, count: u64) {
    let start = core.length();
    let blocks: Vec<Bytes> = (start..start + count).map(block).collect();
    core.append(&blocks).unwrap();
}

pub(crate) fn upgrade_request(from: &Core, to: &Core) -> Request {
    let same_fork = from.fork() == to.fork();
    let start = if same_fork { to.length() } else { 0 };
    Request {
        fork: from.fork(),
        upgrade: Some(RequestUpgrade {
            start,
            length: from.length() - start,
        }),
        manifest: to.manifest().is_none(),
        ..Default::default()
    }
}

pub(crate) fn upgrade(from: &Core, to: &Core) {
    if (from.fork(), from.length()) != (to.fork(), to.length()) && from.length() > 0 {
        let data = from.create_proof(&upgrade_request(from, to)).unwrap().unwrap();
        to.verify(data).unwrap();
    }
}

pub(crate) fn block_request(to: &Core, index: u64) -> Request {
    let nodes = to.missing_nodes(2 * index).unwrap();
    Request {
        fork: to.fork(),
        block: Some(RequestBlock { index, nodes }),
        ..Default::default()
    }
}

pub(crate) fn fetch(from: &Core, to: &Core, index: u64) {
    let data = from.create_proof(&block_request(to, index)).unwrap().unwrap();
    assert_eq!(to.verify(data).unwrap().block, Some(index));
}

/// Both sides' view of a connection's handshake.
pub(crate) fn handshakes(number: u8) -> [Handshake; 2] {
    [(true, 200), (false, 100)].map(|(is_initiator, remote)| Handshake {
        is_initiator,
        hash: [number; 64],
        remote_public_key: hypercore::PublicKey([remote; 32]),
    })
}
