//! What the store keeps, and what it gives up when it is full.

use std::collections::HashSet;

use super::*;
use crate::hyper::sign::sign_announce;
use crate::id::Token;
use crate::rpc::SocketId;
use crate::rpc::message::Reply;

/// What fits one packet on an Ethernet: 1500 bytes less the headers of IP and UDP.
const PACKET: usize = 1472;
const TOPIC: Target = Target([5; 32]);
const NODE: NodeId = NodeId([1; 32]);
const TOKEN: Token = Token([2; 32]);

fn at(ip: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(ip), 9)
}

fn request(from: SocketAddrV4, command: u64, target: Target, value: Option<Vec<u8>>) -> Incoming {
    Incoming {
        socket: SocketId::SERVER,
        from,
        from_id: None,
        to: at(0x0909_0909),
        tid: 1,
        token: Some(TOKEN),
        internal: false,
        command,
        target: Some(target),
        value,
    }
}

/// The peer of number `n` as an entry with three relays.
fn entry(target: Target, n: u32) -> Refresh {
    let mut public_key = [0; 32];
    public_key[..4].copy_from_slice(&n.to_le_bytes());
    let public_key = PublicKey(public_key);
    let peer = Peer {
        public_key,
        relay_addresses: vec![at(1), at(2), at(3)],
    };
    Refresh {
        target,
        peer: public_key,
        record: peer.encode(),
        is_self: false,
    }
}

fn answer(store: &mut Store, now: Instant, req: &Incoming) -> Option<Answer> {
    match store.handle(now, Some(NODE), None, req) {
        Verdict::Answer(answer) => Some(answer),
        _ => None,
    }
}

fn peers(store: &mut Store, now: Instant, topic: Target) -> Vec<Peer> {
    let mut req = request(at(1), command::LOOKUP, topic, None);
    req.token = None;
    let value = answer(store, now, &req).unwrap().value;
    value.map_or(Vec::new(), |value| LookupReply::decode(&value).unwrap().peers)
}

/// Peers that many lookups show.
fn seen(store: &mut Store, now: Instant, topic: Target) -> HashSet<PublicKey> {
    let lookups = (0..1000).flat_map(|_| peers(store, now, topic));
    lookups.map(|peer| peer.public_key).collect()
}

#[test]
fn a_flood_from_one_address_leaves_the_topic_to_the_others() {
    let now = Instant::now();
    let mut store = Store::new([1; 32]);
    let honest: Vec<_> = (0..10).map(|n| entry(TOPIC, n)).collect();
    for (n, entry) in (0..).zip(&honest) {
        store.put(now, at(100 + n), entry);
    }
    for n in 1000..5000 {
        store.put(now, at(7777), &entry(TOPIC, n));
    }
    let seen = seen(&mut store, now, TOPIC);
    assert!(honest.iter().all(|entry| seen.contains(&entry.peer)));
    assert_eq!(seen.len(), honest.len() + MAX_PER_TOPIC_AND_ADDRESS);
}

#[test]
fn a_flood_from_many_addresses_pushes_out_its_own() {
    let now = Instant::now();
    let mut store = Store::new([1; 32]);
    let honest: Vec<_> = (0..100).map(|n| entry(TOPIC, n)).collect();
    for n in 1000..9000 {
        store.put(now, at(n % 100), &entry(TOPIC, n));
        if let Some(entry) = honest.get(n as usize - 1000) {
            store.put(now, at(100_000 + n), entry);
        }
    }
    assert_eq!(store.topics[&TOPIC].len(), MAX_PER_TOPIC);
    let left: HashSet<PublicKey> = store.topics[&TOPIC].iter().map(|m| m.peer).collect();
    assert!(honest.iter().all(|entry| left.contains(&entry.peer)));
}

#[test]
fn a_flood_of_topics_does_not_flush_the_store_nor_sweep_it() {
    let now = Instant::now();
    let mut store = Store::new([1; 32]);
    store.put(now, at(1), &entry(TOPIC, 1));
    let mut topic = [0; 32];
    let begin = Instant::now();
    for n in 0..2 * MAX_ENTRIES as u32 {
        topic[..4].copy_from_slice(&n.to_le_bytes());
        let owner = at(7000 + n % 8);
        store.put(now, owner, &entry(Target(topic), n));
    }
    // With a sweep for each, once it is full, it takes many minutes.
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert_eq!(peers(&mut store, now, TOPIC).len(), 1);
    assert_eq!(store.topics.len(), MAX_ENTRIES);
    let later = now + MAX_AGE;
    assert_eq!(peers(&mut store, later, TOPIC).len(), 0);
    assert_eq!(store.topics.len(), 0);
}

