//! Two cores that exchange requests and proofs by hand: they converge, and no altered proof is taken.

mod exchange;

use bytes::Bytes;
use core_store::{Core, CoreEvent, CoreOptions, ProofError, Storage};
use hypercore::KeyPair;
use hypercore::merkle::SeekResult;
use hypercore::proof::{Data, Request, RequestBlock, RequestSeek, RequestUpgrade};
use proptest::prelude::*;

use exchange::{append, block, block_request, core_of, fetch, reader, upgrade};

fn writer() -> Core {
    core_of(&Storage::in_memory().unwrap(), 1)
}

/// Asks for the node that spans `start..end`, which the asker has.
fn hash_request(to: &Core, start: u64, end: u64) -> Request {
    let index = start + end - 1;
    assert_eq!(to.missing_nodes(index).unwrap(), 0);
    Request {
        fork: to.fork(),
        hash: Some(RequestBlock { index, nodes: 0 }),
        ..Default::default()
    }
}

#[test]
fn a_reader_learns_the_manifest_the_tree_and_the_blocks() {
    let (a, b) = {
        let a = writer();
        append(&a, 300);
        let b = reader(&a);
        (a, b)
    };
    assert!(a.writable() && !b.writable());
    upgrade(&a, &b);
    assert_eq!(b.manifest(), a.manifest());
    assert_eq!(b.length(), 300);
    assert_eq!(b.byte_length(), a.byte_length());
    assert_eq!(b.tree_hash(300).unwrap(), a.tree_hash(300).unwrap());
    for index in [0, 299, 150, 151, 149, 7] {
        assert_eq!(b.get_local(index).unwrap(), None);
        fetch(&a, &b, index);
        assert_eq!(b.get_local(index).unwrap(), Some(block(index)));
    }
    assert_eq!(b.contiguous_length(), 1);
    append(&a, 1);
    upgrade(&a, &b);
    assert_eq!(b.length(), 301);
}

#[test]
fn block_and_upgrade_in_one_request() {
    let a = writer();
    append(&a, 20);
    for (have, want) in [
        (0u64, 0u64),
        (0, 13),
        (0, 19),
        (7, 3),
        (7, 7),
        (7, 18),
        (16, 17),
        (19, 19),
    ] {
        let b = reader(&a);
        let cut = writer();
        if have > 0 {
            append(&cut, have);
            upgrade(&cut, &b);
        }
        let nodes = b.missing_nodes(2 * want).unwrap();
        let request = Request {
            block: Some(RequestBlock { index: want, nodes }),
            upgrade: Some(RequestUpgrade {
                start: have,
                length: 20 - have,
            }),
            manifest: true,
            ..Default::default()
        };
        let data = a.create_proof(&request).unwrap().unwrap();
        let applied = b.verify(data).unwrap();
        assert!(applied.upgraded, "{have} {want}");
        assert_eq!(b.get_local(want).unwrap(), Some(block(want)));
        // What came with it proves further blocks.
        (0..20).for_each(|index| fetch(&a, &b, index));
        assert_eq!(b.contiguous_length(), 20);
    }
}

#[test]
fn a_partial_upgrade_brings_the_additional_nodes() {
    let a = writer();
    append(&a, 21);
    let b = reader(&a);
    let request = Request {
        upgrade: Some(RequestUpgrade { start: 0, length: 6 }),
        manifest: true,
        ..Default::default()
    };
    b.verify(a.create_proof(&request).unwrap().unwrap()).unwrap();
    assert_eq!(b.length(), 21, "the signature covers the whole tree");
    (0..21).for_each(|index| fetch(&a, &b, index));
}

#[test]
fn a_fork_replaces_what_differs() {
    let a = writer();
    append(&a, 24);
    let b = reader(&a);
    upgrade(&a, &b);
    (0..24).for_each(|index| fetch(&a, &b, index));
    let mut events = b.events();
    a.truncate(17, None).unwrap();
    a.append(&[Bytes::from_static(b"another"), Bytes::from_static(b"history")])
        .unwrap();
    upgrade(&a, &b);
    assert_eq!((b.fork(), b.length()), (1, 19));
    assert!(matches!(
        events.try_recv().unwrap(),
        CoreEvent::Truncate { length: 16, fork: 1 }
    ));
    assert_eq!(b.tree_hash(19).unwrap(), a.tree_hash(19).unwrap());
    assert!(b.has(15) && !b.has(18));
    (16..19).for_each(|index| fetch(&a, &b, index));
    assert_eq!(b.get_local(18).unwrap().unwrap(), "history");
    // An old-fork answer no longer fits.
    let stale = Data {
        fork: 0,
        ..Data::default()
    };
    assert!(matches!(b.verify(stale), Err(ProofError::Stale)));
}

