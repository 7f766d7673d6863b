//! The tree nodes that a batch has loaded or made, in memory. Nodes and child pointers are numbered, because a child
//! pointer moves between nodes (split, borrow, merge) while earlier writes of the same batch still refer to it.

use bytes::Bytes;

use crate::messages::{Child, Level};

/// A tree node has at least this many keys, unless it is the root (npm `hyperbee`: `MIN_KEYS`).
pub(crate) const MIN_KEYS: usize = 4;
/// A node that reaches this many keys is split (npm `hyperbee`: `MAX_CHILDREN`).
pub(crate) const MAX_CHILDREN: usize = MIN_KEYS * 2 + 1;

/// Number of a node in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(usize);
/// Number of a child pointer in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildId(usize);

/// A key: the block that wrote it and, once needed, its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) seq: u64,
    pub(crate) bytes: Option<Bytes>,
}

#[derive(Debug, Default)]
pub(crate) struct TreeNode {
    pub(crate) keys: Vec<Key>,
    pub(crate) children: Vec<ChildId>,
    pub(crate) changed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildSlot {
    pub(crate) at: Child,
    pub(crate) node: Option<NodeId>,
}

/// Owner of all nodes. Ids come only from this arena, so that look-ups cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    nodes: Vec<TreeNode>,
    children: Vec<ChildSlot>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "the arena gave the number out, and forgets none"
)]
impl std::ops::Index<NodeId> for Arena {
    type Output = TreeNode;
    fn index(&self, id: NodeId) -> &TreeNode {
        &self.nodes[id.0]
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the arena gave the number out, and forgets none"
)]
impl std::ops::IndexMut<NodeId> for Arena {
    fn index_mut(&mut self, id: NodeId) -> &mut TreeNode {
        &mut self.nodes[id.0]
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the arena gave the number out, and forgets none"
)]
impl std::ops::Index<ChildId> for Arena {
    type Output = ChildSlot;
    fn index(&self, id: ChildId) -> &ChildSlot {
        &self.children[id.0]
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the arena gave the number out, and forgets none"
)]
impl std::ops::IndexMut<ChildId> for Arena {
    fn index_mut(&mut self, id: ChildId) -> &mut ChildSlot {
        &mut self.children[id.0]
    }
}

impl Arena {
    /// An empty node, to be written.
    pub(crate) fn create(&mut self) -> NodeId {
        self.nodes.push(TreeNode {
            changed: true,
            ..TreeNode::default()
        });
        NodeId(self.nodes.len() - 1)
    }

    /// A node read from a block.
    pub(crate) fn load(&mut self, level: &Level) -> NodeId {
        let keys = level.keys.iter().map(|&seq| Key { seq, bytes: None }).collect();
        let children = level.children.iter().map(|&at| self.child(at, None)).collect();
        self.nodes.push(TreeNode {
            keys,
            children,
            changed: false,
        });
        NodeId(self.nodes.len() - 1)
    }

    /// A pointer to a node that has no place on disk yet.
    pub(crate) fn new_child(&mut self, node: NodeId) -> ChildId {
        self.child(Child { seq: 0, offset: 0 }, Some(node))
    }

    /// The pointer by which a write remembers its root.
    pub(crate) fn root_child(&mut self, seq: u64, node: NodeId) -> ChildId {
        self.child(Child { seq, offset: 0 }, Some(node))
    }

    fn child(&mut self, at: Child, node: Option<NodeId>) -> ChildId {
        self.children.push(ChildSlot { at, node });
        ChildId(self.children.len() - 1)
    }

    /// Inserts a key, and the subtree right of it, at a position; true when the node must be split.
    pub(crate) fn insert(&mut self, id: NodeId, at: usize, key: Key, right: Option<NodeId>) -> bool {
        let right = right.map(|node| self.new_child(node));
        let node = &mut self[id];
        node.keys.insert(at.min(node.keys.len()), key);
        if let Some(child) = right {
            node.children.insert((at + 1).min(node.children.len()), child);
        }
        node.changed = true;
        node.keys.len() >= MAX_CHILDREN
    }

    /// Splits a full node in two; returns the key between them and the right one. The node itself becomes the left one.
    pub(crate) fn split(&mut self, id: NodeId) -> Option<(Key, NodeId)> {
        let right = self.create();
        let node = &mut self[id];
        let length = node.keys.len() / 2;
        let keys = node.keys.split_off(node.keys.len() - length);
        let median = node.keys.pop()?;
        let children = if node.children.is_empty() {
            Vec::new()
        } else {
            node.children
                .split_off(node.children.len().saturating_sub(length + 1))
        };
        node.changed = true;
        self[right].keys = keys;
        self[right].children = children;
        Some((median, right))
    }

    /// Appends the key between two neighbours and all of the right one to the left one.
    pub(crate) fn merge(&mut self, left: NodeId, right: NodeId, median: Key) {
        let keys = std::mem::take(&mut self[right].keys);
        let children = std::mem::take(&mut self[right].children);
        let node = &mut self[left];
        node.changed = true;
        node.keys.push(median);
        node.keys.extend(keys);
        node.children.extend(children);
    }

    /// Takes a key out, and the subtree right of it.
    pub(crate) fn remove(&mut self, id: NodeId, at: usize) {
        let node = &mut self[id];
        node.changed = true;
        if at < node.keys.len() {
            node.keys.remove(at);
        }
        if at + 1 < node.children.len() {
            let freed = node.children.remove(at + 1);
            self[freed].at.seq = 0; // earlier writes of this batch no longer keep it
        }
    }

    /// Numbers all changed nodes below and including `id` as levels of block `seq`.
    pub(crate) fn place(&mut self, id: NodeId, seq: u64, index: &mut Vec<Option<ChildId>>) -> u64 {
        let offset = index.len();
        index.push(None);
        self[id].changed = false;
        for child in self[id].children.clone() {
            let Some(node) = self[child].node.filter(|&node| self[node].changed) else {
                continue;
            };
            self[child].at.seq = seq;
            let at = self.place(node, seq, index);
            self[child].at.offset = at;
            if let Some(slot) = usize::try_from(at).ok().and_then(|at| index.get_mut(at)) {
                *slot = Some(child);
            }
        }
        offset as u64
    }

    /// Drops levels of block `seq` that later writes of the batch replaced, moving the last ones into the gaps.
    pub(crate) fn compact(&mut self, seq: u64, index: &mut Vec<Option<ChildId>>) {
        if let Some(root) = index.first_mut() {
            *root = None;
        }
        let mut at = 0;
        while let Some(&slot) = index.get(at) {
            match slot {
                Some(child) if self[child].at.seq == seq => {
                    self[child].at.offset = at as u64;
                    at += 1;
                }
                _ => drop(index.swap_remove(at)),
            }
        }
    }

    /// The levels as they are written.
    pub(crate) fn levels(&self, index: &[Option<ChildId>]) -> Vec<Level> {
        let nodes = index.iter().flatten().filter_map(|&child| self[child].node);
        nodes
            .map(|id| Level {
                keys: self[id].keys.iter().map(|key| key.seq).collect(),
                children: self[id].children.iter().map(|&child| self[child].at).collect(),
            })
            .collect()
    }
}
