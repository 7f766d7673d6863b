//! A core: its shared state and the handle that callers use.
//!
//! Every handle to one core in one store shares one [`Shared`]; a lock protects the head, the bitfield and the blocks that
//! peers sent but that are not on disk yet. What peers send is written in groups: after 4 MiB, 1,024 blocks or 20 ms,
//! whichever comes first, and when the last handle goes. Local appends are written before they return.

mod apply;
mod cipher;
mod copy;
mod front;
#[cfg(test)]
mod full_disk;
mod heal;
mod prove;
mod read;
mod shared;
mod stall;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use apply::Applied;
pub(crate) use apply::to_hash;
use bytes::Bytes;
pub use heal::BlockHealth;
use hypercore::encryption::BlockCipher;
use hypercore::manifest::Manifest;
use hypercore::{DiscoveryKey, Key, KeyPair, PeerInfo, PublicKey};
pub(crate) use prove::Draft;
pub use read::Download;
pub(crate) use shared::Shared;
pub use stall::PATIENCE;
use tokio::sync::{Notify, broadcast};

use crate::storage::lock;
use crate::{CoreError, Storage};

/// The largest block that peers accept, in bytes (npm `hypercore` index.js, `MAX_SUGGESTED_BLOCK_SIZE`).
pub const MAX_BLOCK: usize = 15 * 1024 * 1024;

/// What names a core to open, and what makes it writable.
#[derive(Debug, Clone, Default)]
pub struct CoreOptions {
    /// The key. May be left out if `manifest` or `key_pair` is given.
    pub key: Option<Key>,
    /// The manifest, if it is known; its hash must be the key.
    pub manifest: Option<Manifest>,
    /// The secret that makes the core writable. Kept in the store from then on.
    pub key_pair: Option<KeyPair>,
}

/// How to read a block.
#[derive(Debug, Clone, Copy)]
pub struct GetOptions {
    /// Whether to wait for a peer if the block is not stored here.
    pub wait: bool,
    /// How long to wait at most; `None` sets no limit.
    pub timeout: Option<Duration>,
    /// How long to wait without any peer bringing anything for this core; `None`: as long as
    /// [`Storage::set_patience`] says.
    pub patience: Option<Duration>,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self {
            wait: true,
            timeout: None,
            patience: None,
        }
    }
}

/// Which blocks to fetch and keep.
#[derive(Debug, Clone, Copy, Default)]
pub struct DownloadRange {
    /// First block.
    pub start: u64,
    /// After the last block; `None` follows the core as it grows.
    pub end: Option<u64>,
}

/// Something happened to a core.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoreEvent {
    /// It grew, locally, from a peer or in another process.
    Append {
        /// The new length in blocks.
        length: u64,
    },
    /// It was cut and went to a new fork.
    Truncate {
        /// Blocks from here on are gone or replaced.
        length: u64,
        /// The new fork.
        fork: u64,
    },
    /// A block arrived from a peer.
    Download {
        /// Block index.
        index: u64,
        /// Its size.
        bytes: u64,
    },
    /// A block was sent to a peer.
    Upload {
        /// Block index.
        index: u64,
        /// Its size.
        bytes: u64,
    },
    /// A peer that has this core connected.
    PeerAdd(PublicKey),
    /// It left.
    PeerRemove(PublicKey),
    /// A peer told of its state (length, how much it holds).
    PeerUpdate(PublicKey),
}

/// A handle to a core. Cloning is cheap; all handles see the same state, those with a cipher its blocks in plain.
#[derive(Clone)]
pub struct Core {
    pub(crate) shared: Arc<Shared>,
    cipher: Option<Arc<dyn BlockCipher>>,
}

impl Core {
    /// Opens a core, adding it to the store if it is new there.
    ///
    /// # Errors
    /// If the manifest does not hash to the key, the key pair is not one of its signers, or the store fails.
    pub fn open(storage: &Storage, options: CoreOptions) -> Result<Self, CoreError> {
        let CoreOptions {
            key,
            manifest,
            key_pair,
        } = options;
        let manifest = match (manifest, &key_pair, key) {
            (Some(manifest), ..) => Some(manifest),
            (None, Some(pair), None) => Some(Manifest::single(pair.public_key)),
            (None, Some(pair), Some(key)) => {
                Some(Manifest::single(pair.public_key)).filter(|manifest| manifest.belongs_to(&key))
            }
            (None, None, _) => None,
        };
        let Some(key) = key.or_else(|| manifest.as_ref().map(Manifest::key)) else {
            return Err(CoreError::InvalidManifest {
                key: Key([0; 32]),
                reason: "neither key, manifest nor key pair was given",
            });
        };
        let shared = storage.shared(key.discovery_key(), || Shared::open(storage, key).map(Arc::new))?;
        shared.authorise(manifest, key_pair)?;
        Ok(Self::plain(shared))
    }

