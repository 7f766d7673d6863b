//! The state that all handles of a core share, and how it reaches the disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hypercore::bitfield::Bitfield;
use hypercore::manifest::Manifest;
use hypercore::merkle::{Batch, Node, NodeSource, full_roots};
use hypercore::wants::Wants;
use hypercore::{DiscoveryKey, Key, KeyPair};
use tokio::sync::{Notify, broadcast, oneshot, watch};

use super::front::{Front, Guarded};
use super::heal::Head;
use super::{Block, CoreEvent, Peers};
use crate::storage::{self, lock};
use crate::{CoreError, Storage, StorageError};

/// What peers sent but is not written yet is written once it is this large.
const FLUSH_BYTES: usize = 4 * 1024 * 1024;
const FLUSH_BLOCKS: usize = 1024;
const FLUSH_AFTER: Duration = Duration::from_millis(20);
/// How often a head is read again after it was mended or while others write it.
const LOADS: u32 = 8;
/// How long a store that failed is left alone before peers' blocks are offered to it again.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) storage: Storage,
    pub(crate) id: i64,
    pub(crate) key: Key,
    pub(crate) discovery_key: DiscoveryKey,
    pub(super) state: Guarded,
    pub(crate) front: Mutex<Front>,
    /// Blocks that peers sent and that are not written yet. Changed only by who holds the state; the lock is held for moments.
    pub(crate) unwritten: Mutex<HashMap<u64, Block>>,
    pub(crate) wants: Mutex<Wants>,
    /// Readers that wait for a block.
    pub(crate) waiting: Mutex<HashMap<u64, Vec<oneshot::Sender<Block>>>>,
    pub(crate) peers: Mutex<Peers>,
    pub(crate) drivers: Mutex<BTreeMap<u64, Arc<Notify>>>,
    pub(crate) events: broadcast::Sender<CoreEvent>,
    /// Counts changes, for those who wait for any.
    pub(crate) version: watch::Sender<u64>,
    /// Blocks and upgrades that peers brought so far.
    pub(crate) progress: AtomicU64,
    /// Why what peers sent could not be written, until it can.
    failure: Mutex<Option<Failure>>,
}

struct Failure {
    error: StorageError,
    since: Instant,
}

pub(crate) struct State {
    /// Fork, length and roots.
    pub(crate) tree: Batch,
    pub(crate) signature: Vec<u8>,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) key_pair: Option<KeyPair>,
    pub(crate) bitfield: Bitfield,
    /// Known lower bound of the contiguous length.
    contiguous: u64,
    pub(crate) pending: Pending,
    pub(crate) revision: i64,
}

/// Verified but not written yet.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) nodes: HashMap<u64, Node>,
    /// How many blocks, which lie in [`Shared::unwritten`], and their bytes.
    pub(crate) blocks: usize,
    pub(crate) bytes: usize,
    pub(crate) head: bool,
    /// A flush was scheduled.
    pub(crate) scheduled: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.blocks == 0 && !self.head
    }
}

impl State {
    pub(crate) fn contiguous(&mut self) -> u64 {
        self.contiguous = self.bitfield.first_unset(self.contiguous);
        self.contiguous
    }

    pub(crate) fn clear_bits(&mut self, start: u64, end: u64) {
        self.bitfield.set_range(start, end, false);
        self.contiguous = self.contiguous.min(start);
    }
}

/// The stored nodes of a core, with those that are not written yet.
pub(crate) struct Nodes<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) state: &'a State,
}

impl NodeSource for Nodes<'_> {
    type Error = StorageError;

    fn node(&self, index: u64) -> Result<Option<Node>, StorageError> {
        if let Some(node) = self.state.pending.nodes.get(&index) {
            return Ok(Some(*node));
        }
        if let Some(root) = self.state.tree.roots.iter().find(|root| root.index == index) {
            return Ok(Some(*root));
        }
        self.shared
            .storage
            .read(|db| storage::node(db, self.shared.id, index))
    }
}

