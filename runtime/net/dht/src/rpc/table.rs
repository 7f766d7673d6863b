//! The routing table: up to 20 nodes per bit of common prefix (npm kademlia-routing-table), plus the order in which they were last heard.

use std::net::SocketAddrV4;

use rand::RngExt;

use crate::id::{NodeId, Target};

/// Nodes per row, and how many a reply lists.
pub const K: usize = 20;

/// A node in the table. Times are in ticks of the node's maintenance clock.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its id.
    pub id: NodeId,
    /// Its address, which the id is derived from.
    pub address: SocketAddrV4,
    /// When its view of our address was last sampled; none = never.
    pub sampled: Option<u64>,
    /// When it was added.
    pub added: u64,
    /// When we last asked it something, or heard from it.
    pub pinged: u64,
    /// When we last heard from it.
    pub seen: u64,
    /// How often others said that it was down since.
    pub down_hints: u32,
    /// Grows with each time it is heard from: orders nodes from oldest to latest.
    order: u64,
}

/// What became of an added node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in the table.
    Yes,
    /// Its row is full of these; one may be replaced if it no longer answers.
    Full(Vec<NodeId>),
    /// It is the node itself.
    Own,
}

/// The routing table of one node.
#[derive(Debug)]
pub(super) struct Table {
    id: NodeId,
    rows: Vec<Vec<Entry>>,
    order: u64,
    size: usize,
}

impl Table {
    /// An empty table around `id`.
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            rows: vec![Vec::new(); 256],
            order: 0,
            size: 0,
        }
    }

    /// The id of the node itself.
    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// Nodes in the table.
    pub(super) fn len(&self) -> usize {
        self.size
    }

    /// Whether no node is known.
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    fn row_of(&self, id: &NodeId) -> usize {
        let bits = self
            .id
            .0
            .iter()
            .zip(id.0)
            .map(|(a, b)| a ^ b)
            .enumerate()
            .find(|(_, differ)| *differ != 0)
            .map_or(255, |(i, differ)| i * 8 + differ.leading_zeros() as usize);
        bits.min(255)
    }

    /// The node of that id.
    pub(super) fn get(&self, id: &NodeId) -> Option<&Entry> {
        self.rows.get(self.row_of(id))?.iter().find(|n| n.id == *id)
    }

    /// The node of that id, to change its times.
    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Entry> {
        let row = self.row_of(id);
        self.rows.get_mut(row)?.iter_mut().find(|n| n.id == *id)
    }

    /// What its nodes saw of us counts no more.
    pub(super) fn forget_samples(&mut self) {
        self.rows
            .iter_mut()
            .flatten()
            .for_each(|node| node.sampled = None);
    }

    /// Adds a node heard of at `tick`, or renews it.
    pub(super) fn add(&mut self, id: NodeId, address: SocketAddrV4, tick: u64) -> Added {
        if id == self.id {
            return Added::Own;
        }
        self.order += 1;
        let order = self.order;
        if let Some(known) = self.get_mut(&id) {
            (known.pinged, known.seen, known.order) = (tick, tick, order);
            return Added::Yes;
        }
        let row = self.row_of(&id);
        let Some(row) = self.rows.get_mut(row) else {
            return Added::Own;
        };
        if row.len() >= K {
            return Added::Full(row.iter().map(|n| n.id).collect());
        }
        row.push(Entry {
            id,
            address,
            sampled: None,
            added: tick,
            pinged: tick,
            seen: tick,
            down_hints: 0,
            order,
        });
        self.size += 1;
        Added::Yes
    }

    /// Drops a node.
    pub(super) fn remove(&mut self, id: &NodeId) -> Option<Entry> {
        let row = self.row_of(id);
        let row = self.rows.get_mut(row)?;
        let at = row.iter().position(|n| n.id == *id)?;
        self.size -= 1;
        Some(row.swap_remove(at))
    }

    /// Every node.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.rows.iter().flatten()
    }

    /// The `n` nodes nearest to `target`, nearest first.
    pub(super) fn closest(&self, target: &Target, n: usize) -> Vec<(NodeId, SocketAddrV4)> {
        let mut all: Vec<&Entry> = self.iter().collect();
        if all.len() > n && n > 0 {
            all.select_nth_unstable_by(n - 1, |a, b| target.compare_distance(&a.id, &b.id));
        }
        all.truncate(n);
        all.sort_by(|a, b| target.compare_distance(&a.id, &b.id));
        all.into_iter().map(|e| (e.id, e.address)).collect()
    }

    /// Nodes by when they were last heard from, latest first.
    pub(super) fn latest(&self, n: usize) -> Vec<&Entry> {
        let mut all: Vec<&Entry> = self.iter().collect();
        all.sort_by_key(|e| std::cmp::Reverse(e.order));
        all.truncate(n);
        all
    }

    /// Nodes by when they were last heard from, oldest first.
    pub(super) fn oldest(&self, n: usize) -> Vec<&Entry> {
        let mut all: Vec<&Entry> = self.iter().collect();
        all.sort_by_key(|e| e.order);
        all.truncate(n);
        all
    }

    /// Any node.
    pub(super) fn random(&self, rng: &mut impl rand::Rng) -> Option<&Entry> {
        if self.size == 0 {
            return None;
        }
        self.iter().nth(rng.random_range(0..self.size))
    }

    /// Moves to another id, keeping the nodes that fit.
    pub(super) fn rebase(&mut self, id: NodeId) {
        let old = std::mem::replace(self, Self::new(id));
        self.order = old.order;
        for entry in old.rows.into_iter().flatten().filter(|e| e.id != id) {
            let row = self.row_of(&entry.id);
            if let Some(row) = self.rows.get_mut(row).filter(|row| row.len() < K) {
                row.push(entry);
                self.size += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn address(i: u32) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + i), 1000)
    }

    #[test]
    fn closest_agrees_with_sorting_everything() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut table = Table::new(NodeId([0; 32]));
        let added: Vec<NodeId> = (0..500)
            .map(|i| (NodeId::of(address(i)), address(i)))
            .filter(|(id, a)| table.add(*id, *a, 0) == Added::Yes)
            .map(|(id, _)| id)
            .collect();
        assert_eq!(added.len(), table.len());
        let target = Target(rng.random());
        let mut sorted = added.clone();
        sorted.sort_by(|a, b| target.compare_distance(a, b));
        let found: Vec<NodeId> = table.closest(&target, K).into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, sorted[..K]);
    }

    #[test]
    fn a_full_row_refuses_and_a_removed_node_makes_room() {
        let mut table = Table::new(NodeId([0; 32]));
        let far = |i: u8| NodeId(std::array::from_fn(|j| if j == 0 { 0x80 } else { i }));
        for i in 0..K as u8 {
            assert_eq!(table.add(far(i), address(u32::from(i)), 0), Added::Yes);
        }
        assert!(matches!(table.add(far(99), address(99), 1), Added::Full(ids) if ids.len() == K));
        assert_eq!(table.add(far(3), address(3), 7), Added::Yes);
        assert_eq!(table.latest(1)[0].id, far(3));
        assert!(table.remove(&far(0)).is_some() && table.remove(&far(0)).is_none());
        assert_eq!(table.add(far(99), address(99), 1), Added::Yes);
        table.rebase(far(99));
        assert_eq!(table.len(), K - 1);
    }
}
