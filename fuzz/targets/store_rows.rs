//! Rows of a store that the disk, or whoever may write the file, has changed: opening, reading, proving and healing never panic, and
//! give out only what was verified once; what a core lost by it comes back from a peer.

#![no_main]

use std::path::Path;
use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use bosc_fuzz::Damage;
use bytes::Bytes;
use core_store::{BlockHealth, Core, CoreOptions, ProofError, Storage};
use hypercore::merkle::SeekResult;
use hypercore::proof::{Request, RequestBlock, RequestSeek, RequestUpgrade};
use hypercore::{Key, KeyPair};
use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use rusqlite::types::Value;

/// Blocks of the core that is mirrored, and of the one that is written here.
const BLOCKS: u64 = 13;
/// A store in memory that lives as long as one connection to it; the target changes a copy.
const SOUND: &str = "file:sound?mode=memory&cache=shared";
const STORE: &str = "file:rows?mode=memory&cache=shared";
const TABLES: [&str; 6] = ["settings", "cores", "blocks", "nodes", "bitfields", "user_data"];
/// Table, what names a row of it, and what is changed.
const COLUMNS: [(&str, &str, &str); 17] = [
    ("blocks", "id", "value"),
    ("blocks", "id", "id"),
    ("nodes", "id", "hash"),
    ("nodes", "id", "size"),
    ("nodes", "id", "id"),
    ("bitfields", "id", "bits"),
    ("bitfields", "id", "id"),
    ("cores", "id", "length"),
    ("cores", "id", "fork"),
    ("cores", "id", "manifest"),
    ("cores", "id", "signature"),
    ("cores", "id", "revision"),
    ("cores", "id", "key"),
    ("cores", "id", "discovery_key"),
    ("cores", "id", "secret_key"),
    ("user_data", "core, name", "value"),
    ("settings", "name", "value"),
];

#[derive(Debug, Arbitrary)]
struct Change {
    column: u8,
    row: u8,
    to: To,
}

#[derive(Debug, Arbitrary)]
enum To {
    Damaged(Damage),
    Bit(u16),
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// What another row has there.
    Of(u8),
    Gone,
}

struct Sound {
    _kept: Mutex<Connection>,
    mirrored: Core,
    own: Core,
    /// Of either core, whose blocks are the same: the tree hash at each length, and where each third byte is.
    hashes: Vec<[u8; 32]>,
    sought: Vec<SeekResult>,
}

static CORES: LazyLock<Sound> = LazyLock::new(|| {
    let kept = Connection::open(SOUND).expect("memory");
    let [mirrored, own] = [1, 2].map(|seed| {
        let core = written(&Storage::in_memory().expect("memory"), seed);
        core.append(&(0..BLOCKS).map(value).collect::<Vec<_>>())
            .expect("memory");
        core
    });
    let storage = Storage::open(Path::new(SOUND)).expect("memory");
    storage.set("primary", &[7; 32]).expect("memory");
    let reader = open(&storage, mirrored.key()).expect("sound");
    give(&mirrored, &reader);
    reader.set_user_data("note", b"some bytes").expect("memory");
    reader.flush().expect("memory");
    written(&storage, 2)
        .append(&(0..BLOCKS).map(value).collect::<Vec<_>>())
        .expect("memory");
    let hashes = (0..=BLOCKS).map(|length| mirrored.tree_hash(length).expect("memory"));
    let bytes = (0..own.byte_length()).step_by(3);
    Sound {
        hashes: hashes.collect(),
        sought: bytes
            .map(|bytes| own.seek_local(bytes).expect("memory"))
            .collect(),
        _kept: Mutex::new(kept),
        mirrored,
        own,
    }
});

fn value(index: u64) -> Bytes {
    vec![index as u8 + 1; 5 + index as usize * 3].into()
}

fn written(storage: &Storage, seed: u8) -> Core {
    let options = CoreOptions {
        key_pair: Some(KeyPair::from_seed([seed; 32])),
        ..CoreOptions::default()
    };
    Core::open(storage, options).expect("a new core")
}

