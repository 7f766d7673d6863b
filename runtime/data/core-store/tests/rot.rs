//! A store whose disk flips bits: nothing wrong is handed out, nothing right is held against a peer, and the core heals.

mod exchange;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use core_store::{BlockHealth, Core, CoreOptions, Storage};
use hypercore::Key;
use hypercore::manifest::Manifest;
use proptest::prelude::*;
use rusqlite::Connection;

use exchange::{block_request, core_of, fetch, upgrade};

const BLOCKS: u64 = 21;

fn value(index: u64) -> Bytes {
    vec![index as u8 + 1; 40 + index as usize * 3].into()
}

struct Home {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Self {
            _folder: folder,
            path,
        }
    }
}

/// A writer of [`BLOCKS`] blocks in memory, and a reader on disk that holds them all.
fn pair(path: &Path) -> (Core, Key) {
    let writer = core_of(&Storage::in_memory().unwrap(), 1);
    writer
        .append(&(0..BLOCKS).map(value).collect::<Vec<_>>())
        .unwrap();
    let reader = reader(path, writer.key());
    upgrade(&writer, &reader);
    (0..BLOCKS).for_each(|index| fetch(&writer, &reader, index));
    reader.flush().unwrap();
    let key = writer.key();
    (writer, key)
}

fn reader(path: &Path, key: Key) -> Core {
    let options = CoreOptions {
        key: Some(key),
        ..CoreOptions::default()
    };
    Core::open(&Storage::open(path).unwrap(), options).unwrap()
}

fn spoil(path: &Path, statement: &str) {
    let changed = Connection::open(path).unwrap().execute(statement, []).unwrap();
    assert!(changed > 0, "{statement}");
}

/// Fetches what is missing, as replication would, from an honest peer; whatever the peer proves must be taken.
fn heal(writer: &Core, reader: &Core) {
    for _ in 0..8 {
        if (reader.fork(), reader.length()) != (writer.fork(), writer.length()) {
            upgrade(writer, reader);
        }
        for index in 0..BLOCKS {
            // Reading notices a rotten block; the check, a rotten node above it as well.
            reader.check_block(index, true).unwrap();
            if reader.get_local(index).unwrap().is_none() {
                let data = writer
                    .create_proof(&block_request(reader, index))
                    .unwrap()
                    .unwrap();
                match reader.verify(data) {
                    Ok(_) | Err(core_store::ProofError::Stale) => {}
                    Err(error) => panic!("an honest answer for block {index} was refused: {error}"),
                }
            }
        }
    }
    for index in 0..BLOCKS {
        assert_eq!(
            reader.get_local(index).unwrap(),
            Some(value(index)),
            "block {index}"
        );
        assert_eq!(
            reader.check_block(index, false).unwrap(),
            BlockHealth::Sound,
            "block {index}"
        );
    }
}

#[test]
fn a_flipped_bit_of_a_block_is_never_handed_out() {
    let home = Home::new();
    let (writer, key) = pair(&home.path);
    spoil(
        &home.path,
        "UPDATE blocks SET value = zeroblob(length(value)) WHERE (id & 2199023255551) = 5",
    );
    let reader = reader(&home.path, key);
    assert_eq!(reader.check_block(5, false).unwrap(), BlockHealth::Rotten);
    assert_eq!(reader.get_local(5).unwrap(), None);
    assert!(!reader.has(5) && reader.has(4));
    assert_eq!(reader.lost().unwrap(), [5]);
    heal(&writer, &reader);
    assert!(reader.lost().unwrap().is_empty());
}

#[test]
fn a_bit_without_a_block_is_cleared() {
    let home = Home::new();
    let (writer, key) = pair(&home.path);
    spoil(&home.path, "DELETE FROM blocks WHERE (id & 2199023255551) = 9");
    let reader = reader(&home.path, key);
    assert_eq!(reader.get_local(9).unwrap(), None);
    assert!(!reader.has(9));
    heal(&writer, &reader);
}

#[test]
fn no_false_proof_is_sent_from_a_rotten_tree() {
    let home = Home::new();
    let (_writer, key) = pair(&home.path);
    // The sibling of block 4's leaf, which goes into the proof of block 4.
    spoil(
        &home.path,
        "UPDATE nodes SET hash = zeroblob(32) WHERE (id & 2199023255551) = 10",
    );
    let seed = reader(&home.path, key);
    let fresh = exchange::reader(&seed);
    // The first try may be refused while the seed mends itself; no answer is ever wrong.
    for _ in 0..3 {
        if fresh.length() == 0
            && let Some(data) = seed
                .create_proof(&exchange::upgrade_request(&seed, &fresh))
                .unwrap()
        {
            fresh.verify(data).unwrap();
        }
        if let Some(data) = seed.create_proof(&block_request(&fresh, 4)).unwrap() {
            fresh.verify(data).unwrap();
        }
    }
    assert_eq!(fresh.get_local(4).unwrap(), Some(value(4)));
    assert_eq!(seed.check_block(5, false).unwrap(), BlockHealth::Sound);
}

