//! The list of nodes in their order (npm `autobase` lib/topolist.js): what a node links stands before it; of two that link neither each
//! other nor lead there, the one of the lower key does. An optimistic node stands as late as it may, right before what links it.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::dag::{Dag, NodeId};

/// Nodes after the indexed ones, and how much of the list stayed as it was told last.
#[derive(Debug, Default)]
pub(super) struct Topolist {
    pub(super) tip: Vec<NodeId>,
    /// Nodes of the list as it was told last that have to be undone.
    undo: usize,
    /// Nodes at the start that did not change since.
    shared: usize,
}

/// How the list changed since it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) shared: usize,
    pub(super) undo: usize,
}

impl Topolist {
    pub(super) fn add(&mut self, dag: &mut Dag, node: NodeId) {
        let shared = add_sorted(dag, &mut self.tip, 0, node);
        self.track(shared);
    }

    /// Takes out the indexed nodes, and says what changed since the last time.
    pub(super) fn flush(&mut self, dag: &mut Dag, indexed: &[NodeId]) -> Changed {
        if !indexed.is_empty() {
            self.apply(dag, indexed);
        }
        let changed = Changed {
            shared: self.shared,
            undo: self.undo,
        };
        self.shared = self.tip.len();
        self.undo = 0;
        changed
    }

    fn apply(&mut self, dag: &mut Dag, indexed: &[NodeId]) {
        let same = self.tip.iter().zip(indexed).take_while(|(a, b)| a == b).count();
        if same < indexed.len() {
            self.track(same);
        }
        let mut tip = Vec::with_capacity(self.tip.len().saturating_sub(indexed.len()));
        for node in std::mem::take(&mut self.tip).into_iter().skip(same) {
            if dag.node(node).yielded {
                continue;
            }
            let at = add_sorted(dag, &mut tip, 0, node);
            if at + 1 != tip.len() {
                self.track(same + at);
            }
        }
        self.tip = tip;
    }

    fn track(&mut self, shared: usize) {
        if shared < self.shared {
            self.undo += self.shared - shared;
            self.shared = shared;
        }
    }
}

/// Puts a node into a list, not before `offset`. Returns from where on the list changed.
pub(super) fn add_sorted(dag: &mut Dag, list: &mut Vec<NodeId>, offset: usize, node: NodeId) -> usize {
    set_index(dag, node, list.len());
    list.push(node);
    let mut places = Places { dag, list, offset };
    let depends_on = &places.dag.node(node).dependencies;
    if depends_on.iter().any(|other| places.dag.node(*other).optimistic) {
        return places.add_after_optimistic(node);
    }
    places.down_and_up(node);
    places.index(node)
}

fn set_index(dag: &mut Dag, node: NodeId, index: usize) {
    if let Some(node) = dag.node_mut(node) {
        node.index = index;
    }
}

/// A list in which nodes move.
struct Places<'a> {
    dag: &'a mut Dag,
    list: &'a mut Vec<NodeId>,
    offset: usize,
}

impl Places<'_> {
    fn index(&self, node: NodeId) -> usize {
        self.dag.node(node).index
    }

    /// Moves a node to another place of the list.
    fn move_to(&mut self, node: NodeId, to: usize) {
        let from = self.index(node);
        let (low, high) = (from.min(to), from.max(to));
        let Some(moved) = self.list.get_mut(low..=high).filter(|_| from != to) else {
            return;
        };
        if from < to {
            moved.rotate_left(1);
        } else {
            moved.rotate_right(1);
        }
        for (index, node) in (low..).zip(moved) {
            set_index(self.dag, *node, index);
        }
    }

    /// The place right after the last node before it that it links.
    fn down(&mut self, node: NodeId) {
        let index = self.index(node);
        let before = self.dag.linked(node).filter_map(|link| {
            let at = self.index(link);
            (at < index && self.list.get(at) == Some(&link)).then_some(at + 1)
        });
        let lowest = before.max().unwrap_or(0).max(self.offset).min(index);
        self.move_to(node, lowest);
    }

    fn down_and_up(&mut self, node: NodeId) {
        self.down(node);
        if self.dag.node(node).optimistic {
            self.optimistic_up(node);
        } else {
            self.up(node);
        }
    }

    /// Past those that come before it by key.
    fn up(&mut self, node: NodeId) {
        let mut place = self.index(node);
        while let Some(next) = self.list.get(place + 1) {
            if self.compare_to_next(node, *next) != Ordering::Greater {
                break;
            }
            place += 1;
        }
        self.move_to(node, place);
    }

    /// As far up as what links it allows; among optimistic ones by key.
    fn optimistic_up(&mut self, node: NodeId) {
        let mut place = self.index(node);
        while self
            .list
            .get(place + 1)
            .is_some_and(|next| !self.dag.links(*next, node))
        {
            place += 1;
        }
        self.move_to(node, place);
        while let Some(at) = place.checked_sub(1).filter(|_| place > self.offset) {
            let passes = self.list.get(at).is_some_and(|before| {
                self.dag.node(*before).optimistic && compare(self.dag, *before, node) == Ordering::Greater
            });
            if !passes {
                break;
            }
            place = at;
        }
        self.move_to(node, place);
    }

    /// With what comes next, or, if that is optimistic, with the next that is not.
    fn compare_to_next(&self, node: NodeId, next: NodeId) -> Ordering {
        let rest = self.list.get(self.index(next)..).unwrap_or_default();
        let firm = rest.iter().find(|node| !self.dag.node(**node).optimistic);
        firm.map_or(Ordering::Less, |firm| compare(self.dag, node, *firm))
    }

    /// For a node that links optimistic ones: they give way first, and move up to it again.
    fn add_after_optimistic(&mut self, node: NodeId) -> usize {
        let moving = self.optimistic_before(node);
        // Each place is noted when it is that one's turn: those before it may have moved it.
        let mut noted = Vec::with_capacity(moving.len());
        for node in &moving {
            noted.push(self.index(*node));
            self.down(*node);
        }
        self.down_and_up(node);
        for node in moving.iter().rev() {
            self.optimistic_up(*node);
        }
        let mut shared = self.index(node);
        for (node, was) in moving.iter().zip(noted) {
            let is = self.index(*node);
            if is != was {
                shared = shared.min(was).min(is);
            }
        }
        shared
    }

    /// The optimistic nodes that it links, and those that these link, in the order of the list.
    fn optimistic_before(&self, node: NodeId) -> Vec<NodeId> {
        let mut found = HashSet::new();
        let mut stack = vec![node];
        while let Some(next) = stack.pop() {
            if found.contains(&next) {
                continue;
            }
            let here = self.dag.node(next);
            if here.optimistic && next != node {
                found.insert(next);
            }
            let links = here.dependencies.iter();
            stack.extend(links.filter(|other| self.dag.node(**other).optimistic && !found.contains(other)));
        }
        // They stand close before it.
        let last_first = self.list.iter().rev().filter(|node| found.contains(node));
        let mut sorted: Vec<NodeId> = last_first.take(found.len()).copied().collect();
        sorted.reverse();
        sorted
    }
}

/// `Less` if `a` comes before `b`.
fn compare(dag: &Dag, a: NodeId, b: NodeId) -> Ordering {
    if dag.links(b, a) {
        return Ordering::Less;
    }
    let (one, other) = (dag.node(a), dag.node(b));
    let keys = dag.writer(one.writer).key.cmp(&dag.writer(other.writer).key);
    keys.then(one.length.cmp(&other.length))
}
