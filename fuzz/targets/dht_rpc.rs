//! Datagrams and time into a node's RPC: answers that fit its requests, forged ones and garbage. It writes to nobody who cannot be
//! reached, answers a datagram with few, keeps to its memory, and its clock never stands.

#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bosc_fuzz::{Damage, live};
use dht::address::{Reach, reach};
use dht::id::{NodeId, Target, Token};
use dht::rpc::message::{Message, Reply, Request};
use dht::rpc::{Event, Outgoing, QueryOptions, Rpc, RpcConfig, SocketId, Transmit};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary, Clone, Copy)]
struct Address(u8, u8);

impl Address {
    /// Where datagrams may come from, or what an answer may name.
    fn get(self) -> SocketAddrV4 {
        let ip = [
            [8, 8, 4, 4],
            [88, 1, 2, 3],
            [127, 0, 0, 1],
            [10, 0, 0, 1],
            [239, 1, 1, 1],
            [0, 0, 0, 0],
        ][usize::from(self.0) % 6];
        let [a, b, c, _] = ip;
        SocketAddrV4::new(Ipv4Addr::new(a, b, c, self.1 | 1), 1000 + u16::from(self.1 % 4))
    }

    fn sender(self) -> SocketAddrV4 {
        Self(self.0 % 4, self.1).get()
    }
}

#[derive(Debug, Arbitrary)]
enum Step {
    Request {
        from: Address,
        server: bool,
        tid: u16,
        has_id: bool,
        token: Option<u8>,
        internal: bool,
        command: u8,
        target: Option<u8>,
        value: Option<Vec<u8>>,
        damage: Option<Damage>,
    },
    /// The answer to the request of that place among those sent; perhaps of somebody else.
    Reply {
        which: u8,
        from: Option<Address>,
        to: Address,
        has_id: bool,
        token: bool,
        closer: Vec<Address>,
        error: u8,
        value: Option<Vec<u8>>,
        damage: Option<Damage>,
    },
    Raw(Address, bool, Vec<u8>),
    Advance(u16),
    Seconds(u16),
    Ask(Address, bool),
    Query(u8, u8),
    CancelQuery,
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (open, steps) = input;
    let before = live();
    let mut now = Instant::now();
    let known = SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), 1000);
    let config = RpcConfig {
        bootstrap: vec![Address(0, 7).get(), Address(1, 9).get()],
        server_port: 1000,
        known_address: open.then_some(known),
        persistent: open,
    };
    let mut rpc = Rpc::new(config, now, [7; 32]);
    let mut sent: Vec<Transmit> = Vec::new();
    let mut queries = Vec::new();
    let mut fed = 0;
    take(&mut rpc, &mut sent, 64);
    for step in steps.iter().take(200) {
        // What one datagram may set off: an answer, and for an answer in a query the next requests of it.
        let mut most = 32;
        match step {
            Step::Request {
                from,
                server,
                tid,
                has_id,
                token,
                internal,
                command,
                target,
                value,
                damage,
            } => {
                let from = from.sender();
                let request = Request {
                    tid: *tid,
                    to: known,
                    id: has_id.then(|| NodeId::of(from)),
                    token: token.map(|byte| Token([byte; 32])),
                    internal: *internal,
                    command: (*command).into(),
                    target: target.map(|byte| Target([byte; 32])),
                    value: value.clone(),
                };
                let mut bytes = request.encode();
                damage.iter().for_each(|damage| damage.apply(&mut bytes));
                fed += 4096 + 4 * bytes.len();
                rpc.handle_datagram(now, SocketId(u32::from(*server)), from, &bytes);
            }
            Step::Reply {
                which,
                from,
                to,
                has_id,
                token,
                closer,
                error,
                value,
                damage,
            } => {
                let Some(asked) = sent.get(usize::from(*which) % sent.len().max(1)) else {
                    continue;
                };
                let Ok(Message::Request(request)) = Message::decode(&asked.bytes) else {
                    continue;
                };
                let from = from.map_or(asked.to, Address::sender);
                let reply = Reply {
                    tid: request.tid,
                    to: to.get(),
                    id: has_id.then(|| NodeId::of(from)),
                    token: token.then_some(Token([3; 32])),
                    closer_nodes: closer.iter().map(|address| address.get()).collect(),
                    error: (*error).into(),
                    value: value.clone(),
                };
                let mut bytes = reply.encode();
                damage.iter().for_each(|damage| damage.apply(&mut bytes));
                fed += 8192 + 1024 * closer.len() + 4 * bytes.len();
                rpc.handle_datagram(now, asked.socket, from, &bytes);
            }
            Step::Raw(from, server, bytes) => {
                fed += 4096 + 4 * bytes.len();
                rpc.handle_datagram(now, SocketId(u32::from(*server)), from.sender(), bytes);
            }
            Step::Advance(millis) => {
                now += Duration::from_millis((*millis).into());
                rpc.handle_timeout(now);
                assert!(rpc.next_timeout() > now, "what was due is done");
                most = 4096;
            }
            Step::Seconds(seconds) => {
                now += Duration::from_secs((*seconds).into());
                rpc.handle_timeout(now);
                assert!(rpc.next_timeout() > now, "what was due is done");
                most = 4096;
            }
            Step::Ask(to, internal) => {
                let to = Address(to.0 % 2, to.1).get();
                rpc.request(
                    now,
                    if *internal {
                        Outgoing::ping(to)
                    } else {
                        Outgoing::new(to, 2)
                    },
                );
                fed += 4096;
            }
            Step::Query(target, command) => {
                if queries.len() < 8 {
                    queries.push(rpc.query(now, QueryOptions::new(Target([*target; 32]), (*command).into())));
                    fed += 65_536;
                }
            }
            Step::CancelQuery => {
                if let Some(id) = queries.pop() {
                    rpc.cancel_query(id);
                }
            }
        }
        take(&mut rpc, &mut sent, most);
        let kept = live().wrapping_sub(before) as isize;
        assert!(kept <= (512 * 1024 + fed) as isize, "{kept} bytes kept for {fed}");
    }
});

/// Takes what it sends and tells, and answers what it is asked.
fn take(rpc: &mut Rpc, sent: &mut Vec<Transmit>, most: usize) {
    let mut count = 0;
    loop {
        while let Some(transmit) = rpc.poll_transmit() {
            count += 1;
            assert!(count <= most, "{count} datagrams for one");
            assert_ne!(reach(transmit.to), Reach::Nobody, "{}", transmit.to);
            assert!(Message::decode(&transmit.bytes).is_ok());
            sent.push(transmit);
        }
        if sent.len() > 64 {
            sent.drain(..sent.len() - 64);
        }
        match rpc.poll_event() {
            None => break,
            Some(Event::Request(incoming)) => rpc.unknown(&incoming),
            Some(Event::QueryDone(_, closest)) => assert!(closest.len() <= 20),
            Some(_) => {}
        }
    }
}
