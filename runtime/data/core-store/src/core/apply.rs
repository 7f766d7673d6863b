//! The replication side of a core: answering requests with proofs, and applying proofs from peers.

use std::sync::atomic::Ordering;

use hypercore::manifest::Manifest;
use hypercore::merkle::{self, Batch, Node, NodeSource, ProveError, TreeView, full_roots};
use hypercore::proof::{Data, Request};
use hypercore::signature;

use super::shared::{Nodes, State};
use super::write::delete_from;
use super::{BlockHealth, Core, CoreEvent, Shared};
use crate::storage::lock;
use crate::{CoreError, ProofError};

/// What a proof changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// The core grew, or moved to another fork.
    pub upgraded: bool,
    /// This block is now stored.
    pub block: Option<u64>,
}

impl Core {
    /// Answers a peer's request; `None` if what it asks for is not stored here or it is of another fork.
    ///
    /// # Errors
    /// [`ProofError::Invalid`] if the request is nonsense, which is the peer's fault.
    pub fn create_proof(&self, request: &Request) -> Result<Option<Data>, ProofError> {
        let mut data = {
            let mut state = self.shared.state();
            // An answer without a tree proves nothing. Whoever asks for one heard of a longer core, which the disk has spoilt since.
            if request.fork != state.tree.fork || state.tree.length == 0 {
                return Ok(None);
            }
            if request
                .block
                .is_some_and(|block| !state.bitfield.get(block.index))
            {
                return Ok(None);
            }
            let view = TreeView {
                tree: &state.tree,
                source: &Nodes {
                    shared: &self.shared,
                    state: &state,
                },
                signature: &state.signature,
                prologue: state
                    .manifest
                    .as_ref()
                    .and_then(|manifest| manifest.prologue.as_ref())
                    .map_or(0, |p| p.length),
            };
            let mut data = match merkle::prove(&view, request) {
                Ok(data) => data,
                Err(ProveError::Missing(_)) => return Ok(None),
                Err(ProveError::Invalid(reason)) => return Err(ProofError::Invalid(reason)),
                Err(ProveError::Source(error)) => return Err(error.into()),
            };
            if !self.holds(&state, &data)? {
                self.mend_path(&mut state, &data)?;
                return Ok(None);
            }
            if request.manifest {
                data.manifest.clone_from(&state.manifest);
            }
            data
        };
        if let Some(block) = &mut data.block {
            match self.get_local(block.index)? {
                Some(value) => block.value = value,
                None => return Ok(None),
            }
        }
        Ok(Some(data))
    }

