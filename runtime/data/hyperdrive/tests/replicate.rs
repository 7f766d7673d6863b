//! Two stores, one connection: a drive follows its author's.

mod support;

use std::time::Duration;

use corestore::Corestore;
use hyperdrive::{Drive, Hyperdrive, LocalDrive, MirrorOptions, PutOptions};
use secret_stream::Connection;

use support::{contents, memory_store, noise, sync};

/// Connects two stores until the result is dropped.
fn connect(a: &Corestore, b: &Corestore) -> impl Sized {
    let (left, right) = Connection::memory_pair();
    (a.replicate(left), b.replicate(right))
}

/// Waits until the drive has a length.
async fn reach(drive: &Hyperdrive, length: u64) {
    let mut events = drive.core().events();
    while drive.core().length() < length {
        events.recv().await.expect("events");
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

#[tokio::test]
async fn a_reader_follows_the_author() {
    let (author, reader) = (memory_store(), memory_store());
    let drive = Hyperdrive::create(&author, "followed").await.expect("drive");
    let copy = Hyperdrive::open(&reader, drive.key()).await.expect("drive");
    let _connection = connect(&author, &reader);
    let folder = tempfile::tempdir().expect("folder");
    let local = LocalDrive::new(folder.path());
    let mut content = noise(1, 900_000);
    for round in 0..3u64 {
        let mut batch = drive.batch().await.expect("batch");
        for number in 0..40 {
            let path = format!("/dir{}/file{number}", number % 5);
            batch
                .put(&path, noise(round * 100 + number, 5000), PutOptions::default())
                .await
                .expect("put");
        }
        content.splice(300_000..300_000, noise(round + 50, 10));
        let options = PutOptions {
            executable: true,
            dedup: true,
            metadata: None,
        };
        batch.put("/app", content.clone(), options).await.expect("put");
        batch.symlink("/current", "dir1/file1").await.expect("symlink");
        batch.flush().await.expect("flush");
        within(reach(&copy, drive.core().length())).await;
        within(sync(&copy, &local, MirrorOptions::default())).await;
        assert_eq!(contents(&local).await, contents(&drive).await, "round {round}");
    }
    assert!(!copy.writable());
    assert!(copy.put("/x", &b"x"[..], PutOptions::default()).await.is_err());
}

#[tokio::test]
async fn a_truncated_drive_is_followed_to_its_new_fork() {
    let (author, reader) = (memory_store(), memory_store());
    let drive = Hyperdrive::create(&author, "truncated").await.expect("drive");
    drive
        .put("/kept", noise(1, 100_000), PutOptions::default())
        .await
        .expect("put");
    let version = drive.version();
    drive
        .put("/gone", noise(2, 100_000), PutOptions::default())
        .await
        .expect("put");
    let copy = Hyperdrive::open(&reader, drive.key()).await.expect("drive");
    let _connection = connect(&author, &reader);
    within(reach(&copy, drive.core().length())).await;
    assert_eq!(within(Drive::list(&copy, "/")).await.expect("list").len(), 2);
    assert!(within(copy.get("/gone")).await.expect("get").is_some());
    drive.truncate(version, None).await.expect("truncate");
    drive
        .put("/other", noise(3, 90_000), PutOptions::default())
        .await
        .expect("put");
    let mut events = copy.core().events();
    within(async {
        while copy.fork() != drive.fork() || copy.core().length() != drive.core().length() {
            events.recv().await.expect("events");
        }
    })
    .await;
    assert_eq!(within(contents(&copy)).await, contents(&drive).await);
}

#[tokio::test]
async fn ranges_of_a_remote_file_need_only_their_blocks() {
    let (author, reader) = (memory_store(), memory_store());
    let drive = Hyperdrive::create(&author, "ranges").await.expect("drive");
    let content = noise(9, 2 << 20);
    drive
        .put("/video", content.clone(), PutOptions::default())
        .await
        .expect("put");
    let copy = Hyperdrive::open(&reader, drive.key()).await.expect("drive");
    let _connection = connect(&author, &reader);
    within(reach(&copy, drive.core().length())).await;
    let entry = within(copy.entry("/video")).await.expect("entry").expect("entry");
    let read = async {
        use futures::TryStreamExt;
        let stream = copy.read_entry(&entry, 1_000_000, 1000).await.expect("read");
        stream.try_collect::<Vec<_>>().await.expect("read").concat()
    };
    assert_eq!(within(read).await, content[1_000_000..1_001_000]);
    let blobs = copy.blobs().await.expect("blobs");
    let stored = blobs.count_stored(0, blobs.length());
    assert!(stored < 8, "{stored} of 32 blocks were fetched");
}
