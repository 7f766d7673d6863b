//! Reading a drive whose blocks arrive from a peer, late and out of order.

mod support;

use core_store::Core;
use corestore::{Corestore, GetOptions};
use hypercore::proof::{Request, RequestBlock, RequestUpgrade};
use hyperdrive::{Drive, Hyperdrive, LocalDrive, MirrorOptions, PutOptions, mirror};

use support::{contents, memory_drive, noise};

/// Tells `to` how long `from` is, as a peer does first.
fn upgrade(from: &Core, to: &Core) {
    let upgrade = RequestUpgrade {
        start: to.length(),
        length: from.length() - to.length(),
    };
    let manifest = to.manifest().is_none();
    let request = Request {
        fork: from.fork(),
        upgrade: Some(upgrade),
        manifest,
        ..Request::default()
    };
    let data = from.create_proof(&request).expect("proof").expect("proof");
    assert!(to.verify(data).expect("verified").upgraded);
}

fn send_block(from: &Core, to: &Core, index: u64) {
    if !to.has(index) {
        let nodes = to.missing_nodes(2 * index).expect("nodes");
        let block = Some(RequestBlock { index, nodes });
        let request = Request {
            fork: from.fork(),
            block,
            ..Request::default()
        };
        let data = from.create_proof(&request).expect("proof").expect("proof");
        to.verify(data).expect("verified");
    }
}

/// Sends all blocks of both cores, the last first, letting readers run in between.
async fn send_all(from: &Hyperdrive, to: &Hyperdrive, store: &Corestore) {
    let (db, blobs) = (from.core().clone(), from.blobs().await.expect("blobs"));
    for index in (0..db.length()).rev() {
        send_block(&db, to.core(), index);
        tokio::task::yield_now().await;
    }
    let key = Some(blobs.key());
    let remote = store
        .get(GetOptions {
            key,
            ..GetOptions::default()
        })
        .expect("blobs");
    upgrade(&blobs, &remote);
    for index in (0..blobs.length()).rev() {
        send_block(&blobs, &remote, index);
        tokio::task::yield_now().await;
    }
}

/// A drive with many small files, a large one of reused chunks, a link, and an entry that was deleted.
async fn source() -> Hyperdrive {
    let drive = memory_drive("source").await;
    let mut batch = drive.batch().await.expect("batch");
    for number in 0..120 {
        let path = format!("/small/{number}");
        batch
            .put(&path, noise(number, 3000), PutOptions::default())
            .await
            .expect("put");
    }
    batch.symlink("/link", "small/7").await.expect("symlink");
    batch.flush().await.expect("flush");
    let dedup = PutOptions {
        dedup: true,
        ..PutOptions::default()
    };
    let mut large = noise(1000, 1 << 20);
    drive
        .put("/large", large.clone(), dedup.clone())
        .await
        .expect("put");
    large.splice(500_000..500_000, noise(1001, 100));
    drive.put("/large", large, dedup).await.expect("put");
    drive.del("/small/9").await.expect("del");
    drive
}

#[tokio::test]
async fn a_mirror_waits_for_what_is_missing() {
    let (from, store) = (source().await, support::memory_store());
    let to = Hyperdrive::open(&store, from.key()).await.expect("drive");
    assert!(!to.writable());
    upgrade(from.core(), to.core());
    assert_eq!(to.version(), from.version());
    let folder = tempfile::tempdir().expect("folder");
    let local = LocalDrive::new(folder.path());
    let copy = mirror(&to, &local, MirrorOptions::default()).finish();
    let (totals, ()) = tokio::join!(copy, send_all(&from, &to, &store));
    assert_eq!(totals.expect("mirror").add, 121);
    assert_eq!(contents(&local).await, contents(&from).await);
    assert!(to.has("/").await.expect("has"));
}

#[tokio::test]
async fn a_download_brings_everything_beneath_a_folder() {
    let (from, store) = (source().await, support::memory_store());
    let to = Hyperdrive::open(&store, from.key()).await.expect("drive");
    upgrade(from.core(), to.core());
    let download = async {
        to.download("/large")
            .await
            .expect("download")
            .done()
            .await
            .expect("done")
    };
    let (get, (), ()) = tokio::join!(to.get("/small/3"), download, send_all(&from, &to, &store));
    assert_eq!(get.expect("get").expect("content"), noise(3, 3000));
    assert!(to.has("/large").await.expect("has"));
    let changed = to.diff(122, "/").await.expect("diff");
    let told: Vec<_> = changed
        .iter()
        .map(|d| (d.left.is_some(), d.right.is_some()))
        .collect();
    assert_eq!(told, [(true, false), (false, true)], "/large came, /small/9 went");
    let inside = to
        .diff(60, "/")
        .await
        .expect_err("a version inside a batch")
        .to_string();
    assert!(inside.contains("batch"), "{inside}");
}

#[tokio::test]
async fn all_contents_but_those_of_some_folders_can_be_deleted_and_come_back() {
    let drive = source().await;
    let blobs = drive.blobs().await.expect("blobs");
    let all = blobs.count_stored(0, blobs.length());
    let freed = drive
        .clear_contents_but(&["/large", "/small/3"])
        .await
        .expect("clear");
    assert!(freed > 0 && blobs.count_stored(0, blobs.length()) == all - freed);
    assert!(drive.has("/large").await.expect("has") && drive.has("/small/3").await.expect("has"));
    assert!(!drive.has("/small/4").await.expect("has"));
    assert_eq!(
        drive.get("/small/3").await.expect("get").expect("content"),
        noise(3, 3000)
    );
    let again = drive
        .clear_contents_but(&["/large", "/small/3"])
        .await
        .expect("clear");
    assert_eq!(again, 0);
    assert!(drive.entry("/small/4").await.expect("entry").is_some());
    assert!(drive.clear_contents_but(&[]).await.expect("clear") == all - freed);
}

#[tokio::test]
async fn nothing_is_read_twice_from_a_drive_that_did_not_change() {
    let (from, store) = (source().await, support::memory_store());
    let to = Hyperdrive::open(&store, from.key()).await.expect("drive");
    upgrade(from.core(), to.core());
    for index in 0..from.core().length() {
        send_block(from.core(), to.core(), index);
    }
    // No content has arrived: comparing two versions of one drive must not need any for files that both share.
    let (older, newer) = (to.checkout(to.version() - 1), to.checkout(to.version()));
    let options = MirrorOptions {
        dry_run: true,
        prefix: vec!["/small".into()],
        ..MirrorOptions::default()
    };
    let totals = mirror(&newer, &older as &dyn Drive, options)
        .finish()
        .await
        .expect("mirror");
    assert_eq!((totals.add, totals.change, totals.remove), (0, 0, 1));
}
