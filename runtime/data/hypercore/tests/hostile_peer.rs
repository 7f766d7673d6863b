//! A peer's state machine against counterparts that claim absurd things, or answer late.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hypercore::messages::{self, Range, Sync, Want, kind};
use hypercore::replication::Peer;
use hypercore::{Core, CoreOptions, DownloadRange, KeyPair, Storage};
use secret_stream::Connection;

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
    let (ours, theirs) = Connection::memory_pair();
    let mut peer = Peer::new(core.clone(), 1, ours.info());
    let other = Peer::new(core.clone(), 2, theirs.info());
    peer.handle_open(&other.handshake()).unwrap();
    (core, peer)
}

fn sent(peer: &mut Peer) -> Vec<(u64, Vec<u8>)> {
    std::iter::from_fn(|| peer.poll_outgoing()).collect()
}

fn requests(peer: &mut Peer) -> usize {
    sent(peer)
        .iter()
        .filter(|(what, _)| *what == kind::REQUEST)
        .count()
}

fn tell(peer: &mut Peer, what: u64, bytes: Vec<u8>, now: Instant) {
    peer.handle_message(what, &bytes.into(), now).unwrap();
}

fn claims(peer: &mut Peer, length: u64, now: Instant) {
    let sync = Sync {
        length,
        uploading: true,
        ..Sync::default()
    };
    tell(peer, kind::SYNC, sync.encode(), now);
    let range = Range {
        drop: false,
        start: 0,
        length,
    };
    tell(peer, kind::RANGE, range.encode(), now);
}

#[test]
fn absurd_claims_cost_little() {
    let (core, mut peer) = opened();
    core.clear(3, 4).unwrap();
    let now = Instant::now();
    claims(&mut peer, MAX_LENGTH, now);
    let far = Want {
        start: (1 << 53) - 1,
        length: (1 << 53) - 1,
        any: false,
    };
    tell(&mut peer, kind::WANT, far.encode(), now);
    peer.poll(now, 1 << 20).unwrap();
    // Scattered runs add up to far more than is remembered.
    for i in 1..10_000 {
        let range = Range {
            drop: false,
            start: MAX_LENGTH - (i << 24),
            length: 1 << 22,
        };
        tell(&mut peer, kind::RANGE, range.encode(), now);
        let bits = messages::encode_bitfield(i << 20, &[1]);
        tell(&mut peer, kind::BITFIELD, bits, now);
    }
    let dropped = Range {
        drop: true,
        start: 1,
        length: MAX_LENGTH - 1,
    };
    tell(&mut peer, kind::RANGE, dropped.encode(), now);
    peer.poll(now, 1 << 20).unwrap();
    assert!(now.elapsed() < Duration::from_secs(5), "{:?}", now.elapsed());
}

#[tokio::test]
async fn a_late_block_is_asked_of_the_same_peer_again() {
    let (core, mut peer) = opened();
    core.clear(3, 4).unwrap();
    let _download = core.download(DownloadRange::default());
    let start = Instant::now();
    claims(&mut peer, 10, start);
    peer.poll(start, 1 << 20).unwrap();
    assert_eq!(requests(&mut peer), 1);
    // It times out, and others have their chance first...
    peer.poll(start + Duration::from_secs(11), 1 << 20).unwrap();
    let out = sent(&mut peer);
    assert!(out.iter().any(|(what, _)| *what == kind::CANCEL));
    assert!(out.iter().all(|(what, _)| *what != kind::REQUEST));
    // ...then it is asked once more.
    peer.poll(start + Duration::from_secs(22), 1 << 20).unwrap();
    assert_eq!(requests(&mut peer), 1);
}
