//! The order that npm `autobase` gives to random graphs (tests/vectors/autobase/order.json, recorded by
//! tests/vectors/scripts/autobase-order.js), whichever way the nodes arrive. `AUTOBASE_GRAPHS` names a larger recording, for a longer test.

use std::sync::LazyLock;

use autobase::messages::{OplogMessage, OplogNode};
use autobase::{Head, Key, Linearizer, NodeId};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

static GRAPHS: LazyLock<Vec<Graph>> = LazyLock::new(|| {
    let path = std::env::var("AUTOBASE_GRAPHS").ok();
    let text = path.map(|path| std::fs::read_to_string(path).unwrap());
    let recorded = include_str!("../../../../tests/vectors/autobase/order.json");
    let all: Value = serde_json::from_str(text.as_deref().unwrap_or(recorded)).unwrap();
    all["graphs"]
        .as_array()
        .unwrap()
        .iter()
        .map(Graph::read)
        .collect()
});

fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn numbers(value: &Value) -> Vec<usize> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| uint(n) as usize)
        .collect()
}

/// A graph as recorded; nodes by their numbers.
#[derive(Debug)]
struct Graph {
    keys: Vec<Key>,
    indexers: usize,
    nodes: Vec<(Head, OplogMessage)>,
    /// Of each writer.
    logs: Vec<Vec<usize>>,
    updates: Vec<[u64; 5]>,
    indexed: Vec<usize>,
    tip: Vec<usize>,
}

impl Graph {
    fn read(value: &Value) -> Self {
        let keys: Vec<Key> = numbers(&value["keys"])
            .iter()
            .map(|key| Key([*key as u8; 32]))
            .collect();
        let mut logs = vec![Vec::new(); keys.len()];
        let mut nodes: Vec<(Head, OplogMessage)> = Vec::new();
        for node in value["nodes"].as_array().unwrap() {
            let fields = numbers(node);
            let (writer, batch, flags) = (fields[0], fields[1] as u64, fields[2]);
            logs[writer].push(nodes.len());
            let at = Head {
                key: keys[writer],
                length: logs[writer].len() as u64,
            };
            let mut message = OplogMessage::new(OplogNode {
                heads: fields[3..].iter().map(|n| nodes[*n].0).collect(),
                batch,
                value: (flags & 1 != 0).then(|| Bytes::from_static(b"value")),
            });
            message.optimistic = flags & 2 != 0;
            nodes.push((at, message));
        }
        let update = |update: &Value| {
            let fields: Vec<u64> = update.as_array().unwrap().iter().map(uint).collect();
            fields.try_into().unwrap()
        };
        Self {
            keys,
            indexers: uint(&value["indexers"]) as usize,
            nodes,
            logs,
            updates: value["updates"].as_array().unwrap().iter().map(update).collect(),
            indexed: numbers(&value["indexed"]),
            tip: numbers(&value["tip"]),
        }
    }

    fn linearizer(&self) -> Linearizer {
        let begin = |key: &Key| Head { key: *key, length: 0 };
        let indexers: Vec<Head> = self.keys[..self.indexers].iter().map(begin).collect();
        let mut linearizer = Linearizer::new(&indexers, &[]).unwrap();
        for key in &self.keys {
            linearizer.follow(begin(key), false).unwrap();
        }
        linearizer
    }

    fn number(&self, at: &Head) -> usize {
        let writer = self.keys.iter().position(|key| *key == at.key).unwrap();
        self.logs[writer][at.length as usize - 1]
    }

    fn number_all(&self, linearizer: &Linearizer, nodes: &[NodeId]) -> Vec<usize> {
        let number = |id: &NodeId| self.number(&linearizer.node(*id).unwrap().at);
        nodes.iter().map(number).collect()
    }
}

/// What one follower of a graph has come to.
struct Follower<'a> {
    graph: &'a Graph,
    linearizer: Linearizer,
    /// What stands, and then the tip as the app has it, by following `shared` and `undo` alone.
    applied: Vec<usize>,
    standing: usize,
}

