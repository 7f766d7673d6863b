//! Keeping the node sound: bootstrap, finding out whether we are firewalled, checks of old nodes (npm dht-rpc index.js).

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use base::wire::Writer;
use rand::{Rng, RngExt};

use super::message::internal;
use super::table::K;
use super::{
    Answer, Event, Incoming, NatSampler, Outgoing, Purpose, QueryId, QueryOptions, RequestId, Response, Rpc,
    SocketId,
};
use crate::id::{NodeId, Target};
use crate::wire::WriteAddress;

const TICK: Duration = Duration::from_secs(5);
const SLEPT: Duration = Duration::from_secs(15);
/// Ticks until a node that may become persistent tries to: 20 minutes; an hour for the next try.
const STABLE_TICKS: u64 = 240;
const MORE_STABLE_TICKS: u64 = 3 * STABLE_TICKS;
/// A refresh every five minutes when idle.
const REFRESH_TICKS: u64 = 60;
/// Heard from within a minute.
const RECENT_NODE: u64 = 12;
/// Known for half an hour.
pub(super) const OLD_NODE: u64 = 360;
/// Checks and swaps under way at once.
const MAX_CHECKS: usize = 10;
const MAX_SWAPS: usize = 3;
/// Down hints sent per tick.
const MAX_DOWN_HINTS: usize = 50;
/// Down hints that one answer, or one that is missing, sets off.
const MAX_HINTS_AT_ONCE: usize = 8;
/// Delayed pings waiting at once, and the longest delay.
const MAX_DELAYED: usize = 256;
const MAX_DELAY: Duration = Duration::from_secs(10);
/// Nodes asked to reach the server socket.
const NAT_CHECK_NODES: usize = 5;

#[derive(Debug)]
enum Bootstrap {
    Idle,
    /// The first query runs; whether our server socket was reached, whether it was the second round.
    Querying {
        query: QueryId,
        pinged: bool,
        reached: bool,
        round: u32,
    },
    Checking {
        round: u32,
    },
}

/// Waiting for others to reach our server socket.
#[derive(Debug)]
struct NatCheck {
    waiting: HashMap<RequestId, ()>,
    asked: usize,
    reached: usize,
    sampler: NatSampler,
    only_firewall: bool,
}

/// Clock and state of all maintenance.
#[derive(Debug)]
pub(super) struct Maintenance {
    tick: u64,
    next_tick: Instant,
    refresh: u64,
    stable: u64,
    last_checked: Option<std::net::Ipv4Addr>,
    down_hints: usize,
    bootstrap: Bootstrap,
    check: Option<NatCheck>,
    background: Vec<QueryId>,
    delayed: Vec<(Instant, Incoming)>,
}

impl Maintenance {
    pub(super) fn new(now: Instant, rng: &mut impl Rng) -> Self {
        Self {
            tick: 100 - rng.random_range(0..50),
            next_tick: now + TICK,
            refresh: REFRESH_TICKS - rng.random_range(0..REFRESH_TICKS / 2),
            stable: STABLE_TICKS,
            last_checked: None,
            down_hints: 0,
            bootstrap: Bootstrap::Idle,
            check: None,
            background: Vec::new(),
            delayed: Vec::new(),
        }
    }

    pub(super) fn tick(&self) -> u64 {
        self.tick
    }

    pub(super) fn next_tick(&self) -> Instant {
        let delayed = self.delayed.iter().map(|(at, _)| *at);
        delayed.fold(self.next_tick, Instant::min)
    }

    pub(super) fn query_started(&mut self) {
        self.refresh = REFRESH_TICKS;
    }

    pub(super) fn answer_later(&mut self, now: Instant, delay: Duration, incoming: Incoming) {
        if delay <= MAX_DELAY && self.delayed.len() < MAX_DELAYED {
            self.delayed.push((now + delay, incoming));
        }
    }
}

impl Rpc {
    pub(super) fn start_bootstrap(&mut self, now: Instant) {
        self.bootstrap_round(now, 0);
    }