fn open(storage: &Storage, key: Key) -> Option<Core> {
    let options = CoreOptions {
        key: Some(key),
        ..CoreOptions::default()
    };
    Core::open(storage, options).ok()
}

/// Makes the store that is changed, as it was.
fn fresh() -> Connection {
    let db = Connection::open(STORE).expect("memory");
    drop(Storage::open(Path::new(STORE)).expect("memory"));
    db.execute("ATTACH ?1 AS sound", [SOUND]).expect("memory");
    for table in TABLES {
        let copy = format!("INSERT INTO main.{table} SELECT * FROM sound.{table}");
        db.execute(&copy, []).expect("memory");
    }
    db.execute("DETACH sound", []).expect("memory");
    db
}

fn change(db: &Connection, change: Change) {
    let (table, name, column) = COLUMNS[usize::from(change.column) % COLUMNS.len()];
    let count: u8 = db
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .expect("memory");
    let row = |row: u8| row % count.max(1);
    let at = |row: u8| format!("({name}) = (SELECT {name} FROM {table} LIMIT 1 OFFSET {row})");
    let this = at(row(change.row));
    let value = |at: &str| -> Value {
        let found = db.query_row(&format!("SELECT {column} FROM {table} WHERE {at}"), [], |row| {
            row.get(0)
        });
        found.unwrap_or(Value::Null)
    };
    let to = match change.to {
        To::Gone => {
            db.execute(&format!("DELETE FROM {table} WHERE {this}"), [])
                .expect("memory");
            return;
        }
        To::Damaged(damage) => match value(&this) {
            Value::Blob(mut bytes) => {
                damage.apply(&mut bytes);
                Value::Blob(bytes)
            }
            _ => return,
        },
        To::Bit(bit) => match value(&this) {
            Value::Blob(mut bytes) => {
                let at = usize::from(bit / 8) % bytes.len().max(1);
                bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << (bit % 8));
                Value::Blob(bytes)
            }
            Value::Integer(number) => Value::Integer(number ^ (1 << (bit % 64))),
            _ => return,
        },
        To::Integer(number) => Value::Integer(number),
        To::Text(text) => Value::Text(text),
        To::Bytes(bytes) => Value::Blob(bytes),
        To::Of(other) => value(&at(row(other))),
    };
    // What the table itself refuses stays as it was.
    let _ = db.execute(
        &format!("UPDATE OR REPLACE {table} SET {column} = ?1 WHERE {this}"),
        [to],
    );
}

fuzz_target!(|changes: Vec<Change>| {
    let sound = &*CORES;
    let db = fresh();
    changes.into_iter().take(12).for_each(|one| change(&db, one));
    let storage = Storage::open(Path::new(STORE)).expect("the tables are there");
    let _ = (storage.keys(), storage.get("primary"));
    for of in [&sound.mirrored, &sound.own] {
        let Some(core) = open(&storage, of.key()) else {
            continue;
        };
        look(&core, of, sound);
        prove(&core, of);
        heal(&core, of);
        look(&core, of, sound);
    }
    if let Some(own) = open(&storage, sound.own.key()).filter(Core::writable) {
        write(&own, &sound.own);
    }
});

/// Whatever the core gives out is what `of` holds.
fn look(core: &Core, of: &Core, sound: &Sound) {
    let length = core.length();
    assert!(
        length == 0 || (core.fork(), length) == (of.fork(), BLOCKS),
        "{length}"
    );
    assert!(length == 0 || core.byte_length() == of.byte_length());
    for index in 0..BLOCKS + 2 {
        if let Ok(Some(found)) = core.get_local(index) {
            assert_eq!(found, value(index), "block {index}");
        }
        if let Ok(hash) = core.tree_hash(index) {
            assert_eq!(
                sound.hashes.get(index as usize),
                Some(&hash),
                "tree hash at {index}"
            );
        }
    }
    for (bytes, right) in (0..).step_by(3).zip(&sound.sought) {
        match (core.seek_local(bytes), *right) {
            (Ok(found @ SeekResult::Found { .. }), right) if length > 0 => {
                assert_eq!(found, right, "byte {bytes}")
            }
            (Ok(SeekResult::Within { start, end }), SeekResult::Found { block, .. }) => {
                assert!(start <= block && block < end, "byte {bytes}");
            }
            _ => {}
        }
    }
    let _ = (core.lost(), core.user_data("note"));
}

