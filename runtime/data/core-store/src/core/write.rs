//! Changing a core locally: append, truncate, clear.

use bytes::Bytes;
use hypercore::merkle::{Batch, Cursor, Node};
use hypercore::signature;

use super::front::StateGuard;
use super::{Core, CoreEvent, MAX_BLOCK};
use crate::CoreError;
use crate::storage::{self, Transaction, lock};

impl Core {
    /// Appends blocks, in one transaction and under one signature; returns the new length. A handle with a cipher seals them first.
    ///
    /// # Errors
    /// [`CoreError::NotWritable`] without the secret key, [`CoreError::Moved`] if another process appended meanwhile (nothing
    /// is written then), [`CoreError::BlockTooLarge`], [`CoreError::Cipher`].
    pub fn append(&self, blocks: &[Bytes]) -> Result<u64, CoreError> {
        let padding = self.padding() as usize;
        if let Some(block) = blocks.iter().find(|block| block.len() + padding > MAX_BLOCK) {
            return Err(CoreError::BlockTooLarge(block.len()));
        }
        let mut state = self.shared.state();
        self.shared.flush_state(&mut state)?;
        let start = state.tree.length;
        if blocks.is_empty() {
            return Ok(start);
        }
        let blocks = &*self.sealed(start, state.tree.fork, state.manifest.as_ref(), blocks)?;
        let mut tree = state.tree.without_nodes();
        let numbered: Vec<(u64, &[u8])> = (start..).zip(blocks.iter().map(|block| &block[..])).collect();
        Node::leaves(&numbered).iter().for_each(|leaf| tree.append(leaf));
        let signature = self.sign(state.manifest.as_ref(), state.key_pair.as_ref(), &tree)?;
        let shared = &self.shared;
        self.grow(state, tree, signature, |tx| {
            for (index, block) in (start..).zip(blocks) {
                tx.put_block(shared.id, index, block)?;
            }
            Ok(())
        })
    }

