//! Drives as npm hyperdrive writes them (tests/vectors/scripts/hyperdrive.js).

mod support;

use bytes::Bytes;
use hyperbee::{Header, Metadata};
use hyperblobs::{BlockMap, MapBlock};
use hypercore::KeyPair;
use hyperdrive::{Batch, Hyperdrive, PutOptions};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperdrive/drive.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).expect("vectors")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// `["content", n, start, end]`, or hex.
fn block(value: &Value) -> Bytes {
    let Some(source) = value.as_array() else {
        return hex::decode(text(value)).expect("hex").into();
    };
    let number = |at: usize| source[at].as_u64().expect("a number");
    let byte = |i: u64| (i * 7 + number(1) * 13 + (i >> 8)) as u8;
    (number(2)..number(3)).map(byte).collect()
}

async fn run(batch: &mut Batch, step: &Value) {
    let path = text(&step[1]);
    match text(&step[0]) {
        "put" => {
            let metadata = step[3].get("metadata").cloned();
            let executable = step[3]["executable"].as_bool().unwrap_or(false);
            let options = PutOptions {
                executable,
                metadata,
                dedup: false,
            };
            batch.put(path, block(&step[2]), options).await.expect("put");
        }
        "symlink" => batch.symlink(path, text(&step[2])).await.expect("symlink"),
        "del" => drop(batch.del(path).await.expect("del")),
        other => panic!("unknown step {other}"),
    }
}

#[tokio::test]
async fn writes_are_those_of_javascript() {
    let vectors = vectors();
    let store = support::memory_store();
    let drive = Hyperdrive::create_with(&store, KeyPair::from_seed([1; 32]))
        .await
        .expect("drive");
    assert_eq!(hex::encode(drive.key().0), text(&vectors["key"]));
    let blobs = drive.blobs().await.expect("blobs");
    assert_eq!(
        hex::encode(blobs.key().0),
        text(&vectors["contentKey"]),
        "the derived core of contents"
    );
    for step in list(&vectors["steps"]) {
        let mut batch = drive.batch().await.expect("batch");
        match text(&step[0]) {
            "batch" => {
                for step in list(&step[1]) {
                    run(&mut batch, step).await;
                }
            }
            "dedup" => break,
            _ => run(&mut batch, step).await,
        }
        batch.flush().await.expect("flush");
    }
    let db = list(&vectors["db"]);
    let length = drive.core().length();
    assert_eq!(length, db.len() as u64 - 2, "all but the two deduplicated writes");
    for (index, expected) in (0..length).zip(db) {
        let ours = drive.core().get_local(index).expect("read").expect("block");
        assert_eq!(
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&block(expected)),
            "entry {index}"
        );
        assert_eq!(ours, block(expected), "entry {index}");
    }
    assert!(blobs.length() > 0);
    for (index, expected) in (0..blobs.length()).zip(list(&vectors["blobs"])) {
        let ours = blobs.get_local(index).expect("read").expect("block");
        assert_eq!(ours, block(expected), "content {index}");
    }
}

/// A drive whose two cores hold the recorded blocks; its header names the contents, because the keys differ.
async fn recorded_drive() -> Hyperdrive {
    let (vectors, store) = (vectors(), support::memory_store());
    let blobs = support::memory_core(&store, "recorded blobs");
    let blocks: Vec<Bytes> = list(&vectors["blobs"]).iter().map(block).collect();
    blobs.append(&blocks).expect("append");
    let db = support::memory_core(&store, "recorded db");
    let feed = Some(Bytes::copy_from_slice(&blobs.key().0));
    let header = Header::hyperbee(Metadata {
        content_feed: feed,
        user_data: None,
    })
    .encode();
    let entries = list(&vectors["db"]).iter().skip(1).map(block);
    let blocks: Vec<Bytes> = std::iter::once(header).chain(entries).collect();
    db.append(&blocks).expect("append");
    Hyperdrive::from_core(&store, db).await.expect("drive")
}