    fn bootstrap_round(&mut self, now: Instant, round: u32) {
        let query = self.background_query(now, self.table.id());
        // An offline node's query is over at once; its end finds the bootstrap idle.
        if self.queries.contains_key(&query) {
            self.maintenance.bootstrap = Bootstrap::Querying {
                query,
                pinged: false,
                reached: false,
                round,
            };
        } else {
            self.finish_bootstrap();
        }
    }

    fn finish_bootstrap(&mut self) {
        self.maintenance.bootstrap = Bootstrap::Idle;
        if !self.bootstrapped {
            self.bootstrapped = true;
            self.events.push_back(Event::Bootstrapped);
        }
    }

    fn background_query(&mut self, now: Instant, around: NodeId) -> QueryId {
        let options = QueryOptions {
            internal: true,
            ..QueryOptions::new(Target::around(around), internal::FIND_NODE)
        };
        // Filed before it runs, so that its end is recognised even if it comes at once.
        self.maintenance.background.push(QueryId(self.next_query));
        self.query(now, options)
    }

    /// Looks around a random place of the network again.
    pub fn refresh(&mut self, now: Instant) {
        let around = self.table.random(&mut self.rng).map_or(self.table.id(), |n| n.id);
        self.background_query(now, around);
    }

    /// Takes the end of a query of ours. Returns whether it was one.
    pub(super) fn query_done_internally(&mut self, now: Instant, id: QueryId) -> bool {
        let Some(at) = self.maintenance.background.iter().position(|q| *q == id) else {
            return false;
        };
        self.maintenance.background.swap_remove(at);
        match self.maintenance.bootstrap {
            Bootstrap::Querying {
                query,
                reached,
                round,
                ..
            } if query == id => {
                let persistent = self.config.persistent;
                if reached || (persistent && self.ephemeral && round == 0) {
                    self.start_nat_check(now, !persistent, round);
                } else {
                    self.finish_bootstrap();
                }
            }
            _ => {}
        }
        true
    }

    /// Passes a query's answer on, or uses it if the query is ours.
    pub(super) fn query_reply(&mut self, now: Instant, id: QueryId, response: Response) {
        if !self.maintenance.background.contains(&id) {
            self.events.push_back(Event::QueryReply(id, response));
            return;
        }
        if let Bootstrap::Querying {
            query, pinged, round, ..
        } = &mut self.maintenance.bootstrap
            && *query == id
            && !*pinged
            && self.firewalled
            && *round == 0
        {
            *pinged = true;
            self.ask_nat_ping(now, response.from, Purpose::QuickNat);
        }
    }

    fn ask_nat_ping(&mut self, now: Instant, to: SocketAddrV4, purpose: Purpose) -> Option<RequestId> {
        let mut w = Writer::new();
        w.u16(self.config.server_port);
        let out = Outgoing {
            internal: true,
            value: Some(w.finish()),
            retries: 1,
            ..Outgoing::new(to, internal::PING_NAT)
        };
        self.send_request(now, out, None, purpose)
    }

    pub(super) fn quick_nat_answered(&mut self, now: Instant) {
        match &mut self.maintenance.bootstrap {
            Bootstrap::Querying { reached, .. } => *reached = true,
            // The first round did not wait for it.
            Bootstrap::Idle if self.firewalled => {
                self.begin_nat_check(now, !self.config.persistent);
            }
            _ => {}
        }
    }

    /// Asks up to five nodes to ping the server socket.
    fn start_nat_check(&mut self, now: Instant, only_firewall: bool, round: u32) {
        self.maintenance.bootstrap = Bootstrap::Checking { round };
        if !self.begin_nat_check(now, only_firewall) {
            self.finish_bootstrap();
        }
    }

