//! The order of all nodes (npm `autobase` lib/linearizer.js): what stands for good, and behind it the tip, which may still change.

mod acks;
mod consensus;
mod topolist;

use std::collections::{BTreeSet, HashSet};

use crate::constants::{MAX_HEADS, MAX_INDEXERS};
use crate::dag::{Dag, NodeId, Refused};
use crate::messages::OplogMessage;
use crate::{Head, Key};
use consensus::Consensus;
use topolist::Topolist;

/// A node in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered<'a> {
    /// Its writer, and its number in the log.
    pub at: Head,
    /// What it links, as it says.
    pub heads: &'a [Head],
    /// How many nodes, this one included, are left of its batch.
    pub batch: u64,
    /// Whether it says anything; the value itself is in its block.
    pub has_value: bool,
    /// Whether it wants to be judged although its writer may not be a member.
    pub optimistic: bool,
    /// Whether its writer takes part in the quorum.
    pub is_indexer: bool,
    /// Whether its writer was removed, or never added.
    pub is_removed: bool,
}

/// How the order changed. Positions count from the first node that was not indexed the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Nodes at the start that stand where they stood: what was applied of them holds.
    pub shared: usize,
    /// Nodes that were after those, and have to be undone.
    pub undo: usize,
    /// Nodes that stand for good from now on; the [tip](Linearizer::tip) follows.
    pub indexed: Vec<NodeId>,
}

/// Takes in nodes in any order, and keeps theirs. One is made for each set of indexers; when that changes, another begins where the
/// old one's indexed nodes end.
#[derive(Debug)]
pub struct Linearizer {
    dag: Dag,
    consensus: Consensus,
    tip: Topolist,
    /// Nodes in the tip that nothing links, oldest first.
    heads: BTreeSet<NodeId>,
    /// The heads that everything began with, or that stood last when nothing was left, until they are linked.
    first_heads: Vec<Head>,
    /// Nodes in the tip.
    size: usize,
    /// Those of them that have a value.
    values: usize,
    updated: bool,
}

impl Linearizer {
    /// For these indexers, after the nodes that stand already: each indexer's log up to the length given, and the heads of all.
    ///
    /// # Errors
    /// [`Refused::TooManyIndexers`], [`Refused::TooManyWriters`].
    pub fn new(indexers: &[Head], heads: &[Head]) -> Result<Self, Refused> {
        if indexers.len() > MAX_INDEXERS {
            return Err(Refused::TooManyIndexers);
        }
        if heads.len() > MAX_HEADS {
            return Err(Refused::TooManyWriters);
        }
        let mut dag = Dag::new();
        let mut ids = Vec::with_capacity(indexers.len());
        for head in indexers {
            let id = dag.follow(*head)?;
            dag.writer_mut(id).is_indexer = true;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut consensus = Consensus::new(ids);
        for head in heads {
            let id = dag.follow(*head)?;
            consensus.removed.insert(id, head.length);
        }
        Ok(Self {
            dag,
            consensus,
            tip: Topolist::default(),
            heads: BTreeSet::new(),
            first_heads: heads.to_vec(),
            size: 0,
            values: 0,
            updated: false,
        })
    }

    /// Follows a writer, whose log stands up to the length given. One that is followed already stays as it is.
    ///
    /// # Errors
    /// [`Refused::TooManyWriters`].
    pub fn follow(&mut self, writer: Head, is_removed: bool) -> Result<(), Refused> {
        let known = self.dag.writer_of(&writer.key).is_some();
        let id = self.dag.follow(writer)?;
        if !known {
            self.dag.writer_mut(id).is_removed = is_removed;
        }
        Ok(())
    }

    /// The writers that are followed.
    pub fn followed(&self) -> impl Iterator<Item = Key> + '_ {
        self.dag.writers().map(|writer| writer.key)
    }

    /// Writers that the next nodes of others link and that are not followed. Whoever knows the members says by [`follow`](Self::follow)
    /// where their logs begin: at the member's length, at 0 for one that never was a member.
    pub fn unknown(&self) -> Vec<Key> {
        self.dag.unknown()
    }

    /// Whether a writer is removed, or was never added.
    pub fn is_removed(&self, writer: &Key) -> bool {
        let id = self.dag.writer_of(writer);
        id.is_none_or(|id| self.dag.writer(id).is_removed)
    }