#[test]
fn a_writers_head_is_mended_and_never_made_up() {
    let home = Home::new();
    let key = {
        let writer = core_of(&Storage::open(&home.path).unwrap(), 1);
        writer
            .append(&(0..BLOCKS).map(value).collect::<Vec<_>>())
            .unwrap();
        writer.key()
    };
    for statement in [
        "UPDATE cores SET length = length - 4",
        "UPDATE cores SET fork = fork + 2",
        "UPDATE nodes SET hash = zeroblob(32) WHERE (id & 2199023255551) = 15",
        "UPDATE cores SET manifest = x'00'",
    ] {
        spoil(&home.path, statement);
        let writer = reader(&home.path, key);
        assert!(writer.writable(), "{statement}");
        assert_eq!(writer.length(), BLOCKS);
        let fresh = exchange::reader(&writer);
        upgrade(&writer, &fresh);
        fetch(&writer, &fresh, 3);
    }
    let db = Connection::open(&home.path).unwrap();
    let mut signature: Vec<u8> = db
        .query_row("SELECT signature FROM cores", [], |row| row.get(0))
        .unwrap();
    signature[30] ^= 8;
    db.execute("UPDATE cores SET signature = ?1", [&signature])
        .unwrap();
    assert_eq!(reader(&home.path, key).length(), BLOCKS);
    // A head is never signed anew: that could sign another history.
    spoil(
        &home.path,
        "UPDATE cores SET signature = zeroblob(length(signature))",
    );
    let storage = Storage::open(&home.path).unwrap();
    let error = Core::open(
        &storage,
        CoreOptions {
            key: Some(key),
            ..CoreOptions::default()
        },
    )
    .unwrap_err();
    assert!(error.to_string().contains("restore"), "{error}");
}

/// A writer in a store on disk, and the same core in a store that stays sound.
fn twins(path: &Path) -> (Core, Core) {
    let blocks: Vec<Bytes> = (0..BLOCKS).map(value).collect();
    let twins = [Storage::open(path).unwrap(), Storage::in_memory().unwrap()];
    let [rotten, sound] = twins.map(|storage| {
        let core = core_of(&storage, 1);
        core.append(&blocks).unwrap();
        core
    });
    (rotten, sound)
}

#[test]
fn a_spoilt_size_leads_no_seek_to_another_byte() {
    let home = Home::new();
    let (rotten, sound) = twins(&home.path);
    let all = sound.byte_length();
    for node in [3, 7, 11, 4] {
        spoil(
            &home.path,
            &format!("UPDATE nodes SET size = size + 64 WHERE (id & 2199023255551) = {node}"),
        );
        for bytes in 0..all {
            assert_eq!(
                rotten.seek_local(bytes).unwrap(),
                sound.seek_local(bytes).unwrap(),
                "byte {bytes} with node {node} spoilt"
            );
        }
    }
}

#[test]
fn no_tree_that_the_disk_made_up_is_stated_or_signed() {
    let home = Home::new();
    let (rotten, sound) = twins(&home.path);
    let spoil_root = || {
        spoil(
            &home.path,
            "UPDATE nodes SET hash = zeroblob(32) WHERE (id & 2199023255551) = 7",
        );
    };
    spoil_root();
    assert_eq!(rotten.tree_hash(8).unwrap(), sound.tree_hash(8).unwrap());
    spoil_root();
    rotten.truncate(8, None).unwrap();
    sound.truncate(8, None).unwrap();
    let fresh = exchange::reader(&sound);
    upgrade(&rotten, &fresh);
    assert_eq!(fresh.tree_hash(8).unwrap(), sound.tree_hash(8).unwrap());
    (0..8).for_each(|index| fetch(&rotten, &fresh, index));
}

#[test]
fn a_manifest_with_a_flipped_bit_is_turned_back() {
    let home = Home::new();
    let (writer, key) = pair(&home.path);
    let db = Connection::open(&home.path).unwrap();
    let stored = || -> Vec<u8> {
        db.query_row("SELECT manifest FROM cores", [], |row| row.get(0))
            .unwrap()
    };
    let sound = stored();
    for bit in 0..8 * sound.len() {
        let mut manifest = sound.clone();
        manifest[bit / 8] ^= 1 << (bit % 8);
        db.execute("UPDATE cores SET manifest = ?1", [&manifest]).unwrap();
        let reader = reader(&home.path, key);
        assert_eq!(
            (reader.length(), reader.manifest()),
            (BLOCKS, writer.manifest()),
            "bit {bit}"
        );
        assert_eq!(Manifest::decode(&stored()).ok(), writer.manifest(), "bit {bit}");
    }
}

