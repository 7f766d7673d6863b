//! Proofs of a tree, valid ones and altered ones: a valid one holds, and of an altered one that the signature covers nothing is
//! taken but the nodes of the true tree. Nothing unverified is written, in other words.

#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use bosc_fuzz::within;
use bytes::Bytes;
use hypercore::merkle::{Batch, Node, NodeSource, TreeView, full_roots, prove, verify};
use hypercore::proof::{Data, Request, RequestBlock, RequestSeek, RequestUpgrade};
use libfuzzer_sys::fuzz_target;

const LENGTH: u64 = 70;

/// All nodes of the tree, and the tree at each length.
struct True {
    nodes: HashMap<u64, Node>,
    at: Vec<Batch>,
}

fn value(block: u64) -> Vec<u8> {
    vec![block as u8; (block * 7 % 5) as usize]
}

static TRUE: LazyLock<True> = LazyLock::new(|| {
    let mut tree = Batch::empty(0);
    let mut at = vec![tree.clone()];
    for block in 0..LENGTH {
        tree.append(&Node::leaf(block, &value(block)));
        at.push(Batch::from_roots(0, tree.length, tree.roots.clone()));
    }
    let nodes = tree.nodes.iter().map(|node| (node.index, *node)).collect();
    True { nodes, at }
});

impl NodeSource for &True {
    type Error = std::convert::Infallible;

    fn node(&self, index: u64) -> Result<Option<Node>, Self::Error> {
        Ok(self.nodes.get(&index).copied())
    }
}

#[derive(Debug, Arbitrary)]
struct Input {
    /// Length of who answers, and of who asks.
    length: u8,
    known: u8,
    block: Option<(u8, u8)>,
    hash: Option<(u8, u8)>,
    seek: Option<u8>,
    upgrade: Option<u8>,
    changes: Vec<Change>,
}

#[derive(Debug, Arbitrary)]
enum Change {
    Remove(u8, u8),
    Double(u8, u8),
    Swap(u8, u8, u8),
    Index(u8, u8, Number),
    Size(u8, u8, Number),
    Hash(u8, u8, u8),
    /// A node of the true tree, put in.
    Put(u8, u8, u8),
    Block(Number),
    Value(u8),
    HashIndex(Number),
    Bytes(Number),
    Upgrade(Number, Number),
    /// Parts left out.
    Without(u8),
}

#[derive(Debug, Arbitrary, Clone, Copy)]
enum Number {
    Small(u8),
    Near40(i8),
    Any(u64),
}

impl Number {
    fn get(self) -> u64 {
        match self {
            Self::Small(n) => n.into(),
            Self::Near40(delta) => (1u64 << 40).wrapping_add_signed(delta.into()),
            // As much as the wire carries.
            Self::Any(n) => n & ((1 << 53) - 1),
        }
    }
}

fuzz_target!(|input: Input| {
    let length = 1 + u64::from(input.length) % LENGTH;
    let known = u64::from(input.known) % (length + 1);
    let block_of = |(index, nodes): (u8, u8), room: u64| RequestBlock {
        index: u64::from(index) % room,
        nodes: (nodes % 9).into(),
    };
    let request = Request {
        block: input.block.map(|block| block_of(block, length)),
        hash: input.hash.map(|hash| block_of(hash, 2 * length)),
        seek: input.seek.map(|bytes| RequestSeek {
            bytes: bytes.into(),
            padding: 0,
        }),
        upgrade: input
            .upgrade
            .filter(|_| known < length)
            .map(|more| RequestUpgrade {
                start: known,
                length: 1 + u64::from(more) % (length - known),
            }),
        ..Request::default()
    };
    let view = TreeView {
        tree: &TRUE.at[length as usize],
        source: &&*TRUE,
        signature: b"",
        prologue: 0,
    };
    let Ok(mut data) = prove(&view, &request) else {
        return;
    };
    if let Some(block) = &mut data.block {
        block.value = value(block.index).into();
    }
    let base = &TRUE.at[known as usize];
    // Asked within what it knows, or for what the upgrade brings: then the answer must hold.
    if input.changes.is_empty() {
        let leaf = data
            .block
            .as_ref()
            .map(|block| Node::leaf(block.index, &block.value));
        if let Ok(verified) = verify(base.clone(), &data, leaf, None) {
            check(base, &data, verified);
        } else {
            assert!(
                request.upgrade.is_none()
                    || request.block.is_some()
                    || request.hash.is_some()
                    || request.seek.is_some()
            );
        }
        return;
    }
    input
        .changes
        .iter()
        .take(6)
        .for_each(|change| apply(change, &mut data));
    let leaf = data
        .block
        .as_ref()
        .map(|block| Node::leaf(block.index, &block.value));
    let nodes = lists(&mut data).iter().map(|list| list.len()).sum::<usize>();
    let verified = within(16 * 1024 + 512 * nodes, || {
        verify(base.clone(), &data, leaf, None)
    });
    if let Ok(verified) = verified {
        check(base, &data, verified);
    }
});

