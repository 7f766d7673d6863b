//! The RPC layer (npm dht-rpc) as a state machine: datagrams and time in, datagrams and events out.
//!
//! Feed it with [`Rpc::handle_datagram`] and [`Rpc::handle_timeout`], start work with [`Rpc::request`] and
//! [`Rpc::query`], and after each call take what it wants: [`Rpc::poll_transmit`] until none, [`Rpc::poll_event`]
//! until none, [`Rpc::next_timeout`] last. It knows no sockets and no clock, so that networks can be simulated.

mod io;
mod maintenance;
pub mod message;
mod nat_sampler;
mod query;
mod table;
mod types;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use base::wire::Reader;
pub use io::RequestId;
use io::{Expired, Io};
use maintenance::Maintenance;
use message::{INVALID_TOKEN, Message, Reply, Request, UNKNOWN_COMMAND, internal};
pub use nat_sampler::NatSampler;
use query::Query;
pub use query::QueryOptions;
use rand::{RngExt, SeedableRng, rngs::StdRng};
pub use table::K;
use table::{Added, Table};
pub use types::{Answer, Event, Incoming, Outgoing, QueryId, Response, RpcConfig, SocketId, Transmit};

use crate::address::{Reach, reach};
use crate::hyper::Firewall;
use crate::id::NodeId;
use crate::wire::ReadAddress;

#[derive(Debug)]
enum Purpose {
    User,
    Query {
        id: QueryId,
        slow: bool,
    },
    Check {
        node: NodeId,
        seen: u64,
    },
    Swap {
        old: NodeId,
        seen: u64,
        new: SocketAddrV4,
    },
    QuickNat,
    NatCheck,
    DownHint,
}