    /// Says that a writer was removed, or added.
    pub fn set_removed(&mut self, writer: &Key, is_removed: bool) {
        if let Some(id) = self.dag.writer_of(writer) {
            self.dag.writer_mut(id).is_removed = is_removed;
        }
    }

    /// The number of the next node to be read of a writer; `None` while enough of its nodes wait for others, or nothing more is taken
    /// from it.
    pub fn wanted(&self, writer: &Key) -> Option<u64> {
        self.dag.wanted(writer)
    }

    /// Why nothing more is taken from a writer: its log is damaged.
    pub fn frozen(&self, writer: &Key) -> Option<Refused> {
        self.dag.frozen(writer)
    }

    /// How many of a writer's nodes are in the order.
    pub fn length(&self, writer: &Key) -> Option<u64> {
        let id = self.dag.writer_of(writer)?;
        Some(self.dag.writer(id).length())
    }

    /// Takes the next node of a writer. It is in the order once [`advance`](Self::advance) found all that it links.
    ///
    /// # Errors
    /// If it is not the next one, there is no room, or the log is damaged; the writer's earlier nodes are not touched by that.
    pub fn offer(&mut self, at: Head, message: &OplogMessage) -> Result<(), Refused> {
        self.dag.offer(at, message)
    }

    /// Takes into the order what waited for nothing more, and returns how many nodes that were.
    pub fn advance(&mut self) -> usize {
        let mut total = 0;
        loop {
            let mut added = 0;
            for writer in self.dag.ids() {
                for node in self.dag.next_batch(writer) {
                    self.add(node);
                    added += 1;
                }
            }
            if added == 0 {
                return total;
            }
            total += added;
        }
    }

    /// Takes nodes that are written here, as one batch, and says what they are; `has_values` of each whether it says anything. Each links
    /// the [`heads`](Self::heads) that are there when its turn comes.
    ///
    /// # Errors
    /// [`Refused::UnknownWriter`]; [`Refused::OutOfOrder`] if nodes of the same writer wait; [`Refused::TooManyNodes`]. Nothing is taken
    /// then.
    pub fn append(
        &mut self,
        writer: &Key,
        has_values: &[bool],
        optimistic: bool,
    ) -> Result<Vec<NodeId>, Refused> {
        let id = self.dag.writer_of(writer).ok_or(Refused::UnknownWriter)?;
        self.dag.room_for(id, has_values.len())?;
        let mut added = Vec::with_capacity(has_values.len());
        for (has_value, batch) in has_values.iter().zip((1..=has_values.len() as u64).rev()) {
            let heads = self.heads();
            let node = self.dag.append(id, heads, batch, *has_value, optimistic);
            self.add(node);
            added.push(node);
        }
        Ok(added)
    }

    /// What the next node has to link to follow all that is here.
    pub fn heads(&self) -> Vec<Head> {
        let here = self.heads.iter().map(|node| self.head(*node));
        self.first_heads.iter().copied().chain(here).collect()
    }

    fn head(&self, node: NodeId) -> Head {
        let node = self.dag.node(node);
        Head {
            key: self.dag.writer(node.writer).key,
            length: node.length,
        }
    }

    /// The nodes of the tip, in order.
    pub fn tip(&self) -> &[NodeId] {
        &self.tip.tip
    }

