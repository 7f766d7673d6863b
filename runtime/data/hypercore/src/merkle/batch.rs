//! A tree in the making: the roots of a core plus the nodes that appended blocks or a peer's proof add.

use std::collections::HashMap;

use super::{Cursor, MAX_LENGTH, Node, full_roots, tree_hash};

/// A tree that grows. It holds roots, not the whole tree; new nodes are collected for storage.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Fork: how many times the core was truncated.
    pub fork: u64,
    /// Length in blocks.
    pub length: u64,
    /// Length in bytes.
    pub byte_length: u64,
    /// Roots, left to right.
    pub roots: Vec<Node>,
    /// Nodes made since the batch began.
    pub nodes: Vec<Node>,
    /// Whether the roots changed.
    pub upgraded: bool,
}

impl Batch {
    /// An empty tree.
    pub fn empty(fork: u64) -> Self {
        Self {
            fork,
            ..Self::default()
        }
    }

    /// A tree that starts from the given roots.
    pub fn from_roots(fork: u64, length: u64, roots: Vec<Node>) -> Self {
        let byte_length = roots
            .iter()
            .fold(0, |sum: u64, root| sum.saturating_add(root.size));
        Self {
            fork,
            length,
            byte_length,
            roots,
            nodes: Vec::new(),
            upgraded: false,
        }
    }

    /// This tree as the start of a new batch.
    pub fn without_nodes(&self) -> Self {
        Self::from_roots(self.fork, self.length, self.roots.clone())
    }

    /// The tree hash.
    pub fn hash(&self) -> [u8; 32] {
        tree_hash(&self.roots)
    }

    /// Appends the leaf of the next block.
    pub fn append(&mut self, leaf: &Node) {
        let mut cursor = Cursor::new(2 * self.length);
        self.append_root(*leaf, &mut cursor);
    }

    /// Appends a full subtree, given by its root at the cursor, and merges roots that now have a sibling. The cursor
    /// ends on the last root.
    pub(super) fn append_root(&mut self, node: Node, cursor: &mut Cursor) {
        self.upgraded = true;
        self.length = self.length.saturating_add(cursor.leaves());
        self.byte_length = self.byte_length.saturating_add(node.size);
        self.roots.push(node);
        self.nodes.push(node);
        while let [.., left, right] = self.roots.as_slice() {
            if cursor.sibling() != left.index {
                cursor.sibling();
                break;
            }
            let Ok(index) = cursor.parent() else { break };
            let parent = Node::parent(index, right, left);
            self.nodes.push(parent);
            self.roots.truncate(self.roots.len() - 2);
            self.roots.push(parent);
        }
    }

    /// This tree, `blocks` longer, with the nodes of a multi-signature patch; `None` if they do not fit together.
    pub(crate) fn extended_by(&self, patch: &[Node], blocks: u64) -> Option<Self> {
        let to = self.length.checked_add(blocks).filter(|to| *to <= MAX_LENGTH)?;
        let known: HashMap<u64, Node> = patch.iter().map(|node| (node.index, *node)).collect();
        let mut longer = self.clone();
        while longer.length < to {
            // The largest aligned subtree that starts at the current length and ends within `to`.
            let mut cursor = Cursor::new(2 * longer.length);
            let mut best = cursor.clone();
            while cursor.left_span() == 2 * longer.length && cursor.right_span() < 2 * to {
                best = cursor.clone();
                cursor.parent().ok()?;
            }
            // Patches may name a lower node where the higher one crosses the old head.
            let node = loop {
                if let Some(node) = known.get(&best.index()) {
                    break *node;
                }
                if best.factor() == 2 {
                    return None;
                }
                best.left_child();
            };
            longer.append_root(node, &mut best);
        }
        let expected = full_roots(to);
        (longer.roots.iter().map(|root| root.index).eq(expected)).then_some(longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_follow_the_flat_tree() {
        let mut tree = Batch::empty(0);
        for block in 0..100 {
            assert_eq!(
                tree.roots.iter().map(|root| root.index).collect::<Vec<_>>(),
                full_roots(block)
            );
            tree.append(&Node::leaf(block, &[block as u8; 3]));
            assert_eq!(tree.byte_length, 3 * (block + 1));
        }
        // A tree of n leaves with r roots has 2n - r nodes.
        assert_eq!(tree.nodes.len(), 200 - tree.roots.len());
    }

    #[test]
    fn a_patch_extends() {
        let mut long = Batch::empty(0);
        let mut short = Batch::empty(0);
        for block in 0..13 {
            let leaf = Node::leaf(block, &[block as u8]);
            long.append(&leaf);
            if block < 5 {
                short.append(&leaf);
            }
        }
        let extended = short.extended_by(&long.nodes, 8).unwrap();
        assert_eq!(extended.hash(), long.hash());
        assert!(short.extended_by(&long.nodes, 9).is_none());
        assert!(short.extended_by(&[], 8).is_none());
    }
}
