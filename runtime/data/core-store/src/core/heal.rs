//! What a disk may have done to a core: a block, a node or a head that is not what was once verified is noticed when it is read,
//! mended from what lies beside it, or dropped, so that it is fetched again.
//!
//! Nothing rotten is handed out, and nothing rotten is held against the peer whose right answer does not fit it.

use std::collections::HashSet;

use hypercore::manifest::Manifest;
use hypercore::merkle::{self, Batch, MAX_LENGTH, Node, NodeSource, full_roots};
use hypercore::{Key, KeyPair, PublicKey, signature};
use rusqlite::Connection;

use super::shared::{Nodes, Shared, State};
use crate::storage::{self, CoreRow, Transaction, lock};
use crate::{Core, CoreError, Storage, StorageError};

/// Under this name lie the blocks of a core that were dropped, as 64-bit little-endian numbers.
const LOST: &str = "bosc/lost";
/// As many of them are remembered: a disk that spoilt more is to be replaced, and the core to be fetched anew.
const MAX_LOST: usize = 65_536;

/// What is stored of a core, without what the head or pending writes say.
struct Stored<'a> {
    db: &'a Connection,
    core: i64,
}

impl NodeSource for Stored<'_> {
    type Error = rusqlite::Error;

    fn node(&self, index: u64) -> rusqlite::Result<Option<Node>> {
        storage::node(self.db, self.core, index)
    }
}

impl Stored<'_> {
    /// The leaf of a block, from its content.
    fn leaf(&self, block: u64) -> rusqlite::Result<Option<Node>> {
        let value = storage::block(self.db, self.core, block)?;
        Ok(value.map(|value| Node::leaf(block, &value)))
    }
}

/// How a stored block fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockHealth {
    /// It is not stored here.
    Absent,
    /// It is what the signed roots say.
    Sound,
    /// It is whole, and nodes on its way to the roots were not; they were computed anew.
    Mended,
    /// It is not what was verified, or nothing here proves it any more. When asked to mend, it was dropped, to be fetched again.
    Rotten,
}

impl Core {
    /// Checks block `index` and its way to the signed roots against the disk. With `repair`, what can be computed is mended and
    /// what is rotten is dropped; without, nothing is written. Reads the block: not for a thread that must not wait.
    ///
    /// # Errors
    /// If the store fails.
    pub fn check_block(&self, index: u64, repair: bool) -> Result<BlockHealth, CoreError> {
        let mut state = self.shared.state();
        if !state.bitfield.get(index) {
            return Ok(BlockHealth::Absent);
        }
        let health = self.shared.audit(&mut state, 2 * index, repair)?;
        drop(state);
        if repair && health == BlockHealth::Rotten {
            self.shared.lost(index);
        }
        Ok(health)
    }
}

impl Core {
    /// Blocks that were dropped because the disk had spoilt them, and that no peer has sent again yet. Unlike others that are not
    /// stored, they once were.
    ///
    /// # Errors
    /// If the store fails.
    pub fn lost(&self) -> Result<Vec<u64>, CoreError> {
        let mut lost = decode(self.user_data(LOST)?.as_deref());
        // A core that starts over learns its length from peers.
        let length = self.length();
        lost.retain(|index| (length == 0 || *index < length) && !self.has(*index));
        lost.sort_unstable();
        Ok(lost)
    }
}

/// Adds to the blocks that were dropped.
fn remember_lost(tx: &Transaction<'_>, core: i64, blocks: &[u64]) -> Result<(), StorageError> {
    let mut lost = decode(tx.run(|db| storage::user_data(db, core, LOST))?.as_deref());
    let before = lost.len();
    let known: HashSet<u64> = lost.iter().copied().collect();
    lost.extend(blocks.iter().filter(|block| !known.contains(block)));
    lost.truncate(MAX_LOST.max(before));
    if lost.len() > before {
        tx.set_user_data(core, LOST, &encode(&lost))?;
    }
    Ok(())
}

fn encode(lost: &[u64]) -> Vec<u8> {
    lost.iter().flat_map(|index| index.to_le_bytes()).collect()
}

