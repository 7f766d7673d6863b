//! Extending one core with the blocks of another in the same store, under a signature made elsewhere: how a release that a
//! quorum signed reaches the quorum's core (npm `hyper-multisig` lib/sign.js does it with a batch session).

use super::Core;
use crate::merkle::Node;
use crate::storage::{self, lock};
use crate::{CoreError, StorageError, crypto};

impl Core {
    /// Appends the blocks from this core's length up to `length` of `source`, in one transaction: afterwards either all of
    /// them are here, under `signature`, or none. Each block is hashed again on its way. Returns the new length.
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
        let mut state = lock(&self.shared.state);
        self.shared.flush_state(&mut state)?;
        let start = state.tree.length;
        if length <= start {
            return if length == start {
                Ok(start)
            } else {
                Err(CoreError::OutOfBounds {
                    key: self.key(),
                    index: length,
                    length: start,
                })
            };
        }
        let missing = |index| CoreError::NotAvailable {
            key: source.key(),
            index,
        };
        let mut tree = state.tree.without_nodes();
        for index in start..length {
            let leaf = self.storage().read(|db| storage::node(db, from.id, 2 * index))?;
            tree.append(&leaf.ok_or_else(|| missing(index))?);
        }
        let signature = self.check_signature(state.manifest.as_ref(), &tree, signature)?;
        let leaves: Vec<Node> = tree
            .nodes
            .iter()
            .filter(|node| node.index % 2 == 0)
            .copied()
            .collect();
        self.grow(state, tree, signature, |tx| {
            for leaf in &leaves {
                let index = leaf.index / 2;
                let block = tx.run(|db| storage::block(db, from.id, index))?;
                let block = block.ok_or_else(|| missing(index))?;
                if crypto::hash_leaf(&block) != leaf.hash {
                    return Err(CoreError::Storage(StorageError::Damaged {
                        path: self.storage().path().to_owned(),
                        what: "a block of the source does not match its hash: nothing was written",
                    }));
                }
                tx.put_block(self.shared.id, index, &block)?;
            }
            Ok(())
        })
    }
}
