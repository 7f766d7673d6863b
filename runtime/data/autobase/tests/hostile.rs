//! Logs that no honest writer writes: they cost their writer its place, or wait for good, and nobody else notices.

use autobase::constants::{MAX_BATCH, MAX_INDEXERS, MAX_WAITING, MAX_WRITERS};
use autobase::messages::{OplogMessage, OplogNode};
use autobase::{Head, Key, Linearizer, Refused};
use bytes::Bytes;
use proptest::prelude::*;

const A: Key = Key([1; 32]);
const B: Key = Key([2; 32]);
const C: Key = Key([3; 32]);

fn head(key: Key, length: u64) -> Head {
    Head { key, length }
}

fn batch(heads: &[Head], batch: u64) -> OplogMessage {
    OplogMessage::new(OplogNode {
        heads: heads.to_vec(),
        batch,
        value: Some(Bytes::from_static(b"value")),
    })
}

fn node(heads: &[Head]) -> OplogMessage {
    batch(heads, 1)
}

/// A and B index, C does not.
fn linearizer() -> Linearizer {
    let mut linearizer = Linearizer::new(&[head(A, 0), head(B, 0)], &[]).unwrap();
    linearizer.follow(head(C, 0), false).unwrap();
    linearizer
}

/// The tip as writers and numbers.
fn tip(linearizer: &Linearizer) -> Vec<Head> {
    linearizer
        .tip()
        .iter()
        .map(|id| linearizer.node(*id).unwrap().at)
        .collect()
}

#[test]
fn nodes_that_link_each_other_wait_for_good() {
    let mut room = linearizer();
    room.offer(head(A, 1), &node(&[head(B, 1)])).unwrap();
    room.offer(head(B, 1), &node(&[head(A, 1)])).unwrap();
    room.offer(head(C, 1), &node(&[])).unwrap();
    assert_eq!(room.advance(), 1);
    assert_eq!(room.update().unwrap().indexed, []);
    assert_eq!(tip(&room), [head(C, 1)]);
    assert_eq!(room.update(), None);
}

#[test]
fn heads_that_do_not_exist_hold_up_nobody_else() {
    let mut room = linearizer();
    let nobody = Key([9; 32]);
    room.offer(head(C, 1), &node(&[head(A, 1 << 50), head(nobody, 7)]))
        .unwrap();
    room.offer(head(C, 2), &node(&[])).unwrap();
    room.offer(head(A, 1), &node(&[])).unwrap();
    assert_eq!(room.advance(), 1);
    assert_eq!(room.unknown(), [nobody]);
    // Nothing more is read ahead of what it waits for than a few nodes.
    room.offer(head(C, 3), &node(&[])).unwrap();
    room.offer(head(C, 4), &node(&[])).unwrap();
    assert_eq!((room.wanted(&C), room.wanted(&A)), (None, Some(2)));
    // Whoever is asked about the unknown one knows it: it was never a member.
    room.follow(head(nobody, 0), true).unwrap();
    assert_eq!(room.unknown(), []);
    assert_eq!(room.advance(), 0);
    assert_eq!(room.length(&C), Some(0));
}

#[test]
fn what_a_writer_links_of_its_own_future_counts_for_nothing() {
    let mut room = linearizer();
    let ahead = [head(A, 1), head(A, 900), head(B, 0), head(A, 0)];
    room.offer(head(A, 1), &node(&ahead)).unwrap();
    room.offer(head(A, 2), &node(&[head(A, 1)])).unwrap();
    assert_eq!(room.advance(), 2);
    room.update();
    assert_eq!(tip(&room), [head(A, 1), head(A, 2)]);
    assert_eq!(room.heads(), [head(A, 2)]);
}

#[test]
fn a_node_out_of_turn_or_of_a_stranger_is_refused() {
    let mut room = linearizer();
    let refused = room.offer(head(A, 2), &node(&[]));
    assert_eq!(refused, Err(Refused::OutOfOrder { next: 1 }));
    room.offer(head(A, 1), &node(&[])).unwrap();
    let twice = room.offer(head(A, 1), &node(&[]));
    assert_eq!(twice, Err(Refused::OutOfOrder { next: 2 }));
    let stranger = room.offer(head(Key([8; 32]), 1), &node(&[]));
    assert_eq!(stranger, Err(Refused::UnknownWriter));
    // None of that is held against the writer.
    room.offer(head(A, 2), &node(&[])).unwrap();
    assert_eq!(room.advance(), 2);
}

