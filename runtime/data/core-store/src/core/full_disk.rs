//! Tests: the disk that holds the store is full while peers send.

use std::time::Duration;

use bytes::Bytes;
use hypercore::KeyPair;
use hypercore::proof::{Request, RequestBlock, RequestUpgrade};

use super::{Core, CoreOptions, DownloadRange, GetOptions};
use crate::{CoreError, ProofError, Storage, StorageError};

const BLOCK: usize = 64 * 1024;
const BLOCKS: u64 = 400;

fn writer() -> Core {
    let options = CoreOptions {
        key_pair: Some(KeyPair::from_seed([1; 32])),
        ..CoreOptions::default()
    };
    let core = Core::open(&Storage::in_memory().unwrap(), options).unwrap();
    let blocks: Vec<Bytes> = (0..BLOCKS).map(|index| vec![index as u8; BLOCK].into()).collect();
    core.append(&blocks).unwrap();
    core
}

fn send(from: &Core, to: &Core, index: u64) -> Result<(), ProofError> {
    let nodes = to.missing_nodes(2 * index)?;
    let request = Request {
        block: Some(RequestBlock { index, nodes }),
        ..Request::default()
    };
    to.verify(from.create_proof(&request)?.unwrap()).map(|_| ())
}

#[tokio::test]
async fn a_full_disk_ends_the_wait_and_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("store.db")).unwrap();
    let writer = writer();
    let key = Some(writer.key());
    let reader = Core::open(
        &storage,
        CoreOptions {
            key,
            ..CoreOptions::default()
        },
    )
    .unwrap();
    let upgrade = Request {
        upgrade: Some(RequestUpgrade {
            start: 0,
            length: BLOCKS,
        }),
        manifest: true,
        ..Request::default()
    };
    reader
        .verify(writer.create_proof(&upgrade).unwrap().unwrap())
        .unwrap();
    reader.flush().unwrap();
    storage.limit(Some(100));

    let waiting = reader.clone();
    let wait = tokio::spawn(async move { waiting.get(BLOCKS - 1).await });
    let download = reader.download(DownloadRange {
        start: 0,
        end: Some(BLOCKS),
    });
    let done = async {
        tokio::time::timeout(Duration::from_secs(20), download.done())
            .await
            .unwrap()
    };
    let sent = async {
        tokio::task::yield_now().await;
        (0..BLOCKS - 1)
            .filter(|index| send(&writer, &reader, *index).is_err())
            .count()
    };
    let (done, refused) = tokio::join!(done, sent);
    let full = |error: &CoreError| matches!(error, CoreError::Storage(StorageError::DiskFull(_)));
    assert!(full(&done.unwrap_err()));
    assert!(full(&wait.await.unwrap().unwrap_err()));
    assert!(refused > 200, "{refused}");
    let held = reader.shared.state().pending.bytes;
    assert!(held <= 5 * 1024 * 1024, "{held} bytes wait to be written");
    // Who asks while it is full hears so at once.
    let asked = reader.get_with(BLOCKS - 1, GetOptions::default()).await;
    assert!(full(&asked.unwrap_err()));

    storage.limit(None);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for index in 0..BLOCKS {
        if !reader.has(index) {
            send(&writer, &reader, index).unwrap();
        }
    }
    download.done().await.unwrap();
    assert_eq!(reader.get(BLOCKS - 1).await.unwrap().len(), BLOCK);
    reader.flush().unwrap();
    assert_eq!(reader.contiguous_length(), BLOCKS);
}