    fn begin_nat_check(&mut self, now: Instant, only_firewall: bool) -> bool {
        if !self.ephemeral || (only_firewall && !self.firewalled) || self.maintenance.check.is_some() {
            return false;
        }
        if !only_firewall {
            self.maintenance.stable = MORE_STABLE_TICKS;
            self.maintenance.last_checked = self.nat.host();
        }
        if self.nat.address().is_none() {
            return false;
        }
        let mut nodes = self.latest_nodes(NAT_CHECK_NODES);
        if nodes.len() < NAT_CHECK_NODES {
            nodes.extend(self.config.bootstrap.iter().copied());
            nodes.dedup();
        }
        let waiting: HashMap<RequestId, ()> = nodes
            .iter()
            .filter_map(|to| Some((self.ask_nat_ping(now, *to, Purpose::NatCheck)?, ())))
            .collect();
        if waiting.is_empty() {
            return false;
        }
        let asked = waiting.len();
        let sampler = NatSampler::default();
        self.maintenance.check = Some(NatCheck {
            waiting,
            asked,
            reached: 0,
            sampler,
            only_firewall,
        });
        true
    }

    pub(super) fn nat_check_answered(
        &mut self,
        now: Instant,
        id: RequestId,
        socket: SocketId,
        seen: Option<SocketAddrV4>,
    ) {
        let Some(check) = &mut self.maintenance.check else {
            return;
        };
        check.waiting.remove(&id);
        if let Some(seen) = seen.filter(|_| socket == SocketId::SERVER) {
            check.reached += 1;
            check.sampler.add(seen);
        }
        if !check.waiting.is_empty() && check.reached < check.asked.min(3) {
            return;
        }
        let Some(check) = self.maintenance.check.take() else {
            return;
        };
        for id in check.waiting.keys() {
            self.cancel_request(*id);
        }
        let improved = self.conclude_nat_check(now, &check);
        if let Bootstrap::Checking { round } = self.maintenance.bootstrap {
            if improved && round == 0 && !check.only_firewall {
                self.bootstrap_round(now, 1);
            } else {
                self.finish_bootstrap();
            }
        }
    }

    /// Applies the check. Returns whether the node is open (and persistent, if asked for).
    fn conclude_nat_check(&mut self, now: Instant, check: &NatCheck) -> bool {
        let needed = if check.asked >= NAT_CHECK_NODES { 3 } else { 1 };
        let open = check.reached >= needed
            && check.sampler.host().is_some()
            && check.sampler.host() == self.nat.host()
            && check.sampler.port() == self.config.server_port;
        if !open {
            return false;
        }
        self.firewalled = false;
        self.nat = check.sampler.clone();
        self.sampled.clear();
        if check.only_firewall {
            return true;
        }
        let Some(address) = self.nat.address() else {
            return false;
        };
        self.ephemeral = false;
        let id = NodeId::of(address);
        if id != self.table.id() {
            self.table.rebase(id);
            if self.bootstrapped {
                self.refresh(now);
            }
        }
        true
    }

    /// The machine has other addresses than before, or others see it elsewhere: what was seen of it says nothing any more, nor
    /// does that it could be reached. Finds both out again.
    pub fn moved(&mut self, now: Instant) {
        if self.config.known_address.is_some() {
            return;
        }
        self.nat = NatSampler::default();
        self.sampled.clear();
        self.table.forget_samples();
        self.firewalled = true;
        if !self.ephemeral {
            self.ephemeral = true;
            let id = NodeId(self.rng.random());
            self.table.rebase(id);
        }
        if let Some(check) = self.maintenance.check.take() {
            for id in check.waiting.keys() {
                self.cancel_request(*id);
            }
        }
        self.maintenance.last_checked = None;
        self.maintenance.stable = STABLE_TICKS;
        // A first round that is on its way asks whether we can be reached when it ends, and ends once.
        if matches!(self.maintenance.bootstrap, Bootstrap::Checking { .. }) {
            self.finish_bootstrap();
        }
        if matches!(self.maintenance.bootstrap, Bootstrap::Idle) {
            self.bootstrap_round(now, 0);
        }
    }

