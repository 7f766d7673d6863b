//! Which nodes stand for good (npm `autobase` lib/consensus.js).
//!
//! Of the indexers' nodes alone: a node stands once a majority of the indexers saw it in nodes that are *strictly newer* (its acks), and a
//! majority saw a majority of those (they confirm it). Where the graph forks, a node that merges the forks can be confirmed as well;
//! then it is decided fork by fork, from what that merge had seen, what comes first.

use std::collections::{BTreeSet, HashMap};

use crate::dag::{Dag, NodeId, WriterId};

#[derive(Debug)]
pub(super) struct Consensus {
    pub(super) indexers: Vec<WriterId>,
    majority: usize,
    /// Indexers' nodes that join forks of theirs.
    merges: BTreeSet<NodeId>,
    /// How much of each writer's log stands.
    pub(super) removed: HashMap<WriterId, u64>,
    /// Whether anything came since the last answer.
    updated: bool,
}

/// How an indexer's log stands to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It does not reach it.
    Unseen,
    /// It has strictly newer nodes, and none of them has seen enough acks.
    Newer,
    /// One of those has.
    Acked,
}

impl Consensus {
    pub(super) fn new(indexers: Vec<WriterId>) -> Self {
        Self {
            majority: indexers.len() / 2 + 1,
            indexers,
            merges: BTreeSet::new(),
            removed: HashMap::new(),
            updated: false,
        }
    }

    /// An indexer's node came.
    pub(super) fn add(&mut self, dag: &Dag, node: NodeId) {
        if self.is_merge(dag, node) {
            self.merges.insert(node);
        }
        self.updated = true;
    }

    /// A node stands.
    pub(super) fn remove(&mut self, dag: &Dag, node: NodeId) {
        self.merges.remove(&node);
        let found = dag.node(node);
        self.removed.insert(found.writer, found.length);
    }

    fn removed(&self, writer: WriterId) -> u64 {
        self.removed.get(&writer).copied().unwrap_or(0)
    }

    fn is_removed(&self, dag: &Dag, node: NodeId) -> bool {
        let found = dag.node(node);
        self.removed
            .get(&found.writer)
            .is_some_and(|length| *length >= found.length)
    }

    /// The newest of those nodes of indexers that others do not see.
    fn is_merge(&self, dag: &Dag, node: NodeId) -> bool {
        let found = dag.node(node);
        let mut newest: Vec<NodeId> = Vec::new();
        for indexer in &self.indexers {
            let own = u64::from(*indexer == found.writer);
            let seq = found.clock.get(*indexer).checked_sub(1 + own);
            let head = seq.and_then(|seq| dag.at(*indexer, seq));
            if let Some(head) = head.filter(|head| !self.is_removed(dag, *head)) {
                keep_newest(&mut newest, head, |by, node| dag.sees(by, node));
            }
        }
        newest.len() > 1
    }

    /// The oldest of the indexers' nodes that do not stand.
    fn tails(&self, dag: &Dag) -> Vec<NodeId> {
        let mut tails: Vec<NodeId> = Vec::new();
        for indexer in &self.indexers {
            let known = self.removed.get(indexer).copied();
            let next = known.unwrap_or_else(|| dag.writer(*indexer).indexed);
            let head = dag.at(*indexer, next);
            if let Some(head) = head.filter(|head| !self.is_removed(dag, *head)) {
                keep_newest(&mut tails, head, |by, node| dag.sees(node, by));
            }
        }
        tails
    }

    /// Whether for every node that `parent` saw, `object` is older than it or was seen before it.
    fn strictly_newer(&self, dag: &Dag, object: NodeId, parent: NodeId) -> bool {
        if !dag.sees(parent, object) {
            return false;
        }
        let (target, newer) = (dag.node(object), dag.node(parent));
        for (writer, latest) in newer.clock.iter() {
            let oldest = self.removed(writer);
            if latest <= oldest {
                continue;
            }
            let length = target.clock.get(writer).max(oldest);
            if latest < length {
                return false;
            }
            if latest == length {
                continue;
            }
            // The first of that writer's nodes that the object has not seen. None: it stands, and both have seen it.
            let Some(next) = dag.at(writer, length.max(dag.writer(writer).indexed)) else {
                continue;
            };
            if !dag.sees(next, object) && latest >= dag.node(next).length {
                return false;
            }
        }
        true
    }