impl Shared {
    pub(crate) fn open(storage: &Storage, key: Key) -> Result<Self, CoreError> {
        let discovery_key = key.discovery_key();
        let found = storage.read(|db| storage::find_core(db, &discovery_key))?;
        let row = match found {
            Some(row) => row,
            None => storage.write(|tx| tx.insert_core(&key).map_err(CoreError::from))?,
        };
        let mut state = load(storage, row.id, LOADS)?;
        let mut front = Front::default();
        front.renew(&key, &mut state);
        Ok(Self {
            storage: storage.clone(),
            id: row.id,
            key,
            discovery_key,
            state: Guarded::new(state),
            front: Mutex::new(front),
            unwritten: Mutex::default(),
            wants: Mutex::default(),
            waiting: Mutex::default(),
            peers: Mutex::default(),
            drivers: Mutex::default(),
            events: broadcast::Sender::new(4096),
            version: watch::Sender::new(0),
            progress: AtomicU64::new(0),
            failure: Mutex::default(),
        })
    }

    /// Takes over a manifest and a key pair, after checking them, and stores them.
    pub(crate) fn authorise(
        &self,
        manifest: Option<Manifest>,
        key_pair: Option<KeyPair>,
    ) -> Result<(), CoreError> {
        let mut state = self.state();
        let manifest = manifest.filter(|_| state.manifest.is_none());
        let key_pair = key_pair.filter(|_| state.key_pair.is_none());
        let invalid = |reason| {
            Err(CoreError::InvalidManifest {
                key: self.key,
                reason,
            })
        };
        if let Some(manifest) = &manifest
            && !manifest.belongs_to(&self.key)
        {
            return invalid("the manifest does not belong to this key");
        }
        if let (Some(pair), Some(manifest)) = (&key_pair, manifest.as_ref().or(state.manifest.as_ref()))
            && !manifest
                .signers
                .iter()
                .any(|signer| signer.public_key == pair.public_key)
        {
            return invalid("the key pair is not one of the manifest's signers");
        }
        if manifest.is_none() && key_pair.is_none() {
            return Ok(());
        }
        let encoded = manifest.as_ref().map(Manifest::encode);
        let secret = key_pair.as_ref().map(KeyPair::secret_key);
        self.storage.write(|tx| {
            tx.set_auth(
                self.id,
                encoded.as_deref(),
                secret.as_ref().map(|secret| &secret[..]),
            )
            .map_err(CoreError::from)
        })?;
        state.revision += 1;
        state.manifest = manifest.or(state.manifest.take());
        state.key_pair = key_pair.or(state.key_pair.take());
        drop(state);
        self.wake();
        Ok(())
    }

    /// A log line of this core's, and all that is said within.
    pub(super) fn span(&self) -> tracing::Span {
        tracing::error_span!("core", key = %self.key.short())
    }