#[test]
fn a_batch_enters_whole_or_not_at_all() {
    let mut room = linearizer();
    room.offer(head(A, 1), &batch(&[], 3)).unwrap();
    room.offer(head(A, 2), &batch(&[head(A, 1)], 2)).unwrap();
    assert_eq!((room.advance(), room.length(&A)), (0, Some(0)));
    room.offer(head(A, 3), &batch(&[head(A, 2)], 1)).unwrap();
    assert_eq!(room.advance(), 3);
    room.update();
    assert_eq!(tip(&room), [head(A, 1), head(A, 2), head(A, 3)]);
}

#[test]
fn a_damaged_log_ends_where_the_damage_begins() {
    let cases = [
        // Batches that do not count down.
        (
            vec![batch(&[], 3), batch(&[], 3)],
            0,
            Refused::BrokenBatch { length: 2 },
        ),
        (
            vec![node(&[]), batch(&[], 2), batch(&[], 2)],
            1,
            Refused::BrokenBatch { length: 3 },
        ),
        (vec![batch(&[], 0)], 0, Refused::BrokenBatch { length: 1 }),
        (
            vec![batch(&[], MAX_BATCH + 1)],
            0,
            Refused::BrokenBatch { length: 1 },
        ),
        // The same link twice.
        (
            vec![node(&[]), node(&[head(B, 1), head(A, 1), head(B, 1)])],
            1,
            Refused::LinkedTwice { length: 2 },
        ),
    ];
    for (log, good, why) in cases {
        let mut room = linearizer();
        let mut last = Ok(());
        for (length, message) in (1..).zip(&log) {
            assert_eq!(last, Ok(()));
            last = room.offer(head(A, length), message);
            room.advance();
        }
        assert_eq!(last, Err(why));
        assert_eq!((room.frozen(&A), room.length(&A)), (Some(why), Some(good)));
        assert_eq!(room.wanted(&A), None);
        let next = head(A, log.len() as u64);
        assert_eq!(room.offer(next, &node(&[])), Err(why), "and stays so");
        // The others go on.
        room.offer(head(B, 1), &node(&[])).unwrap();
        assert_eq!(room.advance(), 1);
    }
}

#[test]
fn who_links_into_the_midst_of_a_batch_is_taken_no_further() {
    // From another log, from the same one later, and from within the batch over one.
    let mut room = linearizer();
    room.offer(head(A, 1), &batch(&[], 2)).unwrap();
    room.offer(head(A, 2), &node(&[head(A, 1)])).unwrap();
    room.offer(head(B, 1), &node(&[head(A, 1)])).unwrap();
    room.advance();
    assert_eq!(room.frozen(&B), Some(Refused::LinksIntoBatch { length: 1 }));
    room.offer(head(A, 3), &node(&[head(A, 1)])).unwrap();
    room.offer(head(A, 4), &node(&[])).unwrap();
    room.advance();
    assert_eq!(room.frozen(&A), Some(Refused::LinksIntoBatch { length: 3 }));
    assert_eq!(room.length(&A), Some(2));

    let mut room = linearizer();
    room.offer(head(A, 1), &batch(&[], 3)).unwrap();
    room.offer(head(A, 2), &batch(&[head(A, 1)], 2)).unwrap();
    room.offer(head(A, 3), &node(&[head(A, 1)])).unwrap();
    room.advance();
    assert_eq!(room.frozen(&A), Some(Refused::LinksIntoBatch { length: 3 }));
    assert_eq!(room.update(), None, "nothing of the batch is in");
}

#[test]
fn a_batch_whose_later_nodes_link_others_goes_before_those_as_upstream_has_it() {
    let mut room = Linearizer::new(&[head(A, 0)], &[]).unwrap();
    room.follow(head(C, 0), false).unwrap();
    room.offer(head(C, 1), &node(&[])).unwrap();
    room.offer(head(A, 1), &batch(&[], 2)).unwrap();
    room.offer(head(A, 2), &node(&[head(A, 1), head(C, 1)])).unwrap();
    room.offer(head(A, 3), &node(&[head(A, 2)])).unwrap();
    assert_eq!(room.advance(), 4);
    let indexed = room.update().unwrap().indexed;
    let at: Vec<Head> = indexed.iter().map(|id| room.node(*id).unwrap().at).collect();
    assert_eq!(at, [head(A, 1), head(A, 2), head(A, 3)]);
    assert_eq!(tip(&room), [head(C, 1)]);
}

