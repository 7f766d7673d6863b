//! Tests against messages that npm dht-rpc and hyperdht wrote (tests/vectors/scripts/dht.js).

mod keys;

use std::net::SocketAddrV4;

use base::KeyPair;
use serde_json::Value;

use crate::hyper::Firewall;
use crate::hyper::messages::{Announce, Handshake, Holepunch, LookupReply, Mode, Mutable, Peer};
use crate::hyper::noise_payload::{HolepunchInfo, NoisePayload, RelayInfo, UdxInfo};
use crate::hyper::secure_payload::{HolepunchPayload, SecurePayload};
use crate::hyper::sign::{NS, mutable_signable, sign_announce, verify_announce};
use crate::id::{NodeId, Target, Token};
use crate::node::ServerHandshake;
use crate::rpc::message::{Message, Reply, Request};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/dht/messages.json")).unwrap()
}

fn text(v: &Value) -> Option<&str> {
    v.as_str()
}

fn bytes(v: &Value) -> Option<Vec<u8>> {
    text(v).map(|hex| hex::decode(hex).unwrap())
}

fn array<const N: usize>(v: &Value) -> Option<[u8; N]> {
    bytes(v).map(|b| b.try_into().unwrap())
}

fn address(v: &Value) -> Option<SocketAddrV4> {
    text(v).map(|a| a.parse().unwrap())
}

fn addresses(v: &Value) -> Vec<SocketAddrV4> {
    v.as_array().unwrap().iter().filter_map(address).collect()
}

fn relays() -> Vec<SocketAddrV4> {
    vec![
        "1.2.3.4:5678".parse().unwrap(),
        "10.77.0.1:49737".parse().unwrap(),
    ]
}

#[test]
fn requests_and_replies() {
    let v = vectors();
    assert_eq!(
        Some(NodeId::of(address(&v["node_id"]["address"]).unwrap())),
        array(&v["node_id"]["id"]).map(NodeId)
    );
    for r in v["requests"].as_array().unwrap() {
        let request = Request {
            tid: r["tid"].as_u64().unwrap() as u16,
            to: address(&r["to"]).unwrap(),
            id: array(&r["id"]).map(NodeId),
            token: array(&r["token"]).map(Token),
            internal: r["internal"].as_bool().unwrap(),
            command: r["command"].as_u64().unwrap(),
            target: array(&r["target"]).map(Target),
            value: bytes(&r["value"]),
        };
        let wire = bytes(&r["hex"]).unwrap();
        assert_eq!(request.encode(), wire);
        assert_eq!(Message::decode(&wire), Ok(Message::Request(request)));
    }
    for r in v["replies"].as_array().unwrap() {
        let reply = Reply {
            tid: r["tid"].as_u64().unwrap() as u16,
            to: address(&r["to"]).unwrap(),
            id: array(&r["id"]).map(NodeId),
            token: array(&r["token"]).map(Token),
            closer_nodes: addresses(&r["closer"]),
            error: r["error"].as_u64().unwrap(),
            value: bytes(&r["value"]),
        };
        let wire = bytes(&r["hex"]).unwrap();
        assert_eq!(reply.encode(), wire);
        assert_eq!(Message::decode(&wire), Ok(Message::Reply(reply)));
    }
}

#[test]
fn relayed_messages() {
    let v = vectors();
    let mode = |v: &Value| match v.as_u64() {
        Some(0) => Mode::FromClient,
        Some(2) => Mode::FromRelay,
        Some(3) => Mode::FromSecondRelay,
        other => panic!("unexpected mode {other:?}"),
    };
    for h in v["handshakes"].as_array().unwrap() {
        let message = Handshake {
            mode: mode(&h["mode"]),
            noise: bytes(&h["noise"]).unwrap(),
            peer_address: address(&h["peer"]),
            relay_address: address(&h["relay"]),
        };
        assert_eq!(message.encode(), bytes(&h["hex"]).unwrap());
        assert_eq!(Handshake::decode(&bytes(&h["hex"]).unwrap()), Ok(message));
    }
    let h = &v["holepunch"];
    let message = Holepunch {
        mode: mode(&h["mode"]),
        id: h["id"].as_u64().unwrap(),
        payload: bytes(&h["payload"]).unwrap(),
        peer_address: address(&h["peer"]),
    };
    assert_eq!(message.encode(), bytes(&h["hex"]).unwrap());
    assert_eq!(Holepunch::decode(&bytes(&h["hex"]).unwrap()), Ok(message));
}