#[test]
fn a_core_that_starts_over_says_what_it_lost() {
    let home = Home::new();
    let (writer, key) = pair(&home.path);
    spoil(&home.path, "UPDATE cores SET signature = zeroblob(64)");
    let reader = reader(&home.path, key);
    assert_eq!(reader.length(), 0);
    assert_eq!(reader.lost().unwrap(), (0..BLOCKS).collect::<Vec<_>>());
    // Who heard of its blocks before is told nothing, rather than what looks like a lie.
    let request = exchange::upgrade_request(&writer, &exchange::reader(&writer));
    assert!(reader.create_proof(&request).unwrap().is_none());
    heal(&writer, &reader);
    assert!(reader.lost().unwrap().is_empty());
}

#[test]
fn a_row_of_another_shape_is_as_good_as_none() {
    for statement in [
        "UPDATE nodes SET hash = x'00' WHERE (id & 2199023255551) = 10",
        "UPDATE nodes SET size = 'many' WHERE (id & 2199023255551) = 7",
        "UPDATE blocks SET value = 'text' WHERE (id & 2199023255551) = 5",
    ] {
        let home = Home::new();
        let (writer, key) = pair(&home.path);
        spoil(&home.path, statement);
        heal(&writer, &reader(&home.path, key));
    }
}

/// Which part of the file a flip hits.
fn tables() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("UPDATE blocks SET value = ?2 WHERE rowid = (SELECT rowid FROM blocks LIMIT 1 OFFSET ?1)"),
        Just("UPDATE nodes SET hash = ?2 WHERE rowid = (SELECT rowid FROM nodes LIMIT 1 OFFSET ?1)"),
        Just(
            "UPDATE nodes SET size = size + 1 + length(?2) * 0 WHERE rowid = (SELECT rowid FROM nodes LIMIT 1 OFFSET ?1)"
        ),
        Just("UPDATE bitfields SET bits = CAST(?2 || zeroblob(4064) AS BLOB) WHERE ?1 >= 0"),
        Just("UPDATE cores SET signature = ?2 WHERE ?1 >= 0"),
        Just("UPDATE cores SET manifest = ?2 WHERE ?1 >= 0"),
        Just("UPDATE cores SET length = length + 1 + ?1 % 5 WHERE length(?2) > 0"),
        Just("UPDATE cores SET fork = fork + 1 WHERE ?1 >= 0 AND length(?2) > 0"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(4)))]
    /// A reader with several damages at once hands out nothing wrong and is whole again after an honest peer answered.
    #[test]
    fn whatever_is_flipped_heals(damages in prop::collection::vec((tables(), 0u64..40, any::<[u8; 32]>()), 1..4)) {
        let home = Home::new();
        let (writer, key) = pair(&home.path);
        {
            let db = Connection::open(&home.path).unwrap();
            for (statement, at, bytes) in &damages {
                db.execute(statement, rusqlite::params![*at as i64, bytes]).unwrap();
            }
        }
        let reader = reader(&home.path, key);
        for index in 0..BLOCKS {
            if let Some(found) = reader.get_local(index).unwrap() {
                prop_assert_eq!(found, value(index));
            }
        }
        heal(&writer, &reader);
    }
}

#[test]
fn of_several_blocks_each_is_what_it_is_alone() {
    let home = Home::new();
    let (writer, _) = pair(&home.path);
    let reader = reader(&home.path, writer.key());
    spoil(
        &home.path,
        "UPDATE blocks SET value = zeroblob(length(value)) WHERE (id & 2199023255551) IN (5, 6)",
    );
    spoil(&home.path, "DELETE FROM blocks WHERE (id & 2199023255551) = 9");
    let asked: Vec<u64> = [3, 5, 5, 9, 20, BLOCKS, 0, 6, 3].into();
    let each = reader.get_local_each(&asked).unwrap();
    let right = |index: &u64| {
        let lost = [5, 6, 9, BLOCKS].contains(index);
        (!lost).then(|| value(*index))
    };
    assert_eq!(each, asked.iter().map(right).collect::<Vec<_>>());
    assert_eq!(reader.get_local_each(&[]).unwrap(), []);
    // They are dropped, so that peers are asked for them, and those that peers sent are handed out before they are written.
    fetch(&writer, &reader, 5);
    assert_eq!(
        reader.get_local_each(&[5, 6, 7]).unwrap(),
        [Some(value(5)), None, Some(value(7))]
    );
}