    /// Of each indexer the first node that saw the target, if it is strictly newer.
    fn acks(&self, dag: &Dag, target: NodeId) -> Vec<NodeId> {
        let found = dag.node(target);
        let mut acks = Vec::new();
        if dag.writer(found.writer).is_indexer {
            acks.push(target);
        }
        for indexer in &self.indexers {
            if *indexer == found.writer {
                continue;
            }
            let next = found.clock.get(*indexer).max(dag.writer(*indexer).indexed);
            let first = dag.at(*indexer, next);
            acks.extend(
                first.filter(|first| dag.sees(*first, target) && self.strictly_newer(dag, target, *first)),
            );
        }
        acks
    }

    /// The writers whose acks of the target `view` knows of.
    pub(super) fn acks_seen_by(&self, dag: &Dag, target: NodeId, view: Option<NodeId>) -> BTreeSet<WriterId> {
        let mut acks = BTreeSet::new();
        let Some(view) = view.filter(|view| dag.sees(*view, target)) else {
            return acks;
        };
        let (seer, found) = (dag.node(view), dag.node(target));
        acks.insert(seer.writer);
        for indexer in self.indexers.iter().filter(|indexer| **indexer != seer.writer) {
            let Some(last) = seer.clock.get(*indexer).checked_sub(1) else {
                continue;
            };
            if found.clock.includes(*indexer, last + 1) {
                continue;
            }
            if dag.at(*indexer, last).is_some_and(|head| dag.sees(head, target)) {
                acks.insert(*indexer);
            }
        }
        acks
    }

    fn acked_at(&self, dag: &Dag, acks: &[NodeId], parent: NodeId) -> bool {
        let seen = acks.iter().filter(|ack| dag.sees(parent, **ack));
        seen.take(self.majority).count() >= self.majority
    }

    /// Whether the first `length` nodes of an indexer confirm the target: one of them is strictly newer and saw most of its acks.
    fn confirms(&self, dag: &Dag, indexer: WriterId, target: NodeId, acks: &[NodeId], length: u64) -> Seen {
        if length == 0 || self.removed(indexer) >= length {
            return Seen::Unseen;
        }
        let (mut jumped, mut newer) = (false, true);
        let mut left = length;
        while let Some(at) = left.checked_sub(1) {
            left = at;
            let Some(head) = dag.at(indexer, at) else {
                return Seen::Unseen;
            };
            let acked = self.acked_at(dag, acks, head);
            if !newer && !acked {
                break;
            }
            if self.strictly_newer(dag, target, head) {
                return if acked { Seen::Acked } else { Seen::Newer };
            }
            newer = false;
            if !std::mem::replace(&mut jumped, true) {
                left = left.min(self.end_of_newer(dag, indexer, target, length));
            }
        }
        Seen::Unseen
    }

    /// The strictly newer nodes of an indexer stand together: a place shortly after them.
    fn end_of_newer(&self, dag: &Dag, indexer: WriterId, target: NodeId, length: u64) -> u64 {
        let (mut low, mut high) = (0, length - 1);
        while low < high {
            let middle = (low + high) / 2;
            let before_end = dag
                .at(indexer, middle)
                .is_none_or(|node| !dag.sees(node, target) || self.strictly_newer(dag, target, node));
            if before_end {
                low = middle + 1;
            } else if middle == 0 {
                break;
            } else {
                high = middle - 1;
            }
        }
        low + 2
    }

    /// Whether the target stands; with `parent`, whether it does or may do from what that node saw.
    fn is_confirmed(&self, dag: &Dag, target: NodeId, parent: Option<NodeId>) -> bool {
        let acks = self.acks(dag, target);
        if acks.len() < self.majority {
            return false;
        }
        let mut confirming = BTreeSet::new();
        let mut all_newer = true;
        for indexer in &self.indexers {
            let length = match parent.map(|parent| dag.node(parent)) {
                None => dag.writer(*indexer).length(),
                Some(parent) if parent.writer == *indexer => parent.length.saturating_sub(1),
                Some(parent) => parent.clock.get(*indexer),
            };
            match self.confirms(dag, *indexer, target, &acks, length) {
                Seen::Acked => {
                    confirming.insert(*indexer);
                    if confirming.len() >= self.majority {
                        return true;
                    }
                }
                Seen::Unseen => all_newer = false,
                Seen::Newer => {}
            }
        }
        match parent {
            None => all_newer,
            Some(parent) => self.is_confirmable_at(dag, target, parent, &acks, &confirming),
        }
    }

