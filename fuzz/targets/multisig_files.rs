//! What signers pass on and keep: requests, responses, key files, `pear.json`. What is read is written again to the same, and an
//! altered request or response never counts. The first byte picks the kind.

#![no_main]

use bosc_fuzz::within;
use hypercore::PublicKey;
use hypercore::manifest::Manifest;
use libfuzzer_sys::fuzz_target;
use multisig::{Ballot, EncryptedKey, KeyName, Request, Response, Team, decode_public_key};

fuzz_target!(|input: &[u8]| {
    let Some((pick, bytes)) = input.split_first() else {
        return;
    };
    // JSON in memory takes tens of times its text; all else a few times its size.
    within(16 * 1024 + 128 * bytes.len(), || read(pick % 8, bytes));
});

fn read(pick: u8, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes);
    match pick {
        0 => request(Request::decode(bytes).ok()),
        1 => request(text.ok().and_then(|text| text.parse().ok())),
        2 => response(Response::decode(bytes).ok()),
        3 => response(text.ok().and_then(|text| text.parse().ok())),
        4 => {
            if let Ok(key) = EncryptedKey::read(bytes) {
                assert_eq!(EncryptedKey::decode(&key.encode()).as_ref(), Ok(&key));
                let public = key.public_key().unwrap_or(PublicKey([7; 32]));
                let legacy = EncryptedKey::decode(&key.encode_legacy()).expect("ours");
                assert_eq!(legacy.with_public_key(public), key.with_public_key(public));
            }
        }
        5 => {
            if let Some(key) = decode_public_key(bytes) {
                assert_eq!(decode_public_key(&key.0), Some(key));
                assert_eq!(decode_public_key(key.to_string().as_bytes()), Some(key));
            }
        }
        6 => {
            if let Ok(Ok(name)) = text.map(str::parse::<KeyName>) {
                let name = name.to_string();
                assert!(!name.is_empty() && !name.contains(['/', '\\', '.', '\0']));
            }
        }
        _ => {
            if let Ok(Ok(team)) = text.map(Team::from_config) {
                assert!((1..=team.public_keys().len() as u64).contains(&team.quorum()));
                let manifest = team.manifest();
                assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
                assert_ne!(team.blobs_manifest().key(), team.key());
            }
        }
    }
}

fn request(request: Option<Request>) {
    let Some(request) = request else {
        return;
    };
    assert!(request.length() > 0 && request.manifest().version > 0);
    assert_eq!(Request::decode(request.as_bytes()).as_ref(), Ok(&request));
    assert_eq!(request.to_string().parse().as_ref(), Ok(&request));
    assert!(
        request.signables(&PublicKey([0xee; 32])).is_err()
            || request
                .manifest()
                .signers
                .iter()
                .any(|signer| signer.public_key == PublicKey([0xee; 32]))
    );
    for signer in &request.manifest().signers {
        let [entries, contents] = request.signables(&signer.public_key).expect("one of its signers");
        assert_ne!(entries, contents, "one signature is never good for both cores");
    }
    let ballot = Ballot::count(&request, &[]).expect("nothing to be wrong");
    assert_eq!(ballot.obtained(), 0);
    assert!(ballot.needed() <= request.manifest().signers.len() as u64);
}

fn response(response: Option<Response>) {
    let Some(response) = response else {
        return;
    };
    assert_eq!(Response::decode(&response.encode()).as_ref(), Ok(&response));
    assert_eq!(response.to_string().parse().as_ref(), Ok(&response));
}
