//! Keys, targets and the rarer messages against what npm hyperdht made (tests/vectors/scripts/dht-keys.js).

use base::hash::blake2b;
use base::{KeyPair, PublicKey};
use secret_stream::noise::{Handshake as Noise, Pattern};
use secret_stream::stream_id;
use serde_json::Value;

use super::{array, bytes, relays};
use crate::hyper::Firewall;
use crate::hyper::messages::{Announce, Handshake, Holepunch, Mode, Mutable};
use crate::hyper::noise_payload::{HolepunchInfo, NoisePayload, RelayInfo, RelayThrough, UdxInfo};
use crate::hyper::secure_payload::{HolepunchPayload, SecurePayload};
use crate::hyper::sign::{NS, mutable_signable};
use crate::id::{Target, Token};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../../tests/vectors/dht/keys.json")).unwrap()
}

fn offer() -> NoisePayload {
    NoisePayload {
        version: 1,
        firewall: Firewall::Consistent,
        addresses4: relays()[..1].to_vec(),
        udx: Some(UdxInfo {
            reusable_socket: true,
            id: 7,
            seq: 0,
        }),
        secret_stream: Some(1),
        ..NoisePayload::default()
    }
}

fn answer() -> NoisePayload {
    let list = relays();
    NoisePayload {
        version: 1,
        firewall: Firewall::Random,
        holepunch: Some(HolepunchInfo {
            id: 300,
            relays: vec![RelayInfo {
                relay_address: list[0],
                peer_address: list[1],
            }],
        }),
        addresses4: list.clone(),
        udx: Some(UdxInfo {
            reusable_socket: false,
            id: 0xfedc_ba98,
            seq: 0,
        }),
        secret_stream: Some(1),
        relay_addresses: Some(vec![list[1]]),
        ..NoisePayload::default()
    }
}

fn punch() -> HolepunchPayload {
    HolepunchPayload {
        error: 0,
        firewall: Firewall::Random,
        round: 2,
        connected: false,
        punching: true,
        addresses: Some(relays()),
        remote_address: Some(relays()[0]),
        token: Some(Token([10; 32])),
        remote_token: Some(Token([11; 32])),
    }
}

fn bare_punch() -> HolepunchPayload {
    HolepunchPayload {
        error: 1,
        round: 252,
        connected: true,
        ..HolepunchPayload::default()
    }
}

