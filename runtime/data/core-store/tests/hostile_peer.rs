//! A peer's state machine against counterparts that claim absurd things, or answer late.

mod exchange;

use std::time::{Duration, Instant};

use bytes::Bytes;
use core_store::replication::{CoreView, work};
use core_store::{Core, CoreOptions, DownloadRange, Storage};
use hypercore::KeyPair;
use hypercore::messages::{self, Range, Sync, Want, kind};
use hypercore::proof::Data;
use hypercore::replication::{Action, Peer, View};

const MAX_LENGTH: u64 = 1 << 40;

/// A writer of ten blocks, and a peer for it whose counterpart has opened.
fn opened() -> (Core, Peer) {
    let core = Core::open(
        &Storage::in_memory().unwrap(),
        CoreOptions {
            key_pair: Some(KeyPair::from_seed([1; 32])),
            ..CoreOptions::default()
        },
    )
    .unwrap();
    core.append(&vec![Bytes::from_static(b"block"); 10]).unwrap();
    let [ours, theirs] = exchange::handshakes(1);
    let head = CoreView(&core).head();
    let mut peer = Peer::new(core.key(), head, &ours);
    let other = Peer::new(core.key(), head, &theirs);
    peer.handle_open(&other.handshake()).unwrap();
    (core, peer)
}

/// What the peer sends once all that it has done with the store is done.
fn sent(core: &Core, peer: &mut Peer, now: Instant) -> Vec<(u64, Vec<u8>)> {
    let mut sent = Vec::new();
    while let Some(action) = peer.poll_action() {
        match action {
            Action::Send(kind, bytes) => sent.push((kind, bytes)),
            Action::Publish(_) => {}
            Action::Store(job) => {
                let done = work(core, job, &mut usize::MAX.clone()).unwrap();
                peer.handle_done(done, now, &mut CoreView(core)).unwrap();
            }
        }
    }
    sent
}

fn requests(core: &Core, peer: &mut Peer, now: Instant) -> usize {
    let sent = sent(core, peer, now);
    sent.iter().filter(|(what, _)| *what == kind::REQUEST).count()
}

fn tell(core: &Core, peer: &mut Peer, what: u64, bytes: Vec<u8>, now: Instant) {
    peer.handle_message(what, &bytes.into(), now, &mut CoreView(core))
        .unwrap();
}

fn claims(core: &Core, peer: &mut Peer, length: u64, now: Instant) {
    let sync = Sync {
        length,
        uploading: true,
        ..Sync::default()
    };
    tell(core, peer, kind::SYNC, sync.encode(), now);
    let range = Range {
        drop: false,
        start: 0,
        length,
    };
    tell(core, peer, kind::RANGE, range.encode(), now);
}

#[test]
fn absurd_claims_cost_little() {
    let (core, mut peer) = opened();
    core.clear(3, 4).unwrap();
    let now = Instant::now();
    claims(&core, &mut peer, MAX_LENGTH, now);
    let far = Want {
        start: (1 << 53) - 1,
        length: (1 << 53) - 1,
        any: false,
    };
    tell(&core, &mut peer, kind::WANT, far.encode(), now);
    peer.poll(now, 1 << 20, &mut CoreView(&core));
    // Scattered runs add up to far more than is remembered.
    for i in 1..10_000 {
        let range = Range {
            drop: false,
            start: MAX_LENGTH - (i << 24),
            length: 1 << 22,
        };
        tell(&core, &mut peer, kind::RANGE, range.encode(), now);
        let bits = messages::encode_bitfield(i << 20, &[1]);
        tell(&core, &mut peer, kind::BITFIELD, bits, now);
    }
    let dropped = Range {
        drop: true,
        start: 1,
        length: MAX_LENGTH - 1,
    };
    tell(&core, &mut peer, kind::RANGE, dropped.encode(), now);
    peer.poll(now, 1 << 20, &mut CoreView(&core));
    assert!(now.elapsed() < Duration::from_secs(5), "{:?}", now.elapsed());
}

#[test]
fn a_late_block_is_asked_of_the_same_peer_again() {
    let (core, mut peer) = opened();
    core.clear(3, 4).unwrap();
    let _download = core.download(DownloadRange::default());
    let start = Instant::now();
    claims(&core, &mut peer, 10, start);
    peer.poll(start, 1 << 20, &mut CoreView(&core));
    assert_eq!(requests(&core, &mut peer, start), 1);
    // It times out, and others have their chance first...
    let later = start + Duration::from_secs(11);
    peer.poll(later, 1 << 20, &mut CoreView(&core));
    let out = sent(&core, &mut peer, later);
    assert!(out.iter().any(|(what, _)| *what == kind::CANCEL));
    assert!(out.iter().all(|(what, _)| *what != kind::REQUEST));
    // ...then it is asked once more.
    let later = start + Duration::from_secs(22);
    peer.poll(later, 1 << 20, &mut CoreView(&core));
    assert_eq!(requests(&core, &mut peer, later), 1);
}