#[test]
fn announcing_again_renews_and_taking_back_removes() {
    let now = Instant::now();
    let mut store = Store::new([1; 32]);
    let keys = KeyPair::from_seed([3; 32]);
    let announce = |namespace| {
        let peer = Peer {
            public_key: keys.public_key,
            relay_addresses: vec![at(1)],
        };
        let announce = Announce {
            peer: Some(peer),
            refresh: None,
            signature: None,
            bump: 0,
        };
        sign_announce(&keys, &TOPIC, &TOKEN, &NODE, announce, namespace).encode()
    };
    let half = MAX_AGE * 2 / 3;
    for i in 0..3 {
        let req = request(at(1), command::ANNOUNCE, TOPIC, Some(announce(&NS.announce)));
        assert!(answer(&mut store, now + half * i, &req).is_some());
        assert_eq!(peers(&mut store, now + half * i, TOPIC).len(), 1);
    }
    assert_eq!(peers(&mut store, now + half * 3, TOPIC).len(), 1);
    let req = request(at(1), command::UNANNOUNCE, TOPIC, Some(announce(&NS.unannounce)));
    assert!(answer(&mut store, now + half * 3, &req).is_some());
    assert_eq!(peers(&mut store, now + half * 3, TOPIC).len(), 0);
    assert!(store.topics.is_empty());
}

/// How long the datagram is that carries the answer, with all that may be beside the value.
fn datagram(value: Option<Vec<u8>>) -> usize {
    let reply = Reply {
        tid: 1,
        to: at(1),
        id: Some(NODE),
        token: Some(TOKEN),
        closer_nodes: vec![at(1); crate::rpc::K],
        error: 0,
        value,
    };
    reply.encode().len()
}

#[test]
fn values_are_short_enough_and_every_answer_fits_one_packet() {
    let now = Instant::now();
    let mut store = Store::new([1; 32]);
    let keys = KeyPair::from_seed([3; 32]);
    for (length, taken) in [(MAX_VALUE, true), (MAX_VALUE + 1, false), (60_000, false)] {
        let value = vec![7; length];
        let target = Target::of_value(&value);
        let put = request(at(1), command::IMMUTABLE_PUT, target, Some(value.clone()));
        assert_eq!(answer(&mut store, now, &put).is_some(), taken, "{length} bytes");
        let get = request(at(1), command::IMMUTABLE_GET, target, None);
        let got = answer(&mut store, now, &get).unwrap().value;
        assert_eq!(got.is_some(), taken);
        assert!(datagram(got) <= PACKET);

        let mut mutable = Mutable {
            seq: 1 << 40,
            value,
            signature: [0; 64],
        };
        mutable.signature = keys.sign(&mutable_signable(&mutable));
        let target = Target::of_key(&keys.public_key);
        store.mutables.remove(&target);
        let put = mutable.encode_put(&keys.public_key);
        let put = request(at(1), command::MUTABLE_PUT, target, Some(put));
        assert_eq!(answer(&mut store, now, &put).is_some(), taken, "{length} bytes");
        let get = request(at(1), command::MUTABLE_GET, target, Some(vec![0]));
        let got = answer(&mut store, now, &get).unwrap().value;
        assert_eq!(got.is_some(), taken);
        assert!(datagram(got) <= PACKET);
    }
    for n in 0..2000 {
        store.put(now, at(n), &entry(TOPIC, n));
    }
    store.bumps.set(now, TOPIC, u64::MAX, Ipv4Addr::LOCALHOST);
    let mut lookup = request(at(1), command::LOOKUP, TOPIC, None);
    lookup.token = None;
    let got = answer(&mut store, now, &lookup).unwrap().value;
    let length = datagram(got);
    println!("the longest answer to LOOKUP: {length} bytes");
    assert!(
        length <= 1232,
        "{length} bytes: not in one packet on every path of the Internet"
    );
}