#[test]
fn a_whole_handshake_gives_the_recorded_messages_and_keys() {
    let v = vectors();
    let h = &v["handshake"];
    let keys = |name: &str| KeyPair::from_seed(array(&h["seeds"][name]).unwrap());
    let (client_keys, server_keys) = (keys("client"), keys("server"));
    let half = |initiator: bool, own: &KeyPair, ephemeral: &str| {
        let remote = initiator.then_some(server_keys.public_key);
        Noise::new(Pattern::IK, initiator, own, &NS.peer_handshake, remote)
            .unwrap()
            .with_ephemeral(keys(ephemeral))
    };
    let mut client = half(true, &client_keys, "client_ephemeral");
    let mut server = half(false, &server_keys, "server_ephemeral");
    let first = client.send(&offer().encode()).unwrap();
    assert_eq!(first, bytes(&h["first"]).unwrap());
    assert_eq!(NoisePayload::decode(&server.recv(&first).unwrap()), Ok(offer()));
    let second = server.send(&answer().encode()).unwrap();
    assert_eq!(second, bytes(&h["second"]).unwrap());
    assert_eq!(NoisePayload::decode(&client.recv(&second).unwrap()), Ok(answer()));
    let (client, server) = (client.finish().unwrap(), server.finish().unwrap());
    assert_eq!(client.hash, array(&h["hash"]).unwrap());
    assert_eq!(client.tx, array(&h["client_tx"]).unwrap());
    assert_eq!(client.rx, array(&h["client_rx"]).unwrap());
    assert_eq!(
        (server.hash, server.tx, server.rx),
        (client.hash, client.rx, client.tx)
    );
    for (initiator, name) in [(true, "client_stream_id"), (false, "server_stream_id")] {
        assert_eq!(
            stream_id(&client.hash, initiator),
            array(&h[name]).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn hole_punching_payloads_open_with_the_key_of_the_handshake() {
    let v = vectors();
    let h = &v["handshake"];
    let secure = SecurePayload::new(&array(&h["hash"]).unwrap());
    assert_eq!(
        secure.open(&bytes(&h["sealed_by_client"]).unwrap()),
        Some(punch())
    );
    assert_eq!(
        secure.open(&bytes(&h["sealed_by_server"]).unwrap()),
        Some(bare_punch())
    );
    let same = SecurePayload::with_secret(array(&h["holepunch_secret"]).unwrap());
    assert_eq!(same.open(&secure.seal(&punch())), Some(punch()));
    for (payload, wire) in [punch(), bare_punch()]
        .iter()
        .zip(v["holepunch_payloads"].as_array().unwrap())
    {
        assert_eq!(payload.encode(), bytes(wire).unwrap());
    }
}

#[test]
fn relayed_messages_in_every_mode() {
    let v = vectors();
    let list = relays();
    let one = |mode, noise: &[u8], peer_address, relay_address| Handshake {
        mode,
        noise: noise.to_vec(),
        peer_address,
        relay_address,
    };
    let messages = [
        one(Mode::FromServer, &[1], Some(list[0]), None),
        one(Mode::FromRelay, &[2], None, Some(list[1])),
        one(Mode::Reply, &[3; 300], Some(list[1]), None),
    ];
    for (message, wire) in messages.iter().zip(v["handshake_answers"].as_array().unwrap()) {
        assert_eq!(message.encode(), bytes(wire).unwrap());
        assert_eq!(Handshake::decode(&bytes(wire).unwrap()).as_ref(), Ok(message));
    }
    let punch = Holepunch {
        mode: Mode::FromClient,
        id: 70_000,
        payload: vec![1; 300],
        peer_address: None,
    };
    let wire = bytes(&v["holepunch_from_client"]).unwrap();
    assert_eq!(punch.encode(), wire);
    assert_eq!(Holepunch::decode(&wire), Ok(punch));
}

#[test]
fn a_payload_with_everything_in_it() {
    let rich = NoisePayload {
        addresses6: vec!["[2001:db8::1]:99".parse().unwrap()],
        relay_through: Some(RelayThrough {
            public_key: PublicKey([20; 32]),
            token: [21; 32],
        }),
        ..answer()
    };
    let wire = bytes(&vectors()["rich_noise_payload"]).unwrap();
    assert_eq!(rich.encode(), wire);
    assert_eq!(NoisePayload::decode(&wire), Ok(rich));
}

#[test]
fn targets_and_what_is_signed() {
    let v = vectors();
    let owner = KeyPair::from_seed(array(&v["key_pair"]["seed"]).unwrap());
    let targets = &v["targets"];
    assert_eq!(Some(owner.public_key.0), array(&targets["public_key"]));
    assert_eq!(
        Some(Target::of_key(&owner.public_key).0),
        array(&targets["server"])
    );
    let value = bytes(&targets["value"]).unwrap();
    assert_eq!(Some(Target::of_value(&value).0), array(&targets["immutable"]));

    let m = &v["mutable"];
    let mut mutable = Mutable {
        seq: 70_000,
        value,
        signature: array(&m["signature"]).unwrap(),
    };
    assert_eq!(mutable.signed_part(), bytes(&m["signable"]).unwrap());
    assert_eq!(owner.sign(&mutable_signable(&mutable)), mutable.signature);
    mutable.signature = [14; 64];
    let wire = bytes(&m["get"]).unwrap();
    assert_eq!(mutable.encode(), wire);
    assert_eq!(Mutable::decode(&wire), Ok(mutable));

    let r = &v["refresh"];
    let refresh = Announce {
        peer: None,
        refresh: array(&r["secret"]),
        signature: None,
        bump: 0,
    };
    assert_eq!(refresh.encode(), bytes(&r["announce"]).unwrap());
    assert_eq!(Announce::decode(&refresh.encode()).as_ref(), Ok(&refresh));
    let secret: [u8; 32] = array(&r["secret"]).unwrap();
    assert_eq!(blake2b(&[&secret]), array(&r["hash"]).unwrap());
}