    /// Opens the core with this discovery key if the store has it.
    pub fn open_existing(storage: &Storage, discovery_key: &DiscoveryKey) -> Result<Option<Self>, CoreError> {
        let row = storage.read(|db| crate::storage::find_core(db, discovery_key))?;
        row.map(|row| {
            Self::open(
                storage,
                CoreOptions {
                    key: Some(row.key),
                    ..CoreOptions::default()
                },
            )
        })
        .transpose()
    }

    /// A handle that reads and writes blocks as they are stored.
    pub(crate) fn plain(shared: Arc<Shared>) -> Self {
        Self { shared, cipher: None }
    }

    /// The core's key.
    pub fn key(&self) -> Key {
        self.shared.key
    }

    /// The key it is announced and replicated under.
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.shared.discovery_key
    }

    /// The store it lives in.
    pub fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    /// The manifest, once it is known: given at open, or learned from a peer.
    pub fn manifest(&self) -> Option<Manifest> {
        lock(&self.shared.front).manifest.clone()
    }

    /// The key pair that signs, if the core is writable here.
    pub fn key_pair(&self) -> Option<KeyPair> {
        lock(&self.shared.front).key_pair.clone()
    }

    /// Whether this machine can append on its own: it holds the secret of the one signer.
    pub fn writable(&self) -> bool {
        let front = lock(&self.shared.front);
        front.key_pair.is_some()
            && front
                .manifest
                .as_ref()
                .is_some_and(|manifest| manifest.quorum == 1)
    }

    /// Length in blocks.
    pub fn length(&self) -> u64 {
        lock(&self.shared.front).head.length
    }

    /// Length in bytes: of the plain blocks, if this handle has a cipher.
    pub fn byte_length(&self) -> u64 {
        let front = lock(&self.shared.front);
        let padding = self.padding().saturating_mul(front.head.length);
        front.byte_length.saturating_sub(padding)
    }

    /// How often the core was truncated.
    pub fn fork(&self) -> u64 {
        lock(&self.shared.front).head.fork
    }

    /// How many blocks from the start are stored without a gap.
    pub fn contiguous_length(&self) -> u64 {
        lock(&self.shared.front).head.contiguous
    }

    /// Whether block `index` is stored here.
    pub fn has(&self, index: u64) -> bool {
        lock(&self.shared.front).bitfield.get(index)
    }

    /// Whether all of `start..end` is stored here.
    pub fn has_range(&self, start: u64, end: u64) -> bool {
        lock(&self.shared.front).bitfield.first_unset(start) >= end
    }

    /// How many blocks of `start..end` are stored here.
    pub fn count_stored(&self, start: u64, end: u64) -> u64 {
        lock(&self.shared.front).bitfield.count(start, end)
    }

    /// Tells of what happens to this core from now on. A receiver that lags behind 4,096 events misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<CoreEvent> {
        self.shared.events.subscribe()
    }

    /// The peers that replicate this core now.
    pub fn peers(&self) -> Vec<PeerInfo> {
        lock(&self.shared.peers).values().cloned().collect()
    }

    /// Free bytes attached to the core under a name, never replicated.
    pub fn user_data(&self, name: &str) -> Result<Option<Vec<u8>>, CoreError> {
        Ok(self
            .shared
            .storage
            .read(|db| crate::storage::user_data(db, self.shared.id, name))?)
    }

    /// Attaches free bytes to the core.
    pub fn set_user_data(&self, name: &str, value: &[u8]) -> Result<(), CoreError> {
        self.shared.storage.write(|tx| {
            tx.set_user_data(self.shared.id, name, value)
                .map_err(CoreError::from)
        })
    }

    /// Writes to disk what peers sent so far.
    pub fn flush(&self) -> Result<(), CoreError> {
        self.shared.flush()
    }

    /// Looks for what another process wrote. Happens by itself every 100 ms inside a tokio runtime.
    pub fn refresh(&self) -> Result<(), CoreError> {
        Ok(self.shared.refresh()?)
    }

    /// Registers a replication driver: `wake` is notified whenever there may be something to ask or tell.
    pub(crate) fn attach(&self, id: u64, wake: Arc<Notify>) {
        lock(&self.shared.drivers).insert(id, wake);
    }

    /// Undoes [`attach`](Self::attach).
    pub(crate) fn detach(&self, id: u64) {
        lock(&self.shared.drivers).remove(&id);
        let gone = lock(&self.shared.peers).remove(&id);
        if let Some(peer) = gone {
            self.shared.emit(CoreEvent::PeerRemove(peer.remote_public_key));
        }
        self.shared.wake();
    }

    /// Records what peer `id` told of itself.
    pub(crate) fn set_peer(&self, id: u64, info: PeerInfo) {
        let key = info.remote_public_key;
        let before = lock(&self.shared.peers).insert(id, info.clone());
        match before {
            None => self.shared.emit(CoreEvent::PeerAdd(key)),
            Some(before) if before == info => return,
            Some(_) => self.shared.emit(CoreEvent::PeerUpdate(key)),
        }
        self.shared.bump();
    }
}

impl PartialEq for Core {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("key", &self.key())
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// A block's bytes.
pub(crate) type Block = Bytes;
pub(crate) type Peers = BTreeMap<u64, PeerInfo>;