    pub(crate) fn emit(&self, event: CoreEvent) {
        match &event {
            CoreEvent::Upload { bytes, .. } => self.storage.counters().sent(*bytes),
            CoreEvent::Download { bytes, .. } => self.storage.counters().received(*bytes),
            _ => {}
        }
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    /// Wakes those who wait for any change.
    pub(crate) fn bump(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Wakes the replication drivers and those who wait for any change.
    pub(crate) fn wake(&self) {
        for driver in lock(&self.drivers).values() {
            driver.notify_one();
        }
        self.bump();
        self.storage.hunger_state().look();
    }

    /// Hands block `index` to its readers. Without a value they read it themselves.
    pub(crate) fn block_arrived(&self, index: u64, value: Option<&Block>) {
        let waiting = lock(&self.waiting).remove(&index).unwrap_or_default();
        let Some(value) = value else { return };
        for waiter in waiting {
            // A reader that gave up is fine.
            let _ = waiter.send(value.clone());
        }
    }

    /// Writes what is pending if there is enough of it, else makes sure that it is written soon.
    pub(crate) fn flush_soon(self: &Arc<Self>, state: &mut State) -> Result<(), CoreError> {
        let full = state.pending.bytes >= FLUSH_BYTES || state.pending.blocks >= FLUSH_BLOCKS;
        if full {
            return self.flush_state(state);
        }
        if state.pending.scheduled {
            return Ok(());
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.flush_state(state);
        };
        state.pending.scheduled = true;
        let weak = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep(FLUSH_AFTER).await;
            let Some(shared) = weak.upgrade() else { return };
            // A failure is kept, and told to whoever waits for the blocks.
            let _ = tokio::task::spawn_blocking(move || shared.flush()).await;
        });
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<(), CoreError> {
        self.flush_state(&mut self.state())
    }

    /// Fails while what peers sent before could not be written: nothing more is taken then, so that it does not pile up in
    /// memory. Tries again once a second.
    pub(crate) fn accepts(&self, state: &mut State) -> Result<(), CoreError> {
        let failing = lock(&self.failure)
            .as_ref()
            .map(|failure| (failure.error.clone(), failure.since.elapsed() < RETRY));
        match failing {
            None => Ok(()),
            Some((error, true)) => Err(error.into()),
            Some((_, false)) => self.flush_state(state),
        }
    }

    /// Why the store cannot be written, if it could not when that was last tried.
    pub(crate) fn failure(&self) -> Option<StorageError> {
        lock(&self.failure).as_ref().map(|failure| failure.error.clone())
    }

    /// The store failed: whoever waits for a block or for progress hears of it now.
    fn fail(&self, error: &StorageError) {
        let first = lock(&self.failure)
            .replace(Failure {
                error: error.clone(),
                since: Instant::now(),
            })
            .is_none();
        if first {
            self.storage.counters().failed();
            self.span()
                .in_scope(|| tracing::error!(%error, "what peers sent cannot be stored"));
        }
        lock(&self.waiting).clear();
        self.wake();
    }

    /// The store works again.
    fn recover(&self) {
        if lock(&self.failure).take().is_some() {
            self.span()
                .in_scope(|| tracing::info!("what peers send can be stored again"));
            self.wake();
        }
    }

    /// A block that a peer sent and that is not written yet.
    pub(super) fn waiting_block(&self, index: u64) -> Option<Block> {
        lock(&self.unwritten).get(&index).cloned()
    }

    /// Writes what is pending, in one transaction. If another process moved the core meanwhile, what still fits is kept.
    pub(crate) fn flush_state(&self, state: &mut State) -> Result<(), CoreError> {
        state.pending.scheduled = false;
        if state.pending.is_empty() {
            return Ok(());
        }
        let pages = state.bitfield.take_dirty();
        // Readers look at them meanwhile.
        let mut blocks: Vec<(u64, Block)> = lock(&self.unwritten)
            .iter()
            .map(|(index, value)| (*index, value.clone()))
            .collect();
        // In the order of their rows: each goes to the page that the last went to, or to the next.
        blocks.sort_unstable_by_key(|(index, _)| *index);
        let mut nodes: Vec<&Node> = state.pending.nodes.values().collect();
        nodes.sort_unstable_by_key(|node| node.index);
        let written = self.storage.write(|tx| {
            let row = tx.run(|db| storage::core_by_id(db, self.id))?;
            if row.fork != state.tree.fork && !state.pending.head || row.fork > state.tree.fork {
                return Ok(None); // Truncated elsewhere: the blocks are of a tree that is gone.
            }
            for (index, value) in &blocks {
                tx.put_block(self.id, *index, value)?;
            }
            for node in &nodes {
                tx.put_node(self.id, node)?;
            }
            let moved = row.revision != state.revision;
            let mut stored = Bitfield::default();
            if moved {
                for (number, bits) in tx.run(|db| storage::bitfield(db, self.id))? {
                    stored.merge_page(number, &bits);
                }
            }
            for (number, mut bits) in pages {
                if moved {
                    stored.merge_page(number, &bits);
                    bits = stored.page(number);
                }
                tx.put_page(self.id, number, &bits)?;
            }
            let ours_is_longer = (state.tree.fork, state.tree.length) >= (row.fork, row.length);
            let (fork, length, signature) = if ours_is_longer {
                (state.tree.fork, state.tree.length, &state.signature)
            } else {
                (row.fork, row.length, &row.signature)
            };
            tx.set_head(self.id, fork, length, signature)
                .map(|revision| Some((revision, moved)))
        });
        match written {
            Ok(Some((revision, moved))) => {
                self.forget_pending(state);
                state.revision = revision;
                self.recover();
                if moved {
                    self.reload(state)?;
                }
                Ok(())
            }
            Ok(None) => {
                self.forget_pending(state);
                self.recover();
                Ok(self.reload(state)?)
            }
            Err(error) => {
                // Keep everything for the next attempt, the bits included.
                for (index, _) in &blocks {
                    state.bitfield.touch(*index);
                }
                self.fail(&error);
                Err(CoreError::Storage(error))
            }
        }
    }

    /// What was pending is written, or of no use any more.
    fn forget_pending(&self, state: &mut State) {
        state.pending = Pending::default();
        lock(&self.unwritten).clear();
    }

    /// Takes over what other processes wrote.
    pub(crate) fn refresh(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        let row = self.storage.read(|db| storage::core_by_id(db, self.id))?;
        if row.revision == state.revision {
            return Ok(());
        }
        if !state.pending.is_empty() {
            return Ok(()); // The next flush merges.
        }
        self.reload(&mut state)
    }

    /// Loads the state from disk and tells of what changed.
    pub(crate) fn reload(&self, state: &mut State) -> Result<(), StorageError> {
        let fresh = load(&self.storage, self.id, LOADS)?;
        let before = std::mem::replace(state, fresh);
        lock(&self.unwritten).clear();
        let waited: Vec<u64> = lock(&self.waiting)
            .keys()
            .copied()
            .filter(|index| state.bitfield.get(*index))
            .collect();
        if state.tree.fork != before.tree.fork {
            let length = state.tree.length.min(before.tree.length);
            lock(&self.wants).rewind(0);
            self.emit(CoreEvent::Truncate {
                length,
                fork: state.tree.fork,
            });
        }
        if state.tree.length > before.tree.length || state.tree.fork != before.tree.fork {
            self.emit(CoreEvent::Append {
                length: state.tree.length,
            });
        }
        for index in waited {
            self.block_arrived(index, None);
        }
        self.wake();
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            self.span()
                .in_scope(|| tracing::error!(%error, "could not store the last blocks"));
        }
    }
}

