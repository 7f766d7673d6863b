//! The graph in memory: writers, and their nodes that are not indexed for good yet.
//!
//! Ids are handed out once. One of a node that is gone reads as a node that was indexed long ago and links nothing.

mod clock;
mod intake;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) use clock::Clock;
pub use intake::Refused;

use crate::constants::MAX_WRITERS;
use crate::{Head, Key};
use intake::Pending;

/// A writer, as long as one [`Linearizer`](crate::Linearizer) lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WriterId(u32);

/// A node, as long as one [`Linearizer`](crate::Linearizer) lives. Later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

/// A node that everything it links was here before.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) writer: WriterId,
    pub(crate) length: u64,
    pub(crate) has_value: bool,
    /// A value by itself that asks to be judged although its writer may not be a member.
    pub(crate) optimistic: bool,
    pub(crate) batch: u64,
    /// What it links, as it says.
    pub(crate) heads: Box<[Head]>,
    /// What of that, and the node before it, was not indexed when it came, in order of number.
    linked: Box<[NodeId]>,
    /// Those of them that are not indexed yet, and those that are being indexed together with it.
    pub(crate) dependencies: Vec<NodeId>,
    /// How many of `dependencies` are being indexed together with it and went before it.
    pub(crate) dropped: usize,
    pub(crate) dependents: Vec<NodeId>,
    pub(crate) clock: Clock,
    /// It is indexed.
    pub(crate) yielded: bool,
    /// It is about to be.
    pub(crate) yielding: bool,
    /// Its place in the list that it stands in.
    pub(crate) index: usize,
}

impl Node {
    /// Whether nothing it depends on is left to be indexed before it.
    pub(crate) fn is_tail(&self) -> bool {
        self.dependencies.len() == self.dropped
    }

    /// What stands for nodes that are gone.
    fn gone() -> Self {
        Self {
            writer: WriterId(u32::MAX),
            length: 0,
            has_value: false,
            optimistic: false,
            batch: 1,
            heads: Box::default(),
            linked: Box::default(),
            dependencies: Vec::new(),
            dropped: 0,
            dependents: Vec::new(),
            clock: Clock::default(),
            yielded: true,
            yielding: true,
            index: 0,
        }
    }
}

/// A writer and its nodes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) key: Key,
    /// Nodes that were taken out: indexed, and done with.
    pub(crate) indexed: u64,
    /// The nodes after those, as far as they are in the order.
    nodes: VecDeque<NodeId>,
    /// The nodes after those: they wait for what they link, or for the rest of their batch.
    queue: VecDeque<Pending>,
    /// Whole batches in the queue.
    whole: usize,
    pub(crate) is_removed: bool,
    pub(crate) is_indexer: bool,
    /// Why nothing more is taken from it.
    frozen: Option<Refused>,
}

impl Writer {
    fn new(head: Head) -> Self {
        Self {
            key: head.key,
            indexed: head.length,
            nodes: VecDeque::new(),
            queue: VecDeque::new(),
            whole: 0,
            is_removed: false,
            is_indexer: false,
            frozen: None,
        }
    }

    /// How many of its nodes are in the order.
    pub(crate) fn length(&self) -> u64 {
        self.indexed + self.nodes.len() as u64
    }
}