#[test]
fn a_million_writers_are_a_bounded_number() {
    let mut room = linearizer();
    let key = |n: u32| {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        Key(key)
    };
    let taken = (0..1_000_000).take_while(|n| room.follow(head(key(*n), 0), true).is_ok());
    assert_eq!(taken.count(), MAX_WRITERS - 3);
    assert_eq!(
        room.follow(head(key(1 << 30), 0), true),
        Err(Refused::TooManyWriters)
    );
    // Those that are there go on.
    room.offer(head(A, 1), &node(&[])).unwrap();
    assert_eq!(room.advance(), 1);
    let many: Vec<Head> = (0..=MAX_INDEXERS as u32).map(|n| head(key(n), 0)).collect();
    assert!(matches!(
        Linearizer::new(&many, &[]),
        Err(Refused::TooManyIndexers)
    ));
}

#[test]
fn batches_that_never_end_start_over_and_leave_others_room() {
    let mut room = linearizer();
    let key = |n: u8| Key([100 + n; 32]);
    let endless = MAX_BATCH - 1;
    let waiting = |room: &Linearizer, n: u8| room.wanted(&key(n)).unwrap() > 1;
    for n in 0..6 {
        room.follow(head(key(n), 0), true).unwrap();
        for length in 1..=endless {
            // One link each: it counts as well.
            let links = [head(A, 1)];
            room.offer(head(key(n), length), &batch(&links, MAX_BATCH + 1 - length))
                .unwrap();
        }
    }
    let kept = (0..6).filter(|n| waiting(&room, *n)).count();
    assert_eq!(kept, MAX_WAITING / (2 * endless as usize));
    // Whoever does not hoard is not touched.
    room.offer(head(C, 1), &node(&[head(A, 1)])).unwrap();
    room.offer(head(A, 1), &node(&[])).unwrap();
    assert_eq!(room.advance(), 2);
    // And who starts over may end it.
    let again = (0..6).find(|n| !waiting(&room, *n)).unwrap();
    room.offer(head(key(again), 1), &batch(&[], 2)).unwrap();
    room.offer(head(key(again), 2), &node(&[head(key(again), 1)]))
        .unwrap();
    assert_eq!(room.advance(), 2);
}

