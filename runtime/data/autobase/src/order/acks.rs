//! Whether an indexer should say that it saw what others wrote (the ack methods of npm `autobase` lib/linearizer.js).

use std::collections::HashSet;

use super::Linearizer;
use crate::Key;
use crate::dag::{NodeId, WriterId};

impl Linearizer {
    /// Whether a node without a value, written by this indexer now, would bring the order on: false for others. To be asked after
    /// [`advance`](Self::advance) took in all that can be. With `pending`, nodes without values count as well: an indexer waits to
    /// be let in.
    pub fn should_ack(&self, writer: &Key, pending: bool) -> bool {
        let Some(writer) = self.dag.writer_of(writer) else {
            return false;
        };
        if !self.dag.writer(writer).is_indexer {
            return false;
        }
        let owner = |node: &NodeId| self.dag.node(*node).writer;
        if self
            .heads
            .iter()
            .any(|head| !self.dag.writer(owner(head)).is_indexer)
        {
            return true;
        }
        // Nobody acknowledges only oneself.
        if self.heads.len() == 1 && self.heads.iter().any(|head| owner(head) == writer) {
            return false;
        }
        // Nodes without values need not stand.
        let worth = if pending { self.size } else { self.values };
        worth > 0 && (self.consensus.should_ack(&self.dag, writer) || self.is_behind(writer, pending))
    }

    /// Whether another's head knows of acks that this writer's newest node does not.
    fn is_behind(&self, writer: WriterId, pending: bool) -> bool {
        let own = self.dag.last(writer);
        let others = self.heads.iter();
        let mut others = others.filter(|head| self.dag.node(**head).writer != writer);
        others.any(|head| {
            let mut stack = vec![*head];
            let mut visited = HashSet::new();
            while let Some(id) = stack.pop() {
                if !visited.insert(id) {
                    continue;
                }
                let node = self.dag.node(id);
                if pending || node.has_value {
                    let theirs = self.consensus.acks_seen_by(&self.dag, id, Some(*head));
                    let ours = self.consensus.acks_seen_by(&self.dag, id, own);
                    if !theirs.is_subset(&ours) {
                        return true;
                    }
                    if !theirs.is_empty() && !ours.is_empty() {
                        continue;
                    }
                }
                stack.extend(&node.dependencies);
            }
            false
        })
    }
}
