//! A peer's state machine where many fetch the same from each other, and where a side hands out nothing for a while.

mod exchange;

use std::time::{Duration, Instant};

use bytes::Bytes;
use core_store::replication::{CoreView, work};
use core_store::{Core, DownloadRange, Storage};
use hypercore::messages::{self, kind};
use hypercore::replication::{Action, Change, Peer, View};

const BLOCKS: u64 = 200;
const BUDGET: usize = 1 << 20;

/// A core and the peer by which it is connected.
struct Side {
    core: Core,
    peer: Peer,
}

impl Side {
    fn poll(&mut self, now: Instant) {
        self.peer.poll(now, BUDGET, &mut CoreView(&self.core));
    }

    /// What the peer sends once all that it has done with the store is done.
    fn sent(&mut self, now: Instant) -> Vec<(u64, Bytes)> {
        let mut sent = Vec::new();
        while let Some(action) = self.peer.poll_action() {
            match action {
                Action::Send(kind, bytes) => sent.push((kind, bytes.into())),
                Action::Publish(_) => {}
                Action::Store(job) => {
                    let done = work(&self.core, job, &mut usize::MAX.clone()).unwrap();
                    self.peer
                        .handle_done(done, now, &mut CoreView(&self.core))
                        .unwrap();
                }
            }
        }
        sent
    }

    fn receive(&mut self, messages: Vec<(u64, Bytes)>, now: Instant) {
        for (kind, bytes) in messages {
            let view = &mut CoreView(&self.core);
            self.peer.handle_message(kind, &bytes, now, view).unwrap();
        }
    }
}

fn connect(core: &Core, with: &Core, number: u8) -> [Side; 2] {
    let [ours, theirs] = exchange::handshakes(number);
    let side = |core: &Core, handshake| Side {
        core: core.clone(),
        peer: Peer::new(core.key(), CoreView(core).head(), handshake),
    };
    let mut sides = [side(core, &ours), side(with, &theirs)];
    let shakes = [sides[1].peer.handshake(), sides[0].peer.handshake()];
    for (side, shake) in sides.iter_mut().zip(shakes) {
        side.peer.handle_open(&shake).unwrap();
    }
    sides
}

/// Both tell their state and hear the other's.
fn greet(sides: &mut [Side; 2], now: Instant) {
    let [one, other] = sides;
    for _ in 0..3 {
        one.poll(now);
        other.poll(now);
        let (from_one, from_other) = (one.sent(now), other.sent(now));
        one.receive(from_other, now);
        other.receive(from_one, now);
    }
}

/// A core with blocks and a copy that knows its length and has none of them.
fn source_and_copy() -> (Core, Core) {
    let source = exchange::core_of(&Storage::in_memory().unwrap(), 1);
    exchange::append(&source, BLOCKS);
    let copy = exchange::reader(&source);
    exchange::upgrade(&source, &copy);
    (source, copy)
}

/// The blocks asked for, by the number of the request.
fn asked(messages: &[(u64, Bytes)]) -> Vec<(u64, u64)> {
    let requests = messages.iter().filter(|(what, _)| *what == kind::REQUEST);
    requests
        .map(|(_, bytes)| {
            let (id, request) = messages::decode_request(bytes).unwrap();
            (id, request.block.unwrap().index)
        })
        .collect()
}

