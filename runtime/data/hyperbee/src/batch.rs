//! Writing: the B-tree operations of npm `hyperbee`, step by step the same, so that the same operations give the same
//! blocks.

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;

use crate::arena::{Arena, ChildId, Key, MIN_KEYS, NodeId};
use crate::bee::{Bee, BeeEntry, MAX_DEPTH, corrupt, level};
use crate::error::BeeError;
use crate::messages::{Header, Node};

/// Writes that reach the core together. Dropping it without [`Batch::flush`] forgets them.
pub struct Batch {
    bee: Bee,
    _writing: OwnedMutexGuard<()>,
    arena: Arena,
    /// Length of the core when the batch began.
    start: u64,
    /// The core is empty and the first write brings its header.
    header: bool,
    /// Set by the first write on an empty core, which appends the header even if it then writes nothing.
    touched: bool,
    pending: Vec<Pending>,
    root: Option<NodeId>,
}

struct Pending {
    key: Bytes,
    value: Option<Bytes>,
    index: Vec<Option<ChildId>>,
}

/// Where a key is in a node, or where it would be.
enum Place {
    Found(usize),
    Missing(usize),
}

impl Batch {
    pub(crate) fn new(bee: Bee, writing: OwnedMutexGuard<()>) -> Self {
        let start = bee.core().length();
        Self {
            bee,
            _writing: writing,
            arena: Arena::default(),
            start,
            header: start == 0,
            touched: false,
            pending: Vec::new(),
            root: None,
        }
    }

    /// The length that the core will have after [`Batch::flush`].
    pub fn version(&self) -> u64 {
        self.next_seq().max(1)
    }

    /// Writes collected so far.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True when nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The entry at `key`, with the batch's own writes.
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<BeeEntry>, BeeError> {
        let Some(mut node) = self.root().await? else {
            return Ok(None);
        };
        for _ in 0..MAX_DEPTH {
            match self.search(node, key).await? {
                Place::Found(at) => {
                    let seq = self.arena[node].keys.get(at).map_or(0, |key| key.seq);
                    if let Some(pending) = self.pending(seq) {
                        let (key, value) = (pending.key.clone(), pending.value.clone());
                        return Ok(Some(BeeEntry { seq, key, value }));
                    }
                    let block = self.bee.node(seq, self.newest()).await?;
                    return Ok(Some(crate::bee::entry(seq, &block)));
                }
                Place::Missing(_) if self.arena[node].children.is_empty() => return Ok(None),
                Place::Missing(at) => node = self.child(node, at).await?,
            }
        }
        Err(self.too_deep())
    }

    /// Writes an entry.
    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BeeError> {
        self.touched = true;
        let key = Bytes::copy_from_slice(key);
        let value = Some(Bytes::copy_from_slice(value));
        let target = Key {
            seq: self.next_seq(),
            bytes: Some(key.clone()),
        };
        let mut root = match self.root().await? {
            Some(root) => root,
            None => self.arena.create(),
        };
        let (mut node, mut stack) = (root, Vec::new());
        while !self.arena[node].children.is_empty() {
            if stack.len() >= MAX_DEPTH {
                return Err(self.too_deep());
            }
            stack.push(node);
            self.arena[node].changed = true;
            match self.search(node, &key).await? {
                Place::Found(at) => {
                    self.set_key(node, at, target);
                    return self.commit(root, key, value);
                }
                Place::Missing(at) => node = self.child(node, at).await?,
            }
        }
        let mut split = match self.search(node, &key).await? {
            Place::Found(at) => {
                self.set_key(node, at, target);
                false
            }
            Place::Missing(at) => self.arena.insert(node, at, target, None),
        };
        while split {
            let (mut median, right) = self
                .arena
                .split(node)
                .ok_or(corrupt(self.start, "an empty node was split"))?;
            match stack.pop() {
                Some(parent) => {
                    let bytes = self.key_bytes(&median).await?;
                    median.bytes = Some(bytes.clone());
                    split = match self.search(parent, &bytes).await? {
                        Place::Missing(at) => self.arena.insert(parent, at, median, Some(right)),
                        Place::Found(_) => return Err(corrupt(self.start, "a key is in the tree twice")),
                    };
                    node = parent;
                }
                None => {
                    root = self.arena.create();
                    let children = vec![self.arena.new_child(node), self.arena.new_child(right)];
                    self.arena[root].keys.push(median);
                    self.arena[root].children = children;
                    split = false;
                }
            }
        }
        self.commit(root, key, value)
    }

    /// Deletes an entry; false when there is nothing at `key`.
    pub async fn del(&mut self, key: &[u8]) -> Result<bool, BeeError> {
        self.touched = true;
        let Some(mut node) = self.root().await? else {
            return Ok(false);
        };
        let mut stack = Vec::new();
        while stack.len() < MAX_DEPTH {
            stack.push(node);
            match self.search(node, key).await? {
                Place::Found(at) => {
                    if self.arena[node].children.is_empty() {
                        self.arena.remove(node, at)
                    } else {
                        self.replace_with_leaf_key(node, at, &mut stack).await?
                    }
                    for &node in &stack {
                        self.arena[node].changed = true;
                    }
                    let root = self.rebalance(stack).await?;
                    self.commit(root, Bytes::copy_from_slice(key), None)?;
                    return Ok(true);
                }
                Place::Missing(_) if self.arena[node].children.is_empty() => return Ok(false),
                Place::Missing(at) => node = self.child(node, at).await?,
            }
        }
        Err(self.too_deep())
    }