    fn is_confirmable_at(
        &self,
        dag: &Dag,
        target: NodeId,
        parent: NodeId,
        acks: &[NodeId],
        confirming: &BTreeSet<WriterId>,
    ) -> bool {
        if !self.acked_at(dag, acks, parent) {
            return false;
        }
        let (seer, found) = (dag.node(parent), dag.node(target));
        let mut potential = confirming.len();
        for indexer in self.indexers.iter().filter(|one| !confirming.contains(one)) {
            let length = seer.clock.get(*indexer);
            // What the target saw may still confirm it later; of what it did not see, only what is strictly newer.
            if !found.clock.includes(*indexer, length) {
                let head = length.checked_sub(1).and_then(|seq| dag.at(*indexer, seq));
                let spoilt = head.is_some_and(|head| {
                    !self.is_removed(dag, head) && !self.strictly_newer(dag, target, head)
                });
                if spoilt {
                    continue;
                }
            }
            potential += 1;
            if potential >= self.majority {
                return true;
            }
        }
        false
    }

    /// The next of the indexers' nodes that stand; empty when there are none for now.
    pub(super) fn shift(&mut self, dag: &Dag) -> Vec<NodeId> {
        if !self.updated {
            return Vec::new();
        }
        let tails = self.tails(dag);
        if let Some(tail) = tails.iter().find(|tail| self.is_confirmed(dag, **tail, None)) {
            self.remove(dag, *tail);
            return vec![*tail];
        }
        let merge = self
            .merges
            .iter()
            .find(|merge| self.is_confirmed(dag, **merge, None));
        if let Some(merge) = merge {
            return self.yield_below(dag, *merge, &tails);
        }
        self.updated = false;
        Vec::new()
    }

    /// What stands first of that which a confirmed node saw.
    fn yield_below(&mut self, dag: &Dag, mut node: NodeId, tails: &[NodeId]) -> Vec<NodeId> {
        while !tails.contains(&node) {
            let seen_tails = || tails.iter().filter(move |tail| dag.sees(node, **tail));
            let seen_merges = self
                .merges
                .iter()
                .filter(|merge| **merge != node && dag.sees(node, **merge));
            let next = seen_tails()
                .chain(seen_merges)
                .find(|one| self.is_confirmed(dag, **one, Some(node)));
            let Some(next) = next else {
                let all: Vec<NodeId> = seen_tails().copied().collect();
                all.iter().for_each(|tail| self.remove(dag, *tail));
                return all;
            };
            node = *next;
        }
        self.remove(dag, node);
        vec![node]
    }

    /// Whether a node of this indexer would bring any of the others' nodes closer to standing.
    pub(super) fn should_ack(&self, dag: &Dag, writer: WriterId) -> bool {
        let others = self.tails(dag).into_iter();
        others
            .filter(|tail| dag.node(*tail).writer != writer)
            .any(|tail| self.should_ack_node(dag, tail, writer))
    }

    fn should_ack_node(&self, dag: &Dag, target: NodeId, writer: WriterId) -> bool {
        let found = dag.node(target);
        let next = found.clock.get(writer).max(dag.writer(writer).indexed);
        match dag.at(writer, next) {
            None if writer != found.writer => return true,
            None => {}
            Some(first) if !dag.sees(first, target) => {
                return dag.last(writer).is_some_and(|last| !dag.sees(last, target));
            }
            Some(first) if !self.strictly_newer(dag, target, first) => return false,
            Some(_) => {}
        }
        let acks = self.acks(dag, target);
        acks.len() >= self.majority
            && self.confirms(dag, writer, target, &acks, dag.writer(writer).length()) == Seen::Unseen
    }
}

/// Adds a node to a set of which none covers another: not if one of them covers it, and in place of those that it covers.
fn keep_newest(set: &mut Vec<NodeId>, node: NodeId, covers: impl Fn(NodeId, NodeId) -> bool) {
    if set.iter().any(|other| *other != node && covers(*other, node)) {
        return;
    }
    set.retain(|other| *other == node || !covers(node, *other));
    set.push(node);
}