fn decode(bytes: Option<&[u8]>) -> Vec<u64> {
    let (numbers, _) = bytes.unwrap_or_default().as_chunks();
    numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

impl Shared {
    /// A block was dropped: whoever wants it has to ask for it again.
    pub(super) fn lost(&self, index: u64) {
        self.storage.counters().damaged();
        self.span().in_scope(|| {
            tracing::warn!(
                block = index,
                "a stored block was damaged: it is fetched again from peers"
            )
        });
        lock(&self.wants).rewind(index);
        self.wake();
    }

    /// Node `index` as the signed roots prove it, computed from what lies beneath it if need be; `None` if nothing here proves it.
    fn proven(&self, state: &State, index: u64) -> Result<Option<Node>, StorageError> {
        let leaf = |block: u64| {
            if let Some(value) = self.waiting_block(block) {
                return Ok(Some(Node::leaf(block, &value)));
            }
            let value = self.storage.read(|db| storage::block(db, self.id, block))?;
            Ok(value.map(|value| Node::leaf(block, &value)))
        };
        let nodes = Nodes { shared: self, state };
        Ok(merkle::audit(&nodes, &state.tree, index, leaf)?.proven)
    }

    /// The roots of the tree that the core had at `length`, as the present head proves them: they may be signed again.
    ///
    /// # Errors
    /// [`CoreError::OutOfBounds`], [`CoreError::MissingNode`], or if the store fails.
    pub(super) fn roots_at(&self, state: &State, length: u64) -> Result<Vec<Node>, CoreError> {
        let key = self.key;
        if length > state.tree.length {
            return Err(CoreError::OutOfBounds {
                key,
                index: length,
                length: state.tree.length,
            });
        }
        let root = |index| {
            let proven = self.proven(state, index)?;
            proven.ok_or(CoreError::MissingNode { key, index })
        };
        full_roots(length).into_iter().map(root).collect()
    }

    /// Audits the way from the head to node `index`, and for a block the block itself.
    pub(super) fn audit(
        &self,
        state: &mut State,
        index: u64,
        repair: bool,
    ) -> Result<BlockHealth, CoreError> {
        self.flush_state(state)?;
        let block = index.is_multiple_of(2).then_some(index / 2);
        let look = |db: &Connection| {
            let stored = Stored { db, core: self.id };
            let audit = merkle::audit(&stored, &state.tree, index, |block| stored.leaf(block))?;
            let sound = match block {
                Some(block) => audit.proven.is_some() && stored.leaf(block)? == audit.proven,
                None => audit.proven.is_some(),
            };
            let health = match (sound, audit.mend.is_empty()) {
                (true, true) => BlockHealth::Sound,
                (true, false) => BlockHealth::Mended,
                (false, _) => BlockHealth::Rotten,
            };
            Ok((audit, health))
        };
        let (_, found) = self.storage.snapshot(look)?;
        if !repair || found == BlockHealth::Sound {
            return Ok(found);
        }
        let lost = block.filter(|block| state.bitfield.get(*block));
        let revision = state.revision;
        let (fork, length) = (state.tree.fork, state.tree.length);
        let (tree_signature, mut without) = (state.signature.clone(), state.bitfield.clone());
        let outcome = self.storage.write(|tx| {
            if tx.run(|db| storage::core_by_id(db, self.id))?.revision != revision {
                return Ok::<_, CoreError>(None); // Another process changed the core: what was read is of another state.
            }
            let (audit, health) = tx.run(look)?;
            for node in &audit.mend {
                tx.put_node(self.id, node)?;
            }
            for node in &audit.drop {
                tx.delete_node(self.id, *node)?;
            }
            if let Some(block) = lost.filter(|_| health == BlockHealth::Rotten) {
                tx.delete_blocks(self.id, block, block + 1)?;
                remember_lost(tx, self.id, &[block])?;
                without.set(block, false);
                for (number, bits) in without.take_dirty() {
                    tx.put_page(self.id, number, &bits)?;
                }
            }
            Ok(Some((
                health,
                tx.set_head(self.id, fork, length, &tree_signature)?,
            )))
        })?;
        let Some((health, revision)) = outcome else {
            self.reload(state)?;
            return Ok(BlockHealth::Absent);
        };
        state.revision = revision;
        if health == BlockHealth::Rotten
            && let Some(block) = lost
        {
            state.clear_bits(block, block + 1);
            state.bitfield.forget_dirty();
        }
        Ok(health)
    }
}

/// The head of a core, once its signature was checked.
pub(super) struct Head {
    pub(super) tree: Batch,
    pub(super) manifest: Option<Manifest>,
    pub(super) signature: Vec<u8>,
    pub(super) revision: i64,
}

impl Head {
    /// The head as `row` and the stored `roots` have it, if it verifies.
    pub(super) fn check(row: &CoreRow, roots: Option<Vec<Node>>, key_pair: Option<&KeyPair>) -> Option<Self> {
        let head = Self {
            tree: Batch::from_roots(row.fork, row.length, roots?),
            manifest: manifest_of(row, key_pair),
            signature: row.signature.clone(),
            revision: row.revision,
        };
        (row.length == 0 || head.verifies(row)).then_some(head)
    }

    fn verifies(&self, row: &CoreRow) -> bool {
        let compat = Manifest::single(PublicKey(row.key.0));
        let manifest = self.manifest.as_ref().unwrap_or(&compat);
        signature::verify(manifest, &row.key, &self.tree, &self.signature)
    }

    /// Mends a head that does not verify, inside one transaction: by roots computed from the nodes beneath them, or by turning
    /// back one flipped bit of the signature, the length, the fork or the manifest. What verifies afterwards was signed, so nothing
    /// is made up. A core that others write starts over if that fails, to be fetched again; its blocks count as lost.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] for a core that is written here, if its head cannot be mended.
    pub(super) fn mend(
        storage: &Storage,
        tx: &Transaction<'_>,
        row: &CoreRow,
        key_pair: Option<&KeyPair>,
    ) -> Result<(), StorageError> {
        let mended = tx.run(|db| {
            for candidate in candidates(row) {
                if let Some(head) = Self::rebuild(db, &candidate, key_pair)? {
                    return Ok(Some(head));
                }
            }
            Ok(None)
        })?;
        let _span = tracing::error_span!("core", key = %row.key.short()).entered();
        if let Some(head) = mended {
            tracing::warn!("the stored head of a core was damaged, and was mended");
            head.tree
                .roots
                .iter()
                .try_for_each(|root| tx.put_node(row.id, root))?;
            if let Some(manifest) = &head.manifest {
                tx.set_auth(row.id, Some(&manifest.encode()), None)?;
            }
            tx.set_head(row.id, head.tree.fork, head.tree.length, &head.signature)?;
            return Ok(());
        }
        if key_pair.is_some() {
            return Err(StorageError::Damaged {
                path: storage.path().to_owned(),
                what: "the head of a core that is written here does not verify; restore the store from a copy",
            });
        }
        tracing::warn!("the stored head of a core does not verify: the core is fetched again from peers");
        remember_lost(
            tx,
            row.id,
            &tx.run(|db| storage::block_indices(db, row.id, MAX_LOST))?,
        )?;
        tx.delete_blocks(row.id, 0, u64::MAX)?;
        tx.delete_nodes_from(row.id, 0)?;
        tx.delete_pages(row.id)?;
        tx.set_head(row.id, 0, 0, &[]).map(|_| ())
    }

    /// The head that `row` names, with stored or computed roots, if it verifies.
    fn rebuild(db: &Connection, row: &CoreRow, key_pair: Option<&KeyPair>) -> rusqlite::Result<Option<Self>> {
        if row.length > MAX_LENGTH {
            return Ok(None);
        }
        let source = Stored { db, core: row.id };
        let all = |one: &dyn Fn(u64) -> rusqlite::Result<Option<Node>>| {
            let roots = full_roots(row.length).into_iter().map(one);
            roots.collect::<rusqlite::Result<Option<Vec<_>>>>()
        };
        let stored = all(&|index| source.node(index))?;
        if let Some(head) = Self::check(row, stored, key_pair).filter(|head| head.tree.length > 0) {
            return Ok(Some(head));
        }
        let computed = all(&|index| merkle::beneath(&source, index, &|block| source.leaf(block)))?;
        Ok(Self::check(row, computed, key_pair).filter(|head| head.tree.length > 0))
    }
}

/// The row as it is, and with each single bit of what the signature depends on turned back.
fn candidates(row: &CoreRow) -> impl Iterator<Item = CoreRow> + '_ {
    let with = |change: &dyn Fn(&mut CoreRow)| {
        let mut row = row.clone();
        change(&mut row);
        row
    };
    let bits = 8 * row.signature.len();
    let manifest = row.manifest.iter().flat_map(|bytes| turned_back(bytes, &row.key));
    std::iter::once(row.clone())
        .chain((0..41).map(move |bit| with(&|row| row.length ^= 1 << bit)))
        .chain((0..63).map(move |bit| with(&|row| row.fork ^= 1 << bit)))
        .chain(manifest.map(move |bytes| with(&|row| row.manifest = Some(bytes.clone()))))
        .chain((0..bits).map(move |bit| {
            with(&|row| {
                if let Some(byte) = row.signature.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            })
        }))
}

/// The manifest of `key` that is stored with one bit flipped; its hash is the key, so there is none but the true one.
fn turned_back(stored: &[u8], key: &Key) -> Option<Vec<u8>> {
    (0..8 * stored.len()).find_map(|bit| {
        let mut bytes = stored.to_owned();
        *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
        let manifest = Manifest::decode(&bytes).ok()?;
        (manifest.key() == *key).then_some(bytes)
    })
}

/// The stored manifest, if it belongs to the key. Nothing vouches for one that only repeats the key while nothing was verified
/// under it: such a one was once taken from strangers, and kept the true one out. A core as old as that needs none.
fn manifest_of(row: &CoreRow, key_pair: Option<&KeyPair>) -> Option<Manifest> {
    let vouched = row.length > 0 || key_pair.is_some();
    let fits = |manifest: &Manifest| manifest.key() == row.key || (vouched && manifest.is_compat(&row.key));
    let stored = row
        .manifest
        .as_deref()
        .and_then(|bytes| Manifest::decode(bytes).ok());
    let ours = || key_pair.map(|pair| Manifest::single(pair.public_key));
    stored.filter(fits).or_else(|| ours().filter(fits))
}
