//! Encrypted cores as npm `hypercore` writes them (tests/vectors/hypercore/encryption.json, recorded by
//! tests/vectors/scripts/encryption.js), and what a store without the key makes of them.

mod exchange;

use std::sync::Arc;

use bytes::Bytes;
use core_store::{Core, CoreError, CoreOptions, Storage};
use hypercore::encryption::{CipherError, DefaultCipher};
use hypercore::merkle::SeekResult;
use hypercore::{Key, KeyPair};
use serde_json::Value;

use exchange::{core_of, fetch, reader, upgrade};

fn vectors() -> Value {
    serde_json::from_str(include_str!(
        "../../../../tests/vectors/hypercore/encryption.json"
    ))
    .unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// What the script appended.
fn value(index: u64) -> Bytes {
    vec![index as u8 + 1; (index * 37 % 80) as usize].into()
}

/// The core of the script, empty.
fn fresh(with: impl Fn(&Core) -> Core) -> Core {
    let options = CoreOptions {
        key_pair: Some(KeyPair::from_seed([1; 32])),
        ..CoreOptions::default()
    };
    with(&Core::open(&Storage::in_memory().unwrap(), options).unwrap())
}

fn block_cipher(key: [u8; 32]) -> impl Fn(&Core) -> Core {
    move |core| core.with_cipher(Arc::new(DefaultCipher::from_block_key(key)))
}

/// Same core, without the cipher.
fn as_stored(core: &Core) -> Core {
    Core::open_existing(core.storage(), &core.discovery_key())
        .unwrap()
        .unwrap()
}

#[test]
fn keys_are_upstreams() {
    let vectors = vectors();
    let key = array(&vectors["encryption_key"]);
    for case in vectors["keys"].as_array().unwrap() {
        let core = Key(array(&case["core"]));
        let cipher = match (&case["compat"], &case["is_block"]) {
            (Value::Bool(true), _) => DefaultCipher::compat(&key, &core),
            (_, Value::Bool(true)) => DefaultCipher::from_block_key(key),
            _ => DefaultCipher::new(&key, &core),
        };
        assert_eq!(*cipher.block_key(), array::<32>(&case["block"]));
    }
}

#[test]
fn what_is_stored_is_upstreams_to_the_byte() {
    let vectors = vectors();
    let key = array(&vectors["encryption_key"]);
    let cores = [
        ("shared", fresh(|core| core.encrypted(&key))),
        ("block", fresh(block_cipher(key))),
    ];
    for (name, core) in cores {
        let case = &vectors[name];
        assert_eq!(core.key().0, array::<32>(&case["key"]));
        // One by one or together, it is the same.
        core.append(&[value(0)]).unwrap();
        core.append(&(1..11).map(value).collect::<Vec<_>>()).unwrap();
        assert_eq!(
            core.tree_hash(11).unwrap(),
            array::<32>(&case["before"]["tree_hash"])
        );
        assert_eq!(core.byte_length(), uint(&case["before"]["byte_length"]));
        core.truncate(7, None).unwrap();
        core.append(&[value(20), value(21)]).unwrap();
        assert_eq!(core.fork(), uint(&case["fork"]));
        assert_eq!(core.tree_hash(9).unwrap(), array::<32>(&case["tree_hash"]));
        assert_eq!(core.byte_length(), uint(&case["byte_length"]));
        let stored = as_stored(&core);
        for (index, sealed) in (0..).zip(case["stored"].as_array().unwrap()) {
            assert_eq!(
                stored.get_local(index).unwrap().unwrap(),
                bytes(sealed),
                "{name} {index}"
            );
        }
        for seek in case["seeks"].as_array().unwrap() {
            let (block, offset) = (uint(&seek[1]), uint(&seek[2]));
            let found = core.seek_local(uint(&seek[0])).unwrap();
            assert_eq!(found, SeekResult::Found { block, offset }, "{name} {seek}");
        }
    }
}

#[test]
fn what_upstream_stored_is_read() {
    let vectors = vectors();
    let key = array(&vectors["encryption_key"]);
    for (name, encrypted) in [
        (
            "shared",
            Box::new(|core: &Core| core.encrypted(&key)) as Box<dyn Fn(&Core) -> Core>,
        ),
        ("block", Box::new(block_cipher(key))),
    ] {
        let stored = fresh(Core::clone);
        let sealed = vectors[name]["stored"].as_array().unwrap();
        stored
            .append(&sealed.iter().map(|value| bytes(value).into()).collect::<Vec<_>>())
            .unwrap();
        let core = encrypted(&stored);
        let plain: Vec<Option<Bytes>> = (0..7).chain([20, 21]).map(value).map(Some).collect();
        for (index, plain) in (0..).zip(&plain) {
            assert_eq!(core.get_local(index).unwrap(), *plain);
        }
        assert_eq!(core.get_local_each(&(0..9).collect::<Vec<_>>()).unwrap(), plain);
    }
}

#[test]
fn a_store_without_the_key_passes_on_what_it_cannot_read() {
    let key = [7; 32];
    let writer = core_of(&Storage::in_memory().unwrap(), 1).encrypted(&key);
    let plain: Vec<Bytes> = (0..40).map(value).collect();
    writer.append(&plain).unwrap();
    let (blind, last) = (reader(&writer), reader(&writer));
    // Handles with a cipher hand out proofs as well, and of what is stored.
    for (from, to) in [(&writer, &blind), (&blind, &last)] {
        upgrade(from, to);
        (0..40).for_each(|index| fetch(from, to, index));
    }
    for (index, plain) in (0..).zip(&plain) {
        let seen = blind.get_local(index).unwrap().unwrap();
        assert_eq!(seen.len(), plain.len() + 8);
        assert!(plain.is_empty() || seen[8..] != plain[..]);
        assert_eq!(
            last.encrypted(&key).get_local(index).unwrap().as_ref(),
            Some(plain)
        );
    }
    assert_eq!(blind.tree_hash(40).unwrap(), writer.tree_hash(40).unwrap());
}

#[tokio::test]
async fn who_waits_for_a_block_gets_it_in_plain() {
    let key = [7; 32];
    let writer = core_of(&Storage::in_memory().unwrap(), 1).encrypted(&key);
    writer.append(&[value(5), value(6)]).unwrap();
    let other = reader(&writer);
    upgrade(&writer, &other);
    let (plain, stored) = (other.encrypted(&key), other.clone());
    let waiting = tokio::spawn(async move { plain.get(1).await });
    let raw = tokio::spawn(async move { stored.get(1).await });
    tokio::task::yield_now().await;
    fetch(&writer, &other, 1);
    assert_eq!(waiting.await.unwrap().unwrap(), value(6));
    assert_eq!(
        raw.await.unwrap().unwrap(),
        as_stored(&writer).get_local(1).unwrap().unwrap()
    );
}

#[test]
fn a_block_that_was_never_sealed_is_an_error_that_names_it() {
    let stored = core_of(&Storage::in_memory().unwrap(), 1);
    stored
        .append(&[
            Bytes::from_static(b"plain"),
            Bytes::from_static(b"longer than eight"),
        ])
        .unwrap();
    let core = stored.encrypted(&[7; 32]);
    let error = core.get_local(0).unwrap_err();
    assert!(
        matches!(
            &error,
            CoreError::Cipher {
                index: 0,
                source: CipherError::TooShort,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains(&core.key().to_string()), "{error}");
    // What is long enough reads as noise: nothing says that it is wrong.
    assert_ne!(core.get_local(1).unwrap().unwrap(), b"er than eight"[..]);
}

#[test]
fn a_block_that_only_fits_unencrypted_is_refused() {
    let core = core_of(&Storage::in_memory().unwrap(), 1);
    let block = Bytes::from(vec![0; core_store::MAX_BLOCK]);
    let refused = core.encrypted(&[7; 32]).append(std::slice::from_ref(&block));
    assert!(matches!(refused, Err(CoreError::BlockTooLarge(_))));
    assert_eq!(core.length(), 0);
    core.append(&[block]).unwrap();
}
