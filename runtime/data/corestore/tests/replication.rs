//! Stores that replicate over in-process connections: they converge, live, through several peers, honest or not.

use std::time::Duration;

use bytes::Bytes;
use core_store::{Core, DownloadRange};
use corestore::{Corestore, GetOptions};
use hypercore::manifest::{Manifest, Signer};
use hypercore::signature::{self, PartialSignature};
use hypercore::{Key, KeyPair};
use secret_stream::Connection;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn store() -> Corestore {
    Corestore::in_memory().unwrap()
}

fn named(store: &Corestore, name: &str) -> Core {
    store
        .get(GetOptions {
            name: Some(name.into()),
            ..GetOptions::default()
        })
        .unwrap()
}

fn by_key(store: &Corestore, key: Key) -> Core {
    store
        .get(GetOptions {
            key: Some(key),
            ..GetOptions::default()
        })
        .unwrap()
}

fn block(seed: u64) -> Bytes {
    Bytes::from(
        (0..seed * 7919 % 3000)
            .map(|i| (i * seed) as u8)
            .collect::<Vec<_>>(),
    )
}

fn append(core: &Core, count: u64) {
    let start = core.length();
    core.append(&(start..start + count).map(block).collect::<Vec<_>>())
        .unwrap();
}

fn connect(a: &Corestore, b: &Corestore) {
    let (left, right) = Connection::memory_pair();
    a.replicate(left);
    b.replicate(right);
}

async fn reaches(core: &Core, length: u64) {
    let grow = async {
        let mut events = core.events();
        while core.length() < length {
            let _ = events.recv().await;
        }
    };
    timeout(SOON, grow)
        .await
        .unwrap_or_else(|_| panic!("stuck at {} of {length}", core.length()));
}

