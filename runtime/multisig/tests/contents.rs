//! A source whose entries lead beyond the contents that are released with them.

use std::time::Duration;

use corestore::Corestore;
use hyperblobs::{BlockMap, MapBlock};
use hypercore::KeyPair;
use hyperdrive::{Hyperdrive, PutOptions};
use multisig::{Content, MultisigError, Patience, Release, Team};

/// A block map that lists a chunk which comes after it, as only a hostile program writes.
#[tokio::test]
async fn a_file_whose_chunks_are_not_released_is_refused() {
    let store = Corestore::in_memory().unwrap();
    let pair = store.create_key_pair("source").unwrap();
    let drive = Hyperdrive::create_with(&store, pair).await.unwrap();
    let package = &br#"{ "version": "1.0.0" }"#[..];
    drive
        .put("/package.json", package, PutOptions::default())
        .await
        .unwrap();
    let contents = drive.blobs().await.unwrap();
    let (at, bytes) = (contents.length(), contents.byte_length());
    let mut map = BlockMap::default();
    map.blocks.push(MapBlock {
        index: at + 1,
        byte_length: 4,
    });
    let map = map.encode();
    let blocks = [map[0].clone(), "late".into()];
    contents.append(&blocks).unwrap();
    let entry = serde_json::json!({ "executable": false, "linkname": null, "metadata": null, "blob": {
        "blockOffset": at, "byteOffset": bytes, "blockLength": 1, "byteLength": map[0].len(), "blockMap": true } });
    let value = entry.to_string();
    drive.bee().put(b"files\0/late", value.as_bytes()).await.unwrap();
    assert_eq!(drive.get("/late").await.unwrap().as_deref(), Some(&b"late"[..]));

    let signer = KeyPair::from_seed([1; 32]).public_key;
    let team = Team::new(vec![signer], 1, "x").unwrap();
    let length = drive.core().length();
    let release = Release::open(&store, drive, length, team).unwrap();
    let short = release.content(Patience(Duration::from_secs(1))).await.unwrap();
    assert_eq!(short.length, at + 1, "what the list of entries shows");
    release.check_content(&short).await.unwrap();
    let error = release.changes(&short).await.unwrap_err();
    assert!(
        matches!(error, MultisigError::ContentTooSmall { stated, needed, .. } if (stated, needed) == (at + 1, at + 2)),
        "{error}"
    );
    let whole = Content {
        length: at + 2,
        tree_hash: contents.tree_hash(at + 2).unwrap(),
    };
    assert_eq!(release.changes(&whole).await.unwrap().files.len(), 2);
}
