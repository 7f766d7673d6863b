//! Taking over the blocks of another core in the same store, under a signature made elsewhere: how a release that a quorum
//! signed reaches the quorum's core (npm `hyper-multisig` lib/sign.js does it with a batch session).

use hypercore::merkle::{Batch, Cursor, Node, hash_leaf};
use hypercore::signature;

use super::{Core, Shared};
use crate::storage::{self, Transaction};
use crate::{CoreError, StorageError};

impl Core {
    /// Appends the blocks from this core's length up to `length` of `source`, in one transaction: afterwards either all of
    /// them are here, under `signature`, or none. Then takes over what this core lacks of the blocks before, as far as the
    /// source has them. Each block is hashed again on its way. Returns the new length.
    ///
    /// # Errors
    /// [`CoreError::OtherStore`] if the cores lie in different stores, [`CoreError::OutOfBounds`] if `length` is below this
    /// core's, [`CoreError::NotAvailable`] if the source lacks a block, [`CoreError::InvalidSignature`] if the signature
    /// does not verify over the tree that results (it does not if `source` is no continuation of this core).
    pub fn append_from(&self, source: &Core, length: u64, signature: &[u8]) -> Result<u64, CoreError> {
        if !self.storage().is(source.storage()) {
            return Err(CoreError::OtherStore {
                key: self.key(),
                source_key: source.key(),
            });
        }
        source.flush()?;
        let from = &source.shared;
        let mut state = self.shared.state();
        self.shared.flush_state(&mut state)?;
        let start = state.tree.length;
        if length < start {
            return Err(CoreError::OutOfBounds {
                key: self.key(),
                index: length,
                length: start,
            });
        }
        if length > start {
            let mut tree = state.tree.without_nodes();
            for index in start..length {
                let leaf = self.storage().read(|db| storage::node(db, from.id, 2 * index))?;
                tree.append(&leaf.ok_or_else(|| missing(source, index))?);
            }
            let manifest = state.manifest.as_ref();
            if !manifest.is_some_and(|found| signature::verify(found, &self.key(), &tree, signature)) {
                return Err(CoreError::InvalidSignature(self.key()));
            }
            let leaves: Vec<Node> = tree
                .nodes
                .iter()
                .filter(|node| node.index % 2 == 0)
                .copied()
                .collect();
            self.grow(state, tree, signature.to_vec(), |tx| {
                for leaf in &leaves {
                    if !self.copy_block(tx, from, leaf)? {
                        return Err(missing(source, leaf.index / 2));
                    }
                }
                Ok(())
            })?;
        } else {
            drop(state);
        }
        self.fill_from(source)?;
        Ok(length)
    }

    /// Takes over the blocks and tree nodes that this core lacks and the source has, if both have one history.
    fn fill_from(&self, source: &Core) -> Result<(), CoreError> {
        let from = &source.shared;
        let mut state = self.shared.state();
        self.shared.flush_state(&mut state)?;
        let length = state.tree.length;
        let lacking: Vec<u64> = (0..length).filter(|index| !state.bitfield.get(*index)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let nodes = self
            .storage()
            .read(|db| storage::nodes_below(db, from.id, 2 * length))?;
        let nodes: Vec<Node> = nodes
            .into_iter()
            .filter(|node| Cursor::new(node.index).right_span() < 2 * length)
            .collect();
        if !same_tree(&state.tree, &nodes) {
            return Ok(());
        }
        let (fork, signature) = (state.tree.fork, state.signature.clone());
        let revision = state.revision;
        let bitfield = &mut state.bitfield;
        let mut copied = Vec::new();
        let written = self.storage().write(|tx| {
            self.check_unmoved(tx, revision)?;
            for node in &nodes {
                tx.put_node(self.shared.id, node)?;
            }
            for index in lacking {
                let at = nodes.binary_search_by_key(&(2 * index), |node| node.index);
                let leaf = at.ok().and_then(|at| nodes.get(at));
                if let Some(leaf) = leaf
                    && self.copy_block(tx, from, leaf)?
                {
                    bitfield.set_range(index, index + 1, true);
                    copied.push(index);
                }
            }
            for (number, bits) in bitfield.take_dirty() {
                tx.put_page(self.shared.id, number, &bits)?;
            }
            Ok::<_, CoreError>(tx.set_head(self.shared.id, fork, length, &signature)?)
        });
        match written {
            Ok(revision) => state.revision = revision,
            Err(error) => {
                self.shared.reload(&mut state)?;
                return Err(error);
            }
        }
        drop(state);
        copied
            .iter()
            .for_each(|index| self.shared.block_arrived(*index, None));
        self.shared.wake();
        Ok(())
    }

    /// Copies a block inside a transaction, if the source has it.
    fn copy_block(&self, tx: &Transaction<'_>, from: &Shared, leaf: &Node) -> Result<bool, CoreError> {
        let index = leaf.index / 2;
        let Some(block) = tx.run(|db| storage::block(db, from.id, index))? else {
            return Ok(false);
        };
        if hash_leaf(&block) != leaf.hash {
            return Err(CoreError::Storage(StorageError::Damaged {
                path: self.storage().path().to_owned(),
                what: "a block of the source does not match its hash: nothing was written",
            }));
        }
        tx.put_block(self.shared.id, index, &block)?;
        Ok(true)
    }
}

fn missing(source: &Core, index: u64) -> CoreError {
    CoreError::NotAvailable {
        key: source.key(),
        index,
    }
}

/// Whether nodes of another core, in order of index, contain the roots of this tree.
fn same_tree(tree: &Batch, nodes: &[Node]) -> bool {
    tree.roots.iter().all(|root| {
        let at = nodes.binary_search_by_key(&root.index, |node| node.index);
        at.ok().and_then(|at| nodes.get(at)) == Some(root)
    })
}