    /// Makes `tree`, which extends the present one, the new head. `put_blocks` writes the new blocks inside the same
    /// transaction; nothing is written if it fails.
    pub(super) fn grow(
        &self,
        mut state: StateGuard<'_>,
        mut tree: Batch,
        signature: Vec<u8>,
        put_blocks: impl FnOnce(&Transaction<'_>) -> Result<(), CoreError>,
    ) -> Result<u64, CoreError> {
        let shared = &self.shared;
        let (start, length) = (state.tree.length, tree.length);
        state.bitfield.set_range(start, length, true);
        let pages = state.bitfield.take_dirty();
        let written = shared.storage.write(|tx| {
            self.check_unmoved(tx, state.revision)?;
            put_blocks(tx)?;
            for node in &tree.nodes {
                tx.put_node(shared.id, node)?;
            }
            for (number, bits) in &pages {
                tx.put_page(shared.id, *number, bits)?;
            }
            Ok(tx.set_head(shared.id, tree.fork, length, &signature)?)
        });
        match written {
            Ok(revision) => state.revision = revision,
            Err(error) => {
                state.clear_bits(start, length);
                if matches!(error, CoreError::Moved(_)) {
                    shared.reload(&mut state)?;
                }
                return Err(error);
            }
        }
        tree.nodes.clear();
        tree.upgraded = false;
        state.tree = tree;
        state.signature = signature;
        drop(state);
        for index in start..length {
            shared.block_arrived(index, None);
        }
        shared.emit(CoreEvent::Append { length });
        shared.wake();
        Ok(length)
    }

    fn sign(
        &self,
        manifest: Option<&hypercore::manifest::Manifest>,
        key_pair: Option<&hypercore::KeyPair>,
        tree: &Batch,
    ) -> Result<Vec<u8>, CoreError> {
        let not_writable = || CoreError::NotWritable(self.key());
        let (manifest, key_pair) = (
            manifest.ok_or_else(not_writable)?,
            key_pair.ok_or_else(not_writable)?,
        );
        if manifest.quorum != 1 {
            return Err(not_writable());
        }
        signature::sign(manifest, &self.key(), tree, key_pair).ok_or_else(not_writable)
    }

    pub(super) fn check_unmoved(&self, tx: &Transaction<'_>, revision: i64) -> Result<(), CoreError> {
        let row = tx.run(|db| storage::core_by_id(db, self.shared.id))?;
        if row.revision == revision {
            Ok(())
        } else {
            Err(CoreError::Moved(self.key()))
        }
    }

    /// Cuts the core to `length` blocks and moves it to a new fork: `fork`, or one more than the present.
    /// Peers that follow will drop the blocks beyond.
    pub fn truncate(&self, length: u64, fork: Option<u64>) -> Result<(), CoreError> {
        let shared = &self.shared;
        let mut state = shared.state();
        shared.flush_state(&mut state)?;
        let before = state.tree.length;
        let fork = fork.unwrap_or(state.tree.fork + 1);
        let tree = Batch::from_roots(fork, length, shared.roots_at(&state, length)?);
        let signature = self.sign(state.manifest.as_ref(), state.key_pair.as_ref(), &tree)?;
        state.clear_bits(length, before);
        let pages = state.bitfield.take_dirty();
        let written = shared.storage.write(|tx| {
            self.check_unmoved(tx, state.revision)?;
            delete_from(tx, shared.id, length, before)?;
            for root in &tree.roots {
                tx.put_node(shared.id, root)?;
            }
            for (number, bits) in &pages {
                tx.put_page(shared.id, *number, bits)?;
            }
            Ok(tx.set_head(shared.id, fork, length, &signature)?)
        });
        match written {
            Ok(revision) => state.revision = revision,
            Err(error) => {
                shared.reload(&mut state)?;
                return Err(error);
            }
        }
        state.tree = tree;
        state.signature = signature;
        drop(state);
        lock(&shared.wants).rewind(length);
        shared.emit(CoreEvent::Truncate { length, fork });
        shared.wake();
        Ok(())
    }

    /// Deletes the stored blocks `start..end` to free space; the tree stays, so they can be fetched again.
    pub fn clear(&self, start: u64, end: u64) -> Result<(), CoreError> {
        let shared = &self.shared;
        let mut state = shared.state();
        shared.flush_state(&mut state)?;
        let end = end.min(state.tree.length);
        if start >= end {
            return Ok(());
        }
        state.clear_bits(start, end);
        let pages = state.bitfield.take_dirty();
        let written = shared.storage.write(|tx| {
            self.check_unmoved(tx, state.revision)?;
            tx.delete_blocks(shared.id, start, end)?;
            for (number, bits) in &pages {
                tx.put_page(shared.id, *number, bits)?;
            }
            Ok(tx.set_head(shared.id, state.tree.fork, state.tree.length, &state.signature)?)
        });
        match written {
            Ok(revision) => state.revision = revision,
            Err(error) => {
                shared.reload(&mut state)?;
                return Err(error);
            }
        }
        drop(state);
        lock(&shared.wants).rewind(start);
        shared.wake();
        Ok(())
    }
}

/// Deletes the blocks from `length` on and every node that covers any of them.
pub(super) fn delete_from(
    tx: &Transaction<'_>,
    core: i64,
    length: u64,
    before: u64,
) -> Result<(), CoreError> {
    tx.delete_blocks(core, length, before)?;
    tx.delete_nodes_from(core, 2 * length)?;
    if length > 0 {
        // Parents to the left of the cut that reach over it.
        let head = 2 * length;
        let mut cursor = Cursor::new(head - 2);
        // The leftmost node at each height ends the climb once the old tree had none so high.
        while cursor.parent().is_ok() && (cursor.left_span() > 0 || cursor.index() <= 2 * before) {
            if cursor.index() < head && cursor.right_span() >= head {
                tx.delete_node(core, cursor.index())?;
            }
        }
    }
    Ok(())
}