/// Ids are numbers that we count up ourselves: nobody can choose them to collide.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u64(&mut self, id: u64) {
        // 2^64 divided by the golden ratio: neighbours spread over all bits.
        self.0 = (self.0.rotate_left(5) ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What a node counts for against what may be held.
fn weight(heads: &[Head]) -> usize {
    1 + heads.len()
}

#[derive(Debug)]
pub(crate) struct Dag {
    writers: Vec<Writer>,
    by_key: HashMap<Key, WriterId>,
    nodes: HashMap<NodeId, Node, BuildHasherDefault<IdHasher>>,
    next: u64,
    /// Nodes and links in the graph.
    held: usize,
    /// Nodes and links in queues.
    waiting: usize,
    gone: Node,
    nobody: Writer,
}

impl Dag {
    pub(crate) fn new() -> Self {
        Self {
            writers: Vec::new(),
            by_key: HashMap::new(),
            nodes: HashMap::default(),
            next: 0,
            held: 0,
            waiting: 0,
            gone: Node::gone(),
            nobody: Writer::new(Head {
                key: Key([0; 32]),
                length: 0,
            }),
        }
    }

    /// Follows a writer from a length on; who is followed already stays as it is.
    pub(crate) fn follow(&mut self, head: Head) -> Result<WriterId, Refused> {
        if let Some(id) = self.by_key.get(&head.key) {
            return Ok(*id);
        }
        if self.writers.len() >= MAX_WRITERS {
            return Err(Refused::TooManyWriters);
        }
        // Within MAX_WRITERS.
        let id = WriterId(self.writers.len() as u32);
        self.writers.push(Writer::new(head));
        self.by_key.insert(head.key, id);
        Ok(id)
    }

    pub(crate) fn writer_of(&self, key: &Key) -> Option<WriterId> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn writers(&self) -> impl Iterator<Item = &Writer> {
        self.writers.iter()
    }

    pub(crate) fn writer(&self, id: WriterId) -> &Writer {
        self.writers.get(id.0 as usize).unwrap_or(&self.nobody)
    }

    pub(crate) fn writer_mut(&mut self, id: WriterId) -> &mut Writer {
        self.writers.get_mut(id.0 as usize).unwrap_or(&mut self.nobody)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(&id).unwrap_or(&self.gone)
    }

    /// `None` if it is gone.
    pub(crate) fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    pub(crate) fn has(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// The node after the first `seq` of a writer, if it is here.
    pub(crate) fn at(&self, writer: WriterId, seq: u64) -> Option<NodeId> {
        let writer = self.writer(writer);
        let place = usize::try_from(seq.checked_sub(writer.indexed)?).ok()?;
        writer.nodes.get(place).copied()
    }

    /// A writer's newest node.
    pub(crate) fn last(&self, writer: WriterId) -> Option<NodeId> {
        self.writer(writer).nodes.back().copied()
    }

    /// The node that a head names, if it is here.
    pub(crate) fn live(&self, head: &Head) -> Option<NodeId> {
        self.at(self.writer_of(&head.key)?, head.length.checked_sub(1)?)
    }

    /// Whether `a` links `b` or follows it in its log.
    pub(crate) fn links(&self, a: NodeId, b: NodeId) -> bool {
        let (one, other) = (self.node(a), self.node(b));
        one.linked.binary_search(&b).is_ok()
            || (one.writer == other.writer && one.length > 0 && other.length == one.length - 1)
    }

    /// What a node linked that was not indexed when it came, and what is before it in its log.
    pub(crate) fn linked(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let node = self.node(id);
        let own = node
            .length
            .checked_sub(2)
            .and_then(|seq| self.at(node.writer, seq));
        node.linked.iter().copied().chain(own)
    }

    /// Whether `by` has seen `node`.
    pub(crate) fn sees(&self, by: NodeId, node: NodeId) -> bool {
        let seen = self.node(node);
        self.node(by).clock.includes(seen.writer, seen.length)
    }

    /// Takes out a writer's oldest node, which is indexed, with the rest of its batch.
    pub(crate) fn shift(&mut self, writer: WriterId) {
        loop {
            let owner = self.writer_mut(writer);
            let Some(id) = owner.nodes.pop_front() else { return };
            owner.indexed += 1;
            let gone = self.nodes.remove(&id);
            let weight = gone.as_ref().map_or(0, |node| weight(&node.heads));
            self.held = self.held.saturating_sub(weight);
            if gone.is_none_or(|node| node.batch <= 1) {
                return;
            }
        }
    }
}
