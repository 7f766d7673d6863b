//! Answers that prove nothing: what a stranger claims of a core is not kept, and honest peers are heard afterwards.

mod exchange;

use std::path::Path;

use core_store::{Core, CoreOptions, ProofError, Storage};
use hypercore::Key;
use hypercore::manifest::Manifest;
use hypercore::proof::Data;

use exchange::{append, core_of, fetch, upgrade};

/// A reader of a core that is known by its key alone, in a store on disk.
fn reader_of(path: &Path, key: Key) -> Core {
    let options = CoreOptions {
        key: Some(key),
        ..CoreOptions::default()
    };
    Core::open(&Storage::open(path).unwrap(), options).unwrap()
}

/// What a stranger can say without any signature: that the key itself is the one signer's.
fn compat(key: Key) -> Manifest {
    Manifest::single(hypercore::PublicKey(key.0))
}

#[test]
fn a_manifest_without_a_signed_tree_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reader.db");
    let writer = core_of(&Storage::in_memory().unwrap(), 1);
    append(&writer, 9);
    for manifest in [compat(writer.key()), writer.manifest().unwrap()] {
        let reader = reader_of(&path, writer.key());
        let alone = Data {
            manifest: Some(manifest),
            ..Data::default()
        };
        assert!(matches!(reader.verify(alone), Err(ProofError::Invalid(_))));
        assert_eq!(reader.manifest(), None);
    }
    let reader = reader_of(&path, writer.key());
    upgrade(&writer, &reader);
    (0..9).for_each(|index| fetch(&writer, &reader, index));
    assert_eq!(reader.contiguous_length(), 9);
}

#[test]
fn a_manifest_whose_hash_is_not_the_key_spoils_no_upgrade() {
    let writer = core_of(&Storage::in_memory().unwrap(), 1);
    append(&writer, 9);
    let folder = tempfile::tempdir().unwrap();
    let reader = reader_of(&folder.path().join("reader.db"), writer.key());
    let mut data = writer
        .create_proof(&exchange::upgrade_request(&writer, &reader))
        .unwrap()
        .unwrap();
    data.manifest = Some(compat(writer.key()));
    assert!(matches!(reader.verify(data), Err(ProofError::Invalid(_))));
    assert_eq!((reader.manifest(), reader.length()), (None, 0));
    upgrade(&writer, &reader);
    assert_eq!(reader.manifest(), writer.manifest());
}

#[test]
fn a_store_that_was_fooled_heals_when_it_is_opened() {
    let writer = core_of(&Storage::in_memory().unwrap(), 1);
    append(&writer, 9);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reader.db");
    drop(reader_of(&path, writer.key()));
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE cores SET manifest = ?1", [compat(writer.key()).encode()])
        .unwrap();
    let reader = reader_of(&path, writer.key());
    upgrade(&writer, &reader);
    (0..9).for_each(|index| fetch(&writer, &reader, index));
    assert_eq!(reader.manifest(), writer.manifest());
}