#[tokio::test]
async fn seeks_find_the_block_of_a_byte() {
    let a = writer();
    append(&a, 50);
    let b = reader(&a);
    upgrade(&a, &b);
    let mut offset = 0;
    for index in 0..50 {
        let size = block(index).len() as u64;
        if size == 0 || offset + size == 1 {
            offset += size;
            continue;
        }
        // Block 0 is empty here, and byte 0 is its start as much as block 1's.
        if offset > 0 {
            assert_eq!(a.seek(offset).await.unwrap(), (index, 0));
        }
        let (target, found) = (
            offset + size - 1,
            SeekResult::Found {
                block: index,
                offset: size - 1,
            },
        );
        assert_eq!(a.seek(target).await.unwrap(), (index, size - 1));
        if b.seek_local(target).unwrap() != found {
            let SeekResult::Within { start, end } = b.seek_local(target).unwrap() else {
                panic!("beyond")
            };
            let request = Request {
                seek: Some(RequestSeek {
                    bytes: target,
                    padding: 0,
                }),
                ..hash_request(&b, start, end)
            };
            b.verify(a.create_proof(&request).unwrap().unwrap()).unwrap();
            fetch(&a, &b, index);
            assert_eq!(b.seek_local(target).unwrap(), found);
        }
        offset += size;
    }
    assert!(a.seek(offset + 1).await.is_err());
}

#[test]
fn reopening_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let key = {
        let storage = Storage::open(&path).unwrap();
        let core = Core::open(
            &storage,
            CoreOptions {
                key_pair: Some(KeyPair::from_seed([3; 32])),
                ..Default::default()
            },
        )
        .unwrap();
        append(&core, 100);
        core.truncate(60, None).unwrap();
        append(&core, 5);
        core.clear(10, 20).unwrap();
        core.set_user_data("note", b"hi").unwrap();
        core.key()
    };
    let storage = Storage::open(&path).unwrap();
    let core = Core::open(
        &storage,
        CoreOptions {
            key: Some(key),
            ..Default::default()
        },
    )
    .unwrap();
    assert!(core.writable());
    assert_eq!(
        (core.length(), core.fork(), core.contiguous_length()),
        (65, 1, 10)
    );
    assert_eq!(core.get_local(15).unwrap(), None);
    assert_eq!(core.get_local(64).unwrap(), Some(block(64)));
    assert_eq!(core.user_data("note").unwrap().as_deref(), Some(&b"hi"[..]));
    let other = reader(&core);
    upgrade(&core, &other);
    (20..65).for_each(|index| fetch(&core, &other, index));
}

#[test]
fn two_openers_of_one_file_see_each_other_and_cannot_clobber() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let open = || {
        let storage = Storage::open(&path).unwrap();
        Core::open(
            &storage,
            CoreOptions {
                key_pair: Some(KeyPair::from_seed([3; 32])),
                ..Default::default()
            },
        )
        .unwrap()
    };
    let (one, two) = (open(), open());
    append(&one, 3);
    assert_eq!(two.length(), 0);
    assert!(two.append(&[Bytes::from_static(b"clash")]).is_err());
    assert_eq!(two.length(), 3, "the failed append learned of the other's");
    append(&two, 2);
    one.refresh().unwrap();
    assert_eq!(one.length(), 5);
    assert_eq!(one.get_local(4).unwrap(), Some(block(4)));
    assert_eq!(one.tree_hash(5).unwrap(), two.tree_hash(5).unwrap());
}