    /// Whether a proof made here would convince its reader: nodes on disk may have rotted, and who sends a false proof
    /// counts as a liar.
    fn holds(&self, state: &State, data: &Data) -> Result<bool, ProofError> {
        let nodes = Nodes {
            shared: &self.shared,
            state,
        };
        let base = match &data.upgrade {
            None => state.tree.without_nodes(),
            Some(upgrade) => {
                let roots = full_roots(upgrade.start)
                    .into_iter()
                    .map(|index| nodes.node(index));
                // A reader that has the shorter tree may hold roots that are not stored here.
                let Some(roots) = roots.collect::<Result<Option<Vec<_>>, _>>()? else {
                    return Ok(true);
                };
                Batch::from_roots(data.fork, upgrade.start, roots)
            }
        };
        let leaf = match &data.block {
            Some(block) => nodes.node(2 * block.index)?,
            None => None,
        };
        let prologue = state
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.prologue.as_ref());
        let Ok(verified) = merkle::verify(base, data, leaf, prologue) else {
            return Ok(false);
        };
        if data.upgrade.is_some() && verified.batch.roots != state.tree.roots {
            return Ok(false);
        }
        match verified.unverified {
            Some(root) => Ok(nodes.node(root.index)? == Some(root)),
            None => Ok(true),
        }
    }

    /// Mends, or drops to be fetched again, what made a proof of ours false.
    fn mend_path(&self, state: &mut State, data: &Data) -> Result<(), ProofError> {
        let block = data.block.as_ref().map(|block| 2 * block.index);
        let starts = data.upgrade.iter().flat_map(|upgrade| full_roots(upgrade.start));
        let upgraded = data
            .upgrade
            .iter()
            .flat_map(|upgrade| upgrade.nodes.iter().map(|node| node.index));
        let asked = block.or(data.hash.as_ref().map(|hash| hash.index));
        let sought = data
            .seek
            .iter()
            .flat_map(|seek| seek.nodes.iter().map(|node| node.index));
        let paths: Vec<u64> = asked
            .into_iter()
            .chain(starts)
            .chain(upgraded)
            .chain(sought)
            .collect();
        for index in paths {
            let health = self.shared.audit(state, index, true)?;
            if health == BlockHealth::Rotten && block == Some(index) {
                self.shared.lost(index / 2);
            }
        }
        Ok(())
    }

    /// Verifies a peer's proof and, if it holds, takes over what it brings.
    ///
    /// # Errors
    /// [`ProofError::Invalid`]: drop the peer. [`ProofError::Stale`]: ask again.
    pub fn verify(&self, data: Data) -> Result<Applied, ProofError> {
        if data
            .block
            .as_ref()
            .is_some_and(|block| block.index >= merkle::MAX_LENGTH)
        {
            return Err(ProofError::Invalid("its block is out of range"));
        }
        // The expensive hash needs no lock.
        let leaf = data
            .block
            .as_ref()
            .map(|block| Node::leaf(block.index, &block.value));
        let mut state = self.shared.state();
        self.shared.accepts(&mut state)?;
        let learned = self.check_manifest(&state, &data)?;
        let reorg = data.fork != state.tree.fork;
        if reorg && (data.upgrade.is_none() || data.fork < state.tree.fork) {
            return Err(ProofError::Stale);
        }
        let base = if reorg {
            Batch::empty(data.fork)
        } else {
            Batch {
                nodes: Vec::new(),
                ..state.tree.clone()
            }
        };
        if data
            .upgrade
            .as_ref()
            .is_some_and(|upgrade| upgrade.start != base.length)
        {
            return Err(ProofError::Stale);
        }
        let prologue = learned
            .as_ref()
            .or(state.manifest.as_ref())
            .and_then(|manifest| manifest.prologue.as_ref());
        let verified = merkle::verify(base, &data, leaf, prologue).map_err(ProofError::Invalid)?;
        let batch = verified.batch;
        if let Some(upgrade) = &data.upgrade {
            let compat = Manifest::single(self.key().0);
            let manifest = learned.as_ref().or(state.manifest.as_ref()).unwrap_or(&compat);
            if !signature::verify(manifest, &self.key(), &batch, &upgrade.signature) {
                return Err(ProofError::Invalid(
                    "the signature does not verify against the manifest's signers",
                ));
            }
        }
        if let Some(root) = verified.unverified {
            let stored = if reorg {
                None // Nothing of the old fork vouches for the new one.
            } else {
                Nodes {
                    shared: &self.shared,
                    state: &state,
                }
                .node(root.index)?
            };
            match stored {
                Some(stored) if stored == root => {}
                Some(_) => {
                    // Theirs or ours: what the roots do not prove here was spoilt by the disk.
                    let health = self.shared.audit(&mut state, root.index, true)?;
                    if health != BlockHealth::Sound {
                        return Err(ProofError::Stale);
                    }
                    return Err(ProofError::Invalid("a hash does not match the tree"));
                }
                None => return Err(ProofError::Stale),
            }
        }
        if let Some(manifest) = learned {
            self.store_manifest(&mut state, manifest)?;
        }
        let before = state.tree.length;
        let mut truncated = None;
        if reorg {
            let signature = data
                .upgrade
                .as_ref()
                .map_or(&[][..], |upgrade| &upgrade.signature);
            truncated = Some(self.replace_tree(&mut state, &batch, signature)?);
        }
        let applied = take_over(&mut state, &data, batch);
        if let Some(upgrade) = data.upgrade {
            state.signature = upgrade.signature;
        }
        self.shared.flush_soon(&mut state)?;
        let (fork, length) = (state.tree.fork, state.tree.length);
        drop(state);
        if applied.upgraded || applied.block.is_some() {
            self.shared.progress.fetch_add(1, Ordering::AcqRel);
        }
        let bytes = data.block.as_ref().map_or(0, |block| block.value.len() as u64);
        self.tell(&applied, bytes, truncated, before, fork, length);
        Ok(applied)
    }

    fn tell(
        &self,
        applied: &Applied,
        bytes: u64,
        truncated: Option<u64>,
        before: u64,
        fork: u64,
        length: u64,
    ) {
        let shared: &Shared = &self.shared;
        if let Some(ancestors) = truncated {
            lock(&shared.wants).rewind(0);
            shared.emit(CoreEvent::Truncate {
                length: ancestors,
                fork,
            });
        }
        if let Some(index) = applied.block {
            shared.emit(CoreEvent::Download { index, bytes });
            shared.block_arrived(index);
        }
        if applied.upgraded && (length != before || truncated.is_some()) {
            shared.emit(CoreEvent::Append { length });
            shared.wake();
        } else {
            shared.bump();
        }
    }

    /// The manifest in a proof, if it is news. It counts only if its hash is the key, and only beside an upgrade, whose
    /// signature the caller checks under it before anything is kept. That a manifest names the key itself as its signer
    /// says nothing: anybody can write that down, and cores older than manifests need none.
    fn check_manifest(&self, state: &State, data: &Data) -> Result<Option<Manifest>, ProofError> {
        let Some(manifest) = data.manifest.as_ref().filter(|_| state.manifest.is_none()) else {
            return Ok(None);
        };
        if manifest.key() != self.key() {
            return Err(ProofError::Invalid("the manifest does not hash to the key"));
        }
        if data.upgrade.is_none() {
            return Err(ProofError::Invalid(
                "it has a manifest and no tree that is signed under it",
            ));
        }
        Ok(Some(manifest.clone()))
    }

    fn store_manifest(&self, state: &mut State, manifest: Manifest) -> Result<(), CoreError> {
        let encoded = manifest.encode();
        self.shared.storage.write(|tx| {
            tx.set_auth(self.shared.id, Some(&encoded), None)
                .map_err(CoreError::from)
        })?;
        state.revision += 1;
        state.manifest = Some(manifest);
        Ok(())
    }

    /// Moves to a higher fork: keeps the blocks under the leading roots that both trees share, drops the rest. Returns how
    /// many blocks were kept.
    fn replace_tree(&self, state: &mut State, tree: &Batch, signature: &[u8]) -> Result<u64, CoreError> {
        let shared = &self.shared;
        shared.flush_state(state)?;
        let mut ancestors = 0;
        {
            let nodes = Nodes { shared, state };
            for root in &tree.roots {
                let end = merkle::Cursor::new(root.index).right_span() / 2 + 1;
                if end > state.tree.length || nodes.node(root.index)? != Some(*root) {
                    break;
                }
                ancestors = end;
            }
        }
        let before = state.tree.length;
        state.clear_bits(ancestors, before);
        let pages = state.bitfield.take_dirty();
        // Roots and signature go in with the same transaction, so that the stored tree is whole at every moment.
        let revision = shared.storage.write(|tx| {
            delete_from(tx, shared.id, ancestors, before)?;
            for (number, bits) in &pages {
                tx.put_page(shared.id, *number, bits)?;
            }
            for node in tree.roots.iter().chain(&tree.nodes) {
                tx.put_node(shared.id, node)?;
            }
            Ok::<_, CoreError>(tx.set_head(shared.id, tree.fork, tree.length, signature)?)
        })?;
        state.revision = revision;
        Ok(ancestors)
    }
}

/// Puts what a verified proof brought among what is to be written.
fn take_over(state: &mut State, data: &Data, mut batch: Batch) -> Applied {
    let mut applied = Applied::default();
    for node in std::mem::take(&mut batch.nodes) {
        state.pending.nodes.insert(node.index, node);
    }
    if let Some(block) = &data.block {
        applied.block = Some(block.index);
        if state.bitfield.set(block.index, true) {
            state.pending.bytes += block.value.len();
            state.pending.blocks.insert(block.index, block.value.clone());
        }
    }
    if batch.upgraded || data.upgrade.is_some() {
        applied.upgraded = true;
        batch.upgraded = false;
        state.pending.head = true;
        state.tree = batch;
    }
    applied
}
