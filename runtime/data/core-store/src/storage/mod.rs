//! Where cores live: one SQLite file (WAL) for all cores of a corestore.
//!
//! Blocks and tree nodes are rows keyed by `core << 41 | index`, so that a core's rows stand together in one B-tree and need
//! no second index. Several processes may open one file: each change of a core bumps its `revision`, and
//! `Storage::changed_elsewhere` tells cheaply whether another process wrote anything.

mod log;
mod reader;
mod rows;
mod schema;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use hypercore::{DiscoveryKey, Key};
pub(crate) use rows::CoreRow;
pub use rows::Transaction;
pub(crate) use rows::{bitfield, block, block_indices, core_by_id, find_core, node, nodes_below, user_data};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use self::log::Log;
use self::reader::Reader;
use crate::Core;
use crate::core::{PATIENCE, Shared};
use crate::counters::{Counters, Stats};
use crate::hunger::Hunger;

/// The store could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The folder or file cannot be used.
    #[error("cannot open the store {path}: {source}; check that the folder exists and is yours to write")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// A newer Bosc made it.
    #[error("the store {path} has format {found}, this version reads {expected}: install a newer version")]
    Format {
        /// The database file.
        path: PathBuf,
        /// Its format number.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// The disk is full.
    #[error("the disk that holds the store {0} is full: free some space and run again")]
    DiskFull(PathBuf),
    /// Another process holds the store for too long.
    #[error("the store {0} is in use by another writer: wait for it to end, then run again")]
    Busy(PathBuf),
    /// Anything else that SQLite reports.
    #[error("the store {path} failed: {source}")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// A stored value is not what we write.
    #[error("the store {path} is damaged: {what}")]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
}

/// A handle to one store; clones share it.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// A second connection, so that reads go on while a transaction is written. `None` in memory.
    reader: Option<Mutex<Reader>>,
    /// Dropped after both: its own connection may be the last. `None` in memory.
    log: Option<Log>,
    /// Transactions written here.
    writes: AtomicU64,
    data_version: Mutex<i64>,
    /// The open cores, so that each has one state however often it is opened.
    cores: Mutex<HashMap<DiscoveryKey, Weak<Shared>>>,
    /// Somebody looks for what other processes write, or nobody has to.
    watching: Mutex<bool>,
    finding: AtomicUsize,
    /// Whether nobody is to wait for peers.
    alone: AtomicBool,
    counters: Counters,
    hunger: Hunger,
    /// How long readers wait without any peer bringing anything, in milliseconds.
    patience: AtomicU64,
}

/// A handle that keeps no store open.
pub(crate) struct WeakStorage(Weak<Inner>);

impl WeakStorage {
    pub(crate) fn upgrade(&self) -> Option<Storage> {
        self.0.upgrade().map(|inner| Storage { inner })
    }
}

pub(crate) use base::lock;