    /// Runs the five-second clock.
    pub(super) fn maintain(&mut self, now: Instant) {
        let delayed = std::mem::take(&mut self.maintenance.delayed);
        for (at, incoming) in delayed {
            if at <= now {
                self.answer(&incoming, Answer::default());
            } else {
                self.maintenance.delayed.push((at, incoming));
            }
        }
        if now < self.maintenance.next_tick {
            return;
        }
        if now.duration_since(self.maintenance.next_tick) > SLEPT {
            // The machine slept: everything known is old, and the network may be another one.
            self.maintenance.tick += 2 * OLD_NODE;
            self.maintenance.refresh = 1;
            self.maintenance.last_checked = None;
        }
        self.maintenance.next_tick = now + TICK;
        self.maintenance.tick += 1;
        self.maintenance.down_hints = 0;
        if !self.bootstrapped {
            return;
        }
        if self.ephemeral {
            self.maintenance.stable = self.maintenance.stable.saturating_sub(1);
            if self.maintenance.stable == 0 && self.config.known_address.is_none() {
                if self.maintenance.last_checked.is_some() && self.maintenance.last_checked == self.nat.host()
                {
                    self.maintenance.stable = MORE_STABLE_TICKS;
                } else {
                    self.begin_nat_check(now, false);
                }
            }
        }
        if self.maintenance.tick & 7 == 0 {
            self.ping_some(now);
        }
        self.maintenance.refresh = self.maintenance.refresh.saturating_sub(1);
        let few = self.maintenance.tick & 63 == 0 && self.table.len() < K;
        let lost = self.table.is_empty() && !self.config.bootstrap.is_empty();
        if few || lost || self.maintenance.refresh == 0 {
            if lost && self.firewalled && self.maintenance.background.is_empty() {
                self.bootstrap_round(now, 0);
            } else if self.maintenance.background.len() < 2 {
                self.refresh(now);
            }
        }
    }

    fn ping_some(&mut self, now: Instant) {
        let tick = self.maintenance.tick;
        let oldest: Vec<(NodeId, u64)> = self
            .table
            .oldest(5)
            .into_iter()
            .map(|n| (n.id, n.pinged))
            .collect();
        let recent = oldest
            .first()
            .is_some_and(|(_, pinged)| tick.saturating_sub(*pinged) < RECENT_NODE);
        let count = if recent {
            2
        } else if self.io.len() > 2 {
            3
        } else {
            5
        };
        for (id, pinged) in oldest.into_iter().take(count) {
            if pinged != tick {
                self.check(now, &id);
            }
        }
    }

    fn checks(&self) -> usize {
        self.purposes
            .values()
            .filter(|p| matches!(p, Purpose::Check { .. }))
            .count()
    }

    fn check(&mut self, now: Instant, id: &NodeId) {
        let tick = self.maintenance.tick;
        let Some(node) = self.table.get_mut(id) else {
            return;
        };
        node.pinged = tick;
        // Times have no finer grain than ticks: an answer within this tick must still count as later.
        let seen = node.seen;
        node.seen = seen.saturating_sub(1);
        let purpose = Purpose::Check {
            node: *id,
            seen: seen.saturating_sub(1),
        };
        let address = node.address;
        self.send_request(now, Outgoing::ping(address), None, purpose);
    }

    /// Somebody says that `down` does not answer.
    pub(super) fn check_hinted(&mut self, now: Instant, down: SocketAddrV4) {
        if self.checks() >= MAX_CHECKS {
            return;
        }
        let (id, tick) = (NodeId::of(down), self.maintenance.tick);
        if let Some(node) = self.table.get_mut(&id)
            && (node.pinged < tick || node.down_hints == 0)
        {
            node.down_hints += 1;
            self.check(now, &id);
        }
    }

    /// `new` found its row full: see whether the least proven node there still answers.
    pub(super) fn consider_swap(&mut self, now: Instant, row: &[NodeId], new: SocketAddrV4) {
        let swaps = self
            .purposes
            .values()
            .filter(|p| matches!(p, Purpose::Swap { .. }))
            .count();
        if !self.bootstrapped || swaps >= MAX_SWAPS {
            return;
        }
        let tick = self.maintenance.tick;
        let oldest = row
            .iter()
            .filter_map(|id| self.table.get(id))
            .filter(|n| n.pinged != tick)
            .min_by_key(|n| (n.pinged, n.added))
            .map(|n| (n.id, n.pinged, n.added));
        let Some((old, pinged, added)) = oldest else {
            return;
        };
        if tick.saturating_sub(pinged) < RECENT_NODE && tick.saturating_sub(added) > OLD_NODE {
            return;
        }
        let Some(node) = self.table.get_mut(&old) else {
            return;
        };
        node.pinged = tick;
        node.seen = node.seen.saturating_sub(1);
        let (address, seen) = (node.address, node.seen);
        self.send_request(
            now,
            Outgoing::ping(address),
            None,
            Purpose::Swap { old, seen, new },
        );
    }

