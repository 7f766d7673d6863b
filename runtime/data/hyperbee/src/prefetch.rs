//! Reading ahead: all tree nodes of a range, many at a time, so that listing a remote bee costs a round trip per level
//! of the tree and not one per entry.

use std::collections::HashSet;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::bee::{Bee, MAX_DEPTH, corrupt, level};
use crate::error::BeeError;
use crate::messages::Child;
use crate::range::Range;

/// Blocks asked for at the same time.
const IN_FLIGHT: usize = 256;

/// A subtree to visit and the keys around it.
struct Visit {
    at: Child,
    from: u64,
    lower: Option<Bytes>,
    upper: Option<Bytes>,
    depth: usize,
}

impl Bee {
    /// Brings every block of a range here. Returns at once when the core holds all of its blocks.
    pub(crate) async fn prefetch(&self, range: &Range) -> Result<(), BeeError> {
        let version = self.version();
        if version < 2 || self.core().contiguous_length() >= version {
            return Ok(());
        }
        let root = Child {
            seq: version - 1,
            offset: 0,
        };
        let mut queue = vec![Visit {
            at: root,
            from: version,
            lower: None,
            upper: None,
            depth: 0,
        }];
        let mut running = FuturesUnordered::new();
        let mut seen = HashSet::from([root]); // a damaged tree may lead to one node in many ways
        loop {
            while running.len() < IN_FLIGHT {
                let Some(visit) = queue.pop() else { break };
                running.push(self.visit(visit, range));
            }
            match running.next().await {
                Some(found) => queue.extend(found?.into_iter().filter(|visit| seen.insert(visit.at))),
                None => return Ok(()),
            }
        }
    }

    async fn visit(&self, visit: Visit, range: &Range) -> Result<Vec<Visit>, BeeError> {
        if visit.depth >= MAX_DEPTH {
            return Err(corrupt(visit.at.seq, "the tree is too deep"));
        }
        let block = self.node(visit.at.seq, visit.from).await?;
        let node = level(&block, visit.at.seq, visit.at.offset)?;
        let keys = node.keys.iter().map(|&seq| self.node(seq, visit.at.seq));
        let keys = futures::future::try_join_all(keys).await?;
        let key = |at: Option<usize>| at.and_then(|at| keys.get(at)).map(|node| node.key.clone());
        let children = node.children.iter().enumerate().filter_map(|(number, &at)| {
            let lower = key(number.checked_sub(1)).or_else(|| visit.lower.clone());
            let upper = key(Some(number)).or_else(|| visit.upper.clone());
            let wanted = range.may_meet(lower.as_deref(), upper.as_deref());
            wanted.then_some(Visit {
                at,
                from: visit.at.seq,
                lower,
                upper,
                depth: visit.depth + 1,
            })
        });
        Ok(children.collect())
    }
}
