//! What a node stores and relays for others: requests that fit, damaged and forged ones. An answer fits one packet, a relayed
//! message grows by no more than the addresses, and only what its owner signed is stored.

#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use base::KeyPair;
use base::hash::blake2b;
use base::wire::Writer;
use bosc_fuzz::{Damage, live};
use dht::hyper::command;
use dht::hyper::messages::{Announce, Handshake, Holepunch, LookupReply, Mode, Mutable, Peer};
use dht::hyper::sign::{NS, mutable_signable, sign_announce};
use dht::hyper::store::{Store, Verdict};
use dht::id::{NodeId, Target, Token};
use dht::rpc::{Incoming, SocketId};
use libfuzzer_sys::fuzz_target;

const ID: NodeId = NodeId([1; 32]);
const TOKEN: Token = Token([2; 32]);
/// What fits one packet beside the head of an answer.
const PACKET: usize = 1200;

static PAIRS: LazyLock<[KeyPair; 3]> = LazyLock::new(|| [1, 2, 3].map(|seed| KeyPair::from_seed([seed; 32])));

#[derive(Debug, Arbitrary)]
enum Body {
    Announce {
        pair: u8,
        unannounce: bool,
        topic: Option<u8>,
        relays: u8,
        refresh: Option<u8>,
        bump: u64,
    },
    Refresh(u8),
    Lookup(u8),
    FindPeer(u8),
    PutMutable {
        pair: u8,
        seq: u16,
        value: Vec<u8>,
    },
    GetMutable(u8, u16),
    PutImmutable(Vec<u8>),
    GetImmutable(Vec<u8>),
    Handshake {
        mode: u8,
        noise: Vec<u8>,
        peer: Option<u8>,
        relay: Option<u8>,
        pair: u8,
    },
    Holepunch {
        mode: u8,
        id: u16,
        payload: Vec<u8>,
        peer: Option<u8>,
    },
    Raw(u8, Vec<u8>),
}

#[derive(Debug, Arbitrary)]
struct Step {
    from: u8,
    token: bool,
    minutes: u8,
    body: Body,
    damage: Option<Damage>,
}

fn address(n: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(88, 1, 1, n % 5), 1 + u16::from(n))
}

fn mode(n: u8) -> Mode {
    [
        Mode::FromClient,
        Mode::FromServer,
        Mode::FromRelay,
        Mode::FromSecondRelay,
        Mode::Reply,
    ][usize::from(n % 5)]
}

