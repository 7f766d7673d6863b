//! Messages and encrypted blocks as npm `autobase` makes them (tests/vectors/autobase/messages.json, recorded by
//! tests/vectors/scripts/autobase.js).

use std::sync::LazyLock;

use autobase::cipher::Keyring;
use autobase::constants::{GENESIS_ENTROPY, MAX_BATCH, NS_SIGNER};
use autobase::messages::{
    Checkpoint, Checkpointer, Digest, EncryptionDescriptor, Info, ManifestData, Member, OplogMessage,
    info_key, member_key, member_of,
};
use autobase::{Head, Key};
use hypercore::encryption::{BlockCipher, BlockOf, CipherError};
use hypercore::manifest::Manifest;
use proptest::prelude::*;
use serde_json::{Value, json};

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../tests/vectors/autobase/messages.json")).unwrap()
});

fn list(name: &str) -> &'static Vec<Value> {
    VECTORS[name].as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn heads(heads: &[Head]) -> Value {
    let head = |head: &Head| json!({ "key": hex::encode(head.key.0), "length": head.length });
    heads.iter().map(head).collect()
}

fn checkpointer(one: &Checkpointer) -> Value {
    let checkpoint = one
        .checkpoint
        .as_ref()
        .map(|found| json!({ "signature": hex::encode(found.signature), "length": found.length }));
    json!({ "checkpointer": one.checkpointer, "checkpoint": checkpoint })
}

fn checkpoint(one: &Checkpoint) -> Value {
    json!({
        "system": one.system.as_ref().map(checkpointer),
        "encryption": one.encryption.as_ref().map(checkpointer),
        "user": one.user.as_ref().map(|all| all.iter().map(checkpointer).collect::<Value>()),
    })
}

fn digest(one: &Digest) -> Value {
    json!({ "pointer": one.pointer, "key": one.key.map(|key| hex::encode(key.0)) })
}

/// As the script shows a message.
fn shown(message: &OplogMessage) -> Value {
    let node = json!({
        "heads": heads(&message.node.heads),
        "batch": message.node.batch,
        "value": message.node.value.as_ref().map(hex::encode),
    });
    let trace = message.trace.as_ref().map(|trace| {
        let user = trace.user.iter();
        json!({
            "system": trace.system,
            "encryption": trace.encryption,
            "user": user.map(|view| json!({ "view": view.view, "blocks": view.blocks })).collect::<Value>(),
        })
    });
    json!({
        "version": message.version,
        "node": node,
        "checkpoint": message.checkpoint.as_ref().map(checkpoint),
        "digest": message.digest.as_ref().map(digest),
        "optimistic": message.optimistic,
        "trace": trace,
    })
}

#[test]
fn oplog_messages_are_upstreams() {
    for case in list("oplogs") {
        let block = bytes(&case["bytes"]);
        let message = OplogMessage::decode(&block).unwrap();
        assert_eq!(shown(&message), case["value"]);
        assert_eq!(hex::encode(message.encode()), hex::encode(block));
    }
}

#[test]
fn what_older_versions_wrote_is_read() {
    assert_eq!(list("legacy").len(), 9);
    for case in list("legacy") {
        let message = OplogMessage::decode(&bytes(&case["bytes"])).unwrap();
        let mut ours = shown(&message);
        ours["maxSupportedVersion"] = message.max_supported_version.into();
        let mut theirs = case["value"].clone();
        // Absent there, and nothing to tell apart.
        theirs["trace"] = Value::Null;
        if theirs["optimistic"].is_null() {
            theirs["optimistic"] = false.into();
        }
        assert_eq!(ours, theirs);
        // What is written anew says the same in the present version.
        let again = OplogMessage::decode(&message.encode()).unwrap();
        assert_eq!((again.version, &again.node), (2, &message.node));
        assert_eq!(
            (&again.checkpoint, &again.digest, again.optimistic),
            (&message.checkpoint, &message.digest, message.optimistic)
        );
    }
}

#[test]
fn values_of_the_system_core_are_upstreams() {
    for case in list("infos") {
        let info = Info::decode(&bytes(&case["bytes"])).unwrap();
        let pending = info.pending_indexers.iter();
        let ours = json!({
            "version": info.version,
            "members": info.members,
            "pendingIndexers": pending.map(|key| hex::encode(key.0)).collect::<Vec<_>>(),
            "indexers": heads(&info.indexers),
            "heads": heads(&info.heads),
            "views": heads(&info.views),
            "encryptionLength": info.encryption_length,
            "entropy": info.entropy.map(hex::encode),
        });
        assert_eq!(ours, case["value"]);
        assert_eq!(info.encode(), bytes(&case["bytes"]));
    }
    for case in list("members") {
        let member = Member::decode(&bytes(&case["bytes"])).unwrap();
        let ours = json!({ "isIndexer": member.is_indexer, "isRemoved": member.is_removed, "length": member.length });
        assert_eq!(ours, case["value"]);
        assert_eq!(member.encode(), bytes(&case["bytes"]));
    }
    assert_eq!(hex::encode(info_key()), VECTORS["keys"]["info"]);
    let key = Key([3; 32]);
    assert_eq!(hex::encode(member_key(&key)), VECTORS["keys"]["member"]);
    assert_eq!(member_of(&member_key(&key)), Some(key));
    assert_eq!(member_of(&info_key()), None);
}

