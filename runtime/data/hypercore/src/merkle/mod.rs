//! The Merkle tree of a core, as pure arithmetic over flat-tree indices: batches, proofs, seeks.
//!
//! Nodes are numbered in order (npm `flat-tree`): block `i` is node `2i`, parents are odd. The algorithms follow npm
//! `hypercore` lib/merkle-tree.js. Nothing here touches storage: a [`NodeSource`] hands out stored nodes.

mod audit;
mod batch;
mod cursor;
mod hash;
mod prove;
mod seek;
mod verify;

pub use audit::{Audit, audit, beneath};
use base::wire::{DecodeError, Reader, Writer};
pub use batch::Batch;
pub use cursor::Cursor;
pub use hash::{hash_leaf, hash_parent, tree_hash};
pub use prove::{ProveError, TreeView, prove};
pub use seek::{SeekResult, byte_offset, seek};
pub use verify::{Verified, VerifyError, verify};

/// The longest core we handle, in blocks: 2^40, about 64 PiB of 64 KiB blocks. It keeps every index in 42 bits.
pub const MAX_LENGTH: u64 = 1 << 40;

/// One node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Flat-tree index.
    pub index: u64,
    /// Bytes of block data beneath it.
    pub size: u64,
    /// BLAKE2b-256.
    pub hash: [u8; 32],
}

impl Node {
    /// The leaf of block `block` with this value.
    pub fn leaf(block: u64, value: &[u8]) -> Self {
        Self {
            index: 2 * block,
            size: value.len() as u64,
            hash: hash_leaf(value),
        }
    }

    /// The leaves of many blocks at once, in less than half the time: each block's number and its value.
    pub fn leaves(blocks: &[(u64, &[u8])]) -> Vec<Self> {
        let values: Vec<&[u8]> = blocks.iter().map(|(_, value)| *value).collect();
        let leaf = |((block, value), hash): (&(u64, &[u8]), [u8; 32])| Self {
            index: 2 * block,
            size: value.len() as u64,
            hash,
        };
        blocks.iter().zip(hash::hash_leaves(&values)).map(leaf).collect()
    }

    /// The parent, at `index`, of two siblings.
    pub fn parent(index: u64, a: &Self, b: &Self) -> Self {
        Self {
            index,
            size: a.size.saturating_add(b.size),
            hash: hash_parent(a, b),
        }
    }
}

/// Where stored nodes come from.
pub trait NodeSource {
    /// How looking one up fails.
    type Error;

    /// The node at a flat-tree index, if it is stored.
    fn node(&self, index: u64) -> Result<Option<Node>, Self::Error>;
}

/// The roots of a tree of `length` blocks, left to right.
pub fn full_roots(length: u64) -> Vec<u64> {
    let mut roots = Vec::with_capacity(40);
    flat_tree::full_roots(2 * length, &mut roots);
    roots
}

/// How many levels above node `index` are missing until one that is stored, in a tree of `length` blocks; the number that
/// goes into a request, so that the answer proves no more than needed. 0 if the node lies outside the tree.
pub fn missing_nodes<S: NodeSource>(source: &S, index: u64, length: u64) -> Result<u64, S::Error> {
    let head = 2 * length;
    let mut cursor = Cursor::new(index);
    if cursor.right_span() >= head {
        return Ok(0);
    }
    let mut count = 0;
    while !cursor.contains(head) && source.node(cursor.index())?.is_none() {
        count += 1;
        if cursor.parent().is_err() {
            break;
        }
    }
    Ok(count)
}

/// Encoded size of the smallest node: two one-byte integers and a hash.
const MIN_NODE: usize = 34;

/// Reads an array of nodes.
pub fn read_nodes(reader: &mut Reader<'_>) -> Result<Vec<Node>, DecodeError> {
    reader.list(MIN_NODE, |reader| {
        Ok(Node {
            index: reader.uint()?,
            size: reader.uint()?,
            hash: reader.fixed()?,
        })
    })
}

/// Writes an array of nodes.
pub fn write_nodes(w: &mut Writer, nodes: &[Node]) {
    w.list(nodes, |w, node| {
        w.uint(node.index).uint(node.size).raw(&node.hash)
    });
}