/// Reads a core's state from disk, and mends a head that the disk spoilt.
fn load(storage: &Storage, id: i64, tries: u32) -> Result<State, StorageError> {
    let damaged = |what| StorageError::Damaged {
        path: storage.path().to_owned(),
        what,
    };
    let (row, roots, pages) = storage.snapshot(|db| {
        let row = storage::core_by_id(db, id)?;
        let roots = full_roots(row.length).into_iter();
        let roots = roots.map(|index| storage::node(db, id, index));
        let roots = roots.collect::<rusqlite::Result<Option<Vec<Node>>>>()?;
        Ok((row, roots, storage::bitfield(db, id)?))
    })?;
    if row.key.discovery_key() != row.discovery_key {
        return Err(damaged("a core's key and discovery key do not belong together"));
    }
    let secret = row.secret_key.as_ref().map(|secret| {
        <&[u8; 64]>::try_from(secret.as_slice())
            .ok()
            .and_then(KeyPair::from_secret_key)
            .ok_or_else(|| damaged("a secret key"))
    });
    let key_pair = secret.transpose()?;
    let Some(head) = Head::check(&row, roots, key_pair.as_ref()) else {
        storage.write(|tx| {
            let moved = tx.run(|db| storage::core_by_id(db, id))?.revision != row.revision;
            if moved {
                return Ok(()); // What was read is of another state: read again.
            }
            Head::mend(storage, tx, &row, key_pair.as_ref())
        })?;
        return match tries {
            0 => Err(damaged(
                "the head of a core does not verify, and writing it anew does not help",
            )),
            _ => load(storage, id, tries - 1),
        };
    };
    let mut bitfield = Bitfield::default();
    for (number, bits) in pages {
        bitfield.merge_page(number, &bits);
    }
    // Bits beyond the head are no blocks of this core.
    bitfield.set_range(head.tree.length, u64::MAX, false);
    bitfield.forget_dirty();
    Ok(State {
        tree: head.tree,
        signature: head.signature,
        manifest: head.manifest,
        key_pair,
        bitfield,
        contiguous: 0,
        pending: Pending::default(),
        revision: head.revision,
    })
}
