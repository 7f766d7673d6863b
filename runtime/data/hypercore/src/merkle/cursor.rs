//! A flat-tree cursor that refuses to climb above what a core of [`MAX_LENGTH`](super::MAX_LENGTH) blocks can have,
//! so that hostile indices cannot overflow the arithmetic.

/// The climb left the tree: only a malformed proof or request does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfTree;

/// Twice the span of the highest allowed node.
const MAX_FACTOR: u64 = 1 << 46;
/// Indices above this are clamped on entry; they then match nothing.
const MAX_INDEX: u64 = 1 << 45;

/// A position in the tree.
#[derive(Debug)]
pub struct Cursor(flat_tree::Iterator);

impl Clone for Cursor {
    fn clone(&self) -> Self {
        Self::new(self.index())
    }
}

impl Cursor {
    /// At node `index`.
    pub fn new(index: u64) -> Self {
        Self(flat_tree::Iterator::new(index.min(MAX_INDEX)))
    }

    /// The node's index.
    pub fn index(&self) -> u64 {
        self.0.index()
    }

    /// Twice the number of leaves beneath (2 for a leaf).
    pub fn factor(&self) -> u64 {
        self.0.factor()
    }

    /// Whether node `index` lies beneath this one.
    pub fn contains(&self, index: u64) -> bool {
        self.0.contains(index)
    }

    /// Jumps to node `index`.
    pub fn seek(&mut self, index: u64) {
        self.0.seek(index.min(MAX_INDEX));
    }

    /// Moves to the sibling.
    pub fn sibling(&mut self) -> u64 {
        self.0.sibling()
    }

    /// Moves to the parent.
    pub fn parent(&mut self) -> Result<u64, OutOfTree> {
        if self.0.factor() >= MAX_FACTOR {
            Err(OutOfTree)
        } else {
            Ok(self.0.parent())
        }
    }

    /// Moves to the left child; a leaf stays.
    pub fn left_child(&mut self) -> u64 {
        self.0.left_child()
    }

    /// Moves to the next tree to the right of this one.
    pub(crate) fn next_tree(&mut self) -> u64 {
        self.0.next_tree()
    }

    /// From a leaf, moves to the highest full root that ends before node `head`; false if there is none.
    pub(crate) fn full_root(&mut self, head: u64) -> bool {
        self.0.full_root(head.min(MAX_INDEX))
    }

    /// Index of the leftmost leaf beneath.
    pub fn left_span(&self) -> u64 {
        self.index() + 1 - self.factor() / 2
    }

    /// Index of the rightmost leaf beneath.
    pub fn right_span(&self) -> u64 {
        self.index() + self.factor() / 2 - 1
    }

    /// Blocks beneath.
    pub fn leaves(&self) -> u64 {
        self.factor() / 2
    }
}