#[test]
fn manifest_data_and_descriptors_are_upstreams() {
    for case in list("manifests") {
        let data = ManifestData::decode(&bytes(&case["bytes"])).unwrap();
        let ours = json!({ "version": data.version, "legacyBlocks": data.legacy_blocks, "namespace": data.namespace.map(hex::encode) });
        assert_eq!(ours, case["value"]);
        assert_eq!(data.encode(), bytes(&case["bytes"]));
    }
    for case in list("descriptors") {
        let found = EncryptionDescriptor::decode(&bytes(&case["bytes"])).unwrap();
        let ours = json!({ "type": found.kind, "payload": found.payload.as_ref().map(hex::encode) });
        assert_eq!(ours, case["value"]);
        assert_eq!(found.encode(), bytes(&case["bytes"]));
        assert_eq!(found.entropy().is_ok(), found.kind == 0);
    }
}

#[test]
fn namespaces_are_upstreams() {
    assert_eq!(*NS_SIGNER, array::<32>(&VECTORS["namespaces"][0]));
    assert_eq!(*GENESIS_ENTROPY, array::<32>(&VECTORS["genesis_entropy"]));
}

fn manifest(version: u64, user_data: Option<Vec<u8>>) -> Manifest {
    Manifest {
        version: version as u8,
        user_data,
        ..Manifest::multi(0, Vec::new())
    }
}

#[test]
fn blocks_of_writers_and_views_are_upstreams() {
    let vectors = &VECTORS["ciphers"];
    let (bootstrap, key, core) = (
        Key(array(&vectors["bootstrap"])),
        array(&vectors["encryption_key"]),
        Key(array(&vectors["core"])),
    );
    for case in vectors["blocks"].as_array().unwrap() {
        let keys = Keyring::new(bootstrap, key);
        let learned = case["learned"].as_u64().unwrap() as usize;
        let entropies = vectors["entropies"].as_array().unwrap();
        for (id, entropy) in (1..).zip(&entropies[..learned]) {
            keys.learn(id, bytes(entropy).into());
        }
        let cipher = match case["name"].as_str() {
            Some(name) => keys.view(name),
            None => keys.writer(),
        };
        let user_data = case["user_data"].as_str().map(|text| hex::decode(text).unwrap());
        let manifest = manifest(case["manifest"].as_u64().unwrap(), user_data);
        let of = BlockOf {
            key: &core,
            manifest: Some(&manifest),
        };
        let number = |name: &str| case[name].as_u64().unwrap();
        let (index, stored) = (number("index"), bytes(&case["stored"]));
        let plain = vec![(index % 250) as u8; number("plain") as usize];
        let sealed = cipher.seal(of, index, number("fork"), &plain).unwrap();
        assert_eq!(hex::encode(&sealed), hex::encode(&stored), "{case}");
        assert_eq!(cipher.open(of, index, &stored).unwrap(), plain, "{case}");
        // Nobody reads it without the entropy it names, or the manifest.
        keys.truncate(0);
        let again = cipher.open(of, index, &stored);
        if sealed[0] == 1 && manifest.version > 1 && again != Ok(plain) {
            assert_eq!(again, Err(CipherError::NoKey { id: learned as u32 }));
        }
        let unknown = BlockOf {
            key: &core,
            manifest: None,
        };
        assert_eq!(cipher.open(unknown, index, &stored), Err(CipherError::NoManifest));
    }
}

#[test]
fn blocks_say_how_they_are_encrypted() {
    let keys = Keyring::new(Key([1; 32]), [2; 32]);
    let manifest = manifest(2, None);
    let of = BlockOf {
        key: &Key([3; 32]),
        manifest: Some(&manifest),
    };
    let open = |block: &[u8]| keys.writer().open(of, 0, block);
    assert_eq!(open(&[0, 9, 9, 9, 9, 9, 9, 9, 5]), Ok(vec![5]));
    assert_eq!(open(&[2; 9]), Err(CipherError::UnknownType(2)));
    assert_eq!(open(&[1; 7]), Err(CipherError::TooShort));
    let shown = format!("{keys:?}");
    assert!(!shown.contains("2, 2"), "{shown}");
}

#[test]
fn batches_without_end_are_refused() {
    let mut message = OplogMessage::decode(&bytes(&list("oplogs")[0]["bytes"])).unwrap();
    for batch in [0, MAX_BATCH + 1, 1 << 53] {
        message.node.batch = batch;
        assert!(OplogMessage::decode(&message.encode()).is_err());
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_without_panic(bytes: Vec<u8>) {
        let _ = OplogMessage::decode(&bytes);
        let _ = Info::decode(&bytes);
        let _ = Member::decode(&bytes);
        let _ = ManifestData::decode(&bytes);
        let _ = EncryptionDescriptor::decode(&bytes);
    }

    #[test]
    fn damaged_messages_are_refused_or_read_as_others(which: prop::sample::Index, at: prop::sample::Index, byte: u8, cut: bool) {
        let all: Vec<&Value> = list("oplogs").iter().chain(list("legacy")).collect();
        let mut block = bytes(&which.get(&all)["bytes"]);
        let at = at.index(block.len());
        if cut { block.truncate(at) } else { block[at] = byte }
        if let Ok(message) = OplogMessage::decode(&block) {
            let again = OplogMessage::decode(&message.encode()).unwrap();
            prop_assert_eq!(again.node, message.node);
        }
    }
}