#[tokio::test]
async fn a_javascript_drive_is_read() {
    let (vectors, drive) = (vectors(), recorded_drive().await);
    let entries = drive.list("/").await.expect("list");
    let expected = list(&vectors["entries"]);
    assert_eq!(entries.len(), expected.len());
    for (entry, expected) in entries.iter().zip(expected) {
        let value = &expected["value"];
        assert_eq!(entry.key, text(&expected["key"]));
        assert_eq!(Some(entry.seq), expected["seq"].as_u64());
        assert_eq!(Some(entry.executable), value["executable"].as_bool());
        assert_eq!(entry.linkname.as_deref(), value["linkname"].as_str());
        let blob = entry
            .blob
            .map(|blob| (blob.block_offset, blob.byte_length, blob.block_map));
        let fields = |blob: &Value| {
            let number = |name: &str| blob[name].as_u64().expect("a number");
            (
                number("blockOffset"),
                number("byteLength"),
                blob["blockMap"].as_bool().unwrap_or(false),
            )
        };
        assert_eq!(
            blob,
            value["blob"].is_object().then(|| fields(&value["blob"])),
            "{}",
            entry.key
        );
        assert_eq!(entry.metadata.clone().unwrap_or_default(), value["metadata"]);
    }
    let steps = list(&vectors["steps"]);
    let newest = steps.last().expect("steps");
    let expected: Vec<u8> = list(&newest[2])
        .iter()
        .flat_map(|part| block(part).to_vec())
        .collect();
    assert_eq!(
        drive.get("/big").await.expect("get").expect("content"),
        expected,
        "a file of reused chunks"
    );
    assert_eq!(
        Some(drive.blobs_length(drive.version()).await.expect("length")),
        vectors["blobsLength"].as_u64()
    );
    let older = drive.checkout(drive.version() - 1);
    let before: Vec<u8> = list(&steps[steps.len() - 2][2])
        .iter()
        .flat_map(|part| block(part).to_vec())
        .collect();
    assert_eq!(older.get("/big").await.expect("get").expect("content"), before);
    let changed = drive.diff(older.version(), "/").await.expect("diff");
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].left.as_ref().expect("left").key, "/big");
    let target = drive.entry_follow("/link").await.expect("follow").expect("entry");
    assert_eq!(target.key, "/bin/run");
    assert_eq!(
        drive.readdir("/").await.expect("readdir"),
        ["b", "big", "bin", "link", "package.json"]
    );
    assert_eq!(drive.readdir("/b").await.expect("readdir"), ["1", "2", "3"]);
}

#[test]
fn block_maps_are_those_of_javascript() {
    for case in list(&vectors()["maps"]) {
        let count = case["count"].as_u64().expect("count");
        let pair = |pair: &Value| MapBlock {
            index: pair[0].as_u64().expect("block"),
            byte_length: pair[1].as_u64().expect("length"),
        };
        let blocks = match &case["pairs"] {
            Value::Array(pairs) => pairs.iter().map(pair).collect(),
            _ => (0..count)
                .map(|i| MapBlock {
                    index: i * 3,
                    byte_length: 65_536 + i,
                })
                .collect(),
        };
        let map = BlockMap { blocks };
        let encoded = map.encode();
        let hashes: Vec<_> = encoded
            .iter()
            .map(|b| hex::encode(base::hash::blake2b(&[b])))
            .collect();
        if let Some(expected) = case["hex"].as_array() {
            assert_eq!(
                encoded.iter().map(hex::encode).collect::<Vec<_>>(),
                expected.iter().map(text).collect::<Vec<_>>()
            );
        }
        assert_eq!(
            hashes,
            list(&case["hash"]).iter().map(text).collect::<Vec<_>>(),
            "{count} chunks"
        );
        let mut decoded = BlockMap::default();
        encoded
            .iter()
            .for_each(|block| decoded.decode_block(0, block).expect("decode"));
        assert_eq!(decoded, map);
    }
}
