//! Invites, requests and answers are those of npm blind-pairing-core (tests/vectors/scripts/blind-pairing.js); what is none is refused.

use base::{DiscoveryKey, Key, KeyPair, PublicKey};
use blind_pairing::{Additional, Candidate, Denial, Grant, Invite, PairingError, Receipt, Request};
use proptest::prelude::*;
use serde_json::Value as Json;

const VECTORS: &str = include_str!("../../../../tests/vectors/blind-pairing/messages.json");

fn vectors() -> Vec<Json> {
    serde_json::from_str(VECTORS).expect("vectors")
}

fn bytes(json: &Json) -> Vec<u8> {
    hex::decode(json.as_str().expect("text")).expect("hex")
}

fn fixed<const N: usize>(json: &Json) -> [u8; N] {
    bytes(json).try_into().expect("that many bytes")
}

fn maybe<T>(json: &Json, read: impl FnOnce(&Json) -> T) -> Option<T> {
    (!json.is_null()).then(|| read(json))
}

fn additional(case: &Json) -> Option<Additional> {
    maybe(&case["additional"], |json| Additional {
        data: bytes(&json["data"]),
        signature: fixed(&json["signature"]),
    })
}

fn addresses(json: &Json) -> Vec<std::net::SocketAddrV4> {
    let address = |json: &Json| json.as_str().expect("text").parse().expect("an address");
    json.as_array().expect("a list").iter().map(address).collect()
}

#[test]
fn messages_are_those_of_javascript() {
    for case in vectors() {
        let mut invite = Invite::from_seed(fixed(&case["seed"]), DiscoveryKey(fixed(&case["discoveryKey"])));
        invite.expires = case["expires"].as_u64().expect("seconds") as u32;
        invite.sensitive = case["sensitive"] == true;
        invite.test = case["test"] == true;
        invite.additional_nodes = maybe(&case["givenNodes"], addresses);
        assert_eq!(hex::encode(invite.encode()), case["invite"]);
        assert_eq!(hex::encode(invite.id().0), case["inviteId"]);
        let public_key = PublicKey(fixed(&case["publicKey"]));
        assert_eq!(invite.public_key(), public_key);
        let read: Invite = invite.text().parse().expect("an invite");
        assert_eq!(read.additional_nodes, maybe(&case["nodes"], addresses));
        invite.additional_nodes.clone_from(&read.additional_nodes);
        assert_eq!(read, invite);

        let user_data = bytes(&case["userData"]);
        let candidate = Candidate::new(&read, &user_data).expect("a candidate");
        assert_eq!(hex::encode(candidate.request()), case["request"]);
        assert_eq!(hex::encode(candidate.id()), case["requestId"]);
        assert_eq!(hex::encode(candidate.token(&user_data)), case["token"]);
        let receipt = Receipt::create(&invite, &user_data);
        assert_eq!(hex::encode(receipt.encode()), case["receipt"]);
        assert!(receipt.verify(&public_key) && case["verified"] == case["userData"]);

        let request = Request::decode(&candidate.request()).expect("a request");
        let opened = request.open(&public_key).expect("opened");
        assert_eq!((opened.id, &opened.user_data), (candidate.id(), &user_data));
        assert_eq!(
            Receipt::decode(&receipt.encode()).expect("a receipt"),
            opened.receipt
        );
        let made = additional(&case);
        if let Some(made) = &made {
            assert_eq!(invite.sign(&made.data), *made);
        }
        let grant = Grant {
            key: Key([7; 32]),
            encryption_key: maybe(&case["encryptionKey"], fixed),
            additional: made.filter(|_| case["withAdditional"] == true),
        };
        assert_eq!(hex::encode(opened.confirm(&grant)), case["response"]);
        assert_eq!(
            candidate
                .open_response(&bytes(&case["response"]))
                .expect("a grant"),
            grant
        );
        assert_eq!(hex::encode(grant.key.0), case["grant"]["key"]);
        for (why, bytes_of) in [Denial::Rejected, Denial::Used, Denial::Expired]
            .into_iter()
            .zip(case["denials"].as_array().expect("three"))
        {
            assert_eq!(hex::encode(opened.deny(why)), *bytes_of);
            assert_eq!(
                candidate.open_response(&bytes(bytes_of)),
                Err(PairingError::Denied(why))
            );
        }
    }
}