/// Every way in which one value of a proof can be off by a bit.
fn mutations(data: &Data) -> Vec<Data> {
    let mut out = Vec::new();
    let mut push = |change: &dyn Fn(&mut Data)| {
        let mut copy = data.clone();
        change(&mut copy);
        out.push(copy);
    };
    push(&|d| {
        if let Some(block) = &mut d.block {
            let mut value = block.value.to_vec();
            value.push(1);
            block.value = value.into();
        }
    });
    push(&|d| {
        if let Some(block) = &mut d.block {
            block.index += 1
        }
    });
    type NodesOf = fn(&mut Data) -> Option<&mut Vec<hypercore::merkle::Node>>;
    let lists: [NodesOf; 3] = [
        |d| d.block.as_mut().map(|block| &mut block.nodes),
        |d| d.upgrade.as_mut().map(|upgrade| &mut upgrade.nodes),
        |d| d.upgrade.as_mut().map(|upgrade| &mut upgrade.additional_nodes),
    ];
    for list in lists {
        let length = list(&mut data.clone()).map_or(0, |nodes| nodes.len());
        for i in 0..length {
            push(&|d| {
                if let Some(nodes) = list(d) {
                    nodes[i].hash[3] ^= 1
                }
            });
            push(&|d| {
                if let Some(nodes) = list(d) {
                    nodes[i].size += 1
                }
            });
            push(&|d| {
                if let Some(nodes) = list(d) {
                    nodes[i].index += 2
                }
            });
            push(&|d| {
                if let Some(nodes) = list(d) {
                    nodes[i].index = u64::MAX >> 1
                }
            });
            push(&|d| {
                if let Some(nodes) = list(d) {
                    nodes.remove(i);
                }
            });
        }
        push(&|d| {
            if let Some(nodes) = list(d) {
                nodes.push(hypercore::merkle::Node {
                    index: 1,
                    size: 1,
                    hash: [0; 32],
                });
            }
        });
    }
    push(&|d| {
        if let Some(upgrade) = &mut d.upgrade {
            upgrade.signature[10] ^= 4
        }
    });
    push(&|d| {
        if let Some(upgrade) = &mut d.upgrade {
            upgrade.length += 1
        }
    });
    push(&|d| {
        if let Some(upgrade) = &mut d.upgrade {
            upgrade.start += 1
        }
    });
    push(&|d| {
        if d.upgrade.is_some() {
            d.fork += 1
        }
    });
    out.retain(|mutated| mutated != data);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(5)))]

    #[test]
    fn altered_proofs_are_refused(length in 1u64..40, have in 0u64..40, want in 0u64..40) {
        let a = writer();
        append(&a, length);
        let (have, want) = (have % length, want % length);
        let b = reader(&a);
        if have > 0 {
            let cut = writer();
            append(&cut, have);
            upgrade(&cut, &b);
        }
        let request = Request {
            block: Some(RequestBlock { index: want, nodes: b.missing_nodes(2 * want).unwrap() }),
            upgrade: Some(RequestUpgrade { start: have, length: length - have }),
            manifest: have == 0,
            ..Default::default()
        };
        let data = a.create_proof(&request).unwrap().unwrap();
        for mutated in mutations(&data) {
            prop_assert!(b.verify(mutated.clone()).is_err(), "taken: {mutated:?}");
            prop_assert_eq!(b.length(), have);
            prop_assert!(!b.has(want));
        }
        b.verify(data).unwrap();
        let other = (want + length / 2) % length;
        if other != want {
            let data = a.create_proof(&block_request(&b, other)).unwrap().unwrap();
            for mutated in mutations(&data) {
                prop_assert!(b.verify(mutated).is_err());
                prop_assert!(!b.has(other));
            }
            b.verify(data).unwrap();
        }
    }

    #[test]
    fn random_histories_converge(ops in proptest::collection::vec((0u8..4, 1u64..12), 1..30)) {
        let a = writer();
        let b = reader(&a);
        for (op, n) in ops {
            match op {
                0 | 1 => append(&a, n),
                2 if a.length() > n => a.truncate(a.length() - n, None).unwrap(),
                _ => upgrade(&a, &b),
            }
        }
        append(&a, 1);
        upgrade(&a, &b);
        (0..a.length()).filter(|index| !b.has(*index)).for_each(|index| fetch(&a, &b, index));
        for index in 0..a.length() {
            prop_assert_eq!(a.get_local(index).unwrap(), b.get_local(index).unwrap());
        }
        b.flush().unwrap();
        prop_assert_eq!(a.tree_hash(a.length()).unwrap(), b.tree_hash(b.length()).unwrap());
    }
}
