//! The store itself: opening, key pairs, cores.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use base::lock;
use core_store::replication::Replication;
use core_store::replication::uplink;
use core_store::storage::FindingPeers;
use core_store::{Core, CoreOptions, Storage};
use hypercore::manifest::Manifest;
use hypercore::{Key, KeyPair};
use secret_stream::Connection;
use zeroize::Zeroizing;

use crate::error::CorestoreError;

/// The database inside the store's folder.
const DATABASE: &str = "corestore.db";
/// The file whose lock the one writer holds.
const LOCK: &str = "writer.lock";
/// Setting that holds the primary key.
const PRIMARY_KEY: &str = "primary-key";
/// The namespace of names (npm `corestore`: 32 zero bytes unless the store is a namespaced session).
const DEFAULT_NAMESPACE: [u8; 32] = [0; 32];

/// Many cores in one folder. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Corestore {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Storage,
    primary_key: Zeroizing<[u8; 32]>,
    /// `None` in memory.
    folder: Option<PathBuf>,
    replications: Mutex<Vec<Replication>>,
    uplink: Mutex<Option<uplink::SharedUplink>>,
}

/// Which core to get: by `key`, by `name`, by `manifest` or by `key_pair`, in that order.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// The core's key.
    pub key: Option<Key>,
    /// A name of this store's own; the key pair is derived from it.
    pub name: Option<String>,
    /// The manifest, if it is known; the key follows from it.
    pub manifest: Option<Manifest>,
    /// The key pair that makes the core writable; it is kept in the store from then on.
    pub key_pair: Option<KeyPair>,
}

/// The right to write to a store from this process, until dropped.
#[derive(Debug)]
pub struct WriterLock {
    /// Closing the file frees the lock.
    _file: Option<File>,
}

impl Corestore {
    /// Opens or makes the store in a folder.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, CorestoreError> {
        let folder = made(folder.as_ref())?;
        Self::with_storage(Storage::open(&folder.join(DATABASE))?, Some(folder.to_path_buf()))
    }

    /// As [`open`](Self::open), for a process that is the only one to use the store: what others write is not looked for, so
    /// that an idle app sleeps.
    pub fn open_alone(folder: impl AsRef<Path>) -> Result<Self, CorestoreError> {
        let folder = made(folder.as_ref())?;
        Self::with_storage(
            Storage::open_alone(&folder.join(DATABASE))?,
            Some(folder.to_path_buf()),
        )
    }

    /// A store that lives in memory and ends with its last clone.
    pub fn in_memory() -> Result<Self, CorestoreError> {
        Self::with_storage(Storage::in_memory()?, None)
    }

    fn with_storage(storage: Storage, folder: Option<PathBuf>) -> Result<Self, CorestoreError> {
        let fresh = KeyPair::generate().seed();
        let stored = Zeroizing::new(storage.get_or_set(PRIMARY_KEY, &fresh[..])?);
        let primary_key = <[u8; 32]>::try_from(&stored[..])
            .map_err(|_| CorestoreError::PrimaryKey(storage.path().to_path_buf()))?;
        let inner = Inner {
            storage,
            primary_key: Zeroizing::new(primary_key),
            folder,
            replications: Mutex::default(),
            uplink: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The database below.
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    /// The keys of all cores in this store, in the order in which they came.
    ///
    /// # Errors
    /// If the store fails.
    pub fn keys(&self) -> Result<Vec<Key>, CorestoreError> {
        Ok(self.inner.storage.keys()?)
    }

    /// The key pair that this store has for a name, always the same (npm `corestore`, `createKeyPair`).
    pub fn create_key_pair(&self, name: &str) -> Result<KeyPair, CorestoreError> {
        let space = base::hash::namespace("corestore", 0);
        let parts: [&[u8]; 3] = [&space, &DEFAULT_NAMESPACE, name.as_bytes()];
        Ok(KeyPair::from_seed(base::hash::blake2b_keyed(
            &self.inner.primary_key[..],
            &parts,
        )))
    }

    /// The key pair of a core that was made in this store; `None` when it was made elsewhere.
    pub fn key_pair_of(&self, key: &Key) -> Result<Option<KeyPair>, CorestoreError> {
        let core = Core::open_existing(&self.inner.storage, &key.discovery_key())?;
        Ok(core.and_then(|core| core.key_pair()))
    }

    /// Opens a core, adding it to the store if it is new here. A core that was made in this store is writable again
    /// when it is opened by its key.
    pub fn get(&self, options: GetOptions) -> Result<Core, CorestoreError> {
        let GetOptions {
            key,
            name,
            manifest,
            key_pair,
        } = options;
        let key_pair = match (key_pair, &name, key) {
            (None, Some(name), None) => Some(self.create_key_pair(name)?),
            (key_pair, ..) => key_pair,
        };
        let core = Core::open(
            &self.inner.storage,
            CoreOptions {
                key,
                manifest,
                key_pair,
            },
        )?;
        for replication in self.replications().iter() {
            replication.attach(&core);
        }
        Ok(core)
    }

    /// Replicates every open core over a connection, those opened later too, and those in the store that the peer asks for.
    /// Needs a tokio runtime; goes on until the connection closes.
    pub fn replicate(&self, connection: Connection) -> Replication {
        let storage = self.inner.storage.clone();
        let lookup = move |key| match Core::open_existing(&storage, &key) {
            Ok(core) => core,
            Err(error) => {
                tracing::error!(%error, "could not open a core that a peer asks for");
                None
            }
        };
        let uplink = lock(&self.inner.uplink).clone();
        let replication =
            core_store::replication::replicate_within(connection, Vec::new(), Arc::new(lookup), uplink);
        // Listed first, so that a core opened meanwhile is attached by one of the two; twice does no harm.
        self.replications().push(replication.clone());
        for core in self.inner.storage.cores() {
            replication.attach(&core);
        }
        replication
    }

    /// Has all connections of this store together hand out blocks at that many bytes a second at most; those that replicate already
    /// go on without. Returns what pauses it.
    pub fn limit_uplink(&self, rate: u64) -> uplink::SharedUplink {
        let shared = uplink::SharedUplink::new(rate);
        *lock(&self.inner.uplink) = Some(shared.clone());
        shared
    }

    /// The live replications.
    fn replications(&self) -> MutexGuard<'_, Vec<Replication>> {
        let mut live = lock(&self.inner.replications);
        live.retain(|replication| !replication.is_closed());
        live
    }

    /// While the guard lives, `update(true)` of this store's cores waits for a first peer.
    pub fn finding_peers(&self) -> FindingPeers {
        self.inner.storage.finding_peers()
    }

    /// Ends all replication and writes what peers sent.
    ///
    /// # Errors
    /// If the last blocks could not be written.
    pub fn close(&self) -> Result<(), CorestoreError> {
        self.replications()
            .drain(..)
            .for_each(|replication| replication.close());
        for core in self.inner.storage.cores() {
            core.flush()?;
        }
        Ok(())
    }

    /// Becomes the one writer of this store, or says that another process is.
    ///
    /// # Errors
    /// [`CorestoreError::Locked`] while another process writes.
    pub fn lock_writer(&self) -> Result<WriterLock, CorestoreError> {
        let Some(folder) = &self.inner.folder else {
            return Ok(WriterLock { _file: None });
        };
        let path = folder.join(LOCK);
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = open.map_err(|source| CorestoreError::Io {
            path: path.clone(),
            source,
        })?;
        match file.try_lock() {
            Ok(()) => Ok(WriterLock { _file: Some(file) }),
            Err(std::fs::TryLockError::WouldBlock) => Err(CorestoreError::Locked(folder.clone())),
            Err(std::fs::TryLockError::Error(source)) => Err(CorestoreError::Io { path, source }),
        }
    }
}