/// What would be taken over must be of the true tree.
fn check(base: &Batch, data: &Data, verified: hypercore::merkle::Verified) {
    let batch = &verified.batch;
    if data.upgrade.is_some() {
        // The signature: over any length that the writer ever had, and over nothing else.
        let signed = TRUE.at.get(batch.length as usize);
        if signed.is_none_or(|signed| signed.hash() != batch.hash()) {
            return;
        }
        assert!(batch.length >= base.length);
        assert!(
            batch
                .roots
                .iter()
                .map(|root| root.index)
                .eq(full_roots(batch.length))
        );
    }
    if let Some(root) = verified.unverified
        && TRUE.nodes.get(&root.index) != Some(&root)
    {
        return;
    }
    for node in &batch.nodes {
        assert_eq!(TRUE.nodes.get(&node.index), Some(node), "{data:?}");
    }
    if let Some(block) = &data.block {
        assert_eq!(block.value, value(block.index), "{data:?}");
    }
}

fn lists(data: &mut Data) -> Vec<&mut Vec<Node>> {
    let mut lists = Vec::new();
    lists.extend(data.block.as_mut().map(|block| &mut block.nodes));
    lists.extend(data.hash.as_mut().map(|hash| &mut hash.nodes));
    lists.extend(data.seek.as_mut().map(|seek| &mut seek.nodes));
    if let Some(upgrade) = &mut data.upgrade {
        lists.push(&mut upgrade.nodes);
        lists.push(&mut upgrade.additional_nodes);
    }
    lists
}

fn apply(change: &Change, data: &mut Data) {
    let (which, at) = match change {
        Change::Remove(which, at)
        | Change::Double(which, at)
        | Change::Swap(which, at, _)
        | Change::Index(which, at, _)
        | Change::Size(which, at, _)
        | Change::Hash(which, at, _)
        | Change::Put(which, at, _) => (usize::from(*which), usize::from(*at)),
        Change::Block(index) => {
            if let Some(block) = &mut data.block {
                block.index = index.get().min((1 << 40) - 1); // The core asks for that before.
            }
            return;
        }
        Change::Value(byte) => {
            if let Some(block) = &mut data.block {
                block.value = Bytes::from(vec![*byte; usize::from(*byte) % 6]);
            }
            return;
        }
        Change::HashIndex(index) => {
            if let Some(hash) = &mut data.hash {
                hash.index = index.get();
            }
            return;
        }
        Change::Bytes(bytes) => {
            if let Some(seek) = &mut data.seek {
                seek.bytes = bytes.get();
            }
            return;
        }
        Change::Upgrade(start, length) => {
            if let Some(upgrade) = &mut data.upgrade {
                (upgrade.start, upgrade.length) = (start.get(), length.get());
            }
            return;
        }
        Change::Without(parts) => {
            data.block.take_if(|_| parts & 1 != 0);
            data.hash.take_if(|_| parts & 2 != 0);
            data.seek.take_if(|_| parts & 4 != 0);
            data.upgrade.take_if(|_| parts & 8 != 0);
            return;
        }
    };
    let mut lists = lists(data);
    let count = lists.len();
    let Some(list) = lists.get_mut(which % count.max(1)) else {
        return;
    };
    let length = list.len();
    let at = at % (length + 1);
    match change {
        Change::Put(.., index) => {
            if let Some(node) = TRUE.nodes.get(&u64::from(*index)) {
                list.insert(at, *node);
            }
        }
        _ if at >= length => {}
        Change::Remove(..) => drop(list.remove(at)),
        Change::Double(..) => list.insert(at, list[at]),
        Change::Swap(.., other) => list.swap(at, usize::from(*other) % length),
        Change::Index(.., index) => list[at].index = index.get(),
        Change::Size(.., size) => list[at].size = size.get(),
        Change::Hash(.., byte) => list[at].hash[usize::from(*byte) % 32] ^= 1 + byte / 2,
        _ => {}
    }
}