impl Storage {
    /// Opens or creates the store in the file at `path`. Its folder must exist.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let fail = |source| StorageError::Open {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        let mut writer = Connection::open(path).map_err(fail)?;
        schema::prepare(&writer, path)?;
        let reader = Connection::open(path).map_err(fail)?;
        schema::configure(&reader, schema::READER_CACHE).map_err(fail)?;
        let log = Log::of(&mut writer, path).map_err(fail)?;
        Ok(Self::new(path.to_owned(), writer, Some((reader, log))))
    }

    /// As [`open`](Self::open), for a process that is the only one to use the store: it does not look ten times a second for what
    /// others wrote, so that an idle app sleeps.
    pub fn open_alone(path: &Path) -> Result<Self, StorageError> {
        let storage = Self::open(path)?;
        *lock(&storage.inner.watching) = true;
        Ok(storage)
    }

    /// A store that lives in memory and ends with its last handle.
    pub fn in_memory() -> Result<Self, StorageError> {
        let path = PathBuf::from(":memory:");
        let writer = Connection::open_in_memory().map_err(|source| StorageError::Open {
            path: path.clone(),
            source: Arc::new(source),
        })?;
        schema::prepare(&writer, &path)?;
        Ok(Self::new(path, writer, None))
    }

    fn new(path: PathBuf, writer: Connection, on_disk: Option<(Connection, Log)>) -> Self {
        let (reader, log) = on_disk.unzip();
        Self {
            inner: Arc::new(Inner {
                path,
                writer: Mutex::new(writer),
                reader: reader.map(Reader::new).map(Mutex::new),
                log,
                writes: AtomicU64::new(0),
                data_version: Mutex::new(0),
                cores: Mutex::default(),
                watching: Mutex::new(false),
                finding: AtomicUsize::new(0),
                alone: AtomicBool::new(false),
                counters: Counters::default(),
                hunger: Hunger::default(),
                patience: AtomicU64::new(millis(PATIENCE)),
            }),
        }
    }

    /// The database file, `:memory:` for one in memory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What was sent, received and mended since it was opened.
    pub fn stats(&self) -> Stats {
        self.counters().stats()
    }

    pub(crate) fn downgrade(&self) -> WeakStorage {
        WeakStorage(Arc::downgrade(&self.inner))
    }

    pub(crate) fn hunger_state(&self) -> &Hunger {
        &self.inner.hunger
    }

    /// Has readers that do not say otherwise wait so long without any peer bringing anything; at first that is [`PATIENCE`].
    pub fn set_patience(&self, patience: Duration) {
        self.inner.patience.store(millis(patience), Ordering::Relaxed);
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.inner.patience.load(Ordering::Relaxed))
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Whether both handles are to one store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn error(&self, source: rusqlite::Error) -> StorageError {
        let path = self.inner.path.clone();
        if matches!(
            source,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::QueryReturnedNoRows
        ) {
            return StorageError::Damaged {
                path,
                what: "a row is missing or not of the shape it was written in; restore the store from a copy",
            };
        }
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StorageError::DiskFull(path),
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                StorageError::Busy(path)
            }
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                StorageError::Damaged {
                    path,
                    what: "the database file itself is broken; keep it, and restore the store from a copy",
                }
            }
            _ => StorageError::Sqlite {
                path,
                source: Arc::new(source),
            },
        }
    }

    /// Runs `read` on the reading connection.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        self.look(false, read)
    }

    /// Runs `read` on the reading connection, all of it on one state of the file.
    pub(crate) fn snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        self.look(true, read)
    }

    fn look<T>(
        &self,
        whole: bool,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let read = match &self.inner.reader {
            Some(reader) => {
                let mut reader = lock(reader);
                let writes = self.inner.writes.load(Ordering::Acquire);
                reader.read(writes, whole, read)
            }
            None => read(&lock(&self.inner.writer)),
        };
        read.map_err(|source| self.error(source))
    }

    /// While the guard lives, reads share transactions, which makes many small ones cheap.
    pub(crate) fn reading(&self) -> Reading {
        if let Some(reader) = &self.inner.reader {
            lock(reader).share();
        }
        Reading(self.clone())
    }

    /// Runs `write` in one transaction; nothing is written if it fails.
    pub(crate) fn write<T, E: From<StorageError>>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = lock(&self.inner.writer);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| self.error(source))?;
        let transaction = Transaction::new(self, transaction);
        let out = write(&transaction)?;
        let committed = transaction.commit();
        self.inner.writes.fetch_add(1, Ordering::AcqRel);
        committed?;
        if let Some(log) = &self.inner.log {
            log.wrote(&connection);
        }
        Ok(out)
    }

    /// Whether another connection (of this or another process) changed the file since this was last asked.
    pub(crate) fn changed_elsewhere(&self) -> Result<bool, StorageError> {
        let Some(reader) = &self.inner.reader else {
            return Ok(false);
        };
        let version = lock(reader).data_version().map_err(|source| self.error(source))?;
        let before = std::mem::replace(&mut *lock(&self.inner.data_version), version);
        Ok(before != version)
    }

    /// Lets the file grow no further than by `pages`, as a full disk would; `None` lifts that.
    #[cfg(test)]
    pub(crate) fn limit(&self, pages: Option<i64>) {
        let writer = lock(&self.inner.writer);
        let now: i64 = writer
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        let most = pages.map_or(i64::from(u32::MAX) - 1, |pages| now + pages);
        writer
            .pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
            .unwrap();
    }

    /// A value of the store itself (primary key, settings).
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.read(|db| {
            db.prepare_cached("SELECT value FROM settings WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()
        })
    }

    /// Sets a value of the store itself.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.write(|tx| tx.set(name, value))
    }

    /// Sets a value unless it exists, in one step; returns what it is afterwards.
    pub fn get_or_set(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StorageError> {
        self.write(|tx| tx.get_or_set(name, value))
    }

    /// The shared state of a core: the one that is open, or a new one that `open` makes.
    pub(crate) fn shared<E: From<StorageError>>(
        &self,
        discovery_key: DiscoveryKey,
        open: impl FnOnce() -> Result<Arc<Shared>, E>,
    ) -> Result<Arc<Shared>, E> {
        let mut cores = lock(&self.inner.cores);
        if let Some(shared) = cores.get(&discovery_key).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let shared = open()?;
        cores.retain(|_, core| core.strong_count() > 0);
        cores.insert(discovery_key, Arc::downgrade(&shared));
        drop(cores);
        self.watch();
        Ok(shared)
    }

    /// The keys of all cores that are stored, in the order in which they came.
    ///
    /// # Errors
    /// If the store fails.
    pub fn keys(&self) -> Result<Vec<Key>, StorageError> {
        self.read(rows::keys)
    }

    /// The cores that some handle keeps open now.
    pub fn cores(&self) -> Vec<Core> {
        self.open_cores().into_iter().map(Core::plain).collect()
    }

    /// While the guard lives, [`Core::update`]`(true)` of every core here waits for a first peer.
    pub fn finding_peers(&self) -> FindingPeers {
        self.inner.finding.fetch_add(1, Ordering::SeqCst);
        FindingPeers(self.clone())
    }

    pub(crate) fn is_finding_peers(&self) -> bool {
        self.inner.finding.load(Ordering::SeqCst) > 0
    }

    /// From now on nobody waits for peers: there will be none. A block that is missing or damaged is an error at once.
    pub fn without_peers(&self) {
        self.inner.alone.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_without_peers(&self) -> bool {
        self.inner.alone.load(Ordering::SeqCst)
    }

    /// The shared states of the open cores.
    pub(crate) fn open_cores(&self) -> Vec<Arc<Shared>> {
        lock(&self.inner.cores)
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Starts, once and only inside a tokio runtime, the task that notices what other processes write.
    fn watch(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.inner.reader.is_none() || std::mem::replace(&mut *lock(&self.inner.watching), true) {
            return;
        }
        let weak = Arc::downgrade(&self.inner);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let Some(inner) = weak.upgrade() else { return };
                let storage = Self { inner };
                if let Err(error) = storage.refresh() {
                    tracing::debug!(%error, "could not look for changes of other processes");
                }
            }
        });
    }

    /// Takes over what other processes wrote since the last look. Runs by itself every 100 ms inside a tokio runtime.
    pub fn refresh(&self) -> Result<(), StorageError> {
        if self.changed_elsewhere()? {
            for core in self.open_cores() {
                core.refresh()?;
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// See [`Core::reading`].
#[derive(Debug)]
pub struct Reading(Storage);

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(reader) = &self.0.inner.reader {
            lock(reader).unshare();
        }
    }
}

/// See [`Storage::finding_peers`].
#[derive(Debug)]
pub struct FindingPeers(Storage);

impl Drop for FindingPeers {
    fn drop(&mut self) {
        self.0.inner.finding.fetch_sub(1, Ordering::SeqCst);
        self.0.open_cores().iter().for_each(|core| core.bump());
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}