fn pair() -> (Invite, Candidate, Request) {
    let invite = Invite::from_seed([1; 32], Key([7; 32]).discovery_key());
    let candidate = Candidate::new(&invite, b"data").expect("a candidate");
    let request = Request::decode(&candidate.request()).expect("a request");
    (invite, candidate, request)
}

fn grant() -> Grant {
    Grant {
        key: Key([7; 32]),
        encryption_key: Some([9; 32]),
        additional: None,
    }
}

#[test]
fn who_does_not_hold_the_invite_gets_nowhere() {
    let (invite, candidate, request) = pair();
    let other = Invite::from_seed([2; 32], Key([7; 32]).discovery_key());
    assert_eq!(request.open(&other.public_key()), Err(PairingError::NotOfInvite));
    let opened = request.open(&invite.public_key()).expect("opened");
    let stranger = Candidate::new(&invite, b"other data").expect("a candidate");
    assert_eq!(
        stranger.open_response(&opened.confirm(&grant())),
        Err(PairingError::NotOfInvite)
    );
    // A member cannot lead a candidate elsewhere than the invite, nor put words into its maker's mouth.
    let elsewhere = Grant {
        key: Key([8; 32]),
        ..grant()
    };
    assert_eq!(
        candidate.open_response(&opened.confirm(&elsewhere)),
        Err(PairingError::OtherRoom)
    );
    let forged = Additional {
        data: b"words".to_vec(),
        signature: KeyPair::from_seed([3; 32]).sign(b"words"),
    };
    let forged = Grant {
        additional: Some(forged),
        ..grant()
    };
    assert_eq!(
        candidate.open_response(&opened.confirm(&forged)),
        Err(PairingError::Additional)
    );
    let unknown = opened.deny(Denial::Other(0));
    assert!(
        candidate.open_response(&unknown).is_err(),
        "a denial never lets in"
    );
    assert!(
        !format!("{invite:?}").contains("0101010101"),
        "the seed is not shown"
    );
}

#[test]
fn what_is_no_invite_is_refused_in_words() {
    for (text, words) in [
        ("", "ends too early"),
        ("not an invite!", "other characters"),
        ("yy", "no version"),
    ] {
        let error = text.parse::<Invite>().expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
    let newer = Invite::decode(&[2, 0]).expect_err("newer");
    assert_eq!(newer, PairingError::InviteVersion(2));
    let mut nowhere = Invite::new(Key([7; 32]).discovery_key());
    nowhere.discovery_key = None;
    let read = Invite::decode(&nowhere.encode()).expect("an invite");
    assert_eq!(
        Candidate::new(&read, b"").expect_err("no room"),
        PairingError::NoRoom
    );
    let many = [&[1, 16][..], &[5; 32], &[65], &[6; 6 * 65]].concat();
    assert!(Invite::decode(&many).is_err());
}

proptest! {
    #[test]
    fn damage_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (invite, candidate, request) = pair();
        let damaged = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            bytes
        };
        let asked = Request::decode(&damaged(candidate.request()));
        if let Ok(asked) = asked {
            prop_assert!(asked.invite_id != invite.id() || asked.open(&invite.public_key()).is_err());
        }
        let answer = request.open(&invite.public_key()).expect("opened").confirm(&grant());
        prop_assert!(candidate.open_response(&damaged(answer)).is_err());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (invite, candidate, _) = pair();
        let _ = Invite::decode(&bytes);
        let _ = Receipt::decode(&bytes).map(|receipt| receipt.verify(&invite.public_key()));
        let _ = Request::decode(&bytes).map(|request| request.open(&invite.public_key()));
        prop_assert!(candidate.open_response(&bytes).is_err());
    }
}