/// A node of the RPC network.
#[derive(Debug)]
pub struct Rpc {
    config: RpcConfig,
    rng: StdRng,
    table: Table,
    io: Io,
    purposes: HashMap<RequestId, Purpose>,
    queries: HashMap<QueryId, Query>,
    next_query: u64,
    maintenance: Maintenance,
    nat: NatSampler,
    /// Non-persistent nodes whose view of our address was sampled.
    sampled: HashSet<SocketAddrV4>,
    ephemeral: bool,
    firewalled: bool,
    bootstrapped: bool,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Rpc {
    /// A node that starts to bootstrap at once. `seed` makes it deterministic.
    pub fn new(config: RpcConfig, now: Instant, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let mut nat = NatSampler::default();
        if let Some(address) = config.known_address {
            nat.add(address);
        }
        let ephemeral = !(config.persistent && config.known_address.is_some());
        let id = match config.known_address {
            Some(address) if !ephemeral => NodeId::of(address),
            _ => NodeId(rng.random()),
        };
        let mut rpc = Self {
            table: Table::new(id),
            io: Io::new(now, &mut rng),
            maintenance: Maintenance::new(now, &mut rng),
            firewalled: config.known_address.is_none(),
            config,
            rng,
            purposes: HashMap::new(),
            queries: HashMap::new(),
            next_query: 1,
            nat,
            sampled: HashSet::new(),
            ephemeral,
            bootstrapped: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        rpc.start_bootstrap(now);
        rpc
    }

    /// The id, if the node is persistent.
    pub fn id(&self) -> Option<NodeId> {
        (!self.ephemeral).then(|| self.table.id())
    }

    /// Whether others may need to be written to first before they reach us, as far as known.
    pub fn firewalled(&self) -> bool {
        self.firewalled
    }

    /// As if nobody had got through to the server socket yet.
    #[cfg(test)]
    pub(crate) fn pretend_firewalled(&mut self) {
        self.firewalled = true;
        self.config.known_address = None;
    }

    /// The nodes that it starts from.
    pub fn bootstrap(&self) -> &[SocketAddrV4] {
        &self.config.bootstrap
    }

    /// Whether the first round is over.
    pub fn bootstrapped(&self) -> bool {
        self.bootstrapped
    }

    /// Our address as most others see it.
    pub fn nat(&self) -> &NatSampler {
        &self.nat
    }

    /// Nodes known.
    pub fn node_count(&self) -> usize {
        self.table.len()
    }

    /// The nodes last heard from, latest first.
    pub(crate) fn latest_nodes(&self, n: usize) -> Vec<SocketAddrV4> {
        self.table.latest(n).into_iter().map(|e| e.address).collect()
    }

    /// The address at which everybody can reach the server socket, if so.
    pub fn remote_address(&self) -> Option<SocketAddrV4> {
        if self.firewalled {
            return None;
        }
        self.config
            .known_address
            .or_else(|| self.nat.address().filter(|a| a.port() == self.config.server_port))
    }

    /// What others see of us: whether they reach us, and whether our NAT keeps our port.
    pub fn firewall(&self) -> Firewall {
        if self.remote_address().is_some() {
            return Firewall::Open;
        }
        match (self.nat.host(), self.nat.port()) {
            // One witness is none: another may see another port.
            _ if self.nat.len() < 2 => Firewall::Unknown,
            (None, _) => Firewall::Unknown,
            (Some(_), 0) => Firewall::Random,
            (Some(_), _) => Firewall::Consistent,
        }
    }

    /// Whether an address that others named is worth a packet. Else anybody could make us write to machines of our own
    /// network: those are asked only where the DHT itself, or our own address on it, is of that kind.
    pub(crate) fn is_dialable(&self, address: SocketAddrV4) -> bool {
        let kind = reach(address);
        let own = self.nat.host().map(|ip| SocketAddrV4::new(ip, 1));
        let mut known = self.config.bootstrap.iter().copied();
        match kind {
            Reach::Public => true,
            Reach::Nobody => false,
            _ => {
                let ours = self.config.known_address.into_iter().chain(own);
                known.any(|a| reach(a) == kind) || ours.into_iter().any(|a| reach(a) == kind)
            }
        }
    }

    /// The socket requests go out from.
    pub fn socket(&self) -> SocketId {
        if self.firewalled {
            SocketId::CLIENT
        } else {
            SocketId::SERVER
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Rpc::handle_timeout`] is to be called at the latest.
    pub fn next_timeout(&self) -> Instant {
        let tick = self.maintenance.next_tick();
        self.io.next_timeout().map_or(tick, |t| t.min(tick))
    }

    /// Sends a request; its end is [`Event::Done`].
    pub fn request(&mut self, now: Instant, out: Outgoing) -> Option<RequestId> {
        self.send_request(now, out, None, Purpose::User)
    }

    fn send_request(
        &mut self,
        now: Instant,
        out: Outgoing,
        to_id: Option<NodeId>,
        purpose: Purpose,
    ) -> Option<RequestId> {
        let tid = self.io.free_tid(&mut self.rng)?;
        let socket = out.socket.unwrap_or(self.socket());
        let request = Request {
            tid,
            to: out.to,
            id: self.id().filter(|_| socket == SocketId::SERVER),
            token: out.token,
            internal: out.internal,
            command: out.command,
            target: out.target,
            value: out.value,
        };
        let id = self
            .io
            .insert(now, tid, socket, out.to, to_id, request.encode(), out.retries, 0);
        self.purposes.insert(id, purpose);
        self.transmit_request(now, id);
        Some(id)
    }

    fn transmit_request(&mut self, now: Instant, id: RequestId) {
        if let Some(r) = self.io.send(now, id) {
            self.transmits.push_back(Transmit {
                socket: r.socket,
                to: r.to,
                ttl: r.ttl,
                bytes: r.bytes.clone(),
            });
        }
    }

    /// Forgets a request without an event.
    pub(crate) fn cancel_request(&mut self, id: RequestId) {
        self.io.remove(id);
        self.purposes.remove(&id);
    }

    /// Starts a query; answers are [`Event::QueryReply`], its end [`Event::QueryDone`].
    pub fn query(&mut self, now: Instant, options: QueryOptions) -> QueryId {
        self.maintenance.query_started();
        let id = QueryId(self.next_query);
        self.next_query += 1;
        let mut query = Query::new(options);
        if query.missing() > 0 {
            self.add_table_nodes(&mut query);
        }
        self.queries.insert(id, query);
        self.drive_query(now, id);
        id
    }

    fn add_table_nodes(&self, query: &mut Query) {
        let target = query.options.target;
        let closest = self.table.closest(&target, query.missing());
        query.add_nodes(closest.into_iter().map(|(_, address)| address));
        if query.missing() > 0 {
            query.add_nodes(self.config.bootstrap.iter().copied());
        }
    }

    /// Ends a query without further events. Requests under way run out.
    pub fn cancel_query(&mut self, id: QueryId) {
        self.queries.remove(&id);
        let orphans: Vec<RequestId> = self
            .purposes
            .iter()
            .filter(|(_, p)| matches!(p, Purpose::Query { id: of, .. } if *of == id))
            .map(|(id, _)| *id)
            .collect();
        for id in orphans {
            self.cancel_request(id);
        }
    }

    fn drive_query(&mut self, now: Instant, id: QueryId) {
        let Some(mut query) = self.queries.remove(&id) else {
            return;
        };
        loop {
            while let Some(to) = query.next_visit() {
                let out = Outgoing {
                    to,
                    token: None,
                    internal: query.options.internal,
                    command: query.options.command,
                    target: Some(query.options.target),
                    value: query.options.value.clone(),
                    socket: None,
                    retries: query.options.retries,
                };
                let purpose = Purpose::Query { id, slow: false };
                if self
                    .send_request(now, out, Some(NodeId::of(to)), purpose)
                    .is_none()
                {
                    query.handle_timeout(to, false);
                }
            }
            if !query.is_exhausted() {
                self.queries.insert(id, query);
                return;
            }
            if !query.wants_table() {
                break;
            }
            self.add_table_nodes(&mut query);
        }
        // Slow answers that are still under way are of no use any more.
        self.cancel_query(id);
        if !self.query_done_internally(now, id) {
            self.events.push_back(Event::QueryDone(id, query.closest));
        }
    }

    /// Takes a datagram that came in on `socket`. Garbage is dropped.
    pub fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        if from.port() == 0 {
            return;
        }
        match Message::decode(bytes) {
            Ok(Message::Request(request)) => self.handle_request(now, socket, from, request),
            Ok(Message::Reply(reply)) => self.handle_reply(now, socket, from, reply),
            Err(_) => {}
        }
    }

    fn handle_request(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, request: Request) {
        let from_id = request.id.filter(|id| *id == NodeId::of(from));
        let mut incoming = Incoming {
            socket,
            from,
            from_id,
            to: request.to,
            tid: request.tid,
            token: request.token,
            internal: request.internal,
            command: request.command,
            target: request.target,
            value: request.value,
        };
        if incoming
            .token
            .is_some_and(|token| !self.io.is_valid_token(&token, from.ip()))
        {
            let closer = incoming.target.is_some();
            self.answer(
                &incoming,
                Answer {
                    error: INVALID_TOKEN,
                    token: true,
                    closer,
                    ..Answer::default()
                },
            );
            return;
        }
        if from_id.is_some() {
            self.heard_from(now, socket == self.socket(), from, from_id, request.to);
        }
        if !incoming.internal {
            self.events.push_back(Event::Request(incoming));
            return;
        }
        let value = incoming.value.as_deref().unwrap_or_default();
        match incoming.command {
            internal::PING => self.answer(&incoming, Answer::default()),
            internal::PING_NAT => {
                let Some(Ok(port)) = value.get(..2).map(<[u8; 2]>::try_from) else {
                    return;
                };
                let port = u16::from_le_bytes(port);
                if port != 0 {
                    incoming.from.set_port(port);
                    self.answer(&incoming, Answer::default());
                }
            }
            internal::FIND_NODE => {
                if incoming.target.is_some() {
                    self.answer(
                        &incoming,
                        Answer {
                            closer: true,
                            ..Answer::default()
                        },
                    );
                }
            }
            internal::DOWN_HINT => {
                if let Ok(down) = Reader::new(value).address() {
                    self.check_hinted(now, down);
                    self.answer(&incoming, Answer::default());
                }
            }
            internal::DELAYED_PING => {
                let Some(Ok(ms)) = value.get(..4).map(<[u8; 4]>::try_from) else {
                    return;
                };
                let delay = Duration::from_millis(u64::from(u32::from_le_bytes(ms)));
                self.maintenance.answer_later(now, delay, incoming);
            }
            _ => self.unknown(&incoming),
        }
    }

    /// Answers that there is no such command.
    pub fn unknown(&mut self, incoming: &Incoming) {
        let closer = incoming.target.is_some();
        self.answer(
            incoming,
            Answer {
                error: UNKNOWN_COMMAND,
                closer,
                ..Answer::default()
            },
        );
    }

    /// Answers a request.
    pub fn answer(&mut self, incoming: &Incoming, answer: Answer) {
        let socket = answer.socket.unwrap_or(incoming.socket);
        let to = answer.to.unwrap_or(incoming.from);
        let closer_nodes = match incoming.target {
            Some(target) if answer.closer => self
                .table
                .closest(&target, K)
                .into_iter()
                .map(|(_, address)| address)
                .collect(),
            _ => Vec::new(),
        };
        let reply = Reply {
            tid: incoming.tid,
            to,
            id: self.id().filter(|_| socket == SocketId::SERVER),
            token: answer.token.then(|| self.io.token(to.ip())),
            closer_nodes,
            error: answer.error,
            value: answer.value,
        };
        self.transmits.push_back(Transmit {
            socket,
            to,
            ttl: 0,
            bytes: reply.encode(),
        });
    }

    /// Passes a request on to another node with another body; the answer goes its own way.
    pub fn relay(&mut self, incoming: &Incoming, value: Vec<u8>, to: SocketAddrV4, socket: Option<SocketId>) {
        let socket = socket.unwrap_or(incoming.socket);
        let request = Request {
            tid: incoming.tid,
            to,
            id: self.id().filter(|_| socket == SocketId::SERVER),
            token: None,
            internal: incoming.internal,
            command: incoming.command,
            target: incoming.target,
            value: Some(value),
        };
        self.transmits.push_back(Transmit {
            socket,
            to,
            ttl: 0,
            bytes: request.encode(),
        });
    }

    fn handle_reply(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, reply: Reply) {
        let Some(request) = self.io.answer(reply.tid, from) else {
            return;
        };
        let Some(purpose) = self.purposes.remove(&request.id) else {
            return;
        };
        let response = Response {
            from,
            from_id: reply.id.filter(|id| *id == NodeId::of(from)),
            to: reply.to,
            token: reply.token,
            error: reply.error,
            value: reply.value,
            rtt: now.saturating_duration_since(request.sent_at),
        };
        self.heard_from(now, socket == self.socket(), from, response.from_id, reply.to);
        match purpose {
            Purpose::User => self.events.push_back(Event::Done(request.id, Some(response))),
            Purpose::Query { id, slow } => {
                let own = self.table.id();
                let mut closer = reply.closer_nodes;
                closer.retain(|address| self.is_dialable(*address));
                let Some(query) = self.queries.get_mut(&id) else {
                    return;
                };
                let hints = query.handle_response(&response, &closer, &own, slow);
                self.send_down_hints(now, hints);
                self.query_reply(now, id, response);
                self.drive_query(now, id);
            }
            Purpose::Check { node, seen } => {
                // The answer may come from another id at that address.
                if self.table.get(&node).is_some_and(|n| n.seen <= seen) {
                    self.table.remove(&node);
                }
            }
            Purpose::Swap { old, seen, new } => self.finish_swap(old, seen, new),
            Purpose::QuickNat => self.quick_nat_answered(now),
            Purpose::NatCheck => self.nat_check_answered(now, request.id, socket, Some(response.to)),
            Purpose::DownHint => {}
        }
    }

    /// Does what is due: retries, timeouts, maintenance.
    pub fn handle_timeout(&mut self, now: Instant) {
        for expired in self.io.expire(now) {
            match expired {
                Expired::Retry { id, first } => {
                    let query = match self.purposes.get_mut(&id) {
                        Some(Purpose::Query { id, slow }) if first => {
                            *slow = true;
                            Some(*id)
                        }
                        _ => None,
                    };
                    self.transmit_request(now, id);
                    if let Some(id) = query {
                        if let Some(query) = self.queries.get_mut(&id) {
                            query.handle_slow();
                        }
                        self.drive_query(now, id);
                    }
                }
                Expired::TimedOut(request) => {
                    if let Some(id) = request.to_id {
                        self.table.remove(&id);
                    }
                    match self.purposes.remove(&request.id) {
                        Some(Purpose::User) => self.events.push_back(Event::Done(request.id, None)),
                        Some(Purpose::Query { id, slow }) => {
                            if let Some(query) = self.queries.get_mut(&id) {
                                let hints = query.handle_timeout(request.to, slow);
                                self.send_down_hints(now, hints);
                                self.drive_query(now, id);
                            }
                        }
                        Some(Purpose::Check { node, .. }) => {
                            self.table.remove(&node);
                        }
                        Some(Purpose::Swap { old, new, .. }) => self.finish_swap(old, u64::MAX, new),
                        Some(Purpose::NatCheck) => {
                            self.nat_check_answered(now, request.id, SocketId::CLIENT, None);
                        }
                        Some(Purpose::QuickNat | Purpose::DownHint) | None => {}
                    }
                }
            }
        }
        for id in self.io.drain(now, &mut self.rng) {
            if let Some(r) = self.io.get(id) {
                let transmit = Transmit {
                    socket: r.socket,
                    to: r.to,
                    ttl: r.ttl,
                    bytes: r.bytes.clone(),
                };
                self.transmits.push_back(transmit);
            }
        }
        self.maintain(now);
    }

    /// Remembers who is alive and what it sees of us. `sample`: it came on the socket whose address we want to know.
    fn heard_from(
        &mut self,
        now: Instant,
        sample: bool,
        from: SocketAddrV4,
        from_id: Option<NodeId>,
        to: SocketAddrV4,
    ) {
        let Some(id) = from_id else {
            if self.sampled.len() < self.config.bootstrap.len().max(1) && self.sampled.insert(from) {
                self.nat.add(to);
            }
            return;
        };
        let tick = self.maintenance.tick();
        match self.table.add(id, from, tick) {
            Added::Yes => {
                let Some(node) = self.table.get_mut(&id) else {
                    return;
                };
                let due = node
                    .sampled
                    .is_none_or(|t| tick.saturating_sub(t) >= maintenance::OLD_NODE);
                if sample && due {
                    node.sampled = Some(tick);
                    self.nat.add(to);
                }
            }
            Added::Full(ids) => self.consider_swap(now, &ids, from),
            Added::Own => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_our_network_are_asked_only_on_a_dht_of_that_kind() {
        let kinds = ["5.6.7.8:9", "10.0.0.1:9", "127.0.0.1:9", "192.0.2.1:9"];
        let address = |text: &str| -> SocketAddrV4 { text.parse().unwrap() };
        for (i, bootstrap) in kinds.iter().enumerate() {
            let config = RpcConfig {
                bootstrap: vec![address(bootstrap)],
                server_port: 1,
                known_address: None,
                persistent: false,
            };
            let mut rpc = Rpc::new(config, Instant::now(), [1; 32]);
            for (k, kind) in kinds.iter().enumerate() {
                assert_eq!(
                    rpc.is_dialable(address(kind)),
                    k == 0 || k == i,
                    "{kind} by {bootstrap}"
                );
            }
            for nobody in ["0.1.2.3:9", "224.0.0.1:9", "255.255.255.255:9", "5.6.7.8:0"] {
                assert!(!rpc.is_dialable(address(nobody)), "{nobody}");
            }
            rpc.nat.add(address("10.9.9.9:5"));
            assert!(
                rpc.is_dialable(address("10.0.0.1:9")),
                "others see us on a private network"
            );
        }
    }
}