impl<'a> Follower<'a> {
    fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            linearizer: graph.linearizer(),
            applied: Vec::new(),
            standing: 0,
        }
    }

    fn offer(&mut self, number: usize) {
        let (at, message) = &self.graph.nodes[number];
        self.linearizer.offer(*at, message).unwrap();
        self.linearizer.advance();
    }

    /// Returns shared, undone, indexed and who should ack.
    fn update(&mut self) -> Option<[u64; 4]> {
        let update = self.linearizer.update()?;
        let indexed = self.graph.number_all(&self.linearizer, &update.indexed);
        let tip = self.graph.number_all(&self.linearizer, self.linearizer.tip());
        let all: Vec<usize> = indexed.iter().chain(&tip).copied().collect();
        assert_eq!(
            self.applied.len() - self.standing,
            update.shared + update.undo,
            "what is undone is what was there"
        );
        self.applied.truncate(self.standing + update.shared);
        self.applied.extend(&all[update.shared..]);
        assert_eq!(self.applied[self.standing..], all, "what is shared is as it was");
        self.standing += indexed.len();
        for id in &update.indexed {
            if let Some(node) = self.linearizer.node(*id).filter(|node| node.batch == 1) {
                let writer = node.at.key;
                self.linearizer.shift(&writer);
            }
        }
        let acks = (0..).zip(&self.graph.keys);
        let acks = acks.map(|(bit, key)| u64::from(self.linearizer.should_ack(key, false)) << bit);
        Some([
            update.shared as u64,
            update.undo as u64,
            indexed.len() as u64,
            acks.sum(),
        ])
    }

    fn finished(&self) -> (&[usize], &[usize]) {
        self.applied.split_at(self.standing)
    }
}

#[test]
fn the_order_is_upstreams_at_every_step() {
    assert!(GRAPHS.len() >= 300);
    for (which, graph) in GRAPHS.iter().enumerate() {
        let mut follower = Follower::new(graph);
        let mut updates = graph.updates.iter();
        let mut next = updates.next();
        for number in 0..graph.nodes.len() {
            follower.offer(number);
            if let Some(update) = next.filter(|update| update[0] as usize == number + 1) {
                assert_eq!(
                    follower.update().unwrap()[..],
                    update[1..],
                    "graph {which}, after {number}"
                );
                next = updates.next();
            }
        }
        assert!(next.is_none());
        assert_eq!(
            follower.finished(),
            (&graph.indexed[..], &graph.tip[..]),
            "graph {which}"
        );
    }
}

#[test]
fn heads_are_what_nothing_links() {
    for graph in GRAPHS.iter() {
        let mut follower = Follower::new(graph);
        (0..graph.nodes.len()).for_each(|number| follower.offer(number));
        let linked: Vec<Head> = graph
            .nodes
            .iter()
            .flat_map(|(_, message)| message.node.heads.clone())
            .collect();
        let mut expected: Vec<Head> = graph.nodes.iter().map(|(at, _)| *at).collect();
        expected.retain(|at| !linked.contains(at));
        let mut heads = follower.linearizer.heads();
        heads.sort();
        expected.sort();
        assert_eq!(heads, expected);
    }
}

/// Gives the nodes of each writer in their order, and the writers mixed as `choices` say, without regard to what links what.
fn give(graph: &Graph, choices: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let mut follower = Follower::new(graph);
    let mut next = vec![0; graph.keys.len()];
    let mut choices = choices.iter().cycle();
    let mut given = 0;
    while given < graph.nodes.len() {
        let choice = *choices.next().unwrap();
        let mut writer = usize::from(choice) % graph.keys.len();
        while next[writer] == graph.logs[writer].len() {
            writer = (writer + 1) % graph.keys.len();
        }
        // Whole runs at times: they wait in the queue for what they link.
        for _ in 0..=(choice / 64) {
            if next[writer] < graph.logs[writer].len() {
                follower.offer(graph.logs[writer][next[writer]]);
                next[writer] += 1;
                given += 1;
            }
        }
        if choice.is_multiple_of(3) {
            follower.update();
        }
    }
    follower.update();
    let (indexed, tip) = follower.finished();
    (indexed.to_vec(), tip.to_vec())
}

proptest! {
    #[test]
    fn however_nodes_arrive_the_order_is_the_recorded_one(
        which in any::<prop::sample::Index>(),
        choices in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let graph = which.get(&GRAPHS[..]);
        let (indexed, tip) = give(graph, &choices);
        prop_assert_eq!(&indexed, &graph.indexed);
        prop_assert_eq!(&tip, &graph.tip);
    }
}

#[test]
fn every_graph_given_from_its_last_writer_on_has_the_recorded_order() {
    for graph in GRAPHS.iter() {
        // All of one writer, then all of the next: nearly everything waits.
        let mut follower = Follower::new(graph);
        for log in graph.logs.iter().rev() {
            log.iter().for_each(|number| follower.offer(*number));
        }
        follower.update();
        assert_eq!(follower.finished(), (&graph.indexed[..], &graph.tip[..]));
    }
}