/// Whatever the core proves convinces a reader that has nothing yet.
fn prove(core: &Core, of: &Core) {
    let reader = open(&Storage::in_memory().expect("memory"), of.key()).expect("a new core");
    let ask = |request: Request| {
        if let Ok(Some(data)) = core.create_proof(&request) {
            match reader.verify(data) {
                Ok(_) | Err(ProofError::Stale) => {}
                Err(error) => panic!("a false proof was given for {request:?}: {error}"),
            }
        }
    };
    let upgrade = |length| RequestUpgrade { start: 0, length };
    ask(Request {
        fork: core.fork(),
        upgrade: Some(upgrade(core.length())),
        manifest: true,
        ..Request::default()
    });
    for index in 0..BLOCKS {
        let block = RequestBlock {
            index,
            nodes: reader.missing_nodes(2 * index).expect("memory"),
        };
        ask(Request {
            fork: core.fork(),
            block: Some(block),
            ..Request::default()
        });
    }
    for index in 0..2 * BLOCKS {
        let hash = RequestBlock {
            index,
            nodes: reader.missing_nodes(index).expect("memory"),
        };
        let seek = RequestSeek {
            bytes: 7 * index,
            padding: 0,
        };
        ask(Request {
            fork: core.fork(),
            hash: Some(hash),
            seek: Some(seek),
            ..Request::default()
        });
    }
}

/// Everything that `of` has, as an honest peer gives it.
fn give(of: &Core, to: &Core) {
    let take = |request: Request| {
        let data = of.create_proof(&request).expect("sound").expect("it has all");
        match to.verify(data) {
            Ok(_) | Err(ProofError::Stale | ProofError::Core(_)) => {}
            Err(error) => panic!("an honest answer to {request:?} was refused: {error}"),
        }
    };
    if to.length() == 0 {
        take(Request {
            upgrade: Some(RequestUpgrade {
                start: 0,
                length: of.length(),
            }),
            manifest: to.manifest().is_none(),
            ..Request::default()
        });
    }
    for index in 0..of.length() {
        if let (Ok(None), Ok(nodes)) = (to.get_local(index), to.missing_nodes(2 * index)) {
            take(Request {
                fork: to.fork(),
                block: Some(RequestBlock { index, nodes }),
                ..Request::default()
            });
        }
    }
}

/// After a check and what a peer sends, the core is whole.
fn heal(core: &Core, of: &Core) {
    for _ in 0..6 {
        let mut sound = true;
        for index in 0..BLOCKS {
            sound &= matches!(core.check_block(index, true), Ok(BlockHealth::Sound));
        }
        if sound {
            break;
        }
        give(of, core);
    }
    for index in 0..BLOCKS {
        let health = core.check_block(index, false).expect("the store can be read");
        assert_eq!(health, BlockHealth::Sound, "block {index}");
        assert_eq!(
            core.get_local(index).ok().flatten(),
            Some(value(index)),
            "block {index}"
        );
    }
}

/// What is signed anew goes on from what was signed before.
fn write(own: &Core, of: &Core) {
    let reader = open(&Storage::in_memory().expect("memory"), of.key()).expect("a new core");
    give(of, &reader);
    let Ok(length) = own.append(&[value(BLOCKS)]) else {
        return;
    };
    assert_eq!(length, BLOCKS + 1);
    let request = Request {
        fork: own.fork(),
        upgrade: Some(RequestUpgrade {
            start: BLOCKS,
            length: 1,
        }),
        ..Request::default()
    };
    let data = own.create_proof(&request).expect("sound").expect("it has all");
    reader.verify(data).expect("it goes on from there");
}