    /// Appends everything to the core in one transaction.
    pub fn flush(mut self) -> Result<(), BeeError> {
        let blocks = self.take_blocks();
        if blocks.is_empty() {
            return Ok(());
        }
        let found = self.bee.core().length();
        if found != self.start {
            return Err(BeeError::Conflict {
                expected: self.start,
                found,
            });
        }
        self.bee.core().append(&blocks)?;
        Ok(())
    }

    /// The blocks of all writes, oldest first.
    fn take_blocks(&mut self) -> Vec<Bytes> {
        let mut blocks = Vec::with_capacity(self.pending.len() + 1);
        if self.header && self.touched {
            blocks.push(Header::new(self.bee.shared.metadata.clone()).encode());
        }
        let first = self.first_seq();
        let last = self.pending.len().saturating_sub(1);
        for (number, mut write) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if number != last {
                self.arena.compact(first + number as u64, &mut write.index);
            }
            let index = self.arena.levels(&write.index);
            blocks.push(
                Node {
                    key: write.key,
                    value: write.value,
                    index,
                }
                .encode(),
            );
        }
        blocks
    }

    fn commit(&mut self, root: NodeId, key: Bytes, value: Option<Bytes>) -> Result<(), BeeError> {
        let seq = self.next_seq();
        let mut index = Vec::new();
        self.arena.place(root, seq, &mut index);
        let pointer = self.arena.root_child(seq, root);
        if let Some(first) = index.first_mut() {
            *first = Some(pointer);
        }
        self.root = Some(root);
        self.pending.push(Pending { key, value, index });
        Ok(())
    }

    async fn root(&mut self) -> Result<Option<NodeId>, BeeError> {
        if self.root.is_none() && self.start > 1 {
            let block = self.bee.node(self.newest(), self.newest()).await?;
            self.root = Some(self.arena.load(level(&block, self.start - 1, 0)?));
        }
        Ok(self.root)
    }

    /// Binary search, reading the keys that it meets.
    async fn search(&mut self, node: NodeId, key: &[u8]) -> Result<Place, BeeError> {
        let (mut start, mut end) = (0, self.arena[node].keys.len());
        while start < end {
            let middle = (start + end) / 2;
            match key.cmp(&self.key_at(node, middle).await?) {
                std::cmp::Ordering::Equal => return Ok(Place::Found(middle)),
                std::cmp::Ordering::Less => end = middle,
                std::cmp::Ordering::Greater => start = middle + 1,
            }
        }
        Ok(Place::Missing(start))
    }

    async fn key_at(&mut self, node: NodeId, at: usize) -> Result<Bytes, BeeError> {
        let key = self.arena[node]
            .keys
            .get(at)
            .cloned()
            .ok_or(corrupt(self.start, "a key is missing"))?;
        let bytes = self.key_bytes(&key).await?;
        if let Some(key) = self.arena[node].keys.get_mut(at) {
            key.bytes = Some(bytes.clone());
        }
        Ok(bytes)
    }

    async fn key_bytes(&self, key: &Key) -> Result<Bytes, BeeError> {
        match (&key.bytes, self.pending(key.seq)) {
            (Some(bytes), _) => Ok(bytes.clone()),
            (None, Some(pending)) => Ok(pending.key.clone()),
            (None, None) => Ok(self.bee.node(key.seq, self.newest()).await?.key.clone()),
        }
    }

    async fn child(&mut self, node: NodeId, at: usize) -> Result<NodeId, BeeError> {
        let children = &self.arena[node].children;
        let child = *children
            .get(at)
            .ok_or(corrupt(self.start, "a node has too few children"))?;
        if let Some(node) = self.arena[child].node {
            return Ok(node);
        }
        let place = self.arena[child].at;
        let block = self.bee.node(place.seq, self.newest()).await?;
        let loaded = self.arena.load(level(&block, place.seq, place.offset)?);
        self.arena[child].node = Some(loaded);
        Ok(loaded)
    }

    fn set_key(&mut self, node: NodeId, at: usize, key: Key) {
        let node = &mut self.arena[node];
        node.changed = true;
        if let Some(slot) = node.keys.get_mut(at) {
            *slot = key;
        }
    }

    /// Replaces a key of an inner node by its neighbour in the fuller of the two leaves beside it.
    async fn replace_with_leaf_key(
        &mut self,
        node: NodeId,
        at: usize,
        stack: &mut Vec<NodeId>,
    ) -> Result<(), BeeError> {
        let left = self.descend(node, at, true).await?;
        let right = self.descend(node, at + 1, false).await?;
        let size = |path: &[NodeId]| path.last().map_or(0, |&leaf| self.arena[leaf].keys.len());
        let go_right = size(&left) < size(&right);
        let path = if go_right { right } else { left };
        let Some(&leaf) = path.last() else {
            return Err(corrupt(self.start, "a node has no children"));
        };
        let keys = &mut self.arena[leaf].keys;
        if keys.is_empty() {
            return Err(corrupt(self.start, "a leaf is empty"));
        }
        let key = if go_right {
            keys.remove(0)
        } else {
            keys.remove(keys.len() - 1)
        };
        if let Some(slot) = self.arena[node].keys.get_mut(at) {
            *slot = key;
        }
        stack.extend(path);
        Ok(())
    }

    /// The way from child `at` of a node to the last (or first) leaf below it.
    async fn descend(&mut self, node: NodeId, at: usize, last: bool) -> Result<Vec<NodeId>, BeeError> {
        let mut path = vec![self.child(node, at).await?];
        while let Some(&node) = path.last().filter(|&&node| !self.arena[node].children.is_empty()) {
            if path.len() >= MAX_DEPTH {
                return Err(self.too_deep());
            }
            let at = if last {
                self.arena[node].children.len() - 1
            } else {
                0
            };
            path.push(self.child(node, at).await?);
        }
        Ok(path)
    }

    /// Refills nodes with too few keys, from the leaf up; returns the root, which may be a new one.
    async fn rebalance(&mut self, mut stack: Vec<NodeId>) -> Result<NodeId, BeeError> {
        let root = *stack.first().ok_or(corrupt(self.start, "there is no root"))?;
        while let (Some(node), Some(&parent)) = (
            stack.last().copied(),
            stack.len().checked_sub(2).and_then(|at| stack.get(at)),
        ) {
            stack.pop();
            if self.arena[node].keys.len() >= MIN_KEYS {
                return Ok(root);
            }
            let (left, index, right) = self.siblings(parent, node).await?;
            if let Some(left) = left.filter(|&left| self.arena[left].keys.len() > MIN_KEYS) {
                self.borrow_from_left(parent, index, node, left);
                return Ok(root);
            }
            if let Some(right) = right.filter(|&right| self.arena[right].keys.len() > MIN_KEYS) {
                self.borrow_from_right(parent, index, node, right);
                return Ok(root);
            }
            let (left, right, index) = match (left, right) {
                (Some(left), _) => (left, node, index - 1),
                (None, Some(right)) => (node, right, index),
                (None, None) => return Err(corrupt(self.start, "a node has one child")),
            };
            let median = self.arena[parent].keys.get(index).cloned();
            self.arena.merge(
                left,
                right,
                median.ok_or(corrupt(self.start, "a key is missing"))?,
            );
            self.arena.remove(parent, index);
        }
        if self.arena[root].keys.is_empty() && !self.arena[root].children.is_empty() {
            return self.child(root, 0).await;
        }
        Ok(root)
    }

    async fn siblings(
        &mut self,
        parent: NodeId,
        node: NodeId,
    ) -> Result<(Option<NodeId>, usize, Option<NodeId>), BeeError> {
        let children = self.arena[parent].children.clone();
        let index = children
            .iter()
            .position(|&child| self.arena[child].node == Some(node));
        let index = index.ok_or(corrupt(self.start, "a node is not a child of its parent"))?;
        let left = match index.checked_sub(1) {
            Some(at) => Some(self.child(parent, at).await?),
            None => None,
        };
        let right = if index + 1 < children.len() {
            Some(self.child(parent, index + 1).await?)
        } else {
            None
        };
        Ok((left, index, right))
    }

    fn borrow_from_left(&mut self, parent: NodeId, index: usize, node: NodeId, left: NodeId) {
        let from = &mut self.arena[left];
        from.changed = true;
        let (key, child) = (from.keys.pop(), from.children.pop());
        let slot = self.arena[parent].keys.get_mut(index - 1);
        if let (Some(key), Some(slot)) = (key, slot) {
            let down = std::mem::replace(slot, key);
            self.arena[node].keys.insert(0, down);
        }
        if let Some(child) = child {
            self.arena[node].children.insert(0, child);
        }
    }

    fn borrow_from_right(&mut self, parent: NodeId, index: usize, node: NodeId, right: NodeId) {
        let from = &mut self.arena[right];
        from.changed = true;
        let key = from.keys.remove(0);
        let child = (!from.children.is_empty()).then(|| from.children.remove(0));
        if let Some(slot) = self.arena[parent].keys.get_mut(index) {
            let down = std::mem::replace(slot, key);
            self.arena[node].keys.push(down);
        }
        self.arena[node].children.extend(child);
    }

    /// The newest block on the core: no stored node may point beyond it.
    fn newest(&self) -> u64 {
        self.start.saturating_sub(1)
    }

    fn first_seq(&self) -> u64 {
        self.start.max(1)
    }

    fn next_seq(&self) -> u64 {
        self.first_seq() + self.pending.len() as u64
    }

    fn pending(&self, seq: u64) -> Option<&Pending> {
        let at = seq.checked_sub(self.first_seq())?;
        self.pending.get(usize::try_from(at).ok()?)
    }

    fn too_deep(&self) -> BeeError {
        corrupt(self.start.saturating_sub(1), "the tree is too deep")
    }
}
