//! Reading and writing the rows of one core.

use hypercore::merkle::{MAX_LENGTH, Node};
use hypercore::{DiscoveryKey, Key};
use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::{Storage, StorageError};

/// Bits of a row id that hold the index; the core's number stands above them.
const INDEX_BITS: u32 = 41;

/// A core's head as stored.
#[derive(Debug, Clone)]
pub(crate) struct CoreRow {
    /// Number of the core in this store.
    pub id: i64,
    /// Its key.
    pub key: Key,
    /// The discovery key it is found by.
    pub discovery_key: DiscoveryKey,
    /// Encoded manifest, once known.
    pub manifest: Option<Vec<u8>>,
    /// Libsodium secret key (64 bytes), if the core is writable here. Wiped on drop.
    pub secret_key: Option<Zeroizing<Vec<u8>>>,
    /// Fork.
    pub fork: u64,
    /// Length in blocks.
    pub length: u64,
    /// Signature over the tree.
    pub signature: Vec<u8>,
    /// Raised by every change.
    pub revision: i64,
}

fn row_id(core: i64, index: u64) -> i64 {
    (core << INDEX_BITS) | (index & (2 * MAX_LENGTH - 1)) as i64
}

fn read_core(row: &rusqlite::Row<'_>) -> rusqlite::Result<CoreRow> {
    let key = |column: usize, name: &str| -> rusqlite::Result<[u8; 32]> {
        let bytes: Vec<u8> = row.get(column)?;
        bytes.try_into().map_err(|_| {
            rusqlite::Error::InvalidColumnType(column, name.to_owned(), rusqlite::types::Type::Blob)
        })
    };
    Ok(CoreRow {
        id: row.get(0)?,
        key: Key(key(1, "key")?),
        discovery_key: DiscoveryKey(key(8, "discovery_key")?),
        manifest: row.get(2)?,
        secret_key: row.get::<_, Option<Vec<u8>>>(3)?.map(Zeroizing::new),
        fork: row.get::<_, i64>(4)?.unsigned_abs(),
        length: row.get::<_, i64>(5)?.unsigned_abs(),
        signature: row.get(6)?,
        revision: row.get(7)?,
    })
}

const COLUMNS: &str = "id, key, manifest, secret_key, fork, length, signature, revision, discovery_key";

/// The head of the core with this discovery key.
pub(crate) fn find_core(db: &Connection, discovery_key: &DiscoveryKey) -> rusqlite::Result<Option<CoreRow>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM cores WHERE discovery_key = ?1"))?
        .query_row([&discovery_key.0[..]], read_core)
        .optional()
}

/// The keys of all cores. Rows whose key was spoilt are left out: nothing can be asked about them.
pub(crate) fn keys(db: &Connection) -> rusqlite::Result<Vec<Key>> {
    let mut keys = Vec::new();
    let mut statement = db.prepare_cached("SELECT key FROM cores ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        keys.extend(row.get::<_, [u8; 32]>(0).ok().map(Key));
    }
    Ok(keys)
}

/// The head of core `id`.
pub(crate) fn core_by_id(db: &Connection, id: i64) -> rusqlite::Result<CoreRow> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM cores WHERE id = ?1"))?
        .query_row([id], read_core)
}

/// One block. A value that is no block's is as good as none: what a disk makes of a row can be fetched again.
pub(crate) fn block(db: &Connection, core: i64, index: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    if index >= MAX_LENGTH {
        return Ok(None); // Its row id would be another block's.
    }
    db.prepare_cached("SELECT value FROM blocks WHERE id = ?1")?
        .query_row([row_id(core, index)], |row| Ok(row.get(0).ok()))
        .optional()
        .map(Option::flatten)
}

/// The blocks of a core that have a row, `most` at most.
pub(crate) fn block_indices(db: &Connection, core: i64, most: usize) -> rusqlite::Result<Vec<u64>> {
    db.prepare_cached("SELECT id FROM blocks WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?
        .query_map([row_id(core, 0), row_id(core + 1, 0), most as i64], |row| {
            let id: i64 = row.get(0)?;
            Ok((id & ((1 << INDEX_BITS) - 1)).unsigned_abs())
        })?
        .collect()
}

/// One tree node. As for blocks, one of another shape is none.
pub(crate) fn node(db: &Connection, core: i64, index: u64) -> rusqlite::Result<Option<Node>> {
    if index >= 2 * MAX_LENGTH {
        return Ok(None); // Its row id would be another node's.
    }
    db.prepare_cached("SELECT size, hash FROM nodes WHERE id = ?1")?
        .query_row([row_id(core, index)], |row| {
            let (size, hash) = (row.get::<_, i64>(0), row.get(1));
            Ok(size.ok().zip(hash.ok()).map(|(size, hash)| Node {
                index,
                size: size.unsigned_abs(),
                hash,
            }))
        })
        .optional()
        .map(Option::flatten)
}

/// The stored tree nodes with an index below `end`, in order.
pub(crate) fn nodes_below(db: &Connection, core: i64, end: u64) -> rusqlite::Result<Vec<Node>> {
    db.prepare_cached("SELECT id, size, hash FROM nodes WHERE id >= ?1 AND id < ?2 ORDER BY id")?
        .query_map([row_id(core, 0), last(core, end)], |row| {
            let id: i64 = row.get(0)?;
            Ok(Node {
                index: (id & ((1 << INDEX_BITS) - 1)).unsigned_abs(),
                size: row.get::<_, i64>(1)?.unsigned_abs(),
                hash: row.get(2)?,
            })
        })?
        .collect()
}

/// All pages of a core's bitfield.
pub(crate) fn bitfield(db: &Connection, core: i64) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    db.prepare_cached("SELECT id, bits FROM bitfields WHERE id >= ?1 AND id < ?2")?
        .query_map([row_id(core, 0), row_id(core + 1, 0)], |row| {
            let id: i64 = row.get(0)?;
            Ok(((id & ((1 << INDEX_BITS) - 1)).unsigned_abs(), row.get(1)?))
        })?
        .collect()
}