/// A folder that is there.
fn made(folder: &Path) -> Result<&Path, CorestoreError> {
    std::fs::create_dir_all(folder).map_err(|source| CorestoreError::Io {
        path: folder.to_path_buf(),
        source,
    })?;
    Ok(folder)
}

impl std::fmt::Debug for Corestore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Corestore")
            .field("folder", &self.inner.folder)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_made_here_is_writable_by_its_key_later() {
        let folder = tempfile::tempdir().unwrap();
        let key = {
            let store = Corestore::open(folder.path()).unwrap();
            let key_pair = Some(store.create_key_pair("mine").unwrap());
            let core = store
                .get(GetOptions {
                    key_pair,
                    ..GetOptions::default()
                })
                .unwrap();
            core.append(&[b"block"[..].into()]).unwrap();
            let named = store
                .get(GetOptions {
                    name: Some("mine".into()),
                    ..GetOptions::default()
                })
                .unwrap();
            assert_eq!(named.key(), core.key());
            core.key()
        };
        let store = Corestore::open(folder.path()).unwrap();
        let core = store
            .get(GetOptions {
                key: Some(key),
                ..GetOptions::default()
            })
            .unwrap();
        assert!(core.writable() && core.length() == 1);
        let pair = store.key_pair_of(&key).unwrap().unwrap();
        assert_eq!(pair.public_key, store.create_key_pair("mine").unwrap().public_key);
        assert!(store.key_pair_of(&Key([7; 32])).unwrap().is_none());
        let stranger = store
            .get(GetOptions {
                key: Some(Key([7; 32])),
                ..GetOptions::default()
            })
            .unwrap();
        assert!(!stranger.writable());
    }

    #[test]
    fn one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (
            Corestore::open(folder.path()).unwrap(),
            Corestore::open(folder.path()).unwrap(),
        );
        let lock = one.lock_writer().unwrap();
        assert!(
            two.lock_writer()
                .unwrap_err()
                .to_string()
                .contains("in use by another writer")
        );
        drop(lock);
        two.lock_writer().unwrap();
    }
}