#[test]
fn what_came_from_elsewhere_is_withdrawn_from_a_slow_peer() {
    let (source, copy) = source_and_copy();
    let start = Instant::now();
    let (mut slow, mut quick) = (connect(&copy, &source, 1), connect(&copy, &source, 2));
    greet(&mut slow, start);
    greet(&mut quick, start);
    let _wanted = copy.download(DownloadRange {
        start: 7,
        end: Some(8),
    });
    slow[0].poll(start);
    let of_slow = asked(&slow[0].sent(start));
    quick[0].poll(start);
    assert_eq!(of_slow.len(), 1);
    assert!(
        asked(&quick[0].sent(start)).is_empty(),
        "another was asked for it"
    );
    // Nothing comes, and the other one is asked as well.
    let later = start + Duration::from_secs(6);
    slow[0].poll(later);
    quick[0].poll(later);
    let asks = quick[0].sent(later);
    assert_eq!(asked(&asks).len(), 1);
    quick[1].receive(asks, later);
    quick[1].poll(later);
    let answer = quick[1].sent(later);
    quick[0].receive(answer, later);
    quick[0].sent(later);
    assert!(copy.has(7));
    slow[0].peer.handle_change(Change::Stored(7));
    let (id, _) = of_slow[0];
    let withdrawn = (kind::CANCEL, Bytes::from(messages::encode_id(id)));
    assert_eq!(slow[0].sent(later), [withdrawn]);
    slow[0].peer.handle_change(Change::Stored(7));
    assert!(slow[0].sent(later).is_empty(), "once");
}

#[test]
fn of_a_slow_peer_little_is_asked_at_a_time_where_others_fetch_the_same() {
    for (shared, first, least) in [(true, 16, 4), (false, 64, 100)] {
        let (source, copy) = source_and_copy();
        if shared {
            copy.share_downloads(1 << 31);
        }
        let mut now = Instant::now();
        let mut sides = connect(&copy, &source, 1);
        greet(&mut sides, now);
        let _wanted = copy.download(DownloadRange::default());
        let [ours, theirs] = &mut sides;
        ours.poll(now);
        let asks = ours.sent(now);
        let blocks = asked(&asks);
        assert_eq!(blocks.len(), first);
        assert_eq!(blocks[0].1, if shared { BLOCKS / 2 } else { 0 });
        let mut open: Vec<u64> = blocks.iter().map(|(id, _)| *id).collect();
        theirs.receive(asks, now);
        // It answers one request every three seconds.
        for _ in 0..18 {
            now += Duration::from_secs(3);
            theirs.peer.poll(now, 1, &mut CoreView(&theirs.core));
            let answer = theirs.sent(now);
            open.remove(0);
            ours.receive(answer, now);
            ours.sent(now);
            ours.poll(now);
            let asks = ours.sent(now);
            let withdrawn = asks.iter().filter(|(what, _)| *what == kind::CANCEL);
            let withdrawn: Vec<u64> = withdrawn
                .map(|(_, id)| messages::decode_id(id).unwrap())
                .collect();
            open.retain(|id| !withdrawn.contains(id));
            open.extend(asked(&asks).iter().map(|(id, _)| *id));
            theirs.receive(asks, now);
        }
        let few = open.len() <= least;
        assert!(few && (shared || open.len() > 16), "{shared}: {}", open.len());
    }
}

#[test]
fn a_side_that_hands_out_nothing_says_so_answers_all_the_same_and_comes_back() {
    let (source, copy) = source_and_copy();
    let now = Instant::now();
    let mut sides = connect(&copy, &source, 1);
    greet(&mut sides, now);
    let _wanted = copy.download(DownloadRange {
        start: 0,
        end: Some(2),
    });
    let [ours, theirs] = &mut sides;
    ours.poll(now);
    let asks = ours.sent(now);
    assert_eq!(asked(&asks).len(), 2);
    theirs.peer.set_uploading(false);
    theirs.receive(asks, now);
    theirs.poll(now);
    let answer = theirs.sent(now);
    let nothing = answer.iter().filter(|(what, _)| *what == kind::NO_DATA);
    assert_eq!(nothing.count(), 2);
    ours.receive(answer, now);
    // It asks for nothing while it knows, though the pause after an answer without a block is over.
    let later = now + Duration::from_secs(30);
    for _ in 0..2 {
        ours.poll(later);
        assert!(asked(&ours.sent(later)).is_empty());
    }
    theirs.peer.set_uploading(true);
    theirs.poll(later);
    ours.receive(theirs.sent(later), later);
    ours.poll(later);
    let asks = ours.sent(later);
    assert_eq!(asked(&asks).len(), 2);
    theirs.receive(asks, later);
    theirs.poll(later);
    ours.receive(theirs.sent(later), later);
    ours.sent(later);
    assert!(copy.has_range(0, 2));
}