    /// Replaces `old` by `new` unless it was heard from after `seen`.
    pub(super) fn finish_swap(&mut self, old: NodeId, seen: u64, new: SocketAddrV4) {
        if self.table.get(&old).is_some_and(|n| n.seen > seen) {
            return;
        }
        self.table.remove(&old);
        self.table.add(NodeId::of(new), new, self.maintenance.tick);
    }

    /// Tells nodes which of the nodes they named did not answer.
    pub(super) fn send_down_hints(&mut self, now: Instant, mut hints: Vec<(SocketAddrV4, SocketAddrV4)>) {
        // An answer may name the same dead node many times; once is enough.
        hints.sort_unstable();
        hints.dedup();
        for (to, down) in hints.into_iter().take(MAX_HINTS_AT_ONCE) {
            if self.maintenance.down_hints >= MAX_DOWN_HINTS {
                return;
            }
            self.maintenance.down_hints += 1;
            let mut w = Writer::new();
            w.address(down);
            let out = Outgoing {
                internal: true,
                value: Some(w.finish()),
                ..Outgoing::new(to, internal::DOWN_HINT)
            };
            self.send_request(now, out, None, Purpose::DownHint);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::RpcConfig;
    use super::*;
    use crate::hyper::Firewall;

    #[test]
    fn a_node_that_moved_says_no_more_that_it_is_open_and_finds_out_anew() {
        let at = |n: u8| SocketAddrV4::new(Ipv4Addr::new(8, 8, 8, n), 1000);
        let config = RpcConfig {
            bootstrap: vec![at(1)],
            server_port: 1000,
            known_address: None,
            persistent: false,
        };
        let now = Instant::now();
        let mut rpc = Rpc::new(config, now, [7; 32]);
        while rpc.poll_transmit().is_some() {}
        (rpc.bootstrapped, rpc.firewalled) = (true, false);
        rpc.maintenance.bootstrap = Bootstrap::Idle;
        rpc.queries.clear();
        (0..3).for_each(|_| rpc.nat.add(at(9)));
        assert_eq!(rpc.remote_address(), Some(at(9)));
        rpc.moved(now);
        assert_eq!((rpc.remote_address(), rpc.firewall()), (None, Firewall::Unknown));
        assert_eq!(
            rpc.poll_transmit().map(|t| (t.to, t.socket)),
            Some((at(1), SocketId::CLIENT))
        );
    }

    #[test]
    fn an_answer_full_of_dead_nodes_sets_off_few_hints() {
        let at = |n: u8| SocketAddrV4::new(Ipv4Addr::new(8, 8, 8, n), 1000);
        let config = RpcConfig {
            bootstrap: Vec::new(),
            server_port: 1000,
            known_address: None,
            persistent: false,
        };
        let now = Instant::now();
        let mut rpc = Rpc::new(config, now, [7; 32]);
        let mut sent = |hints: Vec<(SocketAddrV4, SocketAddrV4)>| {
            rpc.send_down_hints(now, hints);
            std::iter::from_fn(|| rpc.poll_transmit()).count()
        };
        assert_eq!(
            sent(vec![(at(1), at(2)); 40]),
            1,
            "one node, named again and again"
        );
        assert_eq!(sent((10..50).map(|n| (at(1), at(n))).collect()), 8);
        let all: usize = (0..20)
            .map(|_| sent((10..50).map(|n| (at(1), at(n))).collect()))
            .sum();
        assert!(all < MAX_DOWN_HINTS, "within one tick");
    }
}