fn full_payload() -> NoisePayload {
    let list = relays();
    NoisePayload {
        version: 1,
        firewall: Firewall::Consistent,
        holepunch: Some(HolepunchInfo {
            id: 300,
            relays: vec![RelayInfo {
                relay_address: list[0],
                peer_address: list[1],
            }],
        }),
        addresses4: list.clone(),
        udx: Some(UdxInfo {
            reusable_socket: true,
            id: 0xfedc_ba98,
            seq: 0,
        }),
        secret_stream: Some(1),
        relay_addresses: Some(vec![list[1]]),
        ..NoisePayload::default()
    }
}

#[test]
fn noise_payloads_and_the_first_handshake_message() {
    let v = vectors();
    let empty = NoisePayload {
        version: 1,
        error: 1,
        ..NoisePayload::default()
    };
    for (payload, wire) in [full_payload(), empty]
        .iter()
        .zip(v["noise_payloads"].as_array().unwrap())
    {
        assert_eq!(payload.encode(), bytes(wire).unwrap());
        assert_eq!(NoisePayload::decode(&bytes(wire).unwrap()).as_ref(), Ok(payload));
    }
    let n = &v["noise"];
    let server = KeyPair::from_seed(array(&n["server_seed"]).unwrap());
    let client = KeyPair::from_seed(array(&n["client_seed"]).unwrap());
    let received = ServerHandshake::receive(&server, &bytes(&n["first"]).unwrap()).unwrap();
    assert_eq!(received.remote_public_key, client.public_key);
    assert_eq!(received.payload, full_payload());
    let stranger = KeyPair::from_seed([99; 32]);
    assert!(ServerHandshake::receive(&stranger, &bytes(&n["first"]).unwrap()).is_err());
}

#[test]
fn signatures_and_namespaces() {
    let v = vectors();
    let names = &v["namespaces"];
    for (ours, name) in [
        (NS.announce, "announce"),
        (NS.unannounce, "unannounce"),
        (NS.mutable_put, "mutable_put"),
        (NS.peer_handshake, "peer_handshake"),
        (NS.peer_holepunch, "peer_holepunch"),
    ] {
        assert_eq!(ours, array(&names[name]).unwrap(), "{name}");
    }
    let a = &v["announce"];
    let key_pair = KeyPair::from_seed(array(&a["seed"]).unwrap());
    let (target, token, id) = (
        Target(array(&a["target"]).unwrap()),
        Token(array(&a["token"]).unwrap()),
        NodeId(array(&a["id"]).unwrap()),
    );
    let peer = Peer {
        public_key: key_pair.public_key,
        relay_addresses: relays(),
    };
    let plain = Announce {
        peer: Some(peer.clone()),
        refresh: None,
        signature: None,
        bump: 0,
    };
    let refreshed = Announce {
        refresh: array(&a["refresh"]),
        ..plain.clone()
    };
    for (announce, namespace, signature) in [
        (&plain, &NS.announce, "announce_signature"),
        (&refreshed, &NS.announce, "refresh_signature"),
        (&plain, &NS.unannounce, "unannounce_signature"),
    ] {
        let signed = sign_announce(&key_pair, &target, &token, &id, announce.clone(), namespace);
        assert_eq!(signed.signature, array(&a[signature]), "{signature}");
        assert!(verify_announce(&target, &token, &id, &signed, namespace));
        assert!(!verify_announce(
            &target,
            &token,
            &NodeId(target.0),
            &signed,
            namespace
        ));
    }
    let whole = Announce {
        signature: Some([14; 64]),
        bump: 77,
        ..refreshed
    };
    assert_eq!(whole.encode(), bytes(&a["hex"]).unwrap());
    assert_eq!(peer.encode(), bytes(&a["record"]).unwrap());
    let lookup = LookupReply {
        peers: vec![peer.clone(), peer],
        bump: 77,
    };
    assert_eq!(LookupReply::decode(&bytes(&a["lookup"]).unwrap()), Ok(lookup));
    let m = &v["mutable"];
    let value = Mutable {
        seq: 3,
        value: bytes(&m["value"]).unwrap(),
        signature: [14; 64],
    };
    assert_eq!(value.encode_put(&key_pair.public_key), bytes(&m["put"]).unwrap());
    assert_eq!(
        Some(key_pair.sign(&mutable_signable(&value))),
        array(&m["signature"])
    );
}

#[test]
fn hole_punching_payload() {
    let v = &vectors()["secure_payload"];
    let secure = SecurePayload::with_secret(array(&v["shared_secret"]).unwrap());
    let expected = HolepunchPayload {
        error: 0,
        firewall: Firewall::Random,
        round: 2,
        connected: false,
        punching: true,
        addresses: Some(relays()),
        remote_address: Some(relays()[0]),
        token: Some(Token([10; 32])),
        remote_token: Some(Token([11; 32])),
    };
    assert_eq!(secure.open(&bytes(&v["sealed"]).unwrap()), Some(expected));
}
