//! Answering peers: what a proof is made of, and that it holds.

use hypercore::merkle::{self, Batch, Node, NodeSource, ProveError, TreeView, full_roots};
use hypercore::proof::{Data, Request};

use super::shared::State;
use super::{BlockHealth, Core};
use crate::ProofError;
use crate::storage;

/// A proof whose block was not hashed yet.
pub(crate) struct Draft {
    data: Box<Data>,
    /// What the block has to hash to; `None` if it was hashed before, or if there is none.
    leaf: Option<Node>,
}

impl Draft {
    /// The block that has to be hashed, and its number.
    pub(crate) fn unhashed(&self) -> Option<(u64, &[u8])> {
        let block = self.data.block.as_ref().filter(|_| self.leaf.is_some());
        block.map(|block| (block.index, &block.value[..]))
    }

    /// Bytes of its block.
    pub(crate) fn size(&self) -> usize {
        self.data.block.as_ref().map_or(0, |block| block.value.len())
    }
}

impl Core {
    /// Answers a peer's request; `None` if what it asks for is not stored here or it is of another fork.
    ///
    /// # Errors
    /// [`ProofError::Invalid`] if the request is nonsense, which is the peer's fault.
    pub fn create_proof(&self, request: &Request) -> Result<Option<Data>, ProofError> {
        match self.draft_proof(request)? {
            Some(draft) => {
                let hashed = draft.unhashed().map(|(index, value)| Node::leaf(index, value));
                Ok(self.finish_proof(draft, hashed)?.map(|data| *data))
            }
            None => Ok(None),
        }
    }

    /// The first half of [`create_proof`](Self::create_proof): all but the hash of the block, so that those of many blocks can
    /// be computed together.
    pub(crate) fn draft_proof(&self, request: &Request) -> Result<Option<Draft>, ProofError> {
        let (data, leaf) = {
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
                source: &self.nodes(&state),
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
            let leaf = match &data.block {
                Some(block) => self.nodes(&state).node(2 * block.index)?,
                None => None,
            };
            if !self.holds(&state, &data, leaf)? {
                self.mend_path(&mut state, &data)?;
                return Ok(None);
            }
            if request.manifest {
                data.manifest.clone_from(&state.manifest);
            }
            (data, leaf)
        };
        let mut data = Box::new(data);
        let Some(block) = &mut data.block else {
            return Ok(Some(Draft { data, leaf: None }));
        };
        let unwritten = self.shared.waiting_block(block.index);
        let whole = match (unwritten, leaf) {
            (Some(value), _) => Some(value),
            (None, Some(_)) => None,
            // Without a leaf beside it the block proves nothing, and is looked at as any spoilt one.
            (None, None) => match self.get_stored(block.index)? {
                Some(value) => Some(value),
                None => return Ok(None),
            },
        };
        if let Some(value) = whole {
            block.value = value;
            return Ok(Some(Draft { data, leaf: None }));
        }
        let id = self.shared.id;
        let stored = self
            .shared
            .storage
            .read(|db| storage::block(db, id, block.index))?;
        // What is gone is not what the leaf says either.
        block.value = stored.unwrap_or_default().into();
        Ok(Some(Draft { data, leaf }))
    }

    /// The second half. `hashed` is the leaf of [`Draft::unhashed`].
    pub(crate) fn finish_proof(
        &self,
        draft: Draft,
        hashed: Option<Node>,
    ) -> Result<Option<Box<Data>>, ProofError> {
        let Draft { mut data, leaf } = draft;
        if let Some(block) = data.block.as_mut().filter(|_| leaf.is_some() && leaf != hashed) {
            // It is spoilt, or another process replaced it meanwhile.
            match self.get_stored(block.index)? {
                Some(value) if leaf == Some(Node::leaf(block.index, &value)) => block.value = value,
                _ => return Ok(None),
            }
        }
        Ok(Some(data))
    }

    /// Whether a proof made here would convince its reader: nodes on disk may have rotted, and who sends a false proof
    /// counts as a liar.
    fn holds(&self, state: &State, data: &Data, leaf: Option<Node>) -> Result<bool, ProofError> {
        let nodes = self.nodes(state);
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
}
