//! How nodes get in: those of a writer one by one, each batch once all that it links is here (npm `autobase` lib/writer.js).
//!
//! A node that links what is not here waits, and with it all that its writer wrote after it; nobody else does. One that links a node that
//! never comes waits for good.

use std::collections::HashSet;

use super::{Clock, Dag, Node, NodeId, Writer, WriterId, weight};
use crate::constants::{MAX_BATCH, MAX_NODES, MAX_WAITING};
use crate::messages::{OplogMessage, OplogNode};
use crate::{Head, Key};

/// Nodes of one writer that are read ahead of what they link.
const AHEAD: usize = 4;

/// A node was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The writer is not followed.
    #[error("the writer is not followed: tell where its log begins first")]
    UnknownWriter,
    /// It is not the next one of its writer.
    #[error("the node is not the next of its writer, which is number {next}")]
    OutOfOrder {
        /// The number of the next one.
        next: u64,
    },
    /// As many nodes are held as may be. It may be given again later.
    #[error("more than {MAX_NODES} nodes and links wait to be indexed already")]
    TooManyNodes,
    /// As many writers are followed as may be.
    #[error("as many writers are followed as may be")]
    TooManyWriters,
    /// As many indexers were named as may be.
    #[error("there are more indexers than may be")]
    TooManyIndexers,
    /// Its batch does not count down. Nothing more is taken from its writer.
    #[error("the writer's log is damaged: node {length} breaks off the batch before it")]
    BrokenBatch {
        /// The node's number.
        length: u64,
    },
    /// It links a node twice. Nothing more is taken from its writer.
    #[error("the writer's log is damaged: node {length} links a node twice")]
    LinkedTwice {
        /// The node's number.
        length: u64,
    },
    /// It links into the midst of a batch. Nothing more is taken from its writer.
    #[error("the writer's log is damaged: node {length} links into the midst of a batch")]
    LinksIntoBatch {
        /// The node's number.
        length: u64,
    },
}

/// A node that waits.
#[derive(Debug)]
pub(super) struct Pending {
    heads: Box<[Head]>,
    batch: u64,
    has_value: bool,
    optimistic: bool,
}

impl Pending {
    fn new(message: &OplogMessage) -> Self {
        let OplogNode { heads, batch, value } = &message.node;
        Self {
            heads: heads.as_slice().into(),
            batch: *batch,
            has_value: value.is_some(),
            optimistic: message.optimistic && *batch == 1 && value.is_some(),
        }
    }
}

/// How much the graph may hold when a writer goes on.
fn room_of(writer: &Writer) -> usize {
    if writer.is_indexer {
        2 * MAX_NODES
    } else {
        MAX_NODES
    }
}

impl Writer {
    /// Nodes and links of it that wait.
    fn waiting(&self) -> usize {
        self.queue.iter().map(|node| weight(&node.heads)).sum()
    }
}

/// Whether a batch may enter the order.
enum Ready {
    Yes,
    Waits,
    Never(Refused),
}

impl Dag {
    /// The number of a writer's next node, if it should be read now: not while enough of its nodes wait.
    pub(crate) fn wanted(&self, key: &Key) -> Option<u64> {
        let writer = self.writer(self.writer_of(key)?);
        let enough = writer.whole > 0 && writer.queue.len() >= AHEAD;
        let room = self.held < room_of(writer);
        (!enough && room && writer.frozen.is_none())
            .then_some(writer.length() + writer.queue.len() as u64 + 1)
    }

    /// Writers that the next nodes of each writer link and that are not followed.
    pub(crate) fn unknown(&self) -> Vec<Key> {
        let mut seen = HashSet::new();
        let next = self.writers.iter().filter_map(|writer| writer.queue.front());
        let linked = next.flat_map(|node| &node.heads).map(|head| head.key);
        linked
            .filter(|key| !self.by_key.contains_key(key) && seen.insert(*key))
            .collect()
    }

