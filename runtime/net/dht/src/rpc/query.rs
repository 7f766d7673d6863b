//! One iterative search: asks ever closer nodes until the twenty closest have answered (npm dht-rpc lib/query.js).

use std::collections::HashMap;
use std::net::SocketAddrV4;

use super::Response;
use super::table::K;
use crate::id::{NodeId, Target};

/// Addresses one query remembers at most, whatever others send it.
const MAX_SEEN: usize = 2048;

/// What to search for.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// Where in the key space.
    pub target: Target,
    /// Whether `command` is one of dht-rpc's own.
    pub internal: bool,
    /// What to ask each node.
    pub command: u64,
    /// Body of each request.
    pub value: Option<Vec<u8>>,
    /// Nodes to ask first, for instance the closest of an earlier query.
    pub nodes: Vec<SocketAddrV4>,
    /// Ask nobody but `nodes`.
    pub only_nodes: bool,
    /// Requests at once.
    pub concurrency: usize,
    /// How often to ask one node again.
    pub retries: u32,
}

impl QueryOptions {
    /// A query with the usual width and patience.
    pub fn new(target: Target, command: u64) -> Self {
        Self {
            target,
            internal: false,
            command,
            value: None,
            nodes: Vec::new(),
            only_nodes: false,
            concurrency: 10,
            retries: 2,
        }
    }
}

#[derive(Debug)]
enum Seen {
    /// Waiting for its answer; these nodes named it.
    Asked(Vec<SocketAddrV4>),
    Done,
    Down,
}

/// State of a query.
#[derive(Debug)]
pub(super) struct Query {
    /// What is searched.
    pub options: QueryOptions,
    /// Nearest answers so far, nearest first, at most [`K`].
    pub closest: Vec<Response>,
    /// Answers without error.
    pub successes: usize,
    /// Errors and timeouts.
    pub errors: usize,
    seen: HashMap<SocketAddrV4, Seen>,
    pending: Vec<(NodeId, SocketAddrV4)>,
    in_flight: usize,
    slow: usize,
    from_table: bool,
}

impl Query {
    /// A query that knows `options.nodes` only; feed it more with [`Query::add_nodes`].
    pub(super) fn new(options: QueryOptions) -> Self {
        let mut query = Self {
            closest: Vec::new(),
            successes: 0,
            errors: 0,
            seen: HashMap::new(),
            pending: Vec::new(),
            in_flight: 0,
            slow: 0,
            from_table: options.only_nodes,
            options,
        };
        for address in query.options.nodes.clone() {
            query.add_pending(address, None);
        }
        query
    }

    /// How many more nodes it wants to start with.
    pub(super) fn missing(&self) -> usize {
        if self.options.only_nodes {
            0
        } else {
            K.saturating_sub(self.pending.len())
        }
    }

    /// Adds nodes from the routing table or the bootstrap list.
    pub(super) fn add_nodes(&mut self, nodes: impl IntoIterator<Item = SocketAddrV4>) {
        self.from_table = true;
        for address in nodes {
            self.add_pending(address, None);
        }
    }

    fn is_closer(&self, id: &NodeId) -> bool {
        match self.closest.get(K - 1).and_then(|r| r.from_id) {
            Some(last) => self.options.target.compare_distance(id, &last).is_lt(),
            None => true,
        }
    }

    /// Queues `address`, named by `by`. Returns a down hint to send: (to whom, about whom).
    fn add_pending(
        &mut self,
        address: SocketAddrV4,
        by: Option<SocketAddrV4>,
    ) -> Option<(SocketAddrV4, SocketAddrV4)> {
        match self.seen.get_mut(&address) {
            Some(Seen::Done) => return None,
            Some(Seen::Down) => return Some((by?, address)),
            Some(Seen::Asked(refs)) => {
                refs.extend(by.filter(|_| refs.len() < K));
                return None;
            }
            None => {}
        }
        let id = NodeId::of(address);
        if address.port() == 0 || self.seen.len() >= MAX_SEEN || !self.is_closer(&id) {
            return None;
        }
        self.seen.insert(address, Seen::Asked(by.into_iter().collect()));
        self.pending.push((id, address));
        None
    }

    /// The next node to ask now, if any. The caller sends the request.
    pub(super) fn next_visit(&mut self) -> Option<SocketAddrV4> {
        while self.in_flight < self.options.concurrency + self.slow {
            let target = &self.options.target;
            let pending = self.pending.iter().enumerate();
            let (nearest, _) = pending.min_by(|(_, a), (_, b)| target.compare_distance(&a.0, &b.0))?;
            let (id, address) = self.pending.swap_remove(nearest);
            if self.is_closer(&id) {
                self.in_flight += 1;
                return Some(address);
            }
        }
        None
    }

    /// Whether nothing more is to be done. If so and it never asked the routing table, and most cached nodes
    /// failed, [`Query::wants_table`] says so.
    pub(super) fn is_exhausted(&self) -> bool {
        // In a network with fewer than K nodes, a few dead ones must not hold everything up either.
        let enough = self.closest.len() >= K || (self.successes >= 4 && self.successes >= 2 * self.in_flight);
        self.pending.is_empty() && (self.in_flight == 0 || (self.slow == self.in_flight && enough))
    }

    /// Whether the cached nodes it started from failed and the routing table should be asked.
    pub(super) fn wants_table(&self) -> bool {
        !self.from_table && self.successes < K / 4
    }

    fn settled(&mut self, was_slow: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if was_slow {
            self.slow = self.slow.saturating_sub(1);
        }
    }

    /// A first answer is overdue: another node may be asked meanwhile.
    pub(super) fn handle_slow(&mut self) {
        self.slow += 1;
    }

    /// A node answered. `own` is the id of this node. Returns down hints to send: (to whom, about whom).
    pub(super) fn handle_response(
        &mut self,
        response: &Response,
        closer: &[SocketAddrV4],
        own: &NodeId,
        was_slow: bool,
    ) -> Vec<(SocketAddrV4, SocketAddrV4)> {
        self.settled(was_slow);
        self.seen.insert(response.from, Seen::Done);
        if response.error != 0 {
            self.errors += 1;
        } else {
            self.successes += 1;
            if let Some(id) = response.from_id.filter(|id| self.is_closer(id)) {
                let target = &self.options.target;
                let at = self.closest.partition_point(|r| {
                    r.from_id
                        .is_some_and(|other| target.compare_distance(&other, &id).is_lt())
                });
                if self.closest.get(at).and_then(|r| r.from_id) != Some(id) {
                    self.closest.insert(at, response.clone());
                    self.closest.truncate(K);
                }
            }
        }
        if self.options.only_nodes {
            return Vec::new();
        }
        closer
            .iter()
            .take(2 * K)
            .filter(|address| NodeId::of(**address) != *own)
            .filter_map(|address| self.add_pending(*address, Some(response.from)))
            .collect()
    }

    /// A node did not answer. Returns down hints to send: (to whom, about whom).
    pub(super) fn handle_timeout(
        &mut self,
        node: SocketAddrV4,
        was_slow: bool,
    ) -> Vec<(SocketAddrV4, SocketAddrV4)> {
        self.settled(was_slow);
        self.errors += 1;
        match self.seen.insert(node, Seen::Down) {
            Some(Seen::Asked(refs)) => refs.into_iter().map(|by| (by, node)).collect(),
            _ => Vec::new(),
        }
    }
}
