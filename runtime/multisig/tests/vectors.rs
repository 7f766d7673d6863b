//! What npm hyper-multisig, hypercore-signing-request and hypercore-sign-lib make (tests/vectors/scripts/multisig.js), read
//! and made again.

use hypercore::{KeyPair, PublicKey};
use multisig::{Ballot, EncryptedKey, Request, RequestError, Response, ResponseError, SecretKeyError, Team};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/multisig/vectors.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn team(vectors: &Value) -> Team {
    let keys = vectors["publicKeys"].as_array().unwrap();
    let keys: Vec<PublicKey> = keys
        .iter()
        .map(|key| key.as_str().unwrap().parse().unwrap())
        .collect();
    let namespace = vectors["namespace"].as_str().unwrap();
    Team::new(keys, vectors["quorum"].as_u64().unwrap(), namespace).unwrap()
}

#[test]
fn links_follow_from_the_team() {
    let vectors = vectors();
    let team = team(&vectors);
    assert_eq!(team.manifest().encode(), bytes(&vectors["manifest"]));
    assert_eq!(team.key().to_string(), vectors["key"].as_str().unwrap());
    assert_eq!(
        team.blobs_manifest().key().to_string(),
        vectors["blobsKey"].as_str().unwrap()
    );
}

/// The requests for a drive, each with what it was recorded from.
fn drive_requests(vectors: &Value) -> Vec<(Request, Value)> {
    let recorded = vectors["requests"].as_array().unwrap().iter();
    let drives: Vec<_> = recorded
        .filter(|vector| vector["kind"] == "drive")
        .map(|vector| (Request::decode(&bytes(&vector["bytes"])).unwrap(), vector.clone()))
        .collect();
    assert_eq!(drives.len(), 2, "one of each version");
    drives
}

#[test]
fn requests_are_read_and_made_to_the_byte() {
    let vectors = vectors();
    let team = team(&vectors);
    for (request, vector) in drive_requests(&vectors) {
        assert_eq!(request.to_string(), vector["text"].as_str().unwrap());
        assert_eq!(request.to_string().parse(), Ok(request.clone()));
        assert_eq!(request.version(), vector["version"].as_u64().unwrap());
        assert_eq!(request.key().to_string(), vector["id"].as_str().unwrap());
        assert_eq!(request.length(), vector["length"].as_u64().unwrap());
        assert_eq!(vector["fork"], 0);
        assert_eq!(request.tree_hash(), &array(&vector["treeHash"]));
        let content = &vector["content"];
        let found = request.content();
        assert_eq!(found.length, content["length"].as_u64().unwrap());
        assert_eq!(found.tree_hash, array(&content["treeHash"]));
        let legacy = request.version() == 2;
        let (length, tree_hash) = (request.length(), *request.tree_hash());
        let again = Request::new(team.manifest(), length, tree_hash, *found, legacy);
        assert_eq!(again, Ok(request));
    }
}

/// What upstream makes for a single core can become no release.
#[test]
fn requests_for_a_core_alone_are_refused() {
    let vectors = vectors();
    let recorded = vectors["requests"].as_array().unwrap();
    let cores: Vec<_> = recorded
        .iter()
        .filter(|vector| vector["kind"] == "core")
        .collect();
    assert_eq!(cores.len(), 2, "one of each version");
    for vector in cores {
        let read = Request::decode(&bytes(&vector["bytes"]));
        assert_eq!(read, Err(RequestError::NotADrive));
        for response in vector["responses"].as_array().unwrap() {
            let response = Response::decode(&bytes(response)).unwrap();
            let head = if vector["version"] == 2 { 66 } else { 67 };
            assert_eq!(response.encode().len(), head + 64, "an answer with one signature");
            for (request, _) in drive_requests(&vectors) {
                assert_eq!(response.verify(&request), Err(ResponseError::OtherRequest));
            }
        }
    }
}

#[test]
fn responses_hold_and_count() {
    for (request, vector) in drive_requests(&vectors()) {
        let responses = vector["responses"].as_array().unwrap();
        let responses: Vec<Response> = responses
            .iter()
            .map(|response| Response::decode(&bytes(response)).unwrap())
            .collect();
        for (response, recorded) in responses.iter().zip(vector["responses"].as_array().unwrap()) {
            response.verify(&request).unwrap();
            assert_eq!(response.encode(), bytes(recorded));
        }
        let ballot = Ballot::count(&request, &responses).unwrap();
        assert_eq!((ballot.obtained(), ballot.needed()), (3, 2));
        ballot.signatures().unwrap();
    }
}

/// The key that upstream made opens here, and the same key signs the same bytes: Ed25519 is deterministic.
#[test]
fn a_secret_key_of_upstream_signs_as_upstream_did() {
    let vectors = vectors();
    let vector = &vectors["keys"][0];
    let key = EncryptedKey::read(&bytes(&vector["file"])).unwrap();
    assert_eq!(key.encode(), bytes(&vector["file"]));
    assert_eq!(key.encode_legacy(), bytes(&vectors["legacyFile"]));
    let pair = key.open(&bytes(&vector["password"])).unwrap();
    assert_eq!(pair.public_key.0, array(&vector["publicKey"]));
    for (request, vector) in drive_requests(&vectors) {
        let response = Response::sign(&request, &pair).unwrap();
        assert_eq!(response.encode(), bytes(&vector["responses"][0]));
    }
}

/// The Pear CLI encodes what is typed twice; who types the same here gets in.
#[test]
fn a_passphrase_that_pear_encoded_twice_opens() {
    let vectors = vectors();
    let vector = &vectors["keys"][2];
    let key = EncryptedKey::read(&bytes(&vector["file"])).unwrap();
    let pair = key.open("pässwörd, double encoded".as_bytes()).unwrap();
    assert_eq!(pair.public_key.0, array(&vector["publicKey"]));
}

#[test]
fn any_cost_that_the_file_names_is_used() {
    let vectors = vectors();
    let vector = &vectors["low"];
    let key = EncryptedKey::read(&bytes(&vector["file"])).unwrap();
    let pair = key.open(&bytes(&vector["password"])).unwrap();
    assert_eq!(pair, KeyPair::from_seed([1; 32]));
    assert_eq!(key.open(b"low cost passwerd"), Err(SecretKeyError::Password));
}