    /// A node of an [`Update`] or the tip; `None` once it was [shifted](Self::shift) out.
    pub fn node(&self, id: NodeId) -> Option<Ordered<'_>> {
        if !self.dag.has(id) {
            return None;
        }
        let node = self.dag.node(id);
        let writer = self.dag.writer(node.writer);
        Some(Ordered {
            at: self.head(id),
            heads: &node.heads,
            batch: node.batch,
            has_value: node.has_value,
            optimistic: node.optimistic,
            is_indexer: writer.is_indexer,
            is_removed: writer.is_removed,
        })
    }

    /// The node itself, then those of removed writers that it depends on, directly or over others of such, newest first.
    pub fn causal(&self, id: NodeId) -> Vec<NodeId> {
        let mut order = vec![id];
        let mut stack = vec![id];
        let mut visited = BTreeSet::new();
        while let Some(next) = stack.pop() {
            for link in &self.dag.node(next).dependencies {
                let writer = self.dag.writer(self.dag.node(*link).writer);
                if writer.is_removed && !writer.is_indexer && visited.insert(*link) {
                    stack.push(*link);
                    order.push(*link);
                }
            }
        }
        order
    }

    /// Lets go of a writer's oldest node, which is indexed, and of its batch.
    pub fn shift(&mut self, writer: &Key) {
        if let Some(id) = self.dag.writer_of(writer) {
            let oldest = self.dag.at(id, self.dag.writer(id).indexed);
            if oldest.is_some_and(|node| self.dag.node(node).yielded) {
                self.dag.shift(id);
            }
        }
    }

    fn add(&mut self, id: NodeId) {
        let node = self.dag.node(id);
        let linked: Vec<Head> = node.heads.to_vec();
        self.size += 1;
        self.values += usize::from(node.has_value);
        let is_indexer = self.dag.writer(node.writer).is_indexer;
        if !self.first_heads.is_empty() {
            let linked: HashSet<&Head> = linked.iter().collect();
            self.first_heads.retain(|head| !linked.contains(head));
        }
        for head in &linked {
            if let Some(node) = self.dag.live(head) {
                self.heads.remove(&node);
            }
        }
        self.tip.add(&mut self.dag, id);
        if is_indexer {
            self.consensus.add(&self.dag, id);
        }
        self.heads.insert(id);
        self.updated = true;
    }

    /// What changed since the last call; `None` if nothing came.
    pub fn update(&mut self) -> Option<Update> {
        if !std::mem::take(&mut self.updated) {
            return None;
        }
        let mut indexed = Vec::new();
        loop {
            let nodes = self.consensus.shift(&self.dag);
            if nodes.is_empty() {
                break;
            }
            self.index(nodes, &mut indexed);
        }
        let changed = self.tip.flush(&mut self.dag, &indexed);
        Some(Update {
            shared: changed.shared,
            undo: changed.undo,
            indexed,
        })
    }

    /// Indexes nodes with all that they depend on.
    fn index(&mut self, mut nodes: Vec<NodeId>, indexed: &mut Vec<NodeId>) {
        let offset = indexed.len();
        let mut tails = Vec::new();
        while let Some(id) = nodes.pop() {
            let Some(node) = self.dag.node_mut(id).filter(|node| !node.yielding) else {
                continue;
            };
            node.yielding = true;
            if node.is_tail() {
                tails.push(id);
            }
            nodes.extend(&node.dependencies);
        }
        while let Some(tail) = tails.pop() {
            let batch = self.take_batch(tail);
            let last = batch.last().copied();
            for node in batch {
                topolist::add_sorted(&mut self.dag, indexed, offset, node);
            }
            let dependents = last.map(|last| self.dag.node(last).dependents.clone());
            let next = dependents.unwrap_or_default().into_iter().filter(|id| {
                let node = self.dag.node(*id);
                node.is_tail() && node.yielding && !node.yielded
            });
            tails.extend(next);
        }
    }

    /// Takes a node and the rest of its batch out of the tip.
    fn take_batch(&mut self, first: NodeId) -> Vec<NodeId> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(id) = next.filter(|id| !self.dag.node(*id).yielded) {
            self.take(id);
            batch.push(id);
            let node = self.dag.node(id);
            next = (node.batch > 1)
                .then(|| self.dag.at(node.writer, node.length))
                .flatten();
        }
        batch
    }

    fn take(&mut self, id: NodeId) {
        let head = self.head(id);
        self.heads.remove(&id);
        self.consensus.remove(&self.dag, id);
        for dependent in self.dag.node(id).dependents.clone() {
            let Some(node) = self.dag.node_mut(dependent) else {
                continue;
            };
            if node.yielding && node.dependencies.contains(&id) {
                node.dropped += 1;
            } else {
                node.dependencies.retain(|link| *link != id);
            }
        }
        if let Some(node) = self.dag.node_mut(id) {
            node.yielded = true;
            self.size = self.size.saturating_sub(1);
            self.values = self.values.saturating_sub(usize::from(node.has_value));
        }
        if self.heads.is_empty() {
            // Nothing is left to link but this.
            self.first_heads.push(head);
        }
    }
}
