//! The hashes of the tree (npm `hypercore-crypto` index.js).

use base::hash::{Hasher, blake2b};

use super::Node;

/// The hash of a leaf: one block of data.
pub fn hash_leaf(value: &[u8]) -> [u8; 32] {
    blake2b(&[&[0], &(value.len() as u64).to_le_bytes(), value])
}

/// The hash of the parent of two siblings; the one with the lower index goes first.
pub fn hash_parent(a: &Node, b: &Node) -> [u8; 32] {
    let (left, right) = if a.index <= b.index { (a, b) } else { (b, a) };
    blake2b(&[
        &[1],
        &left.size.saturating_add(right.size).to_le_bytes(),
        &left.hash,
        &right.hash,
    ])
}

/// The tree hash: what a signature commits to, over the roots from left to right.
pub fn tree_hash(roots: &[Node]) -> [u8; 32] {
    let mut hasher = Hasher::new();
    hasher.update(&[2]);
    for root in roots {
        hasher.update(&root.hash);
        hasher.update(&root.index.to_le_bytes());
        hasher.update(&root.size.to_le_bytes());
    }
    hasher.finish()
}