#[test]
fn thousands_of_heads_are_linked_and_ordered() {
    // As if that many had written at once: one node links them all, then an indexer confirms it.
    let mut room = Linearizer::new(&[head(A, 0)], &[]).unwrap();
    let key = |n: u16| {
        let mut key = [7; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        Key(key)
    };
    let writers: Vec<Head> = (0..2000).map(|n| head(key(n), 1)).collect();
    for writer in &writers {
        room.follow(head(writer.key, 0), false).unwrap();
        room.offer(*writer, &node(&[])).unwrap();
    }
    assert_eq!(room.advance(), 2000);
    assert_eq!(room.heads().len(), 2000);
    room.offer(head(A, 1), &node(&writers)).unwrap();
    assert_eq!(room.advance(), 1);
    let indexed = room.update().unwrap().indexed;
    let order: Vec<Head> = indexed.iter().map(|id| room.node(*id).unwrap().at).collect();
    assert_eq!(order[..2000], writers[..]);
    assert_eq!(room.heads(), [head(A, 1)]);
}

/// A log of anything: links that exist or not, batches right or wrong.
#[derive(Debug, Clone)]
struct Wild {
    writer: u8,
    heads: Vec<(u8, u8)>,
    batch: u8,
    value: bool,
    optimistic: bool,
    skip: bool,
}

fn wild() -> impl Strategy<Value = Wild> {
    let heads = prop::collection::vec((0u8..6, 0u8..12), 0..5);
    (
        0u8..5,
        heads,
        prop_oneof![9 => Just(1u8), 1 => 0u8..4],
        any::<bool>(),
        any::<bool>(),
        prop_oneof![9 => Just(false), 1 => Just(true)],
    )
        .prop_map(|(writer, heads, batch, value, optimistic, skip)| Wild {
            writer,
            heads,
            batch,
            value,
            optimistic,
            skip,
        })
}

proptest! {
    #[test]
    fn whatever_is_written_nothing_panics_and_links_come_first(
        mut log in prop::collection::vec(wild(), 0..120),
        batches: bool,
        indexers in 1usize..5,
        every in 1usize..9,
        removed: [bool; 5],
    ) {
        if !batches {
            log.iter_mut().for_each(|wild| wild.batch = 1);
        }
        let key = |n: u8| Key([n + 1; 32]);
        let begin: Vec<Head> = (0..5).map(|n| head(key(n), 0)).collect();
        let mut room = Linearizer::new(&begin[..indexers], &[]).unwrap();
        for (writer, removed) in begin.iter().zip(removed) {
            room.follow(*writer, removed).unwrap();
            room.set_removed(&writer.key, removed);
        }
        let mut next = [0u64; 5];
        let (mut stands, mut applied): (Vec<Head>, Vec<Head>) = (Vec::new(), Vec::new());
        for (step, wild) in log.iter().enumerate() {
            let writer = usize::from(wild.writer);
            let length = next[writer] + 1 + u64::from(wild.skip);
            let mut message = OplogMessage::new(OplogNode {
                heads: wild.heads.iter().map(|(who, length)| head(key(*who), (*length).into())).collect(),
                batch: wild.batch.into(),
                value: wild.value.then(|| Bytes::from_static(b"value")),
            });
            message.optimistic = wild.optimistic;
            if room.offer(head(key(wild.writer), length), &message).is_ok() {
                next[writer] = length;
            }
            if step % every != 0 {
                continue;
            }
            room.advance();
            for writer in &begin {
                room.should_ack(&writer.key, step % 2 == 0);
            }
            let Some(update) = room.update() else { continue };
            prop_assert_eq!(applied.len(), update.shared + update.undo);
            applied.truncate(update.shared);
            let all: Vec<_> = update.indexed.iter().chain(room.tip()).copied().collect();
            for id in &all[update.shared..] {
                let node = room.node(*id).unwrap();
                // What it links, and is in the order, came before; the rest of a batch follows its first node all the same.
                for link in node.heads {
                    let later = all.iter().position(|other| room.node(*other).unwrap().at == *link);
                    let own = all.iter().position(|other| other == id);
                    let future = link.key == node.at.key && link.length >= node.at.length;
                    prop_assert!(batches || future || later.is_none_or(|later| Some(later) < own), "{:?} links {:?}", node.at, link);
                }
                room.causal(*id);
                applied.push(node.at);
            }
            let count = update.indexed.len();
            for id in &update.indexed {
                if let Some(node) = room.node(*id).filter(|node| node.batch == 1) {
                    let writer = node.at.key;
                    room.shift(&writer);
                }
            }
            stands.extend(applied.drain(..count));
            let mut distinct: Vec<Head> = stands.iter().chain(&applied).copied().collect();
            let total = distinct.len();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), total, "no node twice");
        }
    }

    /// Nodes written here on top of what others wrote have the place that they have for others.
    #[test]
    fn what_is_written_here_stands_where_others_put_it(steps in prop::collection::vec((0usize..3, 1usize..4, any::<bool>()), 1..40)) {
        let keys = [A, B, C];
        let mut here = linearizer();
        let mut there = linearizer();
        for (writer, size, value) in steps {
            let added = here.append(&keys[writer], &vec![value; size], false).unwrap();
            for id in added {
                let node = here.node(id).unwrap();
                let mut message = batch(node.heads, node.batch);
                message.node.value = message.node.value.filter(|_| node.has_value);
                there.offer(node.at, &message).unwrap();
            }
        }
        there.advance();
        let (one, other) = (here.update().unwrap(), there.update().unwrap());
        let at = |room: &Linearizer, ids: &[autobase::NodeId]| -> Vec<Head> {
            ids.iter().map(|id| room.node(*id).unwrap().at).collect()
        };
        prop_assert_eq!(at(&here, &one.indexed), at(&there, &other.indexed));
        prop_assert_eq!(at(&here, here.tip()), at(&there, there.tip()));
        prop_assert_eq!(here.heads(), there.heads());
    }
}