/// Free data attached to a core.
pub(crate) fn user_data(db: &Connection, core: i64, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT value FROM user_data WHERE core = ?1 AND name = ?2")?
        .query_row(params![core, name], |row| row.get(0))
        .optional()
}

/// A write transaction, begun IMMEDIATE: what it reads cannot be changed by others before it ends.
pub struct Transaction<'a> {
    storage: &'a Storage,
    inner: rusqlite::Transaction<'a>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(storage: &'a Storage, inner: rusqlite::Transaction<'a>) -> Self {
        Self { storage, inner }
    }

    pub(super) fn commit(self) -> Result<(), StorageError> {
        self.inner.commit().map_err(|source| self.storage.error(source))
    }

    /// Runs `run` on the connection inside the transaction.
    pub(crate) fn run<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        run(&self.inner).map_err(|source| self.storage.error(source))
    }

    /// Sets a value of the store itself.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")?
                .execute(params![name, value])
                .map(|_| ())
        })
    }

    pub(super) fn get_or_set(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StorageError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR IGNORE INTO settings (name, value) VALUES (?1, ?2)")?
                .execute(params![name, value])?;
            db.prepare_cached("SELECT value FROM settings WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
        })
    }

    pub(crate) fn insert_core(&self, key: &Key) -> Result<CoreRow, StorageError> {
        let discovery_key = key.discovery_key();
        self.run(|db| {
            if let Some(row) = find_core(db, &discovery_key)? {
                return Ok(row);
            }
            db.prepare_cached("INSERT INTO cores (discovery_key, key) VALUES (?1, ?2)")?
                .execute(params![&discovery_key.0[..], &key.0[..]])?;
            core_by_id(db, db.last_insert_rowid())
        })
    }

    /// Stores manifest and secret key, if given.
    pub(crate) fn set_auth(
        &self,
        core: i64,
        manifest: Option<&[u8]>,
        secret_key: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached(
                "UPDATE cores SET manifest = coalesce(?2, manifest), secret_key = coalesce(?3, secret_key),
                 revision = revision + 1 WHERE id = ?1",
            )?
            .execute(params![core, manifest, secret_key])
            .map(|_| ())
        })
    }

    /// Stores a new head; returns the new revision.
    pub(crate) fn set_head(
        &self,
        core: i64,
        fork: u64,
        length: u64,
        signature: &[u8],
    ) -> Result<i64, StorageError> {
        self.run(|db| {
            db.prepare_cached(
                "UPDATE cores SET fork = ?2, length = ?3, signature = ?4, revision = revision + 1 WHERE id = ?1
                 RETURNING revision",
            )?
            .query_row(params![core, fork as i64, length as i64, signature], |row| row.get(0))
        })
    }

    pub(crate) fn put_block(&self, core: i64, index: u64, value: &[u8]) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO blocks (id, value) VALUES (?1, ?2)")?
                .execute(params![row_id(core, index), value])
                .map(|_| ())
        })
    }

    pub(crate) fn put_node(&self, core: i64, node: &Node) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO nodes (id, size, hash) VALUES (?1, ?2, ?3)")?
                .execute(params![row_id(core, node.index), node.size as i64, node.hash])
                .map(|_| ())
        })
    }

    pub(crate) fn put_page(&self, core: i64, page: u64, bits: &[u8]) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO bitfields (id, bits) VALUES (?1, ?2)")?
                .execute(params![row_id(core, page), bits])
                .map(|_| ())
        })
    }

    /// Deletes blocks `start..end`.
    pub(crate) fn delete_blocks(&self, core: i64, start: u64, end: u64) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("DELETE FROM blocks WHERE id >= ?1 AND id < ?2")?
                .execute([row_id(core, start), last(core, end)])
                .map(|_| ())
        })
    }

    /// Deletes all nodes from index `start` on.
    pub(crate) fn delete_nodes_from(&self, core: i64, start: u64) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("DELETE FROM nodes WHERE id >= ?1 AND id < ?2")?
                .execute([row_id(core, start), row_id(core + 1, 0)])
                .map(|_| ())
        })
    }

    /// Deletes all of a core's bitfield.
    pub(crate) fn delete_pages(&self, core: i64) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("DELETE FROM bitfields WHERE id >= ?1 AND id < ?2")?
                .execute([row_id(core, 0), row_id(core + 1, 0)])
                .map(|_| ())
        })
    }

    /// Deletes one node.
    pub(crate) fn delete_node(&self, core: i64, index: u64) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("DELETE FROM nodes WHERE id = ?1")?
                .execute([row_id(core, index)])
                .map(|_| ())
        })
    }

    pub(crate) fn set_user_data(&self, core: i64, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO user_data (core, name, value) VALUES (?1, ?2, ?3)")?
                .execute(params![core, name, value])
                .map(|_| ())
        })
    }
}

/// Row id one past block `end - 1`, also when `end` lies past the last possible index.
fn last(core: i64, end: u64) -> i64 {
    if end >= 2 * MAX_LENGTH {
        row_id(core + 1, 0)
    } else {
        row_id(core, end)
    }
}