/// Command, target and value of a request.
fn encode(body: &Body) -> (u64, Target, Vec<u8>) {
    match body {
        Body::Announce {
            pair,
            unannounce,
            topic,
            relays,
            refresh,
            bump,
        } => {
            let pair = &PAIRS[usize::from(*pair) % 3];
            let target = topic.map_or(Target::of_key(&pair.public_key), |byte| {
                Target([byte % 3; 32])
            });
            let announce = Announce {
                peer: Some(Peer {
                    public_key: pair.public_key,
                    relay_addresses: (0..relays % 9).map(address).collect(),
                }),
                refresh: refresh.map(|byte| blake2b(&[&[byte % 4; 32]])),
                signature: None,
                bump: *bump,
            };
            let (command, namespace) = if *unannounce {
                (command::UNANNOUNCE, &NS.unannounce)
            } else {
                (command::ANNOUNCE, &NS.announce)
            };
            let signed = sign_announce(pair, &target, &TOKEN, &ID, announce, namespace);
            (command, target, signed.encode())
        }
        Body::Refresh(byte) => {
            let announce = Announce {
                peer: None,
                refresh: Some([byte % 4; 32]),
                signature: None,
                bump: 0,
            };
            (command::ANNOUNCE, Target([0; 32]), announce.encode())
        }
        Body::Lookup(byte) => (command::LOOKUP, Target([byte % 3; 32]), Vec::new()),
        Body::FindPeer(pair) => {
            let key = PAIRS[usize::from(*pair) % 3].public_key;
            (command::FIND_PEER, Target::of_key(&key), Vec::new())
        }
        Body::PutMutable { pair, seq, value } => {
            let pair = &PAIRS[usize::from(*pair) % 3];
            let mut mutable = Mutable {
                seq: (*seq).into(),
                value: value.clone(),
                signature: [0; 64],
            };
            mutable.signature = pair.sign(&mutable_signable(&mutable));
            (
                command::MUTABLE_PUT,
                Target::of_key(&pair.public_key),
                mutable.encode_put(&pair.public_key),
            )
        }
        Body::GetMutable(pair, seq) => {
            let key = PAIRS[usize::from(*pair) % 3].public_key;
            let mut w = Writer::new();
            w.uint((*seq).into());
            (command::MUTABLE_GET, Target::of_key(&key), w.finish())
        }
        Body::PutImmutable(value) => (command::IMMUTABLE_PUT, Target::of_value(value), value.clone()),
        Body::GetImmutable(value) => (command::IMMUTABLE_GET, Target::of_value(value), Vec::new()),
        Body::Handshake {
            mode: n,
            noise,
            peer,
            relay,
            pair,
        } => {
            let message = Handshake {
                mode: mode(*n),
                noise: noise.clone(),
                peer_address: peer.map(address),
                relay_address: relay.map(address),
            };
            let key = PAIRS[usize::from(*pair) % 3].public_key;
            (command::PEER_HANDSHAKE, Target::of_key(&key), message.encode())
        }
        Body::Holepunch {
            mode: n,
            id,
            payload,
            peer,
        } => {
            let message = Holepunch {
                mode: mode(*n),
                id: (*id).into(),
                payload: payload.clone(),
                peer_address: peer.map(address),
            };
            (command::PEER_HOLEPUNCH, Target([0; 32]), message.encode())
        }
        Body::Raw(command, value) => ((*command).into(), Target([0; 32]), value.clone()),
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let before = live();
    let mut now = Instant::now();
    let mut store = Store::new([5; 32]);
    let mut fed = 0;
    for step in steps.iter().take(60) {
        now += Duration::from_secs(60 * u64::from(step.minutes));
        let (command, target, mut value) = encode(&step.body);
        step.damage.iter().for_each(|damage| damage.apply(&mut value));
        fed += 8192 + 8 * value.len();
        let length = value.len();
        let incoming = Incoming {
            socket: SocketId::SERVER,
            from: address(step.from),
            from_id: None,
            to: address(200),
            tid: 7,
            token: step.token.then_some(TOKEN),
            internal: false,
            command,
            target: Some(target),
            value: Some(value),
        };
        match store.handle(now, Some(ID), None, &incoming) {
            Verdict::Answer(answer) => check(command, &target, answer.value.as_deref(), length),
            // Whether anybody is there is for the node to ask: it knows which addresses are worth a packet.
            Verdict::Relay(body, _) => assert!(
                body.len() <= length + 16,
                "a relayed message grows by the addresses alone"
            ),
            Verdict::Ignore | Verdict::Unknown => {}
        }
        let kept = live().wrapping_sub(before) as isize;
        assert!(kept <= (64 * 1024 + fed) as isize, "{kept} bytes kept for {fed}");
    }
});

fn check(command: u64, target: &Target, value: Option<&[u8]>, asked: usize) {
    let Some(value) = value else {
        return;
    };
    match command {
        command::PEER_HANDSHAKE | command::PEER_HOLEPUNCH => assert!(value.len() <= asked + 16),
        _ => assert!(value.len() <= PACKET, "{} bytes", value.len()),
    }
    match command {
        command::LOOKUP => {
            let reply = LookupReply::decode(value).expect("ours");
            for peer in reply.peers {
                assert!(PAIRS.iter().any(|pair| pair.public_key == peer.public_key));
                assert!(peer.relay_addresses.len() <= 3);
            }
        }
        command::FIND_PEER => {
            let peer = Peer::decode(value).expect("ours");
            assert_eq!(Target::of_key(&peer.public_key), *target);
        }
        command::MUTABLE_GET => {
            let mutable = Mutable::decode(value).expect("ours");
            let owner = PAIRS
                .iter()
                .find(|pair| Target::of_key(&pair.public_key) == *target)
                .expect("one of them");
            assert!(KeyPair::verify(
                &owner.public_key,
                &mutable_signable(&mutable),
                &mutable.signature
            ));
        }
        command::IMMUTABLE_GET => assert_eq!(Target::of_value(value), *target),
        _ => {}
    }
}
