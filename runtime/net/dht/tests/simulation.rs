//! A whole DHT in one thread: virtual clock, seeded chance, latency and loss. Announces and looks up, and finds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use base::{KeyPair, PublicKey};
use dht::hyper::command;
use dht::hyper::messages::{Announce, LookupReply, Peer};
use dht::hyper::sign::{NS, sign_announce};
use dht::hyper::store::{Store, Verdict};
use dht::id::Target;
use dht::rpc::{Event, Outgoing, QueryOptions, Response, Rpc, RpcConfig, SocketId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

struct Node {
    rpc: Rpc,
    store: Store,
    done: Vec<Vec<Response>>,
    replies: Vec<Response>,
    answers: usize,
}

struct Network {
    now: Instant,
    rng: StdRng,
    loss: f64,
    nodes: Vec<Node>,
    index: HashMap<SocketAddrV4, usize>,
    /// Datagrams under way: when, a serial number, and which.
    wire: BinaryHeap<Reverse<(Instant, u64)>>,
    packets: HashMap<u64, (usize, SocketAddrV4, Vec<u8>)>,
    serial: u64,
    dead: Vec<usize>,
}

fn address(i: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a00_0001 + i as u32), 1000)
}

impl Network {
    fn new(size: usize, loss: f64, seed: u64) -> Self {
        let mut network = Self {
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            loss,
            nodes: Vec::new(),
            index: HashMap::new(),
            wire: BinaryHeap::new(),
            packets: HashMap::new(),
            serial: 0,
            dead: Vec::new(),
        };
        for i in 0..size {
            network.join(i, true);
            network.run(Duration::from_secs(2));
        }
        network
    }

    fn join(&mut self, i: usize, persistent: bool) {
        let config = RpcConfig {
            bootstrap: if i == 0 { vec![] } else { vec![address(0)] },
            server_port: 1000,
            known_address: Some(address(i)),
            persistent,
        };
        let rpc = Rpc::new(config, self.now, self.rng.random());
        let store = Store::new(self.rng.random());
        self.nodes.push(Node {
            rpc,
            store,
            done: vec![],
            replies: vec![],
            answers: 0,
        });
        self.index.insert(address(i), i);
        self.flush(i);
    }