    /// Takes the next node of a writer.
    pub(crate) fn offer(&mut self, at: Head, message: &OplogMessage) -> Result<(), Refused> {
        let id = self.writer_of(&at.key).ok_or(Refused::UnknownWriter)?;
        let held = self.held;
        let before = self.last(id).map(|last| self.node(last).batch);
        let writer = self.writer_mut(id);
        if let Some(refused) = writer.frozen {
            return Err(refused);
        }
        let next = writer.length() + writer.queue.len() as u64 + 1;
        if at.length != next {
            return Err(Refused::OutOfOrder { next });
        }
        if held >= room_of(writer) {
            return Err(Refused::TooManyNodes);
        }
        let length = at.length;
        let before = writer.queue.back().map(|node| node.batch).or(before).unwrap_or(1);
        let batch = message.node.batch;
        let mut heads: Vec<&Head> = message.node.heads.iter().collect();
        heads.sort_unstable();
        let refused = if !(1..=MAX_BATCH).contains(&batch) || (before > 1 && batch != before - 1) {
            Some(Refused::BrokenBatch { length })
        } else if heads.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            Some(Refused::LinkedTwice { length })
        } else {
            None
        };
        if let Some(refused) = refused {
            self.freeze(id, refused);
            return Err(refused);
        }
        writer.whole += usize::from(batch == 1);
        writer.queue.push_back(Pending::new(message));
        self.waiting += weight(&message.node.heads);
        while self.waiting > MAX_WAITING && self.start_over() {}
        Ok(())
    }

    /// Lets go of what waits of the writer of whom the most does; it is wanted again.
    fn start_over(&mut self) -> bool {
        let most = self.ids().max_by_key(|id| self.writer(*id).waiting());
        most.is_some_and(|id| self.clear(id) > 0)
    }

    /// Lets go of what waits of a writer.
    fn clear(&mut self, id: WriterId) -> usize {
        let writer = self.writer_mut(id);
        let cleared = writer.waiting();
        writer.queue.clear();
        writer.whole = 0;
        self.waiting = self.waiting.saturating_sub(cleared);
        cleared
    }

    /// Takes nothing more from a writer. What waits of it goes.
    fn freeze(&mut self, id: WriterId, refused: Refused) {
        self.writer_mut(id).frozen = Some(refused);
        self.clear(id);
    }

    /// Why nothing more is taken from a writer.
    pub(crate) fn frozen(&self, key: &Key) -> Option<Refused> {
        self.writer(self.writer_of(key)?).frozen
    }

    /// The writers, for one round of [`next_batch`](Self::next_batch).
    pub(crate) fn ids(&self) -> impl Iterator<Item = WriterId> + use<> {
        (0..self.writers.len() as u32).map(WriterId)
    }

    /// A writer's next batch, if all that it links is here: its nodes are in the graph from then on.
    pub(crate) fn next_batch(&mut self, id: WriterId) -> Vec<NodeId> {
        let writer = self.writer(id);
        if writer.whole == 0 {
            return Vec::new();
        }
        let Some(size) = writer.queue.iter().position(|node| node.batch == 1) else {
            return Vec::new();
        };
        match self.ready(id, size + 1) {
            Ready::Yes => {}
            Ready::Waits => return Vec::new(),
            Ready::Never(refused) => {
                self.freeze(id, refused);
                return Vec::new();
            }
        }
        let writer = self.writer_mut(id);
        writer.whole = writer.whole.saturating_sub(1);
        let mut added = Vec::with_capacity(size + 1);
        for _ in 0..=size {
            let Some(pending) = self.writer_mut(id).queue.pop_front() else {
                break;
            };
            self.waiting = self.waiting.saturating_sub(weight(&pending.heads));
            added.push(self.insert(id, pending));
        }
        added
    }

    fn ready(&self, id: WriterId, size: usize) -> Ready {
        let writer = self.writer(id);
        let first = writer.length() + 1;
        for (length, node) in (first..).zip(writer.queue.iter().take(size)) {
            for head in &node.heads {
                let Some(target) = self.writer_of(&head.key) else {
                    return Ready::Waits;
                };
                // What it says of its own future counts for nothing.
                if target != id && self.writer(target).length() < head.length {
                    return Ready::Waits;
                }
                let midst = if target == id && head.length >= first {
                    let place = usize::try_from(head.length - first).unwrap_or(usize::MAX);
                    let own = writer.queue.get(place).filter(|_| head.length < length);
                    own.is_some_and(|own| own.batch > 1)
                } else {
                    self.live(head).is_some_and(|node| self.node(node).batch > 1)
                };
                if midst && (target != id || head.length + 1 != length) {
                    return Ready::Never(Refused::LinksIntoBatch { length });
                }
            }
        }
        Ready::Yes
    }

    /// Whether a writer may go on with a batch of our own.
    pub(crate) fn room_for(&self, id: WriterId, nodes: usize) -> Result<(), Refused> {
        let writer = self.writer(id);
        if let Some(refused) = writer.frozen {
            return Err(refused);
        }
        if !writer.queue.is_empty() {
            let next = writer.length() + writer.queue.len() as u64 + 1;
            return Err(Refused::OutOfOrder { next });
        }
        if nodes as u64 > MAX_BATCH || self.held >= room_of(writer) {
            return Err(Refused::TooManyNodes);
        }
        Ok(())
    }

    /// A node of our own, which links what is here.
    pub(crate) fn append(
        &mut self,
        id: WriterId,
        heads: Vec<Head>,
        batch: u64,
        has_value: bool,
        optimistic: bool,
    ) -> NodeId {
        let pending = Pending {
            heads: heads.into(),
            batch,
            has_value,
            optimistic: optimistic && batch == 1 && has_value,
        };
        self.insert(id, pending)
    }

    fn insert(&mut self, id: WriterId, pending: Pending) -> NodeId {
        let writer = self.writer(id);
        let (length, is_indexer) = (writer.length() + 1, writer.is_indexer);
        let own = self.last(id);
        let linked = pending.heads.iter().filter_map(|head| self.live(head));
        let mut seen = HashSet::new();
        let dependencies: Vec<NodeId> = linked
            .chain(own)
            .filter(|node| !self.node(*node).yielded && seen.insert(*node))
            .collect();
        let new = NodeId(self.next);
        self.next += 1;
        let mut clock = Clock::default();
        for node in &dependencies {
            clock.add(&self.node(*node).clock);
        }
        for node in &dependencies {
            if let Some(node) = self.node_mut(*node) {
                node.dependents.push(new);
            }
        }
        if is_indexer {
            clock.set(id, length);
        }
        let mut linked = dependencies.clone();
        linked.sort_unstable();
        let Pending {
            heads,
            batch,
            has_value,
            optimistic,
        } = pending;
        let node = Node {
            writer: id,
            length,
            has_value,
            optimistic,
            batch,
            heads,
            linked: linked.into(),
            dependencies,
            clock,
            yielded: false,
            yielding: false,
            ..Node::gone()
        };
        self.held += weight(&node.heads);
        self.nodes.insert(new, node);
        self.writer_mut(id).nodes.push_back(new);
        new
    }
}