async fn downloads(core: &Core) {
    let download = core.download(DownloadRange::default());
    timeout(SOON, download.done())
        .await
        .expect("the download ends")
        .unwrap();
    for index in 0..core.length() {
        assert_eq!(
            core.get_local(index).unwrap(),
            Some(block(index)),
            "block {index}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_follows_a_writer() {
    let (a, b) = (store(), store());
    let source = named(&a, "source");
    append(&source, 700);
    let copy = by_key(&b, source.key());
    connect(&a, &b);
    assert_eq!(timeout(SOON, copy.get(699)).await.unwrap().unwrap(), block(699));
    assert_eq!(copy.length(), 700);
    assert!(!copy.has(5), "only what is asked for is fetched");
    downloads(&copy).await;
    append(&source, 3);
    reaches(&copy, 703).await;
    assert_eq!(timeout(SOON, copy.get(702)).await.unwrap().unwrap(), block(702));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_cores_share_a_connection_and_open_on_demand() {
    let (a, b) = (store(), store());
    let keys: Vec<Key> = (0..20)
        .map(|i| {
            let core = named(&a, &format!("core {i}"));
            append(&core, i + 1);
            core.key()
        })
        .collect();
    connect(&a, &b);
    // The sources are closed: they open when the peer names their discovery key.
    for (i, key) in (0u64..).zip(keys) {
        let copy = by_key(&b, key);
        assert_eq!(timeout(SOON, copy.get(i)).await.unwrap().unwrap(), block(i));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_is_opened_later_is_replicated_too() {
    let (a, b) = (store(), store());
    connect(&a, &b);
    let source = named(&a, "late");
    let copy = by_key(&b, source.key());
    append(&source, 4);
    assert_eq!(timeout(SOON, copy.get(3)).await.unwrap().unwrap(), block(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_from_whoever_has_them() {
    let (a, b, c) = (store(), store(), store());
    let source = named(&a, "source");
    append(&source, 400);
    let (on_b, on_c) = (by_key(&b, source.key()), by_key(&c, source.key()));
    connect(&a, &b);
    // b holds a part only, with gaps.
    reaches(&on_b, 400).await;
    let parts = [(10, 50), (200, 201), (390, 400)].map(|(start, end)| DownloadRange {
        start,
        end: Some(end),
    });
    for part in parts {
        timeout(SOON, on_b.download(part).done()).await.unwrap().unwrap();
    }
    let (left, right) = Connection::memory_pair();
    let link = b.replicate(left);
    c.replicate(right);
    reaches(&on_c, 400).await;
    for index in [10, 49, 200, 390, 399] {
        assert_eq!(
            timeout(SOON, on_c.get(index)).await.unwrap().unwrap(),
            block(index)
        );
    }
    // What b lacks waits for a.
    let waiting = tokio::spawn({
        let on_c = on_c.clone();
        async move { on_c.get(300).await }
    });
    connect(&a, &c);
    assert_eq!(
        timeout(SOON, waiting).await.unwrap().unwrap().unwrap(),
        block(300)
    );
    link.close();
    downloads(&on_c).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_reaches_the_peers() {
    let (a, b) = (store(), store());
    let source = named(&a, "source");
    append(&source, 64);
    let copy = by_key(&b, source.key());
    connect(&a, &b);
    reaches(&copy, 64).await;
    downloads(&copy).await;
    source.truncate(40, None).unwrap();
    source
        .append(&[Bytes::from_static(b"new 40"), Bytes::from_static(b"new 41")])
        .unwrap();
    let follow = async {
        let mut events = copy.events();
        while (copy.fork(), copy.length()) != (1, 42) {
            let _ = events.recv().await;
        }
        copy.get(41).await.unwrap()
    };
    assert_eq!(timeout(SOON, follow).await.unwrap(), "new 41");
    assert_eq!(timeout(SOON, copy.get(39)).await.unwrap().unwrap(), block(39));
    assert_eq!(copy.tree_hash(42).unwrap(), source.tree_hash(42).unwrap());
}

/// Flips a bit in every large message from one side.
fn connect_through_a_liar(a: &Corestore, b: &Corestore) {
    let (left, mut from_a) = Connection::memory_pair();
    let (mut from_b, right) = Connection::memory_pair();
    a.replicate(left);
    b.replicate(right);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                message = from_a.recv() => {
                    let Some(message) = message else { break };
                    let mut bytes = message.to_vec();
                    let middle = bytes.len() / 2;
                    if bytes.len() > 400 {
                        bytes[middle] ^= 1;
                    }
                    if from_b.send(bytes.into()).await.is_err() { break; }
                }
                message = from_b.recv() => {
                    let Some(message) = message else { break };
                    if from_a.send(message).await.is_err() { break; }
                }
            }
        }
        from_a.close();
        from_b.close();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_dropped_and_the_rest_is_fetched_elsewhere() {
    let (a, b) = (store(), store());
    let source = named(&a, "source");
    append(&source, 300);
    let copy = by_key(&b, source.key());
    connect_through_a_liar(&a, &b);
    let download = copy.download(DownloadRange::default());
    // The liar is found out...
    let mut events = copy.events();
    let dropped = async { while !matches!(events.recv().await, Ok(core_store::CoreEvent::PeerRemove(_))) {} };
    timeout(SOON, dropped).await.expect("the liar is dropped");
    // ...and an honest peer ends the work.
    connect(&a, &b);
    timeout(SOON, copy.get(150)).await.unwrap().unwrap();
    timeout(SOON, download.done()).await.unwrap().unwrap();
    downloads(&copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_another_process_is_pushed_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let seeder = Corestore::open(dir.path()).unwrap();
    let seeded = named(&seeder, "drive");
    let reader = store();
    let copy = by_key(&reader, seeded.key());
    connect(&seeder, &reader);
    // A second opening of the same file stands for the other process: it shares nothing but the disk.
    let stager = Corestore::open(dir.path()).unwrap();
    append(&named(&stager, "drive"), 5);
    let start = std::time::Instant::now();
    reaches(&copy, 5).await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "took {:?}",
        start.elapsed()
    );
    assert_eq!(timeout(SOON, copy.get(4)).await.unwrap().unwrap(), block(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn update_tells_whether_there_is_news() {
    let (a, b) = (store(), store());
    let source = named(&a, "source");
    append(&source, 2);
    let copy = by_key(&b, source.key());
    assert!(
        !timeout(SOON, copy.update(true)).await.unwrap().unwrap(),
        "nobody is being looked for"
    );
    let finding = b.finding_peers();
    let update = tokio::spawn({
        let copy = copy.clone();
        async move { copy.update(true).await.unwrap() }
    });
    connect(&a, &b);
    assert!(timeout(SOON, update).await.unwrap().unwrap());
    drop(finding);
    assert_eq!(copy.length(), 2);
    assert!(!timeout(SOON, copy.update(true)).await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_among_honest_peers_harms_nothing() {
    let (a, second, b) = (store(), store(), store());
    let source = named(&a, "source");
    append(&source, 600);
    let mirror = by_key(&second, source.key());
    connect(&a, &second);
    reaches(&mirror, 600).await;
    downloads(&mirror).await;
    let copy = by_key(&b, source.key());
    let mut events = copy.events();
    let download = copy.download(DownloadRange::default());
    connect_through_a_liar(&a, &b);
    connect(&a, &b);
    connect(&second, &b);
    reaches(&copy, 600).await;
    timeout(SOON, download.done()).await.unwrap().unwrap();
    downloads(&copy).await;
    let dropped = async { while !matches!(events.recv().await, Ok(core_store::CoreEvent::PeerRemove(_))) {} };
    timeout(SOON, dropped).await.expect("the liar is dropped");
    assert_eq!(copy.peers().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_come_and_go_do_not_stop_a_download() {
    let (a, b) = (store(), store());
    let source = named(&a, "source");
    append(&source, 3000);
    let copy = by_key(&b, source.key());
    let download = copy.download(DownloadRange::default());
    let mut links = Vec::new();
    // Each connection is cut after some blocks; the last one may finish.
    for part in 1..=5u64 {
        let (left, right) = Connection::memory_pair();
        links.push(a.replicate(left));
        let link = b.replicate(right);
        let mut events = copy.events();
        let some = async {
            while copy.length() == 0 || copy.count_stored(0, 3000) < part * 400 {
                let _ = events.recv().await;
            }
        };
        timeout(SOON, some).await.expect("blocks arrive");
        link.close();
        timeout(SOON, link.closed())
            .await
            .expect("the connection closes")
            .unwrap();
    }
    assert!(copy.peers().is_empty());
    connect(&a, &b);
    timeout(SOON, download.done()).await.unwrap().unwrap();
    downloads(&copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_converge_through_appends_and_truncations() {
    let (a, b, c) = (store(), store(), store());
    let source = named(&a, "source");
    let copies = [by_key(&b, source.key()), by_key(&c, source.key())];
    connect(&a, &b);
    connect(&b, &c);
    let mut seed = 12345u64;
    for _ in 0..40 {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let n = (seed >> 33) % 20;
        if (seed >> 60) < 4 && source.length() > n {
            source.truncate(source.length() - n, None).unwrap();
        } else {
            append(&source, n + 1);
        }
        if n.is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
    }
    append(&source, 1);
    let goal = (source.fork(), source.length());
    for copy in &copies {
        let follow = async {
            let mut events = copy.events();
            while (copy.fork(), copy.length()) != goal {
                let _ = events.recv().await;
            }
        };
        let reached = timeout(SOON, follow).await;
        assert!(
            reached.is_ok(),
            "stuck at {:?} of {goal:?}",
            (copy.fork(), copy.length())
        );
        assert_eq!(copy.tree_hash(goal.1).unwrap(), source.tree_hash(goal.1).unwrap());
        downloads(copy).await;
    }
}

/// A machine that knows a team's core only by its head extends it: seeders that were connected before follow.
#[tokio::test(flavor = "multi_thread")]
async fn what_extends_a_core_known_by_its_head_reaches_those_who_hold_it() {
    let pairs = [1, 2].map(|seed| KeyPair::from_seed([seed; 32]));
    let signers = pairs.each_ref().map(|pair| Signer {
        namespace: [7; 32],
        public_key: pair.public_key,
    });
    let manifest = Manifest::multi(2, signers.to_vec());
    let open = |store: &Corestore| {
        let options = GetOptions {
            manifest: Some(manifest.clone()),
            ..GetOptions::default()
        };
        store.get(options).unwrap()
    };
    for lengths in [[1, 2], [3, 45], [45, 449], [8, 9], [64, 70]] {
        let (seeder, committer) = (store(), store());
        let source = named(&committer, "source");
        append(&source, lengths[1]);
        let extend = |core: &Core, source: &Core, length| {
            let signable = signature::signable(&core.key().0, &source.tree_hash(length).unwrap(), length, 0);
            let proofs: Vec<PartialSignature> = (0..)
                .zip(&pairs)
                .map(|(signer, pair)| PartialSignature {
                    signer,
                    signature: pair.sign(&signable),
                    patch: 0,
                })
                .collect();
            core.append_from(source, length, &signature::assemble(&proofs))
                .unwrap();
        };
        // The seeder holds the first length whole, from a source of its own with the same blocks.
        let same = named(&seeder, "same");
        append(&same, lengths[0]);
        let held = open(&seeder);
        extend(&held, &same, lengths[0]);
        let _follow = held.download(DownloadRange::default());
        let known = open(&committer);
        connect(&seeder, &committer);
        reaches(&known, lengths[0]).await;
        // The seeder has asked what there is to fetch long before the release.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(known.contiguous_length(), 0, "only the head is known");
        extend(&known, &source, lengths[1]);
        reaches(&held, lengths[1]).await;
        downloads(&held).await;
        let told = async {
            let mut events = known.events();
            while known
                .peers()
                .iter()
                .all(|peer| peer.remote_contiguous_length < lengths[1])
            {
                let _ = events.recv().await;
            }
        };
        timeout(SOON, told)
            .await
            .expect("the committer learns that the seeder holds all");
    }
}

#[tokio::test]
async fn an_encrypted_core_goes_through_a_store_that_cannot_read_it() {
    let (a, blind, c) = (store(), store(), store());
    let key = [7; 32];
    let writer = named(&a, "room").encrypted(&key);
    append(&writer, 30);
    let (middle, last) = (by_key(&blind, writer.key()), by_key(&c, writer.key()));
    connect(&a, &blind);
    reaches(&middle, 30).await;
    connect(&blind, &c);
    let held = middle.download(DownloadRange::default());
    timeout(SOON, held.done())
        .await
        .expect("the download ends")
        .unwrap();
    reaches(&last, 30).await;
    let sought = last.encrypted(&key);
    // Bytes are counted in plain, also by the peers that are asked for the way there.
    let offset: u64 = (0..17).map(|index| block(index).len() as u64).sum();
    let found = timeout(SOON, sought.seek(offset + 1))
        .await
        .expect("found")
        .unwrap();
    assert_eq!(found, (17, 1));
    for index in 0..30 {
        let plain = timeout(SOON, sought.get(index)).await.expect("sent").unwrap();
        assert_eq!(plain, block(index));
        assert_ne!(
            timeout(SOON, middle.get(index)).await.expect("held").unwrap(),
            plain
        );
    }
}