    /// Takes what node `i` wants to send and what happened to it.
    fn flush(&mut self, i: usize) {
        loop {
            let node = &mut self.nodes[i];
            let Some(event) = node.rpc.poll_event() else { break };
            match event {
                Event::Request(incoming) => {
                    let id = node.rpc.id();
                    match node.store.handle(self.now, id, None, &incoming) {
                        Verdict::Answer(answer) => node.rpc.answer(&incoming, answer),
                        Verdict::Relay(value, to) => node.rpc.relay(&incoming, value, to, None),
                        Verdict::Unknown => node.rpc.unknown(&incoming),
                        Verdict::Ignore => {}
                    }
                }
                Event::QueryReply(_, response) => node.replies.push(response),
                Event::QueryDone(_, closest) => node.done.push(closest),
                Event::Done(_, response) => {
                    node.answers += usize::from(response.is_some_and(|r| r.error == 0))
                }
                Event::Bootstrapped => {}
            }
        }
        while let Some(t) = self.nodes[i].rpc.poll_transmit() {
            let Some(to) = self.index.get(&t.to).copied() else {
                continue;
            };
            if self.rng.random_bool(self.loss) || self.dead.contains(&to) {
                continue;
            }
            let at = self.now + Duration::from_millis(self.rng.random_range(5..60));
            self.serial += 1;
            self.wire.push(Reverse((at, self.serial)));
            self.packets.insert(self.serial, (to, address(i), t.bytes));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.wire.peek().map(|Reverse((at, _))| *at);
            let timer = (0..self.nodes.len())
                .filter(|i| !self.dead.contains(i))
                .map(|i| (self.nodes[i].rpc.next_timeout(), i))
                .min();
            let next = [packet, timer.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if packet == Some(next)
                && let Some(Reverse((_, serial))) = self.wire.pop()
                && let Some((to, from, bytes)) = self.packets.remove(&serial)
            {
                self.nodes[to]
                    .rpc
                    .handle_datagram(self.now, SocketId::SERVER, from, &bytes);
                self.flush(to);
            } else if let Some((_, i)) = timer {
                self.nodes[i].rpc.handle_timeout(self.now);
                self.flush(i);
            }
        }
        self.now = end;
    }

    /// Runs a query to its end: all replies, and the closest.
    fn query(&mut self, i: usize, options: QueryOptions) -> (Vec<Response>, Vec<Response>) {
        self.nodes[i].done.clear();
        self.nodes[i].replies.clear();
        self.nodes[i].rpc.query(self.now, options);
        self.flush(i);
        for _ in 0..200 {
            self.run(Duration::from_millis(100));
            if let Some(closest) = self.nodes[i].done.pop() {
                return (std::mem::take(&mut self.nodes[i].replies), closest);
            }
        }
        panic!("the query of node {i} never ended");
    }

    fn announce(&mut self, i: usize, key_pair: &KeyPair, topic: Target) -> usize {
        let (_, closest) = self.query(i, QueryOptions::new(topic, command::LOOKUP));
        self.nodes[i].answers = 0;
        for response in closest {
            let peer = Peer {
                public_key: key_pair.public_key,
                relay_addresses: vec![address(1)],
            };
            let (token, id) = (response.token.unwrap(), response.from_id.unwrap());
            let announce = Announce {
                peer: Some(peer),
                refresh: None,
                signature: None,
                bump: 0,
            };
            let announce = sign_announce(key_pair, &topic, &token, &id, announce, &NS.announce);
            let out = Outgoing {
                token: Some(token),
                target: Some(topic),
                value: Some(announce.encode()),
                ..Outgoing::new(response.from, command::ANNOUNCE)
            };
            self.nodes[i].rpc.request(self.now, out).unwrap();
            self.flush(i);
        }
        self.run(Duration::from_secs(6));
        self.nodes[i].answers
    }

    fn lookup(&mut self, i: usize, topic: Target) -> Vec<PublicKey> {
        let (replies, _) = self.query(i, QueryOptions::new(topic, command::LOOKUP));
        let values = replies.iter().filter_map(|r| r.value.as_deref());
        let mut keys: Vec<PublicKey> = values
            .flat_map(|value| LookupReply::decode(value).unwrap().peers)
            .map(|peer| peer.public_key)
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

fn announce_and_find(loss: f64) {
    let mut network = Network::new(40, loss, 7);
    let known: Vec<usize> = network.nodes.iter().map(|n| n.rpc.node_count()).collect();
    assert!(
        known.iter().all(|n| *n >= 10),
        "everybody knows others: {known:?}"
    );
    // Two ephemeral nodes: they announce and look up, but store nothing.
    for i in 40..42 {
        network.join(i, false);
    }
    network.run(Duration::from_secs(5));
    let topic = Target([42; 32]);
    let (a, b) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
    assert_eq!(network.lookup(41, topic), Vec::<PublicKey>::new());
    assert!(
        network.announce(40, &a, topic) >= 15,
        "most of the closest nodes took the announcement"
    );
    assert!(network.announce(3, &b, topic) >= 15);
    let mut both = vec![a.public_key, b.public_key];
    both.sort();
    assert_eq!(network.lookup(41, topic), both);
    // A third of the network vanishes; the records survive on the others.
    network.dead = (1..40).step_by(3).collect();
    assert_eq!(network.lookup(41, topic), both);
    // Nobody renews them: forgotten after at most 4/3 of 20 minutes.
    network.run(Duration::from_secs(28 * 60));
    assert_eq!(network.lookup(41, topic), Vec::<PublicKey>::new());
}

#[test]
fn announced_peers_are_found() {
    announce_and_find(0.0);
}

#[test]
fn announced_peers_are_found_though_every_twentieth_datagram_is_lost() {
    announce_and_find(0.05);
}

#[test]
fn garbage_changes_nothing() {
    let mut network = Network::new(3, 0.0, 1);
    let before = network.nodes[0].rpc.node_count();
    for n in 0..2000 {
        let length = network.rng.random_range(0..200);
        let mut bytes: Vec<u8> = (0..length).map(|_| network.rng.random()).collect();
        if let (Some(first), 0..2) = (bytes.first_mut(), n % 3) {
            *first = [0x03, 0x13][n % 3];
        }
        network.nodes[0]
            .rpc
            .handle_datagram(network.now, SocketId::SERVER, address(99), &bytes);
        network.flush(0);
    }
    network.run(Duration::from_secs(1));
    assert_eq!(network.nodes[0].rpc.node_count(), before);
}