/// Polls the peer as a driver would, until it has nothing more to send within `budget` bytes; returns how much it sent.
fn flood_answer(core: &Core, peer: &mut Peer, budget: usize, now: Instant) -> usize {
    peer.poll(now, budget, &mut CoreView(core));
    sent(core, peer, now).iter().map(|(_, bytes)| bytes.len()).sum()
}

#[test]
fn a_flood_of_wants_is_answered_within_the_budget() {
    let (core, mut peer) = opened();
    // Every other block is gone: no short answer tells it all.
    core.append(&vec![Bytes::from_static(b"x"); 20_000]).unwrap();
    (0..20_000)
        .step_by(2)
        .for_each(|index| core.clear(index, index + 1).unwrap());
    let now = Instant::now();
    for i in 0..80_000u64 {
        let want = Want {
            start: i % 7,
            length: 1 << 21,
            any: false,
        };
        tell(&core, &mut peer, kind::WANT, want.encode(), now);
    }
    let first = flood_answer(&core, &mut peer, 16 * 1024, now);
    assert!(first < 64 * 1024, "{first} bytes at once");
    let mut total = first;
    for _ in 0..1000 {
        total += flood_answer(&core, &mut peer, 16 * 1024, now);
    }
    assert!(total < 1024 * 1024, "{total} bytes for questions that repeat");
    assert!(total > 7 * 2000, "{total} bytes: each question is answered");
}

#[test]
fn ranges_that_end_within_a_page_cost_little() {
    let (core, mut peer) = opened();
    let now = Instant::now();
    // 1 MiB of such messages took a minute when each bit was set by itself.
    for i in 0..80_000u64 {
        let range = Range {
            drop: i % 2 == 1,
            start: 33 + i % 5,
            length: (1 << 22) - 77,
        };
        tell(&core, &mut peer, kind::RANGE, range.encode(), now);
    }
    assert!(now.elapsed() < Duration::from_secs(20), "{:?}", now.elapsed());
}

#[test]
fn a_length_that_is_claimed_and_never_proven_ends_the_peer() {
    let (core, mut peer) = opened();
    let mut now = Instant::now();
    let mut ended = None;
    for _ in 0..100 {
        let sync = Sync {
            length: 1000,
            remote_length: 10,
            can_upgrade: true,
            uploading: true,
            ..Sync::default()
        };
        tell(&core, &mut peer, kind::SYNC, sync.encode(), now);
        now += Duration::from_secs(1);
        peer.poll(now, 1 << 20, &mut CoreView(&core));
        let asked = sent(&core, &mut peer, now)
            .into_iter()
            .find(|(what, _)| *what == kind::REQUEST);
        let (id, _) = messages::decode_request(&asked.unwrap().1).unwrap();
        let empty = messages::encode_data(id, &Data::default());
        let heard = peer.handle_message(kind::DATA, &empty.into(), now, &mut CoreView(&core));
        heard.unwrap();
        while let Some(action) = peer.poll_action() {
            if let Action::Store(job) = action {
                let done = work(&core, job, &mut usize::MAX.clone()).unwrap();
                ended = peer.handle_done(done, now, &mut CoreView(&core)).err();
            }
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(ended.unwrap().to_string().contains("does not prove"));
}

#[test]
fn a_slow_block_may_be_asked_of_another_peer_meanwhile() {
    let (core, mut slow) = opened();
    core.clear(3, 4).unwrap();
    let _download = core.download(DownloadRange::default());
    let start = Instant::now();
    claims(&core, &mut slow, 10, start);
    slow.poll(start, 1 << 20, &mut CoreView(&core));
    assert_eq!(requests(&core, &mut slow, start), 1);
    let [ours, theirs] = exchange::handshakes(1);
    let head = CoreView(&core).head();
    let mut other = Peer::new(core.key(), head, &ours);
    other
        .handle_open(&Peer::new(core.key(), head, &theirs).handshake())
        .unwrap();
    claims(&core, &mut other, 10, start);
    other.poll(start, 1 << 20, &mut CoreView(&core));
    assert_eq!(requests(&core, &mut other, start), 0, "one peer at a time");
    let later = start + Duration::from_secs(6);
    slow.poll(later, 1 << 20, &mut CoreView(&core));
    other.poll(later, 1 << 20, &mut CoreView(&core));
    assert_eq!(requests(&core, &mut other, later), 1);
    assert_eq!(requests(&core, &mut slow, later), 0, "it is not asked twice");
}
